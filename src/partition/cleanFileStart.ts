/**
 * Begins EXTENT_CLEAN in a folder that has none that counts, while the partition serves (`docs/checksums.md`): header, then the stamp in EXTENT_META, each durable.
 * The same as `beginCleanFile`, on the I/O threads.
 */
import { constants } from 'node:fs';
import { CLEAN_HEADER_BYTES, encodeCleanHeader, encodeStamp, nextStamp } from '../storage/cleanFile.js';
import { BASE_BYTES } from '../storage/extentMeta.js';
import type { IoDone } from '../storage/io.js';
import { FILE_MODE } from '../storage/layout.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, EIO } from './ioErrors.js';
import type { StoreHost } from './storeHost.js';

const STAMP_BYTES = 8;

export class CleanFileStart {
  private readonly host: StoreHost;
  private readonly bufferAt: number;

  /** @param bufferAt 32 bytes of the scratch region that belong to it. */
  constructor(host: StoreHost, bufferAt: number) {
    this.host = host;
    this.bufferAt = bufferAt;
  }

  /**
   * The caller keeps the store's files open. `ended`: 0, or the negated errno of the first call that failed, then nothing counts that did not count before; -EAGAIN while somebody else begins it.
   */
  begin(store: ExtentStore, ended: (result: number) => void): void {
    if (store.cleanStarting) return ended(-EAGAIN);
    store.cleanStarting = true;
    const done = (result: number): void => {
      store.cleanStarting = false;
      ended(result);
    };
    const stamp = nextStamp(this.host.clock.nowMs(), store.lastStamp);
    store.lastStamp = stamp;
    if (store.cleanFd >= 0) return this.writeHeader(store, stamp, done);
    const flags = constants.O_RDWR | constants.O_CREAT;
    this.host.disk.submitOpen(store.cleanPath, flags, FILE_MODE, ({ result }) => {
      if (result < 0) return done(result);
      store.cleanFd = result;
      this.writeHeader(store, stamp, done);
    });
  }

  private writeHeader(store: ExtentStore, stamp: number, done: (result: number) => void): void {
    const header = encodeCleanHeader({ stamp, ownFrom: store.ownFrom });
    this.buffer.set(header, this.bufferAt);
    this.write(store.cleanFd, 0, CLEAN_HEADER_BYTES, (result) => {
      if (result < 0) return done(result);
      encodeStamp(this.buffer, this.bufferAt, stamp);
      this.write(store.metaFd, BASE_BYTES, STAMP_BYTES, (written) => {
        if (written >= 0) store.cleanStamp = stamp;
        else store.metaSyncsFailed += 1;
        done(written);
      });
    });
  }

  /** Writes from the buffer, the rest of what comes short too, and syncs. */
  private write(
    fd: number,
    offset: number,
    bytes: number,
    done: (result: number) => void,
    written = 0,
  ): void {
    const { disk, scratchRegion } = this.host;
    const synced: IoDone = ({ result }) => done(Math.min(result, 0));
    const at = this.bufferAt + written;
    disk.submitPwrite(fd, offset + written, scratchRegion, at, bytes - written, ({ result }) => {
      if (result === bytes - written) disk.submitFdatasync(fd, synced);
      else if (result > 0) this.write(fd, offset, bytes, done, written + result);
      // A write that moves nothing is no progress.
      else done(result === 0 ? -EIO : result);
    });
  }

  private get buffer(): Uint8Array {
    return this.host.regions[this.host.scratchRegion]!;
  }
}
