/**
 * The extents of one partition: records, ids, space, and the two files that all of them share. State only; what happens to it is in the paths
 * (`createPath.ts`, `appendPath.ts`, `readPath.ts`), `groupCommit.ts` and `openExtents.ts`.
 */
import { join } from 'node:path';
import { IdBase } from '../storage/extentMeta.js';
import { ExtentTable } from '../storage/extentTable.js';
import { FILE, isTinyExtent, roundUpToPage, SECTOR_BYTES } from '../storage/layout.js';
import type { PartitionContents } from '../storage/partitionFolder.js';
import { TinyExtents } from '../storage/tinyExtents.js';
import { OperationQueue } from './extentHandle.js';

export class ExtentStore {
  readonly partitionId: number;
  readonly path: string;
  readonly table = new ExtentTable();
  readonly ids: IdBase;
  readonly tiny = new TinyExtents();
  /** Open for the life of the store; not counted in the budget of open extents. */
  readonly metaFd: number;
  readonly crcFd: number;
  /** Length of EXTENT_CRC: slots past it are zero. */
  crcBytes: number;
  /** Offset of the last record in TINYEXTENT_DELETE, as announced to peers (`storage.md` 8.2). */
  tinyDeleteOffset: number;
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

  /** Submitted work that uses `metaFd` or `crcFd`. */
  ownFdUsers = 0;
  ownFdsClosed = false;
  /** Taken out of service: nothing new starts, and what completes is cleaned up. */
  closed = false;

  /** `contents` as read from the folder at `path`; the fds of EXTENT_META and EXTENT_CRC, which the store now owns. */
  constructor(path: string, contents: PartitionContents, metaFd: number, crcFd: number) {
    this.partitionId = contents.meta.partitionId;
    this.path = path;
    this.metaFd = metaFd;
    this.crcFd = crcFd;
    this.crcBytes = contents.crcBytes;
    this.tinyDeleteOffset = contents.tinyDeleteBytes;
    this.ids = new IdBase(contents.storedBase, contents.highestId);
    for (const extent of contents.extents) {
      const row = this.table.insert(extent.id);
      const tiny = isTinyExtent(extent.id);
      const size = tiny ? roundUpToPage(extent.sizeBytes) : extent.sizeBytes;
      this.table.sizes[row] = size;
      this.table.ends[row] = size;
      this.table.creations[row] = this.creations;
      if (!tiny) this.table.modTimes[row] = Math.floor(extent.mtimeMs / 1000);
      this.usedBytes += tiny ? extent.blocks512 * SECTOR_BYTES : extent.sizeBytes;
    }
  }

  /** Path of an extent's file. */
  extentPath(id: number): string {
    return `${this.path}/${id}`;
  }

  get metaPath(): string {
    return join(this.path, FILE.extentMeta);
  }

  get crcPath(): string {
    return join(this.path, FILE.extentCrc);
  }
}
