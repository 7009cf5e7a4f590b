/**
 * Bugs planted in replication and repair, one at a time, on all nodes of a run and for its time: a method of the production that does something else. The production has no switch for them. `docs/plantedBugs.md` lists
 * them with what must find them.
 */
import { Patches } from '../../raft/sim/patches.js';
import { GROUP_BUGS } from './plantedGroups.js';
import { HEAL_BUGS } from './plantedHeals.js';
import type { PlantedRepairBug } from './plantedParts.js';
import { REPLICA_BUGS } from './plantedReplicas.js';
import { ROUND_BUGS } from './plantedRounds.js';
import { RunFailed, runSeed } from './run.js';

export const PLANTED_REPAIR_BUGS: readonly PlantedRepairBug[] = [
  ...REPLICA_BUGS,
  ...ROUND_BUGS,
  ...HEAL_BUGS,
  ...GROUP_BUGS,
];

/** Runs one seed, with a bug in it or without. What the run ended with; null when it came to its end. */
export async function runPlanted(bug: PlantedRepairBug | null, seed: number): Promise<Error | null> {
  const patches = new Patches();
  try {
    bug?.patch(patches);
    await runSeed(seed);
    return null;
  } catch (error) {
    if (!(error instanceof RunFailed)) throw error;
    return error.cause as Error;
  } finally {
    patches.restore();
  }
}
