/**
 * Bugs planted between the storage code and its disk: each is a disk that does not do, or does too late, what the code asked for, as if the code had
 * forgotten to ask. `docs/plantedBugs.md` lists them with the promise that each breaks.
 */
import { constants } from 'node:fs';
import type { IoDone, IoResult } from '../../src/storage/io.js';
import type { SimDiskOptions } from '../sim/simDisk.js';
import type { SimFolder } from '../sim/simFolder.js';
import { WatchedDisk } from './watchedDisk.js';

const EXTENT = /\/1\d\d\d$/;
const EXTENT_META = /\/EXTENT_META$/;
const EXTENT_CLEAN = /\/EXTENT_CLEAN$/;
const EXTENT_CRC = /\/EXTENT_CRC$/;
const PARTITION = /\/datapartition_\d+_\d+$/;
const META_TEMPORARY = /\/\.meta\.\d+$/;
const ROOT = /^\/d$/;

const OK: IoResult = { result: 0, crc: 0, value0: 0, value1: 0, value2: 0 };

/** Over an empty root unless one is given. */
export type PlantedDisk = new (options: SimDiskOptions, root?: SimFolder) => WatchedDisk;

/** A submitted fdatasync of matching files succeeds without being done. */
export function skipsFdatasync(path: RegExp): PlantedDisk {
  return class extends WatchedDisk {
    override submitFdatasync(fd: number, done: IoDone): void {
      if (path.test(this.pathOf(fd))) this.completeUndone(done);
      else super.submitFdatasync(fd, done);
    }
  };
}

/** A submitted fdatasync of matching files is told to be done when it has begun. */
function acknowledgesEarly(path: RegExp): PlantedDisk {
  return class extends WatchedDisk {
    override submitFdatasync(fd: number, done: IoDone): void {
      if (!path.test(this.pathOf(fd))) return super.submitFdatasync(fd, done);
      super.submitFdatasync(fd, () => undefined);
      this.completeUndone(done);
    }
  };
}

/** Synchronous fdatasyncs of matching files succeed without being done. */
function skipsSynchronousFdatasync(path: RegExp): PlantedDisk {
  return class extends WatchedDisk {
    override fdatasync(fd: number): number {
      return path.test(this.pathOf(fd)) ? 0 : super.fdatasync(fd);
    }
  };
}

/** Submitted fsyncs of a partition's folder succeed without being done, all but the first `doneAtFirst`. */
function skipsFolderFsync(doneAtFirst: number): PlantedDisk {
  return class extends WatchedDisk {
    private left = doneAtFirst;

    override submitFsyncFolder(path: string, done: IoDone): void {
      this.left -= 1;
      if (this.left < 0) this.completeUndone(done);
      else super.submitFsyncFolder(path, done);
    }
  };
}

/** Synchronous fsyncs of matching folders succeed without being done, all but the first `doneAtFirst`. */
function skipsSynchronousFolderFsync(path: RegExp, doneAtFirst: number): PlantedDisk {
  return class extends WatchedDisk {
    private left = doneAtFirst;

    override fsyncFolder(folder: string): number {
      if (path.test(folder)) this.left -= 1;
      return path.test(folder) && this.left < 0 ? 0 : super.fsyncFolder(folder);
    }
  };
}

class HidesSyncErrors extends WatchedDisk {
  override submitFdatasync(fd: number, done: IoDone): void {
    super.submitFdatasync(fd, (io) => done(io.result < 0 ? OK : io));
  }
}

class HidesShortWrites extends WatchedDisk {
  override runBatch(): number {
    const ns = super.runBatch();
    for (const entry of this.batch.entries) {
      if (entry.write && entry.result > 0) entry.result = entry.length;
    }
    return ns;
  }
}

/** Checksum slots are written after everything else of their batch: old checksums are zeroed when their data has changed already. */
class WritesSlotsLast extends WatchedDisk {
  override runBatch(): number {
    const { entries } = this.batch;
    const inOrder = [...entries];
    const isSlot = (fd: number): boolean => EXTENT_CRC.test(this.pathOf(fd));
    const slots = inOrder.filter(({ write, fd }) => write && isSlot(fd));
    const others = inOrder.filter((entry) => !slots.includes(entry));
    entries.splice(0, entries.length, ...others, ...slots);
    const ns = super.runBatch();
    entries.splice(0, entries.length, ...inOrder);
    return ns;
  }
}

/** Writes of matching files, or only those of zeros, are left out and told as done. */
export function leavesOutWrites(path: RegExp, which: 'all' | 'zeros'): PlantedDisk {
  return class extends WatchedDisk {
    protected override transfer(
      write: boolean,
      fd: number,
      offset: number,
      bytes: Uint8Array,
      crcWanted: boolean,
    ): { result: number; crc: number } {
      const meant = which === 'all' || bytes.every((byte) => byte === 0);
      if (write && meant && path.test(this.pathOf(fd))) return { result: bytes.byteLength, crc: 0 };
      return super.transfer(write, fd, offset, bytes, crcWanted);
    }
  };
}

/** A slot whose block is about to change keeps its checksum. */
const KeepsOldSlots = leavesOutWrites(EXTENT_CRC, 'zeros');
/** The base in EXTENT_META is synced but was never written. */
const NeverWritesBase = leavesOutWrites(EXTENT_META, 'all');
/** An entry of EXTENT_CLEAN stays when its extent is about to change. */
const KeepsCleanEntries = leavesOutWrites(EXTENT_CLEAN, 'zeros');

/** The checksum job, which opens extents for reading only, calls their data durable without syncing it. */
class TrustsUnsyncedData extends WatchedDisk {
  private readonly readers = new Set<number>();

  override submitOpen(path: string, flags: number, mode: number, done: IoDone): void {
    super.submitOpen(path, flags, mode, (io) => {
      if (flags === constants.O_RDONLY) this.readers.add(io.result);
      else this.readers.delete(io.result);
      done(io);
    });
  }

  override submitFdatasync(fd: number, done: IoDone): void {
    if (this.readers.has(fd)) this.completeUndone(done);
    else super.submitFdatasync(fd, done);
  }
}

export interface PlantedBug {
  name: string;
  disk: PlantedDisk;
  /** What the suite says when it finds it. */
  finding: RegExp;
  /** Name of the scenario that finds it; the hunt begins with it. */
  scenario?: string;
}

const TRUSTED = /slot \d+ of extent \d+_\d+ is trusted and wrong/;
const AT_REST = 'an extent comes to rest and is written to again';
const LOST = /are lost|are not those that were acknowledged/;

export const PLANTED_BUGS: readonly PlantedBug[] = [
  { name: 'reservation-not-synced', disk: skipsFdatasync(EXTENT_META), finding: /handed out twice/ },
  {
    name: 'reservation-synced-late',
    disk: acknowledgesEarly(EXTENT_META),
    finding: /handed out twice/,
    scenario: 'a kill, and a second life',
  },
  { name: 'reservation-not-written', disk: NeverWritesBase, finding: /handed out twice|base/ },
  { name: 'extent-not-synced', disk: skipsFdatasync(EXTENT), finding: LOST },
  { name: 'extent-synced-late', disk: acknowledgesEarly(EXTENT), finding: LOST },
  { name: 'extent-folder-not-synced', disk: skipsFolderFsync(0), finding: LOST },
  { name: 'extent-folder-synced-once', disk: skipsFolderFsync(1), finding: LOST },
  {
    name: 'sync-error-hidden',
    disk: HidesSyncErrors,
    finding: LOST,
    scenario: 'syncs fail and writes come short',
  },
  {
    name: 'short-write-hidden',
    disk: HidesShortWrites,
    finding: LOST,
    scenario: 'syncs fail and writes come short',
  },
  {
    name: 'stop-leaves-extents-unsynced',
    disk: skipsSynchronousFdatasync(EXTENT),
    finding: LOST,
    scenario: 'a clean stop',
  },
  { name: 'slot-zeroed-after-data', disk: WritesSlotsLast, finding: /slot \d+ of extent \d+ is wrong/ },
  { name: 'slot-not-zeroed', disk: KeepsOldSlots, finding: /slot \d+ of extent \d+ is wrong/ },
  { name: 'clean-entry-kept', disk: KeepsCleanEntries, finding: TRUSTED, scenario: AT_REST },
  {
    name: 'clean-entry-gone-unsynced',
    disk: skipsFdatasync(EXTENT_CLEAN),
    finding: TRUSTED,
    scenario: AT_REST,
  },
  {
    name: 'clean-entry-gone-late',
    disk: acknowledgesEarly(EXTENT_CLEAN),
    finding: TRUSTED,
    scenario: AT_REST,
  },
  {
    name: 'clean-with-unsynced-slots',
    disk: skipsFdatasync(EXTENT_CRC),
    finding: TRUSTED,
    scenario: AT_REST,
  },
  { name: 'clean-with-unsynced-data', disk: TrustsUnsyncedData, finding: TRUSTED, scenario: AT_REST },
  {
    name: 'meta-renamed-unsynced',
    disk: skipsSynchronousFdatasync(META_TEMPORARY),
    finding: /partition \d+ is refused/,
  },
  {
    name: 'meta-folder-not-synced',
    disk: skipsSynchronousFolderFsync(PARTITION, 1),
    finding: /partition \d+ is refused/,
  },
  {
    name: 'creation-root-not-synced',
    disk: skipsSynchronousFolderFsync(ROOT, 0),
    finding: /partition \d+ is gone/,
  },
  {
    name: 'deletion-root-not-synced',
    disk: skipsSynchronousFolderFsync(ROOT, 2),
    finding: /deleted partition \d+ is back/,
    scenario: 'a partition is deleted',
  },
];
