/**
 * Small files written on the I/O threads, while their partition serves: replaced as a whole (APPLY, RAFT_MISSING) or appended to. `wholeFile.ts` has the
 * synchronous twins. One at a time for each path: the temporary name is fixed, so that a crash's leftover is written over by the next one.
 *
 * A partition may be deleted, and created again at the same path, while this goes on: `isGone` is asked before each call.
 */
import { constants } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Disk, IoDone } from '../storage/io.js';
import { FILE_MODE } from '../storage/layout.js';
import { EAGAIN, EIO, ENOENT } from './ioErrors.js';
import type { StoreHost } from './storeHost.js';

/** Where bytes are written from: a part of a region that is the caller's until `done`. */
export interface ThreadBuffer {
  readonly region: number;
  readonly bufferOffset: number;
  readonly bufferBytes: number;
}

export interface ThreadFile {
  readonly host: StoreHost;
  readonly path: string;
  readonly isGone: () => boolean;
}

/** 0, or the negated errno of the first call that failed. */
export type FileDone = (result: number) => void;

/** As `replaceFile`: a crash at any moment leaves the old or the new content. */
export function replaceOnThread(
  file: ThreadFile,
  buffer: ThreadBuffer,
  bytes: Uint8Array,
  mode: number,
  done: FileDone,
): void {
  const folder = dirname(file.path);
  const temporary = { ...file, path: join(folder, `.${basename(file.path).toLowerCase()}`) };
  const flags = constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC;
  writeAt(temporary, buffer, flags, mode, 0, bytes, (written) => {
    if (written < 0) return done(written);
    submit(
      file,
      (disk, ended) => disk.submitRename(temporary.path, file.path, ended),
      (renamed) => {
        if (renamed < 0) return done(renamed);
        submit(file, (disk, ended) => disk.submitFsyncFolder(folder, ended), done);
      },
    );
  });
}

/** Writes `bytes` at `offset`, which is the file's end as far as it counts, and syncs them; with `create` the file's entry too. */
export function appendOnThread(
  file: ThreadFile,
  buffer: ThreadBuffer,
  offset: number,
  bytes: Uint8Array,
  create: boolean,
  done: FileDone,
): void {
  const flags = constants.O_RDWR | (create ? constants.O_CREAT : 0);
  writeAt(file, buffer, flags, FILE_MODE, offset, bytes, (written) => {
    if (written < 0 || !create) return done(written);
    submit(file, (disk, ended) => disk.submitFsyncFolder(dirname(file.path), ended), done);
  });
}

/** Open, write, fdatasync, close. */
function writeAt(
  file: ThreadFile,
  buffer: ThreadBuffer,
  flags: number,
  mode: number,
  offset: number,
  bytes: Uint8Array,
  done: FileDone,
): void {
  submit(
    file,
    (disk, ended) => disk.submitOpen(file.path, flags, mode, ended),
    (fd) => {
      if (fd < 0) return done(fd);
      const close = (result: number): void => closeFd(file, fd, () => done(result));
      writePieces(file, buffer, fd, offset, bytes, (written) => {
        if (written < 0) return close(written);
        submit(file, (disk, ended) => disk.submitFdatasync(fd, ended), close);
      });
    },
  );
}

function writePieces(
  file: ThreadFile,
  buffer: ThreadBuffer,
  fd: number,
  offset: number,
  bytes: Uint8Array,
  done: FileDone,
): void {
  if (bytes.byteLength === 0) return done(0);
  const piece = bytes.subarray(0, buffer.bufferBytes);
  file.host.regions[buffer.region]!.set(piece, buffer.bufferOffset);
  submit(
    file,
    (disk, ended) =>
      disk.submitPwrite(fd, offset, buffer.region, buffer.bufferOffset, piece.byteLength, ended),
    (result) => {
      // A write that moves nothing is no progress.
      if (result <= 0) return done(result === 0 ? -EIO : result);
      writePieces(file, buffer, fd, offset + result, bytes.subarray(result), done);
    },
  );
}

/** Closed whatever has become of the partition. */
function closeFd(file: ThreadFile, fd: number, done: () => void): void {
  file.host.disk.submitClose(fd, ({ result }) => {
    if (result === -EAGAIN) closeFd(file, fd, done);
    else done();
  });
}

/** Hands work over, again when the I/O queue was full. */
function submit(file: ThreadFile, call: (disk: Disk, ended: IoDone) => void, done: FileDone): void {
  if (file.isGone()) return done(-ENOENT);
  call(file.host.disk, ({ result }) => {
    if (result === -EAGAIN) submit(file, call, done);
    else done(result);
  });
}
