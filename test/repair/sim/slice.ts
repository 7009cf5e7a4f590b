/** The seeds that CI runs, in slices: test files beside each other take one each. A slice fails at its first run that shows a bug, and when too little of anything was hit to believe that it would have shown one. */
import type { Test } from 'tap';
import { RunFailed, type RunReport, runSeed } from './run.js';
import { HIT_NAMES, type Hits, noHits } from './world.js';

/** Seeds of one slice. */
export const SLICE_SEEDS = 125;
/** What a slice comes to at least; less than half of what it does. Where a slice does little of it, once. */
const FLOORS: Hits = {
  ...{ kills: 120, powerLosses: 8, killsInRounds: 8, pauses: 25, newDisks: 5, truncated: 25 },
  ...{ tornFetches: 2, lostInFlight: 20, garbage: 1, deletesInRounds: 25, appendsInRounds: 50 },
  ...{ rounds: 400, tasks: 800, fetchedExtents: 500, missedDeletes: 120, joined: 5 },
  ...{ acknowledged: 2000, failed: 500, acknowledgedDeletes: 300, tinyAppends: 300, deletesGivenUp: 20 },
  ...{ misplacedPieces: 1, nonsenseLists: 15, nonsenseTasks: 6 },
  ...{ silentPeers: 7, silentLinks: 30, silentDials: 4 },
  ...{ fullDisks: 6, fullFetches: 10, failedDisks: 1 },
  ...{ swappedHosts: 4, replacedHosts: 6, secondFirstHosts: 5 },
  ...{ randomWrites: 3500, randomInDoubt: 2000, leaderReads: 2500, elections: 250, leadersKilled: 60 },
  ...{ raftCuts: 300, forcedElections: 80, snapshots: 1, comparisons: 1, truncations: 450 },
  ...{ missingRecorded: 80, missingFilled: 80, memberChanges: 45, removedReplicas: 3, killsBeforeApply: 10 },
  ...{ flippedBits: 8, flippedWhileDown: 3, healedBlocks: 4, bitsTold: 2, undecided: 1 },
};

/** Runs slice `number`, from 0, and holds it to its floors. */
export async function runSlice(t: Test, number: number): Promise<void> {
  const sums = noHits();
  const first = number * SLICE_SEEDS + 1;
  for (let seed = first; seed < first + SLICE_SEEDS; seed += 1) {
    const report = await runOrTell(t, seed);
    if (report === null) return;
    for (const name of HIT_NAMES) sums[name] += report.hits[name];
  }
  for (const name of HIT_NAMES)
    t.ok(sums[name] >= FLOORS[name], `${name}: ${sums[name]}, at least ${FLOORS[name]}`);
}

/** One run. Null when it shows a bug: the test has failed then, with the end of its trace. */
async function runOrTell(t: Test, seed: number): Promise<RunReport | null> {
  try {
    return await runSeed(seed);
  } catch (error) {
    if (!(error instanceof RunFailed)) throw error;
    for (const line of error.lines.slice(-100)) t.comment(line);
    t.fail(error.message);
    return null;
  }
}
