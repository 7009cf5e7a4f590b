/**
 * A simulated disk that tells when something has changed or is about to become durable: the moments at which a crash matters.
 */
import type { IoDone } from '../../src/storage/io.js';
import { SimDisk, type SimDiskOptions } from '../sim/simDisk.js';
import type { SimFile, SyncPoint } from '../sim/simFile.js';
import type { SimFolder } from '../sim/simFolder.js';

export class WatchedDisk extends SimDisk {
  /** Before each sync takes effect: everything of the interval since the last one may be there or not. */
  onBarrier: (() => void) | null = null;
  /** After each write: a process can be killed between two of them. */
  onWrite: (() => void) | null = null;

  /** The next process has the same kind of disk, which nobody watches yet. */
  protected override successor(options: SimDiskOptions, root: SimFolder): WatchedDisk {
    const Kind = this.constructor as typeof WatchedDisk;
    return new Kind(options, root);
  }

  /** Submitted work that is said to have succeeded, and was not done: for disks with a planted bug. */
  protected completeUndone(done: IoDone): void {
    this.submit('scan', '', () => ({ result: 0 }), done);
  }

  protected override transfer(
    write: boolean,
    fd: number,
    offset: number,
    bytes: Uint8Array,
    crcWanted: boolean,
  ): { result: number; crc: number } {
    const done = super.transfer(write, fd, offset, bytes, crcWanted);
    if (write) this.onWrite?.();
    return done;
  }

  protected override syncFile(file: SimFile, path: string, point: SyncPoint): number {
    this.onBarrier?.();
    return super.syncFile(file, path, point);
  }

  protected override syncFolder(path: string, point: ReturnType<SimFolder['syncPoint']>): number {
    this.onBarrier?.();
    return super.syncFolder(path, point);
  }
}
