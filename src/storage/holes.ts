/**
 * Looks for holes in normal extents while a disk is loaded (`storage.md` W8): bytes before the end of a file that nobody wrote, or whose write was lost with the
 * power while a later one was kept. They read as zeros, and nothing but the log tells. Why an extent does not end at its hole: `docs/architecture.md`.
 *
 * Only a file with fewer blocks than its length needs is looked into, so healthy extents cost nothing: their block count comes with the folder's listing. Blocks
 * of written data that is not on disk yet count too (ext4, xfs, btrfs, tmpfs). What the count cannot tell is missed, and served as before: preallocated blocks that
 * were never written, and a hole no larger than the blocks in which the file system keeps the map of the file.
 *
 * A file system that makes holes of written zeros says nothing by them, so the first hole on a disk is followed by a trial: zeros are written to a file and looked
 * at. Where it compresses, block counts are low everywhere; after a thousand looks in vain there is no more looking.
 *
 * Synchronous calls; made by `diskLoad.ts` for one load of one disk.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { Disk } from './io.js';
import { FILE_MODE, PAGE_BYTES, SECTOR_BYTES } from './layout.js';
import { writeFully } from './wholeFile.js';

/** Zeros are tried in this file of the disk's root, which has no name any more when they are written. */
const TRIAL_FILE = '.holeTrial';
const TRIAL_BYTES = 64 * 1024;
const LOOKS_IN_VAIN_MAX = 1000;

export class HoleSearch {
  private readonly disk: Disk;
  private readonly root: string;
  private looksInVain = 0;
  /** Whether zeros that are written stay data; null before somebody had to know. */
  private zerosStay: boolean | null = null;

  /** `root`: of the disk. */
  constructor(disk: Disk, root: string) {
    this.disk = disk;
    this.root = root;
  }

  /** Offset of the first hole in a file of `sizeBytes` with `blocks512` blocks; `sizeBytes` when there is none, or none is known. */
  firstHole(path: string, sizeBytes: number, blocks512: number): number {
    // A hole is a page at least, so a file of one page has none before its end.
    if (sizeBytes <= PAGE_BYTES || blocks512 * SECTOR_BYTES >= sizeBytes) return sizeBytes;
    if (this.zerosStay === false || this.looksInVain >= LOOKS_IN_VAIN_MAX) return sizeBytes;
    const hole = this.look(path);
    // Files that cannot be opened or asked have no hole that is known; their reads and writes will tell.
    if (hole < 0 || hole >= sizeBytes) {
      this.looksInVain += 1;
      return sizeBytes;
    }
    this.looksInVain = 0;
    this.zerosStay ??= this.tryZeros();
    return this.zerosStay ? hole : sizeBytes;
  }

  private look(path: string): number {
    const fd = this.disk.open(path, constants.O_RDONLY, 0);
    if (fd < 0) return fd;
    const hole = this.disk.seekHole(fd, 0);
    this.disk.close(fd);
    return hole;
  }

  /** False also when it cannot be tried, as on a full disk: then no hole is taken for a loss. */
  private tryZeros(): boolean {
    const path = join(this.root, TRIAL_FILE);
    const fd = this.disk.open(path, constants.O_RDWR | constants.O_CREAT, FILE_MODE);
    if (fd < 0) return false;
    // Without a name at once: nothing stays behind, and workers that share the disk do not meet in it for long.
    this.disk.unlink(path);
    let result = writeFully(this.disk, fd, new Uint8Array(TRIAL_BYTES), 0);
    if (result >= 0) result = this.disk.fdatasync(fd);
    const hole = result < 0 ? result : this.disk.seekHole(fd, 0);
    this.disk.close(fd);
    return hole >= TRIAL_BYTES;
  }
}
