/**
 * Makes a segment of the journal: a file full of zeros, durable with its name, in the background. Owned by `Journal`, which has one under way at most.
 *
 * Written piece by piece and each piece durably: one fdatasync over a whole segment would hold up the frames that are written beside it.
 */
import { constants } from 'node:fs';
import type { Disk, IoResult } from '../storage/io.js';
import { SEGMENT_MODE, segmentPath } from './journalFiles.js';

export interface SegmentMakerOptions {
  disk: Disk;
  folder: string;
  segmentBytes: number;
  /** Where zeros are. */
  region: number;
  zerosOffset: number;
  zerosBytes: number;
}

const EIO = 5;

export class SegmentMaker {
  readonly #options: SegmentMakerOptions;

  constructor(options: SegmentMakerOptions) {
    this.#options = options;
  }

  /** Makes segment `file`. `done` gets its fd, or a negated errno: then the file is being removed again. */
  make(file: number, done: (fd: number) => void): void {
    const { disk, folder } = this.#options;
    const path = segmentPath(folder, file);
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC;
    disk.submitOpen(path, flags, SEGMENT_MODE, ({ result: fd }) => {
      if (fd < 0) return done(fd);
      const ended = (errno: number): void => {
        if (errno === 0) return done(fd);
        disk.submitClose(fd, ignore);
        // A file of the wrong length that stays is removed by the next start.
        disk.submitUnlink(path, () => done(errno));
      };
      this.#fill(fd, 0, ended);
    });
  }

  #fill(fd: number, from: number, ended: (errno: number) => void): void {
    const { disk, folder, segmentBytes, region, zerosOffset, zerosBytes } = this.#options;
    if (from === segmentBytes) {
      disk.submitFsyncFolder(folder, ({ result }) => ended(result));
      return;
    }
    const bytes = Math.min(zerosBytes, segmentBytes - from);
    const written = ({ result }: IoResult): void => {
      if (result === bytes) this.#fill(fd, from + bytes, ended);
      else ended(result < 0 ? result : -EIO);
    };
    disk.submitPwrite(fd, from, region, zerosOffset, bytes, written, true);
  }
}

function ignore(): void {
  // The kernel has closed the file whatever it answers.
}
