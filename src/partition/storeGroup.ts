/**
 * What all stores of one worker share: the budget of open extents, group commits, slot writes that follow their data, and the operations' way from a check
 * to the batch.
 *
 * The worker makes one, and calls `advance` whenever the batch is not in flight: after `disk.drainCompletions()`, and after each run of the batch
 * when every `ioDone` was called and the batch was cleared. `advance` may add entries (operations that waited for their file, slot writes), so the worker
 * runs the batch, calls `ioDone`, clears and advances until the batch stays empty.
 *
 *     flush:   disk.runBatch(); for each entry with an operation: op.handler.ioDone(op, index); batch.clear(); stores.advance();
 *     a turn:  disk.drainCompletions(); stores.advance(); partition.execute(op)...; while (batch.length > 0) flush;
 *
 * On a throttled disk `submitBatch` takes the place of `runBatch`; until it has completed neither `advance` nor `execute` may be called.
 */
import assert from 'node:assert';
import { ACTION, ERROR_TEXT, extentFileMissing } from '../protocol/errors.js';
import { actionOf, changesExtent, isInternalOp, OP } from '../protocol/opcodes.js';
import { NONE } from '../storage/extentTable.js';
import { AppendPath } from './appendPath.js';
import { ApplyTurns } from './applyTurns.js';
import { BlockHeals } from './blockHeals.js';
import { BlockLooks } from './blockLooks.js';
import { ChecksumJob } from './checksumJob.js';
import { CreatePath } from './createPath.js';
import { DeletePath } from './deletePath.js';
import { DirectReads } from './directReads.js';
import { DirtyRecord } from './dirtyRecord.js';
import { type ExtentHandle, HANDLE_STATE } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { ExtentSyncs } from './extentSyncs.js';
import { GroupCommit } from './groupCommit.js';
import { INTERNAL_OP } from './internalOps.js';
import type { MissedRange } from './internalRecords.js';
import { EAGAIN, ENOENT, reportDiskError } from './ioErrors.js';
import type { BlockPlace } from './messages.js';
import { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import { RangeEraser } from './rangeEraser.js';
import { ReadPath } from './readPath.js';
import { SlotWrites } from './slotWrites.js';
import { SCRATCH_ENTRY_BYTES, SCRATCH_ZERO_BYTES, type StoreHost, scratchBytes } from './storeHost.js';
import { TinyAppends } from './tinyAppends.js';
import { TinyHoles } from './tinyHoles.js';
import { TinyStreams } from './tinyStreams.js';
import { WaitingReads } from './waitingReads.js';

/** Entries that one operation may add. `execute` needs as much room in the batch. */
export const ENTRIES_PER_OPERATION = 8;

export class StoreGroup {
  readonly host: StoreHost;
  readonly files: OpenExtents;
  private readonly creates: CreatePath;
  private readonly appends: AppendPath;
  private readonly tinyAppends: TinyAppends;
  private readonly reads: ReadPath;
  private readonly deletes: DeletePath;
  private readonly streams: TinyStreams;
  private readonly holes: TinyHoles;
  private readonly looks: BlockLooks;
  private readonly heals: BlockHeals;
  private readonly syncs: ExtentSyncs;
  /** Reads that wait for a heal. */
  readonly waits: WaitingReads;
  /** Background work on checksums, and what it has found. */
  readonly checksums: ChecksumJob;
  /** Committed entries of raft on their way. */
  readonly applies: ApplyTurns;
  private readonly dirty: DirtyRecord;
  private readonly slots: SlotWrites;
  private readonly commits: GroupCommit;
  /** Handles with operations that can start, in the order in which their files were opened. */
  private readonly draining: ExtentHandle[] = [];
  /** Operations that wait for their extent's file. */
  private waiting = 0;
  /** Stores to take out of service when the batch is empty. */
  private readonly retiring: { store: ExtentStore; message: string }[] = [];
  /** Whether the batch has room for one more operation. */
  private readonly hasRoom = (): boolean => {
    const { batch } = this.host.disk;
    return batch.capacity - batch.length >= ENTRIES_PER_OPERATION;
  };

  constructor(host: StoreHost) {
    const { capacity } = host.disk.batch;
    const scratch = host.regions[host.scratchRegion];
    assert(
      scratch !== undefined && scratch.byteLength >= scratchBytes(capacity),
      'the scratch region is too small',
    );
    this.host = host;
    this.commits = new GroupCommit(host);
    this.files = new OpenExtents(host, SCRATCH_ZERO_BYTES + capacity * SCRATCH_ENTRY_BYTES, {
      opened: (handle) => this.opened(handle),
      openFailed: (handle, errno) => this.openFailed(handle, errno),
      syncForEviction: (handle) => this.commits.start(handle),
      synced: (handle, result) => this.commits.synced(handle, result),
      ownFdReleased: (store) => this.closeOwnFiles(store),
    });
    this.commits.attach(this.files);
    const open = (store: ExtentStore, op: Operation): void => this.withFile(store, op);
    const ownFdReleased = (store: ExtentStore): void => this.closeOwnFiles(store);
    this.slots = new SlotWrites(host, this.files.slotBits);
    this.creates = new CreatePath(host, this.files, this.commits, ownFdReleased);
    const direct = new DirectReads(host);
    this.checksums = new ChecksumJob(host, this.files, direct, ownFdReleased);
    const { findings, check } = this.checksums;
    this.commits.onBroken = (store, extentId) => findings.broken.push({ store, extentId });
    this.applies = new ApplyTurns(host);
    this.dirty = new DirtyRecord(host, (store, op) => this.startWrite(store, op), ownFdReleased);
    this.appends = new AppendPath(host, this.files, this.slots, this.commits, check.watch);
    const access = (store: ExtentStore, op: Operation): void => this.accessExtent(store, op);
    this.waits = new WaitingReads(host, access);
    this.reads = new ReadPath(host, this.files, findings, direct, this.waits, ownFdReleased);
    const eraser = new RangeEraser(host);
    this.deletes = new DeletePath(host, this.files, eraser, open, ownFdReleased);
    this.holes = new TinyHoles(host, this.files, eraser);
    this.looks = new BlockLooks(host, this.files, ownFdReleased);
    this.heals = new BlockHeals(
      ...([host, this.files, this.commits, findings, check.watch] as const),
      ...([access, (place: BlockPlace) => this.waits.healed(place), ownFdReleased] as const),
    );
    this.syncs = new ExtentSyncs(host, this.files, this.commits, open);
    this.streams = new TinyStreams(host, this.files, open, ownFdReleased);
    this.tinyAppends = new TinyAppends(host, access);
  }

  /** Operations that wait for something else than the batch: an id, a file, a read, a sync. */
  get parkedOperations(): number {
    const { creates, reads, waits, commits, tinyAppends, deletes, streams, holes, looks, heals, dirty } =
      this;
    const paths = [creates, reads, waits, commits, tinyAppends, deletes, streams, holes, looks, heals, dirty];
    return paths.reduce((sum, { parked }) => sum + parked, this.waiting);
  }

  /** See above. */
  advance(): void {
    if (this.retiring.length > 0 && this.host.disk.batch.length === 0) {
      for (const { store, message } of this.retiring.splice(0)) this.retire(store, message);
    }
    this.files.advance();
    this.slots.flush((handle) => this.files.release(handle));
    this.creates.advance();
    // Before the commits, which start what a save of APPLY waits for.
    this.applies.advance(this.hasRoom);
    this.commits.advance();
    this.drain();
    // Before the writes that wait for its end.
    this.heals.advance(this.hasRoom);
    this.waits.advance(this.hasRoom);
    this.dirty.advance(this.hasRoom);
    this.tinyAppends.advance(this.hasRoom);
    this.deletes.advance(this.hasRoom);
    this.checksums.advance(this.hasRoom);
  }

  /** About once a second. */
  tick(): void {
    this.checksums.tick();
    this.applies.tick();
  }

  /** Ms until `advance` has something to do that no completion and no request will tell of; Infinity when there is nothing. */
  wakeInMs(): number {
    return this.applies.woken ? 0 : Math.min(this.checksums.wakeInMs(), this.waits.wakeInMs());
  }

  /** Nothing of its own begins any more; true when nothing of that is under way. */
  stop(): boolean {
    this.waits.stop();
    const applied = this.applies.comeToRest();
    return this.checksums.stop() && applied;
  }

  /** A store is served from now on. */
  attach(store: ExtentStore): void {
    this.checksums.attach(store);
  }

  /** A store is about to be closed or taken out of service. */
  detach(store: ExtentStore): void {
    this.checksums.detach(store);
  }

  /** A create whose space, limits and disk state have been checked. */
  create(store: ExtentStore, op: Operation): void {
    this.creates.start(store, op);
  }

  /** A tiny append whose space and disk state have been checked, and whose extent and offset this node assigns. */
  appendTiny(store: ExtentStore, op: Operation): void {
    this.tinyAppends.start(store, op);
  }

  /** A write whose extent and offset are known, a random write that was decided upon, or a read. */
  accessExtent(store: ExtentStore, op: Operation): void {
    if (changesExtent(op.opcode)) {
      const row = store.table.find(op.extentId);
      if (row !== NONE && this.dirty.mustWait(store, row)) return this.dirty.wait(store, op);
      return this.startWrite(store, op);
    }
    const refusal = this.reads.check(store, op);
    if (refusal !== null) return this.host.fail(op, actionOf(op.opcode), refusal);
    if (!this.heals.holds(store, op)) this.withFile(store, op);
  }

  /** A write to an extent that is not clean on disk, or to none. */
  private startWrite(store: ExtentStore, op: Operation): void {
    const refusal = this.appends.check(store, op);
    if (refusal !== null) return this.host.fail(op, actionOf(op.opcode), refusal);
    this.withFile(store, op);
  }

  /** One packet of OpReadTinyDeleteRecord or OpTinyExtentRepairRead. */
  stream(store: ExtentStore, op: Operation): void {
    this.streams.start(store, op);
  }

  /** OpMarkDelete. */
  delete(store: ExtentStore, op: Operation): void {
    this.deletes.start(store, op);
  }

  /** A delete inside a tiny extent that another replica has recorded. */
  deleteMissed(store: ExtentStore, op: Operation, missed: MissedRange): void {
    this.deletes.startMissed(store, op, missed);
  }

  /** A hole, a look at a block, or the healing of one, of an extent that is there. */
  openFor(store: ExtentStore, op: Operation): void {
    this.withFile(store, op);
  }

  /** About once a second: what deletes have left in memory. */
  purge(store: ExtentStore, nowMs: number): void {
    this.deletes.purge(store, nowMs);
  }

  /** See `ExtentSyncs.sync`. */
  syncExtent(store: ExtentStore, op: Operation): void {
    this.syncs.sync(store, op);
  }

  /** See `ExtentSyncs.syncWhole`. */
  syncWhole(store: ExtentStore, op: Operation): void {
    this.syncs.syncWhole(store, op);
  }

  /** Starts the operation when its extent's file is open. */
  private withFile(store: ExtentStore, op: Operation): void {
    const handle = this.files.acquire(store, store.table.find(op.extentId));
    if (handle.state === HANDLE_STATE.ready) return this.startAccess(handle, op);
    this.waiting += 1;
    handle.waiting.push(op);
  }

  /**
   * Takes a store out of service: its operations fail with `message`, except reads that an I/O thread is filling slots for, which end by themselves; its
   * files are closed as their uses end. With entries in the batch, which may name its files, this happens at the first `advance` after they have run.
   */
  retire(store: ExtentStore, message: string): void {
    if (this.host.disk.batch.length > 0) {
      this.retiring.push({ store, message });
      return;
    }
    store.closed = true;
    this.detach(store);
    this.creates.failWaiting(store, message);
    this.dirty.failWaiting(store, message);
    this.waits.failWaiting(store, message);
    this.tinyAppends.failWaiting(store, ACTION.prepare, message);
    this.deletes.failWaiting(store, message);
    this.commits.failAll(store.folderWaiting, message);
    this.commits.failAll(store.folderRunning, message);
    for (const handle of this.files.handles) {
      if (handle.store !== store || handle.state === HANDLE_STATE.closing) continue;
      if (handle.creating !== null) this.creates.abandon(handle, message);
      this.failWaiting(handle, message);
      this.commits.failAll(handle.syncWaiting, message);
      this.commits.failAll(handle.syncRunning, message);
      this.files.retire(handle);
    }
    this.closeOwnFiles(store);
  }

  /**
   * Syncs and closes the open extents of a store, synchronously. Result 0, or the first negated errno. No operation of it may be parked; a file that is
   * being synced or closed to make room is left to that.
   */
  closeExtents(store: ExtentStore): number {
    let first = 0;
    for (const handle of this.files.handles) {
      if (handle.store !== store || handle.state !== HANDLE_STATE.ready) continue;
      const synced = handle.dirty ? this.host.disk.fdatasync(handle.fd) : 0;
      const closed = handle.users === 0 ? this.files.closeNow(handle) : 0;
      if (first === 0) first = Math.min(synced, closed, 0);
    }
    return first;
  }

  /** Starts the waiting operations of opened files as long as the batch has room. */
  private drain(): void {
    let done = 0;
    for (const handle of this.draining) {
      // A handle can have been closed, and even opened again for another extent, since it was listed.
      while (handle.state === HANDLE_STATE.draining) {
        if (!this.hasRoom()) {
          this.draining.splice(0, done);
          return;
        }
        const op = handle.waiting.shift();
        if (op === null) {
          this.files.becomeReady(handle);
        } else {
          this.waiting -= 1;
          this.startAccess(handle, op);
        }
      }
      done += 1;
    }
    this.draining.length = 0;
  }

  private startAccess(handle: ExtentHandle, op: Operation): void {
    if (op.internal && isInternalOp(op.opcode)) this.startInternal(handle, op);
    else if (changesExtent(op.opcode)) this.appends.start(handle, op);
    else if (op.opcode === OP.markDelete) this.deletes.startOpened(handle, op);
    else if (op.opcode === OP.tinyExtentRepairRead) this.streams.startOpened(handle, op);
    else this.reads.start(handle, op);
  }

  private startInternal(handle: ExtentHandle, op: Operation): void {
    if (op.opcode === INTERNAL_OP.tinyHole) this.holes.start(handle, op);
    else if (op.opcode === INTERNAL_OP.readBlock) this.looks.start(handle, op);
    else if (op.opcode === INTERNAL_OP.healBlock) this.heals.start(handle, op);
    else if (op.opcode === INTERNAL_OP.syncExtent) this.syncs.opened(handle, op);
    else this.deletes.startOpened(handle, op);
  }

  private opened(handle: ExtentHandle): void {
    if (handle.creating !== null) this.creates.fileCreated(handle);
    if (handle.waiting.isEmpty) this.files.becomeReady(handle);
    else this.draining.push(handle);
  }

  private openFailed(handle: ExtentHandle, errno: number): void {
    const store = handle.store!;
    if (handle.creating !== null) {
      this.creates.fileFailed(handle, errno);
      return this.failWaiting(handle, ERROR_TEXT.extentNotFound, errno);
    }
    reportDiskError(this.host, errno, false);
    const missing = errno === -ENOENT;
    const text = missing
      ? extentFileMissing(store.partitionId, handle.extentId, handle.path)
      : `open ${handle.path}: ${this.host.disk.errnoText(errno)}`;
    this.host.log('error', text, { partition: store.partitionId, extent: handle.extentId });
    this.failWaiting(handle, text, errno);
  }

  private failWaiting(handle: ExtentHandle, message: string, errno = 0): void {
    for (let op = handle.waiting.shift(); op !== null; op = handle.waiting.shift()) {
      this.waiting -= 1;
      op.ioError = errno;
      this.host.fail(op, actionOf(op.opcode), message);
    }
  }

  /** Closes the own files of a retired store when no work uses them. */
  private closeOwnFiles(store: ExtentStore): void {
    if (!store.closed || store.ownFdUsers > 0 || store.ownFdsClosed) return;
    store.ownFdsClosed = true;
    for (const fd of store.ownFds) this.closeOwnFile(fd);
  }

  /** A full I/O queue has not closed it. */
  private closeOwnFile(fd: number): void {
    this.host.disk.submitClose(fd, ({ result }) => {
      if (result === -EAGAIN) this.closeOwnFile(fd);
    });
  }
}
