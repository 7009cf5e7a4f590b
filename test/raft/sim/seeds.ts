/**
 * The slice of seeds that CI runs, in parts that fit a test file each: what is asserted of each run, and of the sum.
 */
import t from 'tap';
import { FAULT_NAMES, type FaultName } from './faults.js';
import { RunFailed, runSeed } from './run.js';
import { STORMY } from './settings.js';
import { Totals } from './totals.js';

/** Seeds of one part; there are eight, each a matter of half a minute. */
export const SEEDS_A_PART = 250;

/** Hits in a part, at least: far below what is seen, far above an accident. */
const HITS_MIN = 50;
/** Faults that need something else to have happened before. */
const RARE: Partial<Record<FaultName, number>> = { snapshotFailure: 0, journalDamage: 10, logDamage: 8 };

/** Runs a part, from 0, and looks at what it came to. */
export function runPart(part: number): void {
  const from = 1 + part * SEEDS_A_PART;
  t.test(`seeds ${from} to ${from + SEEDS_A_PART - 1}: nothing that must hold is broken`, async (t) => {
    const totals = new Totals();
    const startedAt = performance.now();
    for (let seed = from; seed < from + SEEDS_A_PART; seed += 1) {
      try {
        totals.add(runSeed(seed, { setting: STORMY }));
      } catch (error) {
        if (!(error instanceof RunFailed)) throw error;
        for (const line of error.lines) t.comment(line);
        t.fail(error.message);
        return;
      }
    }
    for (const line of totals.lines()) t.comment(line);
    const speed = totals.simulatedMs / (performance.now() - startedAt);
    t.comment(`${speed.toFixed(0)} simulated hours an hour`);
    t.ok(totals.simulatedMs > 2.5 * 3_600_000, 'simulated hours');
    t.ok(totals.elections > 1000, `${totals.elections} elections`);
    t.ok(totals.restarts > 1500, `${totals.restarts} restarts`);
    t.ok(totals.changes > 125, `${totals.changes} membership changes`);
    t.ok(totals.snapshots > 2, `${totals.snapshots} snapshots`);
    t.ok(totals.answered > 7000, `${totals.answered} operations answered`);
    t.ok(totals.fetched > 1500, `${totals.fetched} pieces fetched`);
    for (const name of FAULT_NAMES) {
      t.ok(totals.faults[name] >= (RARE[name] ?? HITS_MIN), `${name} ${totals.faults[name]}`);
    }
  });
}
