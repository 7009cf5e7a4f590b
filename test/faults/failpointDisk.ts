/**
 * A disk, simulated or real, whose every call is a named failpoint: counted when it is passed, and answered by a fault when one is armed for this pass.
 *
 * A name is `call:file` (`fileKind.ts`). Entries of a batch are `batch.pwrite:...`, those of EXTENT_CRC and EXTENT_CLEAN in two kinds; synchronous calls begin with the
 * occasion that the scenario has set: `load.scan:root`. What a fault does:
 * - `EIO`, `ENOSPC`, `EOPNOTSUPP`: answered, and nothing is done. A close is done all the same, as in Linux. A sync that fails loses what it should have made durable.
 * - `EAGAIN`: submitted work only: the I/O queue is full, nothing is done.
 * - `short`: a write moves half of its bytes, of EXTENT_CRC whole slots only: they lie within a page, and the kernel cuts at pages. A read that may not
 *   wait moves half as well.
 * - `hang`: submitted work only: it does not even begin before `release`.
 */
import { constants } from 'node:fs';
import { SLOT_BYTES } from '../../src/storage/crcFile.js';
import type { Disk, FileSystemSpace, FolderEntry, FolderScans, IoDone } from '../../src/storage/io.js';
import { type EntryFault, FailpointBatch, type FailpointEntry } from './failpointBatch.js';
import { fileKind } from './fileKind.js';

export type FaultKind = 'EIO' | 'ENOSPC' | 'EAGAIN' | 'EOPNOTSUPP' | 'short' | 'hang';

/** What to do at which passes of which failpoints. */
export interface Fault {
  matches: (name: string) => boolean;
  kind: FaultKind;
  /** The first pass that is affected, from 1 on, and how many are; without end, until `endLasting`. */
  pass: number;
  count: number;
}

export interface FailpointDiskOptions {
  root: string;
  regions: readonly Uint8Array[];
  /** An fdatasync of the fd has failed: what was not durable is lost. */
  onSyncFailed: (fd: number) => void;
}

const ERRNO = { EIO: 5, ENOSPC: 28, EAGAIN: 11, EOPNOTSUPP: 95 } as const;
/** Files of which zeros are written for another reason than what they hold. */
const WRITTEN: Record<string, string> = { EXTENT_CRC: 'checksums', EXTENT_CLEAN: 'entries' };

interface Armed extends Fault {
  passes: number;
}

export class FailpointDisk implements Disk {
  readonly batch: FailpointBatch;
  /** What the synchronous calls of this moment are for. */
  occasion = 'start';
  /** By name: how often it was passed. */
  readonly passed = new Map<string, number>();
  /** Names of the failpoints at which a fault acted, in order. */
  readonly fired: string[] = [];
  private readonly inner: Disk;
  private readonly options: FailpointDiskOptions;
  private readonly paths = new Map<number, string>();
  private armed: Armed[] = [];
  private held: { path: string; begin: () => void }[] = [];
  private answered: { done: IoDone; result: number }[] = [];

  constructor(inner: Disk, options: FailpointDiskOptions) {
    this.inner = inner;
    this.options = options;
    this.batch = new FailpointBatch(inner.batch);
  }

  arm(fault: Fault): void {
    this.armed.push({ ...fault, passes: 0 });
  }

  /** What has failed without end does not any more. */
  endLasting(): void {
    this.armed = this.armed.filter(({ count }) => Number.isFinite(count));
  }

  /** Paths of the submitted work that hangs; '' for a batch. */
  get hanging(): string[] {
    return this.held.map(({ path }) => path);
  }

  /** Lets everything that hangs begin. */
  release(): void {
    for (const { begin } of this.held.splice(0)) begin();
  }

  // Batches.

  runBatch(): number {
    this.batch.fill((entry) => this.entryFault(entry));
    return this.inner.runBatch();
  }

  submitBatch(done: IoDone): void {
    let hangs = false;
    this.batch.fill((entry) => {
      const fault = this.entryFault(entry);
      hangs ||= fault === HANG;
      return fault === HANG ? null : fault;
    });
    if (hangs) this.held.push({ path: '', begin: () => this.inner.submitBatch(done) });
    else this.inner.submitBatch(done);
  }

  // Submitted work.

  submitPwrite(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    done: IoDone,
    durable = false,
  ): void {
    const call = durable ? 'submitDurablePwrite' : 'submitPwrite';
    const lossy: IoDone = (io) => {
      if (durable && io.result < 0 && io.result !== -ERRNO.EAGAIN) this.options.onSyncFailed(fd);
      done(io);
    };
    this.submit(call, this.pathOf(fd), lossy, (told, kind) => {
      const bytes = kind === 'short' ? Math.ceil(length / 2) : length;
      this.inner.submitPwrite(fd, fileOffset, region, bufferOffset, bytes, told, durable);
    });
  }

  submitPread(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    crc: boolean,
    done: IoDone,
    direct = false,
  ): void {
    this.submit('submitPread', this.pathOf(fd), done, (told, kind) => {
      const bytes = kind === 'short' ? Math.ceil(length / 2) : length;
      this.inner.submitPread(fd, fileOffset, region, bufferOffset, bytes, crc, told, direct);
    });
  }

  submitOpen(path: string, flags: number, mode: number, done: IoDone): void {
    const call = (flags & constants.O_EXCL) !== 0 ? 'submitCreate' : 'submitOpen';
    this.submit(call, path, done, (told) => {
      this.inner.submitOpen(path, flags, mode, (io) => {
        if (io.result >= 0) this.paths.set(io.result, path);
        told(io);
      });
    });
  }

  submitClose(fd: number, done: IoDone): void {
    const fault = this.take(`submitClose:${this.kindOf(fd)}`);
    if (fault === 'EAGAIN') return this.answer(done, -ERRNO.EAGAIN);
    const path = this.pathOf(fd);
    const begin = (): void => {
      this.paths.delete(fd);
      const errno = fault === 'EIO' || fault === 'ENOSPC' ? ERRNO[fault] : 0;
      this.inner.submitClose(fd, (io) => {
        if (io.result === -ERRNO.EAGAIN) this.paths.set(fd, path);
        done(errno === 0 ? io : { ...io, result: -errno });
      });
    };
    if (fault === 'hang') this.held.push({ path, begin });
    else begin();
  }

  submitFdatasync(fd: number, done: IoDone): void {
    const lossy: IoDone = (io) => {
      if (io.result < 0 && io.result !== -ERRNO.EAGAIN) this.options.onSyncFailed(fd);
      done(io);
    };
    this.submit('submitFdatasync', this.pathOf(fd), lossy, () => this.inner.submitFdatasync(fd, done));
  }

  submitFsyncFolder(path: string, done: IoDone): void {
    this.submit('submitFsyncFolder', path, done, (told) => this.inner.submitFsyncFolder(path, told));
  }

  submitUnlink(path: string, done: IoDone): void {
    this.submit('submitUnlink', path, done, (told) => this.inner.submitUnlink(path, told));
  }

  submitRename(from: string, to: string, done: IoDone): void {
    this.submit('submitRename', from, done, (told) => this.inner.submitRename(from, to, told));
  }

  submitRemoveTree(path: string, done: IoDone): void {
    this.submit('submitRemoveTree', path, done, (told) => this.inner.submitRemoveTree(path, told));
  }

  submitStatfs(path: string, done: IoDone): void {
    this.submit('submitStatfs', path, done, (told) => this.inner.submitStatfs(path, told));
  }

  submitSeek(fd: number, hole: boolean, offset: number, done: IoDone): void {
    const call = hole ? 'submitSeekHole' : 'submitSeekData';
    this.submit(call, this.pathOf(fd), done, (told) => this.inner.submitSeek(fd, hole, offset, told));
  }

  submitFstat(fd: number, done: IoDone): void {
    this.submit('submitFstat', this.pathOf(fd), done, (told) => this.inner.submitFstat(fd, told));
  }

  submitTruncate(fd: number, sizeBytes: number, done: IoDone): void {
    this.submit('submitTruncate', this.pathOf(fd), done, (told) =>
      this.inner.submitTruncate(fd, sizeBytes, told),
    );
  }

  submitFallocate(fd: number, punch: boolean, offset: number, length: number, done: IoDone): void {
    const call = punch ? 'submitPunch' : 'submitFallocate';
    this.submit(call, this.pathOf(fd), done, (told) =>
      this.inner.submitFallocate(fd, punch, offset, length, told),
    );
  }

  drainCompletions(): number {
    const answered = this.answered.splice(0);
    for (const { done, result } of answered) done({ result, crc: 0, value0: 0, value1: 0, value2: 0 });
    return answered.length + this.inner.drainCompletions();
  }

  /** What can end without `release`. */
  pending(): number {
    return this.answered.length + this.inner.pending();
  }

  // Synchronous calls.

  open(path: string, flags: number, mode: number): number {
    const fd = this.call('open', path) ?? this.inner.open(path, flags, mode);
    if (fd >= 0) this.paths.set(fd, path);
    return fd;
  }

  close(fd: number): number {
    const fault = this.call('close', this.pathOf(fd));
    this.paths.delete(fd);
    const closed = this.inner.close(fd);
    return fault ?? closed;
  }

  read(fd: number, into: Uint8Array, fileOffset: number): number {
    return this.call('read', this.pathOf(fd)) ?? this.inner.read(fd, into, fileOffset);
  }

  write(fd: number, from: Uint8Array, fileOffset: number): number {
    const fault = this.call('write', this.pathOf(fd));
    if (fault === SHORT)
      return this.inner.write(fd, from.subarray(0, Math.ceil(from.length / 2)), fileOffset);
    return fault ?? this.inner.write(fd, from, fileOffset);
  }

  fdatasync(fd: number): number {
    const fault = this.call('fdatasync', this.pathOf(fd));
    if (fault !== null) this.options.onSyncFailed(fd);
    return fault ?? this.inner.fdatasync(fd);
  }

  fsyncFolder(path: string): number {
    return this.call('fsyncFolder', path) ?? this.inner.fsyncFolder(path);
  }

  truncate(fd: number, sizeBytes: number): number {
    return this.call('truncate', this.pathOf(fd)) ?? this.inner.truncate(fd, sizeBytes);
  }

  fallocate(fd: number, punch: boolean, offset: number, length: number): number {
    return this.call('fallocate', this.pathOf(fd)) ?? this.inner.fallocate(fd, punch, offset, length);
  }

  seekData(fd: number, offset: number): number {
    return this.call('seekData', this.pathOf(fd)) ?? this.inner.seekData(fd, offset);
  }

  seekHole(fd: number, offset: number): number {
    return this.call('seekHole', this.pathOf(fd)) ?? this.inner.seekHole(fd, offset);
  }

  rename(from: string, to: string): number {
    return this.call('rename', from) ?? this.inner.rename(from, to);
  }

  unlink(path: string): number {
    return this.call('unlink', path) ?? this.inner.unlink(path);
  }

  mkdir(path: string, mode: number): number {
    return this.call('mkdir', path) ?? this.inner.mkdir(path, mode);
  }

  removeTree(path: string): number {
    return this.call('removeTree', path) ?? this.inner.removeTree(path);
  }

  lock(fd: number): number {
    return this.call('lock', this.pathOf(fd)) ?? this.inner.lock(fd);
  }

  statfs(path: string): FileSystemSpace | number {
    return this.call('statfs', path) ?? this.inner.statfs(path);
  }

  scanAll(paths: readonly string[]): FolderScans {
    let next = 0;
    return { next: () => this.scan(paths[next++]!) };
  }

  /** Each entry of a partition's folder is looked at: failpoints of their own. */
  scan(path: string): FolderEntry[] | number {
    const entries = this.call('scan', path) ?? this.inner.scan(path);
    if (typeof entries === 'number' || this.kindAt(path) !== 'partition') return entries;
    return entries.map((entry) => {
      const errno = this.call('lstat', `${path}/${entry.name}`);
      return errno === null ? entry : { ...entry, kind: 'other', sizeBytes: 0, blocks512: 0, errno };
    });
  }

  errnoText(errno: number): string {
    return this.inner.errnoText(errno);
  }

  // Inside.

  /** Counts a passage; the kind of the fault that acts on it. */
  private take(name: string): FaultKind | null {
    this.passed.set(name, (this.passed.get(name) ?? 0) + 1);
    let kind: FaultKind | null = null;
    for (const fault of this.armed) {
      if (!fault.matches(name)) continue;
      fault.passes += 1;
      if (fault.passes < fault.pass || fault.passes >= fault.pass + fault.count) continue;
      kind ??= fault.kind;
    }
    if (kind !== null) this.fired.push(name);
    return kind;
  }

  /** A synchronous call: the negated errno of a fault, null when it is to be made. */
  private call(call: string, path: string): number | null {
    const kind = this.take(`${this.occasion}.${call}:${this.kindAt(path)}`);
    if (kind === null) return null;
    return kind === 'short' ? SHORT : -ERRNO[kind as keyof typeof ERRNO];
  }

  /** `begin` hands the work to the disk. */
  private submit(
    call: string,
    path: string,
    done: IoDone,
    begin: (told: IoDone, kind: FaultKind | null) => void,
  ): void {
    const kind = this.take(`${call}:${this.kindAt(path)}`);
    if (kind === 'hang') this.held.push({ path, begin: () => begin(done, null) });
    else if (kind === null || kind === 'short') begin(done, kind);
    else this.answer(done, -ERRNO[kind]);
  }

  private answer(done: IoDone, result: number): void {
    this.answered.push({ done, result });
  }

  private entryFault(entry: FailpointEntry): EntryFault | null {
    const kind = this.take(this.entryName(entry));
    if (kind === null) return null;
    if (kind === 'hang') return HANG;
    if (kind !== 'short') return { errno: ERRNO[kind] };
    if (this.kindOf(entry.fd) !== 'EXTENT_CRC') return { shortBytes: Math.ceil(entry.length / 2) };
    const slots = Math.floor(entry.length / SLOT_BYTES / 2);
    return slots === 0 ? { errno: 0 } : { shortBytes: slots * SLOT_BYTES };
  }

  private entryName({ write, fd, region, bufferOffset, length }: FailpointEntry): string {
    const file = this.kindOf(fd);
    const what = WRITTEN[file];
    if (!write || what === undefined) return `batch.${write ? 'pwrite' : 'pread'}:${file}`;
    const bytes = this.options.regions[region]!.subarray(bufferOffset, bufferOffset + length);
    return `batch.pwrite:${file} (${bytes.every((byte) => byte === 0) ? 'zeros' : what})`;
  }

  private kindOf(fd: number): string {
    return this.kindAt(this.pathOf(fd));
  }

  private kindAt(path: string): string {
    return fileKind(path, this.options.root);
  }

  private pathOf(fd: number): string {
    const path = this.paths.get(fd);
    if (path === undefined) throw new Error(`fd ${fd} is used and not open`);
    return path;
  }
}

/** The whole batch waits. */
const HANG: EntryFault = {};
/** A synchronous write that is cut short; no errno has this number. */
const SHORT = -100_000;
