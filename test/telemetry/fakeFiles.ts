/**
 * A file system in memory for the logs' calls: with a clock, free space, errors for calls that the test names, and calls that never come back.
 */
import { dirname } from 'node:path';
import type { FileCalls, FileFacts } from '../../src/telemetry/fileCalls.js';
import type { LogClock } from '../../src/telemetry/rotatingFile.js';
import type { Space } from '../../src/telemetry/rotation.js';

interface FakeFile {
  inode: number;
  bytes: Buffer;
  modifiedMs: number;
  isFile: boolean;
  /** Bytes that only the size knows of. */
  unseenBytes: number;
}

/** 2024-05-01 12:00:00 local time. */
export const NOON_MS = new Date(2024, 4, 1, 12).getTime();

export class FakeFiles implements FileCalls, LogClock {
  readonly files = new Map<string, FakeFile>();
  readonly folders = new Set<string>();
  /** Call → errno's name, or how it goes for one path. */
  readonly errors = new Map<string, string>();
  /** Calls made, in order: `name path`. */
  readonly made: string[] = [];
  /** Calls that are under way, and how many were at most. */
  underWay = 0;
  underWayMax = 0;
  /** Names of calls that hang until `release`. */
  readonly hanging = new Set<string>();
  #held: (() => void)[] = [];
  nowMs = NOON_MS;
  freeBytes = 1e12;
  totalBytes = 2e12;
  #inode = 0;
  #fd = 100;
  readonly opened = new Map<number, FakeFile>();

  wallMs(): number {
    return this.nowMs;
  }
  monotonicMs(): number {
    return this.nowMs;
  }

  /** Lets the calls that hang go on. */
  release(): void {
    this.hanging.clear();
    for (const go of this.#held.splice(0)) go();
  }

  text(path: string): string | null {
    return this.files.get(path)?.bytes.toString() ?? null;
  }

  put(path: string, text: string, modifiedMs = this.nowMs): void {
    this.folders.add(dirname(path));
    this.files.set(path, this.#make(Buffer.from(text), modifiedMs));
  }

  /** Names in a folder, sorted. */
  names(folder: string): string[] {
    const paths = [...this.files.keys()].filter((path) => dirname(path) === folder);
    return paths.map((path) => path.slice(folder.length + 1)).sort();
  }

  #make(bytes: Buffer, modifiedMs: number): FakeFile {
    return { inode: ++this.#inode, bytes, modifiedMs, isFile: true, unseenBytes: 0 };
  }

  async #call<T>(name: string, path: string, work: () => T): Promise<T> {
    this.made.push(`${name} ${path}`);
    this.underWay += 1;
    this.underWayMax = Math.max(this.underWayMax, this.underWay);
    if (this.hanging.has(name)) await new Promise<void>((resolve) => this.#held.push(resolve));
    else await new Promise<void>((resolve) => setImmediate(resolve));
    this.underWay -= 1;
    const code = this.errors.get(`${name} ${path}`) ?? this.errors.get(name);
    if (code !== undefined) throw failure(code, name, path);
    return work();
  }

  #existing(path: string, call: string): FakeFile {
    const file = this.files.get(path);
    if (file === undefined) throw failure('ENOENT', call, path);
    return file;
  }

  open(path: string): Promise<number> {
    return this.#call('open', path, () => {
      if (!this.folders.has(dirname(path))) throw failure('ENOENT', 'open', path);
      let file = this.files.get(path);
      if (file === undefined) {
        file = this.#make(Buffer.alloc(0), this.nowMs);
        this.files.set(path, file);
      }
      const fd = ++this.#fd;
      this.opened.set(fd, file);
      return fd;
    });
  }

  write(fd: number, bytes: Uint8Array): Promise<number> {
    return this.#call('write', String(fd === 2 ? 'stderr' : 'fd'), () => {
      const file = this.opened.get(fd);
      // Standard error, unless the test has made it a file.
      if (file === undefined && fd === 2) return bytes.length;
      if (file === undefined) throw failure('EBADF', 'write', String(fd));
      file.bytes = Buffer.concat([file.bytes, bytes]);
      file.modifiedMs = this.nowMs;
      return bytes.length;
    });
  }

  close(fd: number): Promise<void> {
    return this.#call('close', '', () => void this.opened.delete(fd));
  }

  factsOf(fd: number): Promise<FileFacts> {
    return this.#call('factsOf', '', () => factsFrom(this.opened.get(fd)!));
  }

  factsAt(path: string): Promise<FileFacts | null> {
    return this.#call('factsAt', path, () => {
      if (this.folders.has(path)) {
        const folder = { identity: path, device: 1, sizeBytes: 0, modifiedMs: 0 };
        return { ...folder, isFile: false, isFolder: true };
      }
      const file = this.files.get(path);
      return file === undefined ? null : factsFrom(file);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#call('rename', from, () => {
      const file = this.#existing(from, 'rename');
      this.files.delete(from);
      this.files.set(to, file);
    });
  }

  remove(path: string): Promise<void> {
    return this.#call('remove', path, () => {
      const { bytes } = this.#existing(path, 'unlink');
      this.files.delete(path);
      this.freeBytes += bytes.length;
    });
  }

  makeFolder(path: string): Promise<void> {
    return this.#call('makeFolder', path, () => void this.folders.add(path));
  }

  list(folder: string): Promise<string[]> {
    return this.#call('list', folder, () => this.names(folder));
  }

  space(folder: string): Promise<Space> {
    return this.#call('space', folder, () => ({ freeBytes: this.freeBytes, totalBytes: this.totalBytes }));
  }

  /** A copy that fails leaves a part behind. */
  copy(from: string, to: string): Promise<void> {
    this.files.set(to, this.#make(Buffer.from('part'), this.nowMs));
    return this.#call('copy', from, () => {
      this.files.set(to, this.#make(this.#existing(from, 'copyfile').bytes, this.nowMs));
    });
  }

  empty(path: string): Promise<void> {
    return this.#call('empty', path, () => {
      this.#existing(path, 'truncate').bytes = Buffer.alloc(0);
    });
  }
}

function failure(code: string, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${call} '${path}'`), { code });
}

function factsFrom({ inode, bytes, modifiedMs, isFile, unseenBytes }: FakeFile): FileFacts {
  const facts = { identity: String(inode), device: 1, sizeBytes: bytes.length + unseenBytes, modifiedMs };
  return { ...facts, isFile, isFolder: false };
}
