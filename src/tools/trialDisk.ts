/**
 * A disk on which the loader can be tried: the node's own code runs on it and gets the answers that the real disk would give, but nothing is done.
 *
 * Files that the loader would create or fill exist in memory only, and are seen by whatever reads them later. Whether an open for writing would succeed
 * is asked with access(2), which opens nothing. A lock is taken and given back at once. Any other change throws (`ReadOnlyDisk`): the loader does not
 * ask for more. What only a real write can show (a file system that is full, a disk that fails writes) is not seen.
 */
import assert from 'node:assert';
import { accessSync, constants, readlinkSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { native } from '../native/addon.js';
import type { FolderEntry, IoBatch } from '../storage/io.js';
import { readWholeFile } from '../storage/wholeFile.js';
import { ReadOnlyDisk } from './readOnlyDisk.js';

const EINVAL = 22;
const EISDIR = 21;
const ENOENT = 2;
const ENXIO = 6;
const EAGAIN = 11;
/** Descriptors from here on are ours; the kernel gives out small ones. */
const TRIAL_FD_FIRST = 2 ** 24;
/** Largest file that is kept in memory because the loader would change it. */
const CHANGED_BYTES_MAX = 64 * 1024;
const OPEN_OR_CREATE = constants.O_RDWR | constants.O_CREAT;

/** Nothing is ever added while partitions are loaded. */
const NO_BATCH: IoBatch = {
  ...{ capacity: 0, length: 0 },
  ...{ pwrite: noEntry, pread: noEntry, result: noEntry, crc: noEntry, clear: () => undefined },
};

function noEntry(): never {
  assert.fail('a trial has no I/O batch');
}

export class TrialDisk extends ReadOnlyDisk {
  /** Paths of files that the loader would create, and of files that it would write to. */
  readonly created: string[] = [];
  readonly filled: string[] = [];
  /** Disks that the trial of one configuration has locked so far, as `device:inode` of their folders: the node holds them all at the same time. */
  readonly #locked: Set<string>;
  /** Content of files that exist in memory only, or differ there, by full path. */
  readonly #changed = new Map<string, Uint8Array>();
  readonly #open = new Map<number, string>();
  #nextFd = TRIAL_FD_FIRST;

  constructor(locked: Set<string> = new Set()) {
    super();
    this.#locked = locked;
  }

  override get batch(): IoBatch {
    return NO_BATCH;
  }

  override open(path: string, flags: number, mode: number): number {
    const full = followed(resolve(path));
    const inMemory = this.#changed.has(full);
    if (flags === constants.O_RDONLY && !inMemory) return super.open(path, flags, mode);
    const known = [constants.O_RDONLY, constants.O_RDWR, OPEN_OR_CREATE];
    assert(known.includes(flags), `a trial opens ${path} with ${flags}`);
    const answer = inMemory ? 0 : this.#judgeOpen(full, flags === OPEN_OR_CREATE);
    if (answer < 0) return answer;
    const fd = this.#nextFd;
    this.#nextFd += 1;
    this.#open.set(fd, full);
    return fd;
  }

  override close(fd: number): number {
    if (fd < TRIAL_FD_FIRST) return super.close(fd);
    assert(this.#open.delete(fd), 'a descriptor is closed once');
    return 0;
  }

  override read(fd: number, into: Uint8Array, fileOffset: number): number {
    if (fd < TRIAL_FD_FIRST) return super.read(fd, into, fileOffset);
    const content = this.#contentOf(this.#pathOf(fd));
    if (typeof content === 'number') return content;
    const piece = content.subarray(fileOffset, fileOffset + into.byteLength);
    into.set(piece);
    return piece.byteLength;
  }

  override write(fd: number, from: Uint8Array, fileOffset: number): number {
    const path = this.#pathOf(fd);
    const content = this.#contentOf(path);
    if (typeof content === 'number') return content;
    const end = fileOffset + from.byteLength;
    if (end > CHANGED_BYTES_MAX) return -EINVAL;
    const changed = new Uint8Array(Math.max(end, content.byteLength));
    changed.set(content);
    changed.set(from, fileOffset);
    this.#changed.set(path, changed);
    if (!this.filled.includes(path) && !this.created.includes(path)) this.filled.push(path);
    return from.byteLength;
  }

  /** Only of a file that the trial itself has made. */
  override unlink(path: string): number {
    const at = this.created.indexOf(resolve(path));
    if (at < 0) return super.unlink(path);
    this.created.splice(at, 1);
    return 0;
  }

  /** A file in memory has no hole. */
  override seekHole(fd: number, offset: number): number {
    if (fd < TRIAL_FD_FIRST) return super.seekHole(fd, offset);
    const content = this.#contentOf(this.#pathOf(fd));
    return typeof content === 'number' ? content : content.byteLength;
  }

  override fdatasync(fd: number): number {
    this.#pathOf(fd);
    return 0;
  }

  /** As the node's lock would go, on the file of this descriptor. Held for the moment of the question, if at all. */
  override lock(fd: number): number {
    const path = this.#pathOf(fd);
    const folder = statSync(dirname(path));
    const key = `${folder.dev}:${folder.ino}`;
    if (this.#locked.has(key)) return -EAGAIN;
    if (!this.#changed.has(path)) {
      const real = super.open(path, constants.O_RDONLY, 0);
      if (real < 0) return real;
      const locked = native.flockSync(real);
      super.close(real);
      if (locked < 0) return locked;
    }
    this.#locked.add(key);
    return 0;
  }

  override scan(path: string): FolderEntry[] | number {
    const entries = super.scan(path);
    if (typeof entries === 'number') return entries;
    const folder = resolve(path);
    for (const [file, content] of this.#changed) {
      if (dirname(file) !== folder) continue;
      const name = basename(file);
      const present = entries.find((entry) => entry.name === name);
      // A link stays a link, whatever became of its target.
      if (present === undefined) entries.push(newFile(name, content.byteLength));
      else if (present.kind === 'file') present.sizeBytes = content.byteLength;
    }
    return entries;
  }

  #pathOf(fd: number): string {
    const path = this.#open.get(fd);
    assert(path !== undefined, 'a trial changes only files that it has opened for writing');
    return path;
  }

  #contentOf(path: string): Uint8Array | number {
    return this.#changed.get(path) ?? readWholeFile(this, path, CHANGED_BYTES_MAX);
  }

  /** What open(O_RDWR), or with `creates` open(O_RDWR | O_CREAT), would answer. A file that it would create exists from now on, here. */
  #judgeOpen(path: string, creates: boolean): number {
    const stats = answerOf(() => statSync(path));
    if (stats === -ENOENT && creates) {
      const allowed = answerOf(() => accessSync(dirname(path), constants.W_OK | constants.X_OK));
      if (typeof allowed === 'number') return allowed;
      this.#changed.set(path, new Uint8Array(0));
      this.created.push(path);
      return 0;
    }
    if (typeof stats === 'number') return stats;
    if (stats.isDirectory()) return -EISDIR;
    if (stats.isSocket()) return -ENXIO;
    const allowed = answerOf(() => accessSync(path, constants.R_OK | constants.W_OK));
    return typeof allowed === 'number' ? allowed : 0;
  }
}

/** Links the kernel follows in one path. */
const LINKS_MAX = 40;

/** The path that links at its last name lead to, which need not exist; the path itself when they go in a circle. */
function followed(path: string): string {
  let at = path;
  for (let links = 0; links <= LINKS_MAX; links += 1) {
    const here = at;
    const target = answerOf(() => readlinkSync(here));
    if (typeof target === 'number') return at;
    at = resolve(dirname(at), target);
  }
  return path;
}

/** The value of a call of `node:fs`, or its negated errno. */
function answerOf<T>(call: () => T): T | number {
  try {
    return call();
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (typeof errno !== 'number') throw error;
    return errno;
  }
}

function newFile(name: string, sizeBytes: number): FolderEntry {
  return { name, kind: 'file', sizeBytes, mtimeMs: 0, blocks512: 0, errno: 0 };
}
