/**
 * Which reads go past the page cache (`directReadBytes`): small ones of extents that nobody appends to, whose cached parts are
 * read from there all the same; and those of background work.
 */
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import type { Operation } from './operation.js';
import type { StoreHost } from './storeHost.js';

/**
 * An extent is quiet when it took no append for so long. File systems (ext4, XFS) hold a lock of the file during a direct read, and an append, which runs on
 * the worker, would wait there for the disk. What was just written is in the page cache anyway.
 */
export const DIRECT_QUIET_SECONDS = 10;

export class DirectReads {
  private readonly host: StoreHost;
  /** The file system or the kernel has no reads past the page cache. */
  private unavailable = false;

  constructor(host: StoreHost) {
    this.host = host;
  }

  /** Whether this read shall leave the page cache as it is. */
  wants(handle: ExtentHandle, op: Operation): boolean {
    if (op.size > this.host.settings.directReadBytes || this.unavailable) return false;
    return this.isQuiet(handle.store!, handle.row);
  }

  /** Whether background work shall read the extent in `row` so: it pushes nothing out of the page cache then, and sees what is on the disk. */
  wantsInBackground(store: ExtentStore, row: number): boolean {
    return !this.unavailable && this.isQuiet(store, row);
  }

  /** A read was refused to go past the page cache, with this errno: from now on all go through it, as that one did. */
  refused(errno: number): void {
    if (this.unavailable) return;
    this.unavailable = true;
    const reason = this.host.disk.errnoText(errno);
    this.host.log('warn', `direct reads are refused, the page cache is used: ${reason}`);
  }

  private isQuiet({ table }: ExtentStore, row: number): boolean {
    return this.host.clock.nowMs() / 1000 - table.modTimes[row]! >= DIRECT_QUIET_SECONDS;
  }
}
