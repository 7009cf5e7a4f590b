/**
 * The settings in which clusters are simulated. `stormy` looks for bugs: a fault every second or two, members that come and go, busy clients. `contested` looks for those of
 * elections and reads. `calm` looks at time: hours in which hardly anything happens, a fault each ten minutes, an operation a minute.
 */
import type { FaultName } from './faults.js';
import type { Setting } from './run.js';

const WEIGHTS: Record<FaultName, number> = {
  ...{ kill: 4, powerLoss: 4, blackout: 1, cleanStop: 3, crashAtStart: 3 },
  ...{ oneWayCut: 4, isolation: 4, delaySpike: 3, loss: 2, duplication: 2, reordering: 2 },
  ...{ clockSkew: 2, wallClockJump: 2, pause: 4, hungDisk: 3, fullDisk: 2 },
  ...{ journalError: 2, logError: 2, extentError: 2, applyError: 2 },
  ...{ forcedElection: 3, coup: 3, logCut: 5, snapshotFailure: 3, journalDamage: 2, logDamage: 2 },
};

export const STORMY: Setting = {
  name: 'stormy',
  durationMs: 30_000,
  fiveShare: 0.3,
  wireShare: 0.25,
  storm: { everyMs: 1500, weights: WEIGHTS },
  operator: { changeEveryMs: 6000, compactEveryMs: 10_000 },
  clients: { clients: 4, thinkMs: 450, readShare: 0.4, wideShare: 0.02, syncShare: 0.2 },
};

export const CALM: Setting = {
  name: 'calm',
  durationMs: 3_600_000,
  fiveShare: 0.1,
  wireShare: 0.02,
  storm: { everyMs: 600_000, weights: WEIGHTS },
  operator: { changeEveryMs: 1_800_000, compactEveryMs: 300_000 },
  clients: { clients: 2, thinkMs: 120_000, readShare: 0.5, wideShare: 0.02, syncShare: 0.2 },
};

/** Leaders that do not know of each other, under many clients: little time, and nothing but who leads. */
export const CONTESTED: Setting = {
  name: 'contested',
  durationMs: 8000,
  fiveShare: 0.3,
  wireShare: 0.25,
  storm: {
    everyMs: 600,
    weights: {
      ...{ powerLoss: 1, oneWayCut: 2, isolation: 1, delaySpike: 2, duplication: 1, reordering: 2 },
      ...{ clockSkew: 1, pause: 1, hungDisk: 1, forcedElection: 1, coup: 4 },
    },
  },
  operator: { changeEveryMs: 4000, compactEveryMs: 12_000 },
  clients: { clients: 6, thinkMs: 120, readShare: 0.5, wideShare: 0.02, syncShare: 0.2 },
};

export const SETTINGS: Readonly<Record<string, Setting>> = {
  stormy: STORMY,
  calm: CALM,
  contested: CONTESTED,
};
