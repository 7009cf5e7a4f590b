/**
 * Bugs planted between what applies committed entries and its disk, as those of `plantedBugs.ts`; the runs of `applyRun.ts` find them.
 */
import type { IoDone } from '../../src/storage/io.js';
import { leavesOutWrites, type PlantedBug, skipsFdatasync } from './plantedBugs.js';
import { WatchedDisk } from './watchedDisk.js';

/** Extents that sync writes do not use in these runs. */
const EXTENT = /\/102\d$/;

/** APPLY first, then the syncs of what it stands for. */
class SyncsBehindApply extends WatchedDisk {
  private owed: number[] = [];

  override submitFdatasync(fd: number, done: IoDone): void {
    if (!EXTENT.test(this.pathOf(fd))) return super.submitFdatasync(fd, done);
    this.owed.push(fd);
    this.completeUndone(done);
  }

  override submitRename(from: string, to: string, done: IoDone): void {
    super.submitRename(from, to, (io) => {
      for (const fd of this.owed.splice(0)) super.submitFdatasync(fd, () => undefined);
      done(io);
    });
  }
}

const RAFT_MISSING = /\/RAFT_MISSING$/;
const LOST = /byte \d+ of extent \d+ is lost and not missing/;

export const APPLY_BUGS: readonly PlantedBug[] = [
  { name: 'applied-data-not-synced', disk: skipsFdatasync(EXTENT), finding: LOST },
  { name: 'applied-data-synced-late', disk: SyncsBehindApply, finding: LOST },
  { name: 'missing-not-synced', disk: skipsFdatasync(RAFT_MISSING), finding: LOST },
  { name: 'missing-not-written', disk: leavesOutWrites(RAFT_MISSING, 'all'), finding: LOST },
];
