/**
 * The files of the simulated disk and its synchronous calls; faults and the trace. `simDisk.ts` tells the fault model and adds batches, submitted work and
 * the ends of power and process.
 */
import assert from 'node:assert';
import { constants } from 'node:fs';
import { crc32 } from 'node:zlib';
import type { FileSystemSpace, FolderEntry, FolderScans } from '../../src/storage/io.js';
import { SimFile } from './simFile.js';
import { SimFolder, type SimNode } from './simFolder.js';

export const ERRNO = {
  ENOENT: 2,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  EACCES: 13,
  EEXIST: 17,
  ENOTDIR: 20,
  EISDIR: 21,
  ENXIO: 6,
  EINVAL: 22,
  ENOSPC: 28,
  EROFS: 30,
  ENOTEMPTY: 39,
  ECANCELED: 125,
};
const TEXT: Record<number, string> = {
  [ERRNO.ENOENT]: 'no such file or directory',
  [ERRNO.EIO]: 'input/output error',
  [ERRNO.EACCES]: 'permission denied',
  [ERRNO.EEXIST]: 'file exists',
  [ERRNO.EISDIR]: 'is a directory',
  [ERRNO.ENOSPC]: 'no space left on device',
  [ERRNO.EROFS]: 'read-only file system',
};

export type SimCall =
  | 'pread'
  | 'pwrite'
  | 'fdatasync'
  | 'open'
  | 'close'
  | 'unlink'
  | 'rename'
  | 'mkdir'
  | 'removeTree'
  | 'fsyncFolder'
  | 'truncate'
  | 'fallocate'
  | 'seek'
  | 'fstat'
  | 'scan';

export interface SimFault {
  call: SimCall;
  /** Matched against the whole path. */
  path: RegExp;
  /** Answered instead of doing it. */
  errno?: number;
  /** At most so many bytes are moved. */
  shortBytes?: number;
  /** Submitted work only: it never completes. */
  hang?: boolean;
  /** Calls affected; each one counts down. */
  count: number;
}

/** The power goes in the middle of synchronous work: whoever catches it may do nothing more with that disk than to ask what is left of it. */
export class PowerCut extends Error {}

export class SimFiles {
  /** What happened, in order: `<call> <path> [offset length]`, at the moment when it happened. */
  readonly trace: string[] = [];
  /** Without it nothing is noted: a trace of a long run would fill the memory. */
  tracing = true;
  /** How many calls are still done; the one after them throws a `PowerCut`. */
  callsToPowerCut = Number.POSITIVE_INFINITY;
  /** Bytes by which files may still grow: a write that does not fit is cut short, or answered with ENOSPC when nothing of it fits. */
  freeBytes = Number.POSITIVE_INFINITY;
  protected readonly root: SimFolder;
  protected readonly fds = new Map<number, { node: SimNode; path: string }>();
  protected readonly faults: SimFault[] = [];
  private readonly clock: () => number;

  constructor(root: SimFolder, nowMs: () => number) {
    this.root = root;
    this.clock = nowMs;
  }

  addFault(fault: SimFault): void {
    this.faults.push(fault);
  }

  /** The node at `path`, for assertions. */
  node(path: string): SimNode | undefined {
    let node: SimNode | undefined = this.root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      node = node?.kind === 'folder' ? node.entries.get(name) : undefined;
    }
    return node;
  }

  /** Content of the file at `path`, for assertions. */
  content(path: string): Uint8Array {
    const file = this.node(path);
    assert(file?.kind === 'file', `${path} is no file`);
    const bytes = new Uint8Array(file.size);
    file.read(0, bytes);
    return bytes;
  }

  openFds(): number {
    return this.fds.size;
  }

  open(path: string, flags: number, _mode: number): number {
    const fault = this.fault('open', path);
    if (fault?.errno !== undefined) return -fault.errno;
    const { folder, name } = this.parent(path);
    if (folder === undefined) return -ERRNO.ENOENT;
    let node = folder.entries.get(name);
    if (node !== undefined && (flags & constants.O_EXCL) !== 0) return -ERRNO.EEXIST;
    if (node === undefined) {
      if ((flags & constants.O_CREAT) === 0) return -ERRNO.ENOENT;
      node = new SimFile(this.nowMs());
      folder.link(name, node);
      this.note(`create ${path}`);
    }
    if (node.kind === 'folder') return -ERRNO.EISDIR;
    if ((flags & constants.O_TRUNC) !== 0) node.truncate(0);
    let fd = 3;
    while (this.fds.has(fd)) fd += 1;
    this.fds.set(fd, { node, path });
    return fd;
  }

  close(fd: number): number {
    const open = this.fds.get(fd);
    if (open === undefined) return -ERRNO.EBADF;
    if (open.node.kind === 'file' && open.node.lockedBy === fd) open.node.lockedBy = -1;
    this.fds.delete(fd);
    this.note(`close ${open.path}`);
    return 0;
  }

  read(fd: number, into: Uint8Array, fileOffset: number): number {
    return this.transfer(false, fd, fileOffset, into, false).result;
  }

  write(fd: number, from: Uint8Array, fileOffset: number): number {
    return this.transfer(true, fd, fileOffset, from, false).result;
  }

  fdatasync(fd: number): number {
    const file = this.file(fd);
    return typeof file === 'number' ? file : this.syncFile(file, this.pathOf(fd), file.syncPoint());
  }

  fsyncFolder(path: string): number {
    const folder = this.node(path);
    return this.syncFolder(path, folder?.kind === 'folder' ? folder.syncPoint() : []);
  }

  truncate(fd: number, sizeBytes: number): number {
    const fault = this.fault('truncate', this.pathOf(fd));
    if (fault?.errno !== undefined) return -fault.errno;
    const file = this.file(fd);
    if (typeof file === 'number') return file;
    file.truncate(sizeBytes);
    return 0;
  }

  fallocate(fd: number, punch: boolean, offset: number, length: number): number {
    const file = this.file(fd);
    if (typeof file === 'number') return file;
    const path = this.pathOf(fd);
    const fault = this.fault('fallocate', path);
    if (fault?.errno !== undefined) return -fault.errno;
    if (punch) {
      file.punch(offset, length);
      this.note(`punch ${path} ${offset} ${length}`);
    }
    return 0;
  }

  seekData(fd: number, offset: number): number {
    return this.seek(fd, offset, false);
  }

  seekHole(fd: number, offset: number): number {
    return this.seek(fd, offset, true);
  }

  rename(from: string, to: string): number {
    const fault = this.fault('rename', from);
    if (fault?.errno !== undefined) return -fault.errno;
    const source = this.parent(from);
    const target = this.parent(to);
    if (source.folder?.entries.has(source.name) !== true) return -ERRNO.ENOENT;
    assert(source.folder === target.folder, 'renames within one folder only');
    const there = target.folder.entries.get(target.name);
    if (there?.kind === 'folder' && there.entries.size > 0) return -ERRNO.ENOTEMPTY;
    source.folder.rename(source.name, target.name);
    this.note(`rename ${from} ${to}`);
    return 0;
  }

  unlink(path: string): number {
    const fault = this.fault('unlink', path);
    if (fault?.errno !== undefined) return -fault.errno;
    const { folder, name } = this.parent(path);
    const node = folder?.entries.get(name);
    if (folder === undefined || node === undefined) return -ERRNO.ENOENT;
    if (node.kind === 'folder') return -ERRNO.EISDIR;
    folder.unlink(name);
    this.note(`unlink ${path}`);
    return 0;
  }

  mkdir(path: string, _mode: number): number {
    const fault = this.fault('mkdir', path);
    if (fault?.errno !== undefined) return -fault.errno;
    const { folder, name } = this.parent(path);
    if (folder === undefined) return -ERRNO.ENOENT;
    if (folder.entries.has(name)) return -ERRNO.EEXIST;
    folder.link(name, new SimFolder());
    return 0;
  }

  removeTree(path: string): number {
    const fault = this.fault('removeTree', path);
    if (fault?.errno !== undefined) return -fault.errno;
    const { folder, name } = this.parent(path);
    if (folder?.entries.has(name) !== true) return -ERRNO.ENOENT;
    folder.unlink(name);
    this.note(`removeTree ${path}`);
    return 0;
  }

  lock(fd: number): number {
    const file = this.file(fd);
    if (typeof file === 'number') return file;
    if (file.lockedBy >= 0 && file.lockedBy !== fd) return -ERRNO.EAGAIN;
    file.lockedBy = fd;
    return 0;
  }

  statfs(): FileSystemSpace {
    return SPACE;
  }

  scan(path: string): FolderEntry[] | number {
    const fault = this.fault('scan', path);
    if (fault?.errno !== undefined) return -fault.errno;
    const folder = this.node(path);
    if (folder?.kind !== 'folder') return folder === undefined ? -ERRNO.ENOENT : -ERRNO.ENOTDIR;
    return [...folder.entries].map(([name, node]) => {
      const file = node.kind === 'file' ? node : null;
      const stat = this.fault('open', `stat ${path}/${name}`);
      return {
        name,
        kind: node.kind,
        sizeBytes: file?.size ?? 0,
        mtimeMs: file?.mtimeMs ?? 0,
        blocks512: file?.blocks512 ?? 0,
        errno: stat?.errno === undefined ? 0 : -stat.errno,
      };
    });
  }

  /** All of them at once: as far ahead as a disk may look. */
  scanAll(paths: readonly string[]): FolderScans {
    const scans = paths.map((path) => this.scan(path));
    return { next: () => scans.shift()! };
  }

  errnoText(errno: number): string {
    return TEXT[Math.abs(errno)] ?? `errno ${Math.abs(errno)}`;
  }

  protected transfer(
    write: boolean,
    fd: number,
    offset: number,
    bytes: Uint8Array,
    crcWanted: boolean,
  ): { result: number; crc: number } {
    const file = this.file(fd);
    if (typeof file === 'number') return { result: file, crc: 0 };
    const path = this.pathOf(fd);
    const fault = this.fault(write ? 'pwrite' : 'pread', path);
    if (fault?.errno !== undefined) return { result: -fault.errno, crc: 0 };
    const room = write ? this.roomFor(file, offset, bytes.byteLength) : bytes.byteLength;
    if (room === 0 && bytes.byteLength > 0) return { result: -ERRNO.ENOSPC, crc: 0 };
    const moved = bytes.subarray(0, Math.min(room, fault?.shortBytes ?? bytes.byteLength));
    if (write) this.note(`pwrite ${path} ${offset} ${moved.byteLength}`);
    const result = write ? file.write(offset, moved, this.nowMs()) : file.read(offset, moved);
    return { result, crc: crcWanted ? crc32(moved.subarray(0, result)) : 0 };
  }

  /** A write, continued when it is cut short, and a sync of what it wrote. The count, or a negated errno: then nothing is promised. */
  protected writeDurably(fd: number, offset: number, bytes: Uint8Array): number {
    for (let done = 0; done < bytes.byteLength; ) {
      const { result } = this.transfer(true, fd, offset + done, bytes.subarray(done), false);
      if (result <= 0) return result === 0 ? -ERRNO.EIO : result;
      done += result;
    }
    const file = this.file(fd);
    if (typeof file === 'number') return file;
    const point = file.syncPoint(offset, offset + bytes.byteLength);
    const synced = this.syncFile(file, this.pathOf(fd), point);
    return synced < 0 ? synced : bytes.byteLength;
  }

  /** How many of `length` bytes at `offset` fit; takes the room that they need. */
  private roomFor(file: SimFile, offset: number, length: number): number {
    const growth = Math.max(0, offset + length - file.size);
    const lacking = Math.max(0, growth - this.freeBytes);
    const fitting = Math.max(0, length - lacking);
    if (fitting > 0) this.freeBytes -= growth - lacking;
    return fitting;
  }

  protected syncFile(file: SimFile, path: string, point: ReturnType<SimFile['syncPoint']>): number {
    const fault = this.fault('fdatasync', path);
    if (fault?.errno !== undefined) {
      file.loseDirty();
      return -fault.errno;
    }
    file.makeDurable(point);
    this.note(`fdatasync ${path}`);
    return 0;
  }

  protected syncFolder(path: string, point: ReturnType<SimFolder['syncPoint']>): number {
    const fault = this.fault('fsyncFolder', path);
    if (fault?.errno !== undefined) return -fault.errno;
    const folder = this.node(path);
    if (folder?.kind !== 'folder') return -ERRNO.ENOENT;
    folder.makeDurable(point);
    this.note(`fsyncFolder ${path}`);
    return 0;
  }

  protected fault(call: SimCall, path: string): SimFault | undefined {
    this.callsToPowerCut -= 1;
    if (this.callsToPowerCut < 0) throw new PowerCut();
    if (this.faults.length === 0) return undefined;
    const found = this.faults.find(
      (f) => f.hang !== true && f.call === call && f.count > 0 && f.path.test(path),
    );
    if (found !== undefined) found.count -= 1;
    return found;
  }

  protected seek(fd: number, offset: number, hole: boolean): number {
    const file = this.file(fd);
    if (typeof file === 'number') return file;
    const fault = this.fault('seek', this.pathOf(fd));
    if (fault?.errno !== undefined) return -fault.errno;
    const found = file.seek(offset, hole);
    return found < 0 ? -ERRNO.ENXIO : found;
  }

  protected file(fd: number): SimFile | number {
    const node = this.fds.get(fd)?.node;
    return node?.kind === 'file' ? node : -ERRNO.EBADF;
  }

  protected pathOf(fd: number): string {
    const open = this.fds.get(fd);
    assert(open !== undefined, `fd ${fd} is not open`);
    return open.path;
  }

  protected parent(path: string): { folder: SimFolder | undefined; name: string } {
    const cut = path.lastIndexOf('/');
    const folder = this.node(path.slice(0, cut));
    return { folder: folder?.kind === 'folder' ? folder : undefined, name: path.slice(cut + 1) };
  }

  private note(what: string): void {
    if (this.tracing) this.trace.push(what);
  }

  protected nowMs(): number {
    return this.clock();
  }
}

const SPACE: FileSystemSpace = { blocks: 2 ** 30, availableBlocks: 2 ** 29, blockBytes: 4096 };
