/**
 * The extents of one partition: records, ids, space, and the files that all of them share. State only; what happens to it is in the paths
 * (`createPath.ts`, `appendPath.ts`, `readPath.ts`), `groupCommit.ts` and `openExtents.ts`.
 */
import { join } from 'node:path';
import { TINY_DELETE_RECORD_BYTES } from '../protocol/tinyDelete.js';
import type { FoundClean } from '../storage/cleanFile.js';
import { IdBase } from '../storage/extentMeta.js';
import { EXTENT_FLAG, ExtentTable, NONE } from '../storage/extentTable.js';
import { FILE, isTinyExtent, roundUpToPage, SECTOR_BYTES, TINY_EXTENT_LAST } from '../storage/layout.js';
import type { PartitionContents } from '../storage/partitionFolder.js';
import { TinyExtents } from '../storage/tinyExtents.js';
import { OperationQueue } from './extentHandle.js';
import type { Operation, OperationLoan } from './operation.js';
import { TinyLoans } from './tinyLoans.js';

/** Fds of the files that all extents of a store share. */
export interface OwnFds {
  meta: number;
  crc: number;
  normalDelete: number;
  tinyDelete: number;
}

export class ExtentStore implements OperationLoan {
  readonly partitionId: number;
  readonly path: string;
  readonly table: ExtentTable;
  readonly ids: IdBase;
  readonly tiny = new TinyExtents();
  /** Of those, the ones lent to appends whose outcome followers decide about. */
  readonly tinyLoans = new TinyLoans(this.tiny);
  /** Tiny appends that wait for one of those. */
  readonly tinyWaiting = new OperationQueue();
  /** Open for the life of the store; not counted in the budget of open extents. */
  readonly metaFd: number;
  readonly crcFd: number;
  readonly normalDeleteFd: number;
  readonly tinyDeleteFd: number;
  /** EXTENT_CLEAN, -1 while there is none; its stamp, 0 while what it says is void; the last stamp of the folder; the first id that is surely our own. */
  cleanFd: number;
  cleanStamp: number;
  lastStamp: number;
  readonly ownFrom: number;
  /** Writes that wait for an entry there to be gone, and whether a group of them is on its way. */
  readonly dirtyWaiting = new OperationQueue();
  clearing = false;
  /** Row of the extent of which a block is being written over (`blockHeals.ts`): its writes wait there too. NONE: none is. */
  healingRow = NONE;
  /** Extents with an entry that says so although no heal is under way, and the blocks: those whose heal a crash or a failed disk has interrupted. Their slots are what the replicas have agreed upon. */
  readonly unhealed = new Map<number, readonly number[]>();
  /** EXTENT_CLEAN is being begun. */
  cleanStarting = false;
  /** Length of EXTENT_CRC: slots past it are zero. */
  crcBytes: number;
  /** Offset of the last record in TINYEXTENT_DELETE, as announced to peers (`storage.md` 8.2). After a start the file's length, rounded up to records (W19). */
  tinyDeleteOffset: number;
  /** Length of TINYEXTENT_DELETE. */
  tinyDeleteBytes: number;
  /** Ids in NORMALEXTENT_DELETE, and where the next one goes. An id stays in when an extent of that name is found at a start: only its own create takes it out. */
  readonly deletedIds: Set<number>;
  normalDeleteBytes: number;
  /** Deletes that wait for their id to be written there; whether a group of them is on its way. */
  readonly recordWaiting = new OperationQueue();
  recording = false;
  /** Deleted extents that still have a record, oldest first, and those of them whose file is open. */
  readonly deletedRows: { row: number; atMs: number }[] = [];
  readonly deletedOpen = new Set<number>();
  /** Bytes that each tiny extent has on disk. */
  private readonly tinyBytes = new Float64Array(TINY_EXTENT_LAST + 1);
  /** Bytes of extents: normal ones by length, tiny ones by blocks on disk (`storage.md` 12). */
  usedBytes = 0;

  /**
   * Extents created so far. An extent's entry in the folder is durable when its creation number is at most `creationsSynced`. Extents found on disk have
   * number 1: whether the process before this one fsynced the folder is not known.
   */
  creations = 1;
  creationsSynced = 0;
  /** `creations` when the running fsync of the folder started; 0 while none runs. */
  creationsSyncing = 0;
  /** Sync writes whose data is durable and whose extent's folder entry is not, and creates that are to be durable. */
  readonly folderWaiting = new OperationQueue();
  readonly folderRunning = new OperationQueue();

  /** Creates that wait for the id base to be durable. */
  readonly idWaiting = new OperationQueue();
  /** How many. */
  idWaiters = 0;

  /** Ids of extents whose fdatasync has failed in this life: what was acknowledged may be missing although everything else is synced. */
  private readonly lostIds = new Set<number>();

  /** An fdatasync of EXTENT_CRC has failed: slots that were written are lost for good or not, and no later one says which. No extent is called clean any more. */
  slotsLost = false;
  /** How many fdatasyncs of EXTENT_META have failed: one reports the loss of whatever was written, for all who wrote. */
  metaSyncsFailed = 0;

  /** Batch entries and submitted work that use one of the store's own files. */
  ownFdUsers = 0;
  ownFdsClosed = false;
  /** Taken out of service: nothing new starts, and what completes is cleaned up. */
  closed = false;

  /** `contents` as read from the folder at `path`; the fds of its files and of `clean`, which the store now owns. */
  constructor(path: string, contents: PartitionContents, fds: OwnFds, clean: FoundClean) {
    this.partitionId = contents.meta.partitionId;
    this.table = new ExtentTable(contents.extents.length);
    this.path = path;
    this.metaFd = fds.meta;
    this.crcFd = fds.crc;
    this.normalDeleteFd = fds.normalDelete;
    this.tinyDeleteFd = fds.tinyDelete;
    this.crcBytes = contents.crcBytes;
    this.tinyDeleteBytes = contents.tinyDeleteBytes;
    this.tinyDeleteOffset =
      Math.ceil(contents.tinyDeleteBytes / TINY_DELETE_RECORD_BYTES) * TINY_DELETE_RECORD_BYTES;
    this.deletedIds = contents.deletedIds;
    this.normalDeleteBytes = contents.normalDeleteBytes;
    this.ids = new IdBase(contents.storedBase, contents.highestId);
    this.cleanFd = clean.fd;
    this.cleanStamp = clean.header?.stamp ?? 0;
    this.lastStamp = clean.lastStamp;
    // In a folder of another node's, what is there is not ours; all ids to come are larger.
    this.ownFrom = clean.header?.ownFrom ?? this.ids.base + 1;
    for (const extent of contents.extents) {
      const row = this.table.insert(extent.id);
      const tiny = isTinyExtent(extent.id);
      const size = tiny ? roundUpToPage(extent.sizeBytes) : extent.sizeBytes;
      this.table.sizes[row] = size;
      this.table.ends[row] = size;
      this.table.creations[row] = this.creations;
      if (!tiny) this.table.modTimes[row] = Math.floor(extent.mtimeMs / 1000);
      if (tiny) this.setTinyBytes(extent.id, extent.blocks512 * SECTOR_BYTES);
      else this.usedBytes += extent.sizeBytes;
    }
  }

  /** The append that had borrowed a tiny extent has ended. */
  loanEnded(op: Operation, acknowledged: boolean): void {
    this.tiny.giveBack(op.extentId, acknowledged);
  }

  /** A tiny extent has so many bytes on disk. */
  setTinyBytes(id: number, bytes: number): void {
    this.usedBytes += bytes - this.tinyBytes[id]!;
    this.tinyBytes[id] = bytes;
  }

  /** An append has made an extent longer. */
  grown(id: number, row: number, bytes: number): void {
    if (isTinyExtent(id)) this.setTinyBytes(id, this.tinyBytes[id]! + bytes);
    else if (!this.table.has(row, EXTENT_FLAG.deleted)) this.usedBytes += bytes;
  }

  /**
   * End of TINYEXTENT_DELETE as it is announced and served to peers: behind the last record, also that which stands at the position (R10).
   */
  get tinyDeleteEnd(): number {
    const written = Math.ceil(this.tinyDeleteBytes / TINY_DELETE_RECORD_BYTES) * TINY_DELETE_RECORD_BYTES;
    return Math.max(this.tinyDeleteOffset, written);
  }

  /**
   * Whether an id was deleted here and is to stay so: listed, and without a living extent of that name. A listed one that lives was created again by a node that does not read the list, or could not be removed.
   */
  isDeletedForGood(id: number): boolean {
    if (!this.deletedIds.has(id)) return false;
    const row = this.table.find(id);
    return (
      row === NONE || this.table.has(row, EXTENT_FLAG.deleted) || this.table.has(row, EXTENT_FLAG.deleting)
    );
  }

  /** An fdatasync of the extent in `row` has failed: it takes no more writes. */
  syncFailed(row: number): void {
    this.table.set(row, EXTENT_FLAG.syncFailed);
    this.lostIds.add(this.table.ids[row]!);
  }

  /** Extents that have lost data in this life, and are still there. */
  get lostExtents(): number[] {
    return [...this.lostIds].filter((id) => {
      const row = this.table.find(id);
      return row !== NONE && !this.table.has(row, EXTENT_FLAG.deleted);
    });
  }

  /** Fds of the store's own files. */
  get ownFds(): number[] {
    const fds = [this.metaFd, this.crcFd, this.normalDeleteFd, this.tinyDeleteFd];
    return this.cleanFd < 0 ? fds : [...fds, this.cleanFd];
  }

  /** Path of an extent's file. */
  extentPath(id: number): string {
    return `${this.path}/${id}`;
  }

  get metaPath(): string {
    return join(this.path, FILE.extentMeta);
  }

  get cleanPath(): string {
    return join(this.path, FILE.extentClean);
  }

  get crcPath(): string {
    return join(this.path, FILE.extentCrc);
  }
}
