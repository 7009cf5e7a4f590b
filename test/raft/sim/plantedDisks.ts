/**
 * Bugs planted between the log and its disk: journal, segments, folder, recovery (`plantedRaftBugs.ts`).
 */
import { FolderSync } from '../../../src/raft/folderSync.js';
import { GroupFolder } from '../../../src/raft/groupFolder.js';
import { GroupPlan, GroupSummary, type RecordPlace } from '../../../src/raft/journalReplay.js';
import { JournalSegments } from '../../../src/raft/journalSegments.js';
import type { IoDone } from '../../../src/storage/io.js';
import { WatchedDisk } from '../../crash/watchedDisk.js';
import type { SimFile, SyncPoint } from '../../sim/simFile.js';
import type { Patches } from './patches.js';
import type { PlantedRaftBug } from './plantedRaftBugs.js';

const SEGMENT = /\/segment\.\d+$/;
const FORGOTTEN = {
  invariant: 'durability',
  finding: /durability: a node (acknowledged|in term \d+ comes back|that voted)/,
};
const FOLDER_LOST = {
  invariant: 'durability, a folder that cannot be opened',
  finding: /durability: a node (acknowledged|in term \d+ comes back|that voted)|node \d+ cannot start/,
};

/** A replica that knows that frames are missing has no vote: where all know it there is no leader. */
const JOURNAL_LOST = {
  invariant: 'durability, a folder that cannot be opened, convergence',
  finding:
    /durability: a node (acknowledged|in term \d+ comes back|that voted)|node \d+ cannot start|there is no leader/,
};

type Pwrite = Parameters<WatchedDisk['submitPwrite']>;

class NeverSyncsJournal extends WatchedDisk {
  protected override syncFile(file: SimFile, path: string, point: SyncPoint): number {
    return SEGMENT.test(path) ? 0 : super.syncFile(file, path, point);
  }
}

/** Who writes durably to the journal is told something else than what comes of it. */
class MisleadsJournal extends WatchedDisk {
  override submitPwrite(...write: Pwrite): void {
    const [fd, offset, region, bufferOffset, length, done, durable = false] = write;
    if (!durable || !SEGMENT.test(this.pathOf(fd))) return super.submitPwrite(...write);
    const told = this.told(length, done);
    super.submitPwrite(fd, offset, region, bufferOffset, length, told, durable);
  }

  /** What is called when the write of `length` bytes has ended. */
  protected told(_length: number, done: IoDone): IoDone {
    return done;
  }
}

class TellsJournalEarly extends MisleadsJournal {
  protected override told(length: number, done: IoDone): IoDone {
    this.submit('scan', '', () => ({ result: length }), done);
    return () => undefined;
  }
}

class HidesJournalErrors extends MisleadsJournal {
  protected override told(length: number, done: IoDone): IoDone {
    return (io) => done({ ...io, result: length });
  }
}

export const DISK_BUGS: readonly PlantedRaftBug[] = [
  {
    name: 'journal-not-synced',
    breaks: 'frames are written and said to be durable, and are not',
    planted: 'disk: the sync of a durable write to the journal is left out',
    ...FORGOTTEN,
    seed: 1,
    disk: NeverSyncsJournal,
  },
  {
    name: 'journal-told-early',
    breaks: 'frames are said to be durable while they are being written',
    planted: 'disk: a durable write to the journal may be told as done before it happens',
    ...FORGOTTEN,
    seed: 10,
    disk: TellsJournalEarly,
  },
  {
    name: 'journal-error-hidden',
    breaks: 'a frame whose write has failed counts as durable',
    planted: 'disk: every durable write to the journal is told as done',
    ...FORGOTTEN,
    seed: 2,
    disk: HidesJournalErrors,
  },
  {
    name: 'segment-written-over',
    breaks: 'a segment is used again while frames in it are needed',
    planted: '`JournalSegments.place`: always the first file',
    ...JOURNAL_LOST,
    seed: 1,
    patch(patches) {
      const files = new WeakMap<JournalSegments, number>();
      patches.method(JournalSegments.prototype, 'place', (original) => {
        return function (this: JournalSegments, frame, bytes) {
          const place = original.call(this, frame, bytes);
          if (place === null) return null;
          const file = files.get(this) ?? place.file;
          files.set(this, file);
          return { ...place, file };
        };
      });
    },
  },
  {
    name: 'settled-too-early',
    breaks: 'frames tell that nothing before them is needed',
    planted: '`JournalSegments.tail`: the frame itself',
    ...JOURNAL_LOST,
    seed: 1,
    patch(patches) {
      patches.method(JournalSegments.prototype, 'tail', () => (frame) => frame);
    },
  },
  {
    name: 'last-frame-ignored',
    breaks: 'recovery leaves out the last frame',
    planted:
      '`GroupSummary.take`, `GroupPlan.take`: records of a frame are taken when one of a later frame comes',
    ...FORGOTTEN,
    seed: 1,
    patch: ignoreLastFrame,
  },
  {
    name: 'folder-tail-believed',
    breaks: 'recovery believes what stands in the folder behind the last checkpoint',
    planted: '`GroupPlan`: says that the folder keeps all of its entries, once it is complete',
    ...FOLDER_LOST,
    seed: 2,
    patch(patches) {
      patches.getter(GroupPlan.prototype, 'hardState', (original) => (plan) => {
        plan.keepBelow = null;
        return original(plan);
      });
    },
  },
  {
    name: 'recovered-folder-not-synced',
    breaks: 'the journal is emptied, and the folder that it was carried into is not durable',
    planted: '`GroupFolder.syncNow`: does nothing',
    ...FOLDER_LOST,
    seed: 8,
    patch(patches) {
      patches.method(GroupFolder.prototype, 'syncNow', () => () => 0);
    },
  },
  {
    name: 'checkpoint-not-synced',
    breaks: 'a checkpoint is told to the journal, and the folder is not durable',
    planted: '`FolderSync.submit`: done at once',
    ...FOLDER_LOST,
    seed: 4,
    patch(patches) {
      patches.method(FolderSync.prototype, 'submit', () => (done) => done(0));
    },
  },
];

function ignoreLastFrame(patches: Patches): void {
  // Of each group the records of the last frame so far, not taken yet.
  const inSummary = new WeakMap<GroupSummary, Parameters<GroupSummary['take']>[]>();
  const inPlan = new WeakMap<GroupPlan, Parameters<GroupPlan['take']>[]>();
  patches.method(GroupSummary.prototype, 'take', (original) => {
    return function (this: GroupSummary, ...taken) {
      const held = inSummary.get(this) ?? [];
      const isLater = held.length > 0 && held[0]![1] !== taken[1];
      if (isLater) for (const each of held) original.apply(this, each);
      inSummary.set(this, [...(isLater ? [] : held), taken]);
    };
  });
  patches.method(GroupPlan.prototype, 'take', (original) => {
    return function (this: GroupPlan, ...taken) {
      const held = inPlan.get(this) ?? [];
      const isLater = held.length > 0 && held[0]![1].frame !== taken[1].frame;
      if (isLater) for (const each of held) original.apply(this, each);
      inPlan.set(this, [...(isLater ? [] : held), taken]);
    };
  });
  patches.method(GroupPlan.prototype, 'counts', (original) => {
    return function (this: GroupPlan, place: RecordPlace) {
      return place.frame !== inPlan.get(this)?.[0]?.[1].frame && original.call(this, place);
    };
  });
}
