/**
 * Bugs planted between what applies committed entries and its disk, as those of `plantedBugs.ts`; the runs of `applyRun.ts` find them.
 */
import {
  acknowledgesEarly,
  EXTENT,
  leavesOutWrites,
  type PlantedBug,
  skipsFdatasync,
} from './plantedBugs.js';

const RAFT_MISSING = /\/RAFT_MISSING$/;
const LOST = /byte \d+ of extent \d+ is lost and not missing/;

export const APPLY_BUGS: readonly PlantedBug[] = [
  { name: 'applied-data-not-synced', disk: skipsFdatasync(EXTENT), finding: LOST },
  { name: 'applied-data-synced-late', disk: acknowledgesEarly(EXTENT), finding: LOST },
  { name: 'missing-not-synced', disk: skipsFdatasync(RAFT_MISSING), finding: LOST },
  { name: 'missing-not-written', disk: leavesOutWrites(RAFT_MISSING, 'all'), finding: LOST },
];
