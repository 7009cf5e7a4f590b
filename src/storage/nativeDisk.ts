/**
 * A real disk: `Disk` over the addon's `DiskIo`. Owned by one worker thread; nobody else may call it.
 *
 * Submitted work is known to the addon by a token, which here is the index of the slot that holds its callback. Work that the addon refuses
 * because its queue is full ends with -EAGAIN at the next drain, never inside the call that submitted it.
 */
import assert from 'node:assert';
import { COMPLETION_BYTES, type DiskIo, type FolderScan, IO, IO_FLAG, native } from '../native/addon.js';
import type { Disk, FileSystemSpace, FolderEntry, FolderScans, IoBatch, IoDone, IoResult } from './io.js';
import { OperationTable } from './operationTable.js';

export interface NativeDiskOptions {
  /** Number of the disk for faults and the I/O record, 0..255. */
  device: number;
  /** Buffer regions, over SharedArrayBuffers that the main thread holds as long as the process lives. */
  regions: Uint8Array[];
  /** Rung after each completion. Held like the regions. */
  doorbell: Int32Array;
  /** I/O threads, 1..64. */
  threads: number;
  /** Entries of a batch at most. */
  batchCapacity: number;
}

/** Completions taken in one call of the addon. */
const COMPLETIONS = 256;
const DOUBLES = COMPLETION_BYTES / 8;
const WORDS = COMPLETION_BYTES / 4;
/** errno of a queue that is full (Linux). */
const EAGAIN = 11;
/** fallocate(2) modes. */
const KEEP_SIZE = 1;
const PUNCH_HOLE_KEEP_SIZE = 3;
/** Numbers a name in `FolderScan.stats`. */
const STATS = 5;
/** Threads that scan folders ahead. On a warm cache one keeps a loader busy; on a cold disk more have more reads under way. */
const SCAN_THREADS = 4;

export class NativeDisk implements Disk {
  readonly #table: OperationTable;
  readonly #io: DiskIo;
  readonly #doorbell: Int32Array;
  readonly #doubles: Float64Array;
  readonly #signed: Int32Array;
  readonly #unsigned: Uint32Array;
  /** Callbacks by token; free tokens; tokens that the addon refused. */
  readonly #done: (IoDone | null)[] = [];
  readonly #free: number[] = [];
  readonly #refused: number[] = [];
  /** Token of the batch that is with an I/O thread, or -1. */
  #batchToken = -1;
  #pending = 0;
  #draining = false;
  readonly #result: IoResult = { result: 0, crc: 0, value0: 0, value1: 0, value2: 0 };

  constructor(options: NativeDiskOptions) {
    const completions = new SharedArrayBuffer(COMPLETIONS * COMPLETION_BYTES);
    this.#doubles = new Float64Array(completions);
    this.#signed = new Int32Array(completions);
    this.#unsigned = new Uint32Array(completions);
    this.#table = new OperationTable(options.batchCapacity);
    this.#doorbell = options.doorbell;
    this.#io = native.createDiskIo({
      device: options.device,
      regions: options.regions,
      opTable: this.#table.bytes,
      completions: new Uint8Array(completions),
      doorbell: options.doorbell,
      threads: options.threads,
    });
  }

  get batch(): IoBatch {
    return this.#table;
  }

  runBatch(): number {
    assert(!this.#table.submitted, 'the batch is with an I/O thread');
    return this.#io.runBatch(0, this.#table.length);
  }

  submitBatch(done: IoDone): void {
    assert(!this.#table.submitted, 'the batch is with an I/O thread');
    this.#batchToken = this.#take(done);
    this.#table.submitted = true;
    this.#io.submitBatch(0, this.#table.length, this.#batchToken);
  }

  submitPwrite(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    done: IoDone,
    durable = false,
  ): void {
    const flags = durable ? IO_FLAG.durable : 0;
    this.#table.fillSpare(IO.pwrite, flags, fd, fileOffset, region, bufferOffset, length);
    const token = this.#take(done);
    this.#submitted(token, this.#io.submit(this.#table.spareIndex, token));
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
    const flags = (crc ? IO_FLAG.crc : 0) | (direct ? IO_FLAG.direct : 0);
    this.#table.fillSpare(IO.pread, flags, fd, fileOffset, region, bufferOffset, length);
    const token = this.#take(done);
    this.#submitted(token, this.#io.submit(this.#table.spareIndex, token));
  }

  submitOpen(path: string, flags: number, mode: number, done: IoDone): void {
    this.#submitPath(IO.open, path, '', flags, mode, done);
  }

  submitClose(fd: number, done: IoDone): void {
    this.#submitFd(IO.close, fd, 0, 0, done);
  }

  submitFdatasync(fd: number, done: IoDone): void {
    this.#submitFd(IO.fdatasync, fd, 0, 0, done);
  }

  submitFsyncFolder(path: string, done: IoDone): void {
    this.#submitPath(IO.fsyncFolder, path, '', 0, 0, done);
  }

  submitUnlink(path: string, done: IoDone): void {
    this.#submitPath(IO.unlink, path, '', 0, 0, done);
  }

  submitRename(from: string, to: string, done: IoDone): void {
    this.#submitPath(IO.rename, from, to, 0, 0, done);
  }

  submitRemoveTree(path: string, done: IoDone): void {
    this.#submitPath(IO.removeTree, path, '', 0, 0, done);
  }

  submitStatfs(path: string, done: IoDone): void {
    this.#submitPath(IO.statfs, path, '', 0, 0, done);
  }

  submitSeek(fd: number, hole: boolean, offset: number, done: IoDone): void {
    this.#submitFd(hole ? IO.seekHole : IO.seekData, fd, offset, 0, done);
  }

  submitFstat(fd: number, done: IoDone): void {
    this.#submitFd(IO.fstat, fd, 0, 0, done);
  }

  submitTruncate(fd: number, sizeBytes: number, done: IoDone): void {
    this.#submitFd(IO.ftruncate, fd, sizeBytes, 0, done);
  }

  submitFallocate(fd: number, punch: boolean, offset: number, length: number, done: IoDone): void {
    this.#submitFd(punch ? IO.punchHole : IO.fallocateKeepSize, fd, offset, length, done);
  }

  drainCompletions(): number {
    assert(!this.#draining, 'a completion may not drain');
    this.#draining = true;
    try {
      let drained = this.#drainRefused();
      // The call costs 0.4 µs, which the usual drain of a worker without submitted work saves.
      let count = this.#pending === this.#refused.length ? 0 : COMPLETIONS;
      while (count === COMPLETIONS) {
        count = this.#io.takeCompletions(COMPLETIONS);
        for (let index = 0; index < count; index++) this.#complete(index);
        drained += count;
      }
      return drained;
    } finally {
      this.#draining = false;
    }
  }

  pending(): number {
    return this.#pending;
  }

  /**
   * Ends the I/O threads after what is queued; nothing may be run or submitted afterwards, completions can still be drained.
   * Waits at most `timeoutMs`; false when a thread is stuck in the kernel and was left alone.
   */
  stop(timeoutMs: number): boolean {
    return this.#io.close(timeoutMs);
  }

  open(path: string, flags: number, mode: number): number {
    return native.openSync(path, flags, mode);
  }

  close(fd: number): number {
    return native.closeSync(fd);
  }

  read(fd: number, into: Uint8Array, fileOffset: number): number {
    return native.preadSync(fd, into, fileOffset);
  }

  write(fd: number, from: Uint8Array, fileOffset: number): number {
    return native.pwriteSync(fd, from, fileOffset);
  }

  fdatasync(fd: number): number {
    return native.fdatasyncSync(fd);
  }

  fsyncFolder(path: string): number {
    return native.fsyncFolderSync(path);
  }

  truncate(fd: number, sizeBytes: number): number {
    return native.ftruncateSync(fd, sizeBytes);
  }

  fallocate(fd: number, punch: boolean, offset: number, length: number): number {
    return native.fallocateSync(fd, punch ? PUNCH_HOLE_KEEP_SIZE : KEEP_SIZE, offset, length);
  }

  seekData(fd: number, offset: number): number {
    return native.seekDataSync(fd, offset);
  }

  seekHole(fd: number, offset: number): number {
    return native.seekHoleSync(fd, offset);
  }

  rename(from: string, to: string): number {
    return native.renameSync(from, to);
  }

  unlink(path: string): number {
    return native.unlinkSync(path);
  }

  mkdir(path: string, mode: number): number {
    return native.mkdirSync(path, mode);
  }

  removeTree(path: string): number {
    return native.removeTreeSync(path);
  }

  lock(fd: number): number {
    return native.flockSync(fd);
  }

  statfs(path: string): FileSystemSpace | number {
    const [blocks, availableBlocks, blockBytes] = native.statfsSync(path);
    if (availableBlocks === undefined || blockBytes === undefined) return blocks!;
    return { blocks: blocks!, availableBlocks, blockBytes };
  }

  scan(path: string): FolderEntry[] | number {
    return scanFolder(path);
  }

  scanAll(paths: readonly string[]): FolderScans {
    const scanner = native.scanFolders([...paths], SCAN_THREADS);
    return { next: () => entriesOf(scanner.next()) };
  }

  errnoText(errno: number): string {
    return native.errnoText(errno);
  }

  #submitFd(code: number, fd: number, a: number, b: number, done: IoDone): void {
    const token = this.#take(done);
    this.#submitted(token, this.#io.submitFd(code, fd, a, b, token));
  }

  #submitPath(code: number, path: string, path2: string, a: number, b: number, done: IoDone): void {
    const token = this.#take(done);
    this.#submitted(token, this.#io.submitPath(code, path, path2, a, b, token));
  }

  #take(done: IoDone): number {
    const token = this.#free.pop() ?? this.#done.length;
    this.#done[token] = done;
    this.#pending++;
    return token;
  }

  /** A refused submission ends at the next drain, which the doorbell makes happen. */
  #submitted(token: number, result: number): void {
    if (result === 0) return;
    this.#refused.push(token);
    native.ringDoorbell(this.#doorbell);
  }

  #drainRefused(): number {
    // Callbacks may submit, and be refused, again: those wait for the next drain.
    const count = this.#refused.length;
    for (const token of this.#refused.splice(0, count)) {
      const result = this.#result;
      result.result = -EAGAIN;
      result.crc = 0;
      result.value0 = result.value1 = result.value2 = 0;
      this.#callBack(token);
    }
    return count;
  }

  #complete(index: number): void {
    const result = this.#result;
    const double = index * DOUBLES;
    const token = this.#doubles[double]!;
    result.result = this.#signed[index * WORDS + 2]!;
    result.crc = this.#unsigned[index * WORDS + 3]!;
    result.value0 = this.#doubles[double + 2]!;
    result.value1 = this.#doubles[double + 3]!;
    result.value2 = this.#doubles[double + 4]!;
    if (token === this.#batchToken) {
      this.#batchToken = -1;
      this.#table.submitted = false;
    }
    this.#callBack(token);
  }

  #callBack(token: number): void {
    const done = this.#done[token];
    assert(done, 'a completion belongs to a submission');
    this.#done[token] = null;
    this.#free.push(token);
    this.#pending--;
    done(this.#result);
  }
}

/** The entries of a folder, symbolic links not followed; a negated errno. Changes nothing. */
export function scanFolder(path: string): FolderEntry[] | number {
  return entriesOf(native.scanFolder(path));
}

function entriesOf({ names, stats, result }: FolderScan): FolderEntry[] | number {
  if (result < 0) return result;
  if (stats.length === 0) return [];
  return names.split('/').map((name, index) => folderEntry(name, stats, index * STATS));
}

function folderEntry(name: string, stats: Float64Array, at: number): FolderEntry {
  const kind = stats[at]!;
  return {
    name,
    kind: kind === 1 ? 'file' : kind === 2 ? 'folder' : 'other',
    sizeBytes: stats[at + 1]!,
    mtimeMs: stats[at + 2]!,
    blocks512: stats[at + 3]!,
    errno: stats[at + 4]!,
  };
}
