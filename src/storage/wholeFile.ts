/**
 * Small files read and replaced as a whole, synchronously: META, APPLY, EXTENT_META, the delete lists. For start, stop and admin commands.
 */
import { constants } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Disk } from './io.js';
import { FILE_MODE } from './layout.js';

const READ_STEP_BYTES = 16 * 1024;
/** Suffix numbers make the temporary names of one process differ; a crash's leftovers are overwritten from their start. */
let replacements = 0;

/** The bytes of a file of at most `bytesMax`; a negated errno, or -EFBIG (-27) when it is longer. */
export function readWholeFile(disk: Disk, path: string, bytesMax: number): Uint8Array | number {
  const fd = disk.open(path, constants.O_RDONLY, 0);
  if (fd < 0) return fd;
  const pieces: Uint8Array[] = [];
  let length = 0;
  let count = 0;
  do {
    const piece = new Uint8Array(READ_STEP_BYTES);
    count = disk.read(fd, piece, length);
    if (count <= 0) break;
    pieces.push(piece.subarray(0, count));
    length += count;
  } while (count === READ_STEP_BYTES && length <= bytesMax);
  disk.close(fd);
  if (count < 0) return count;
  return length > bytesMax ? -27 : Buffer.concat(pieces, length);
}

/**
 * Replaces a file so that a crash at any moment leaves the old or the new content: a temporary file of its own is written and fsynced, then renamed
 * onto `path`, then the folder is fsynced (`storage.md` W3). Result 0, or a negated errno; then the temporary file is gone and the old content stands.
 */
export function replaceFile(disk: Disk, path: string, bytes: Uint8Array, mode: number = FILE_MODE): number {
  replacements += 1;
  const folder = dirname(path);
  const temporary = join(folder, `.${path.slice(folder.length + 1).toLowerCase()}.${replacements}`);
  const result = writeNewFile(disk, temporary, bytes, mode);
  const renamed = result < 0 ? result : disk.rename(temporary, path);
  if (renamed < 0) {
    disk.unlink(temporary);
    return renamed;
  }
  return disk.fsyncFolder(folder);
}

/** Writes a file from its start, cuts it to the new length and fdatasyncs it. Result 0 or a negated errno. */
export function writeNewFile(disk: Disk, path: string, bytes: Uint8Array, mode: number = FILE_MODE): number {
  const fd = disk.open(path, constants.O_RDWR | constants.O_CREAT, mode);
  if (fd < 0) return fd;
  let result = disk.truncate(fd, 0);
  if (result >= 0) result = writeFully(disk, fd, bytes, 0);
  if (result >= 0) result = disk.fdatasync(fd);
  disk.close(fd);
  return result;
}

/** Writes all bytes; 0, or a negated errno; -EIO (-5) for a write that moves nothing. */
export function writeFully(disk: Disk, fd: number, bytes: Uint8Array, fileOffset: number): number {
  let done = 0;
  while (done < bytes.byteLength) {
    const count = disk.write(fd, bytes.subarray(done), fileOffset + done);
    if (count < 0) return count;
    if (count === 0) return -5;
    done += count;
  }
  return 0;
}
