/**
 * Makes a range of a file read as zeros: punched, or, where the file system knows no holes, overwritten with zeros (`storage.md` 20). The content is the same either
 * way; only the space is not freed then. Whether it can punch is found out by the first punch of a worker, and said once.
 *
 * For deletes (`tinyDeletes.ts`, `normalDeletes.ts`) and for holes that repair copies (`tinyHoles.ts`), by submitted work. The caller keeps the file open until it is told.
 */
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, EIO, ENOSYS, EOPNOTSUPP } from './ioErrors.js';
import { SCRATCH_ERASE_BYTES, type StoreHost, scratchEraseOffset } from './storeHost.js';

const ECANCELED = 125;

export class RangeEraser {
  private readonly host: StoreHost;
  /** Whether erasing frees space, as far as it is known. */
  canPunch = true;

  constructor(host: StoreHost) {
    this.host = host;
  }

  /**
   * Erases `[offset, offset + length)` of a file of `store`. `done` gets 0 or a negated errno, also when the store was taken out of service meanwhile; then the
   * range may be erased in part. Overwriting makes a file longer whose end lies in the range.
   */
  erase(
    store: ExtentStore,
    fd: number,
    offset: number,
    length: number,
    done: (result: number) => void,
  ): void {
    if (!this.canPunch) return this.overwrite(store, fd, offset, offset + length, done);
    this.host.disk.submitFallocate(fd, true, offset, length, ({ result }) => {
      const again = result === -EAGAIN && !store.closed;
      const cannot = result === -EOPNOTSUPP || result === -ENOSYS;
      if (cannot) this.cannotPunch(result);
      if (again || cannot) this.erase(store, fd, offset, length, done);
      else done(Math.min(0, result));
    });
  }

  private cannotPunch(errno: number): void {
    if (!this.canPunch) return;
    this.canPunch = false;
    const message =
      'the disk cannot punch holes: deleted ranges are overwritten with zeros, and their space is not freed';
    this.host.log('warn', message, { reason: this.host.disk.errnoText(errno) });
  }

  /** Piece by piece, so that a long range holds an I/O thread for a moment only. */
  private overwrite(
    store: ExtentStore,
    fd: number,
    from: number,
    end: number,
    done: (result: number) => void,
  ): void {
    if (from >= end) return done(0);
    if (store.closed) return done(-ECANCELED);
    const { disk, scratchRegion } = this.host;
    const bytes = Math.min(SCRATCH_ERASE_BYTES, end - from);
    disk.submitPwrite(
      fd,
      from,
      scratchRegion,
      scratchEraseOffset(disk.batch.capacity),
      bytes,
      ({ result }) => {
        if (result === -EAGAIN) return this.overwrite(store, fd, from, end, done);
        // A write that moves nothing is no progress.
        if (result <= 0) return done(result === 0 ? -EIO : result);
        this.overwrite(store, fd, from + result, end, done);
      },
    );
  }
}
