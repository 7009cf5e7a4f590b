/**
 * The file calls that logs are written with, all in the background: one each of libuv's threads while it runs. Tests put a file system of their own in place.
 *
 * Called from jobs of a `FileLane` only, which lets one run at a time.
 */
import {
  close,
  constants,
  copyFile,
  fstat,
  mkdir,
  open,
  readdir,
  rename,
  type Stats,
  stat,
  statfs,
  truncate,
  unlink,
  write,
} from 'node:fs';
import { promisify } from 'node:util';
import type { Space } from './rotation.js';

export interface FileFacts {
  /** Equal for equal files: device and inode. */
  readonly identity: string;
  readonly device: number;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
  readonly isFile: boolean;
  readonly isFolder: boolean;
}

/** All reject with an errno's error. */
export interface FileCalls {
  /** Opens for append, made when it is not there (0644). */
  open(path: string): Promise<number>;
  /** Resolves with the bytes written, which may be fewer. */
  write(fd: number, bytes: Uint8Array): Promise<number>;
  close(fd: number): Promise<void>;
  factsOf(fd: number): Promise<FileFacts>;
  /** null: nothing is there. */
  factsAt(path: string): Promise<FileFacts | null>;
  /** Over what is there. */
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** With the folders above it (0755); fine when it is there. */
  makeFolder(path: string): Promise<void>;
  list(folder: string): Promise<string[]>;
  space(folder: string): Promise<Space>;
  /** Rejects when `to` is there. */
  copy(from: string, to: string): Promise<void>;
  /** To nothing. */
  empty(path: string): Promise<void>;
}

const calls = {
  close: promisify(close),
  copyFile: promisify(copyFile),
  fstat: promisify(fstat),
  mkdir: promisify(mkdir),
  open: promisify(open),
  readdir: promisify(readdir),
  rename: promisify(rename),
  stat: promisify(stat),
  statfs: promisify(statfs),
  truncate: promisify(truncate),
  unlink: promisify(unlink),
  write: promisify(write),
};

/** The system's own. */
export const nodeFileCalls: FileCalls = {
  open: (path) => calls.open(path, 'a', 0o644),
  write: async (fd, bytes) => (await calls.write(fd, bytes)).bytesWritten,
  close: (fd) => calls.close(fd),
  factsOf: async (fd) => factsFrom(await calls.fstat(fd)),
  async factsAt(path) {
    try {
      return factsFrom(await calls.stat(path));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      throw error;
    }
  },
  rename: (from, to) => calls.rename(from, to),
  remove: (path) => calls.unlink(path),
  async makeFolder(path) {
    await calls.mkdir(path, { recursive: true, mode: 0o755 });
  },
  list: (folder) => calls.readdir(folder),
  async space(folder) {
    const { bsize, bavail, blocks } = await calls.statfs(folder);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  },
  copy: (from, to) => calls.copyFile(from, to, constants.COPYFILE_EXCL),
  empty: (path) => calls.truncate(path, 0),
};

/** The errno's name of a failed call, empty when it has none. */
export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

function factsFrom(stats: Stats): FileFacts {
  return {
    identity: `${stats.dev}:${stats.ino}`,
    device: stats.dev,
    sizeBytes: stats.size,
    modifiedMs: stats.mtimeMs,
    isFile: stats.isFile(),
    isFolder: stats.isDirectory(),
  };
}

/** A disk that has failed or is full is no reason not to serve the others; what is wrong with the path itself is told at the start. */
const DISK_TROUBLE = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'ESTALE', 'ETIMEDOUT', 'ENODEV', 'ENXIO']);

/** Whether it is the disk that cannot, and not the path that is wrong. */
export function isDiskTrouble(error: unknown): boolean {
  return DISK_TROUBLE.has(codeOf(error));
}
