/**
 * A disk in memory that can lose its power, for the storage code under test.
 *
 * Fault model:
 * - What is read is what was written last. Nothing is durable before it is synced.
 * - `fdatasync` makes a file's data and length durable, as they were when it *began* (submitted syncs begin when they are submitted, so writes in between
 *   are not covered). It does not make the file's entry in its folder durable.
 * - A durable write is a write and then a sync of the pages that it wrote and of the length, no more. Faults of both kinds act on it.
 * - `fsyncFolder` makes the entries of one folder durable, as they were when it began.
 * - A power loss (`powerLoss`) keeps every durable thing. Of a page that is not durable it leaves the old, the new or a mix by 512-byte sectors; of a
 *   length the old, the new or one in between; of folder changes any subset, a rename as a whole. Submitted work may or may not have happened.
 * - The end of the process (`processEnd`) loses fds, locks and submitted work, which may or may not have happened. Written data stays, unsynced as before.
 * - A failed fdatasync loses the dirty pages for good: later ones succeed without them, as Linux does.
 * - Submitted work happens and completes in an order that the seed decides, one piece at each `step`.
 * - Files grow by `freeBytes` in all; after that writes are cut short and then answered with ENOSPC.
 * - Faults (`addFault`): an errno, a short transfer, or work that never completes, for calls and paths that match, a number of times.
 * Not modelled: corruption of durable data; by `powerLoss`, a page that keeps a value between the durable and the last one (`crashImages.ts` does).
 */
import assert from 'node:assert';
import type { Disk, IoDone, IoResult } from '../../src/storage/io.js';
import { Random } from './random.js';
import { SimBatch, type SimEntry } from './simBatch.js';
import { ERRNO, type SimCall, SimFiles } from './simFiles.js';
import { SimFolder } from './simFolder.js';

interface Work {
  call: SimCall;
  path: string;
  run: () => Partial<IoResult>;
  done: IoDone;
}

export interface SimDiskOptions {
  regions: Uint8Array[];
  seed?: number;
  batchCapacity?: number;
  nowMs?: () => number;
}

export class SimDisk extends SimFiles implements Disk {
  readonly batch: SimBatch;
  /** Share of `noWait` reads that answer -EAGAIN or come back short. */
  coldReads = 0;
  /** Reads that were asked to go past the page cache, and the errno with which that is refused (0: it is not). Their bytes are those of any read. */
  directReads = 0;
  directRefusal = 0;
  private readonly options: SimDiskOptions;
  private readonly random: Random;
  private readonly work: Work[] = [];
  private readonly completed: { result: Partial<IoResult>; done: IoDone }[] = [];
  private readonly hung: Work[] = [];

  constructor(options: SimDiskOptions, root: SimFolder = new SimFolder()) {
    super(root, options.nowMs ?? (() => 0));
    this.options = options;
    this.random = new Random(options.seed ?? 1);
    this.batch = new SimBatch(options.batchCapacity ?? 64);
  }

  // What a test does to it.

  /** Lets one piece of submitted work happen; false when there is none. */
  step(): boolean {
    if (this.work.length === 0) return false;
    const [work] = this.work.splice(this.random.below(this.work.length), 1);
    this.completed.push({ result: work!.run(), done: work!.done });
    return true;
  }

  /** What hangs goes on. */
  releaseHung(): void {
    this.work.push(...this.hung.splice(0));
  }

  /** Submitted work of a kind that has not happened yet. */
  waitingFor(call: SimCall): number {
    return this.work.filter((work) => work.call === call).length;
  }

  /** As after an fdatasync of `fd` that failed: what is not durable will not be made so by a later one. */
  loseUnsynced(fd: number): void {
    const file = this.file(fd);
    if (typeof file !== 'number') file.loseDirty();
  }

  /** The disk as the next process finds it when this one ends now. */
  processEnd(seed: number): SimDisk {
    this.finishSome(new Random(seed));
    for (const { node } of this.fds.values()) if (node.kind === 'file') node.lockedBy = -1;
    return this.successor({ ...this.options, seed }, this.root);
  }

  /** The disk as the next process finds it after a power loss now. */
  powerLoss(seed: number): SimDisk {
    const random = new Random(seed);
    this.finishSome(random);
    return this.successor({ ...this.options, seed }, this.root.afterPowerLoss(random));
  }

  /** The root as it is now: for the images that a power loss may leave (`crashImages.ts`). */
  get rootFolder(): SimFolder {
    return this.root;
  }

  get regions(): readonly Uint8Array[] {
    return this.options.regions;
  }

  /** Another disk with this one's regions and options whose root is `root`, which it owns from now on. */
  withRoot(root: SimFolder, seed: number): SimDisk {
    return new SimDisk({ ...this.options, seed }, root);
  }

  // Batches and submitted work.

  runBatch(): number {
    assert(!this.batch.inFlight, 'the batch is in flight');
    this.runEntries();
    return 1000;
  }

  submitBatch(done: IoDone): void {
    this.batch.inFlight = true;
    const run = (): Partial<IoResult> => {
      this.runEntries();
      return { result: 0 };
    };
    // In flight until its completion is delivered, not until it has run.
    const delivered: IoDone = (io) => {
      this.batch.hasRun();
      done(io);
    };
    this.submit('pwrite', '', run, delivered);
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
    const bytes = this.bytes(region, bufferOffset, length);
    const run = (): Partial<IoResult> =>
      durable
        ? { result: this.writeDurably(fd, fileOffset, bytes) }
        : this.transfer(true, fd, fileOffset, bytes, false);
    this.submit('pwrite', this.pathOf(fd), run, done, durable);
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
    const path = this.pathOf(fd);
    if (direct) this.directReads += 1;
    const run = (): Partial<IoResult> => {
      const read = this.transfer(false, fd, fileOffset, this.bytes(region, bufferOffset, length), crc);
      return direct ? { ...read, value0: this.directRefusal } : read;
    };
    this.submit('pread', path, run, done);
  }

  submitOpen(path: string, flags: number, mode: number, done: IoDone): void {
    this.submit('open', path, () => ({ result: this.open(path, flags, mode) }), done);
  }

  submitClose(fd: number, done: IoDone): void {
    this.submit('close', this.pathOf(fd), () => ({ result: this.close(fd) }), done);
  }

  submitFdatasync(fd: number, done: IoDone): void {
    const path = this.pathOf(fd);
    const { node } = this.fds.get(fd)!;
    assert(node.kind === 'file');
    const point = node.syncPoint();
    this.submit('fdatasync', path, () => ({ result: this.syncFile(node, path, point) }), done);
  }

  submitFsyncFolder(path: string, done: IoDone): void {
    const folder = this.node(path);
    const point = folder?.kind === 'folder' ? folder.syncPoint() : [];
    this.submit('fsyncFolder', path, () => ({ result: this.syncFolder(path, point) }), done);
  }

  submitUnlink(path: string, done: IoDone): void {
    this.submit('unlink', path, () => ({ result: this.unlink(path) }), done);
  }

  submitRename(from: string, to: string, done: IoDone): void {
    this.submit('rename', from, () => ({ result: this.rename(from, to) }), done);
  }

  submitRemoveTree(path: string, done: IoDone): void {
    this.submit('removeTree', path, () => ({ result: this.removeTree(path) }), done);
  }

  submitStatfs(_path: string, done: IoDone): void {
    const { blocks, availableBlocks, blockBytes } = this.statfs();
    const result = { result: 0, value0: blocks, value1: availableBlocks, value2: blockBytes };
    this.submit('scan', '/', () => result, done);
  }

  submitSeek(fd: number, hole: boolean, offset: number, done: IoDone): void {
    const run = (): Partial<IoResult> => {
      const found = hole ? this.seekHole(fd, offset) : this.seekData(fd, offset);
      return found < 0 ? { result: found } : { value0: found };
    };
    this.submit('seek', this.pathOf(fd), run, done);
  }

  submitFstat(fd: number, done: IoDone): void {
    const { node } = this.fds.get(fd)!;
    assert(node.kind === 'file');
    const run = (): Partial<IoResult> => ({
      ...{ value0: node.size, value1: node.mtimeMs, value2: node.blocks512 },
    });
    this.submit('fstat', this.pathOf(fd), run, done);
  }

  submitTruncate(fd: number, sizeBytes: number, done: IoDone): void {
    this.submit('truncate', this.pathOf(fd), () => ({ result: this.truncate(fd, sizeBytes) }), done);
  }

  submitFallocate(fd: number, punch: boolean, offset: number, length: number, done: IoDone): void {
    this.submit(
      'fallocate',
      this.pathOf(fd),
      () => ({ result: this.fallocate(fd, punch, offset, length) }),
      done,
    );
  }

  drainCompletions(): number {
    const batch = this.completed.splice(0);
    for (const { result, done } of batch)
      done({ result: 0, crc: 0, value0: 0, value1: 0, value2: 0, ...result });
    return batch.length;
  }

  pending(): number {
    return this.work.length + this.completed.length + this.hung.length;
  }

  // Inside.

  /** The disk that the next process gets when this one has ended. */
  protected successor(options: SimDiskOptions, root: SimFolder): SimDisk {
    return new SimDisk(options, root);
  }

  /** `syncs`: a fault of fdatasync makes it hang as well. */
  protected submit(
    call: SimCall,
    path: string,
    run: () => Partial<IoResult>,
    done: IoDone,
    syncs = false,
  ): void {
    const work = { call, path, run, done };
    const fault = this.faults.find(
      (f) =>
        f.hang === true &&
        (f.call === call || (syncs && f.call === 'fdatasync')) &&
        f.count > 0 &&
        f.path.test(path),
    );
    if (fault === undefined) return void this.work.push(work);
    fault.count -= 1;
    this.hung.push(work);
  }

  private runEntries(): void {
    const failed = new Set<number>();
    let unguarded = false;
    for (const entry of this.batch.entries) {
      if (unguarded || (entry.linked && failed.has(entry.fd))) entry.result = -ERRNO.ECANCELED;
      else this.runEntry(entry);
      const failing = entry.write && entry.result !== entry.length;
      if (failing) failed.add(entry.fd);
      unguarded = failing && entry.guards;
    }
    if (!this.batch.inFlight) this.batch.hasRun();
  }

  private runEntry(entry: SimEntry): void {
    let { length } = entry;
    if (entry.noWait && this.random.chance(this.coldReads)) {
      entry.result = -ERRNO.EAGAIN;
      if (this.random.chance(0.5)) return;
      length = Math.ceil(length / 2);
    }
    const bytes = this.bytes(entry.region, entry.bufferOffset, length);
    const { result, crc } = this.transfer(entry.write, entry.fd, entry.fileOffset, bytes, entry.crcWanted);
    entry.result = result;
    entry.crc = crc;
  }

  private finishSome(random: Random): void {
    for (const { run } of this.work.splice(0)) if (random.chance(0.5)) run();
  }

  private bytes(region: number, offset: number, length: number): Uint8Array {
    const bytes = this.options.regions[region];
    assert(bytes !== undefined && offset + length <= bytes.byteLength, 'an entry reaches outside its region');
    return bytes.subarray(offset, offset + length);
  }
}
