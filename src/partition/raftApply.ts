/**
 * The state machine of one partition's group (`docs/raft.md`, Applying): carries out what raft has committed, through the store's own way of writing.
 *
 * Entries start in index order, several at a time where they change different extents, and end in index order. What is not carried out here is recorded before its
 * end (`missingFile.ts`). A full disk pauses, a failing one stops; nothing is passed over. Owned by the partition's worker; entries of the batch are added in `advance`
 * only.
 */
import assert from 'node:assert';
import { ERROR_TEXT } from '../protocol/errors.js';
import { ENTRY_TYPE, type RaftEntry, type RaftPeer, type SnapshotMeta } from '../protocol/raftStructs.js';
import type { StateMachine } from '../raft/types.js';
import { wholeBlocks } from '../storage/crcFile.js';
import { FILE, isTinyExtent } from '../storage/layout.js';
import {
  type AfterFailure,
  afterFailure,
  applyError,
  checkProposal,
  decideApply,
  decodeCommand,
  type ProposedWrite,
  viewExtent,
} from './applyDecision.js';
import { type ApplyDone, type Applying, ApplyQueue } from './applyQueue.js';
import { ApplySave, type SavesFor } from './applySave.js';
import type { Applier, ApplyLane, ApplyTurns } from './applyTurns.js';
import type { ExtentStore } from './extentStore.js';
import { type ApplyListener, GroupMembers } from './groupMembers.js';
import { reportDiskError } from './ioErrors.js';
import { MissingFile } from './missingFile.js';
import { type Copy, type CopyDone, type FillsFor, MissingFills } from './missingFills.js';
import type { Operation, OperationOwner } from './operation.js';
import type { Partition } from './partition.js';
import { extentsOf } from './queries.js';
import type { StoreGroup } from './storeGroup.js';
import type { StoreHost } from './storeHost.js';

/** Entries behind the oldest one that are looked at for one that can start. */
const WINDOW = 32;

export class RaftApply implements StateMachine, Applier, OperationOwner, SavesFor, FillsFor {
  readonly store: ExtentStore;
  readonly missing: MissingFile;
  private readonly partition: Partition;
  private readonly stores: StoreGroup;
  private readonly host: StoreHost;
  private readonly turns: ApplyTurns;
  private readonly members: GroupMembers;
  private readonly listener: ApplyListener;
  private readonly save: ApplySave;
  private readonly fills: MissingFills;
  private readonly queue: ApplyQueue;
  private readonly byLane = new Map<Operation, Applying>();
  /** Entries that end when RAFT_MISSING is durable, and have not asked for that yet. */
  private recording: Applying[] = [];
  /** Nothing starts before the next tick. */
  private paused = false;
  /** The last entry that could not be carried out and is tried again; 0: none. */
  private heldUpAt = 0;
  private atRest = false;
  /** Extents that entries before the one that is looked at change. */
  private readonly blocked = new Set<number>();

  private constructor(
    stores: StoreGroup,
    partition: Partition,
    missing: MissingFile,
    nodeId: number,
    listener: ApplyListener,
  ) {
    this.stores = stores;
    this.host = stores.host;
    this.turns = stores.applies;
    this.partition = partition;
    this.store = partition.store;
    this.missing = missing;
    this.listener = listener;
    this.members = new GroupMembers(partition, nodeId, listener);
    this.queue = new ApplyQueue(partition.appliedIndex);
    this.save = new ApplySave(stores, missing, this, partition.appliedIndex);
    this.fills = new MissingFills(stores, this);
  }

  /**
   * Begins to serve a loaded partition. `nodeId`: this node's. A RAFT_MISSING that cannot be read is an error with its words: what is missing would not be known. The worker
   * calls the stores' `advance` after calls here.
   */
  static open(
    stores: StoreGroup,
    partition: Partition,
    nodeId: number,
    listener: ApplyListener,
  ): { ok: true; value: RaftApply } | { ok: false; message: string } {
    const { store, appliedIndex } = partition;
    const missing = new MissingFile(stores.host.disk, store.path, appliedIndex);
    if (missing.problem !== null) return { ok: false, message: missing.problem };
    const apply = new RaftApply(stores, partition, missing, nodeId, listener);
    partition.raftApply = apply;
    apply.turns.attach(apply);
    return { ok: true, value: apply };
  }

  /** Index of the last entry that has ended here. */
  get appliedIndex(): number {
    return this.queue.appliedIndex;
  }

  get durableApplied(): number {
    return this.save.durableIndex;
  }

  get lacksRoom(): boolean {
    return this.heldUpAt > this.appliedIndex;
  }

  get isHalted(): boolean {
    return this.queue.haltReason !== null;
  }

  /**
   * Before the first entry: where the log goes on, when that is not behind APPLY. Lower: what was applied is applied again. Higher: what lies between was cut from the
   * log, so that all contents are to be compared.
   */
  resumeAt(index: number): void {
    assert(this.queue.length === 0, 'entries are on their way');
    if (index > this.appliedIndex) this.missing.wantComparison(index);
    this.queue.appliedIndex = index;
  }

  apply(entry: RaftEntry, done: ApplyDone): void {
    const { type, index, data } = entry;
    if (type === ENTRY_TYPE.configurationChange) {
      return this.push({ index, act: (item) => this.changeMembers(item, data), done });
    }
    if (data.byteLength === 0) return this.push({ index, phase: 'ended', done });
    const decoded = decodeCommand(data);
    if ('command' in decoded) return this.push({ index, command: decoded.command, done });
    const error = applyError(index, this.partition.id, null, decoded.cause);
    this.push({ index, phase: 'ended', error, done });
  }

  keepMembers(peers: readonly RaftPeer[]): string | null {
    return this.members.keep(peers);
  }

  restore(meta: SnapshotMeta, done: ApplyDone): void {
    const act = (item: Applying): void => {
      this.queue.appliedIndex = meta.index;
      this.missing.wantComparison(meta.index);
      item.phase = 'running';
      this.save.whenSaved(() => this.queue.end(item, null));
    };
    this.push({ index: meta.index, act, done });
  }

  /** What forbids to propose this write, as the text of the error reply; null when nothing does. */
  proposalRefusal(write: ProposedWrite): string | null {
    const { health } = this.host;
    return checkProposal(write, {
      partitionId: this.partition.id,
      diskPath: this.partition.root,
      diskFailed: health.status === -1,
      diskFull: health.status === 1 || health.space.isExhausted,
      extent: viewExtent(this.store, write.extentId),
    });
  }

  /** Writes what is missing here of a copy from another replica. */
  fill(copy: Copy, done: CopyDone): void {
    this.fills.add(copy, done);
  }

  /** Begins the comparison that a snapshot has asked for (`MissingFile.compareAll`). */
  compareAll(): void {
    this.missing.compareAll(extentsOf(this.store), this.queue.lastIndex);
    this.wake();
  }

  /** An entry that changes the extent is in the store's hands. */
  isChanging(extentId: number): boolean {
    for (const item of this.byLane.values()) if (item.command!.extentId === extentId) return true;
    return false;
  }

  /** Bytes of an extent are not those any more that the last save has made durable. */
  changed(extentId: number): void {
    this.save.written(extentId);
  }

  wake(): void {
    this.turns.wake(this);
  }

  advance(hasRoom: () => boolean): boolean {
    if (this.host.health.status === -1 && this.queue.length > 0) this.halt(ERROR_TEXT.brokenDisk);
    const again = this.paused || this.atRest || this.isHalted ? false : this.start(hasRoom);
    if (this.atRest) this.fills.endWaiting();
    const filling = this.atRest ? false : this.fills.advance(hasRoom);
    const recording = this.record();
    return this.save.advance() || recording || filling || again;
  }

  tick(): void {
    if (this.paused) this.wake();
    this.paused = false;
    const saves = !this.atRest && !this.isHalted && this.host.health.status !== -1;
    if (saves) this.save.tick();
  }

  comeToRest(): boolean {
    this.atRest = true;
    this.fills.endWaiting();
    const writes = this.byLane.size + this.fills.running + this.recording.length;
    return writes === 0 && !this.missing.busy && !this.save.isActive;
  }

  /** At a stop, at rest and with all extents synced: RAFT_MISSING and APPLY. 0 or a negated errno. Nothing is saved of a replica that has halted. */
  close(): number {
    this.turns.detach(this);
    return this.isHalted ? 0 : this.save.saveNow();
  }

  /** The partition goes away: what has not ended does not. */
  abandon(reason: string): void {
    this.queue.halt(reason);
    this.turns.detach(this);
    // Copies that wait end.
    this.wake();
  }

  /** Nothing more is applied, and APPLY does not move. */
  halt(reason: string): void {
    if (this.isHalted) return;
    this.host.log('error', `applying has stopped: ${reason}`, { partition: this.partition.id });
    const oldest = this.queue.at(0);
    this.queue.halt(reason);
    this.listener.halted(oldest === undefined ? reason : this.errorOf(oldest, reason));
  }

  operationEnded(op: Operation, problem: string | null): void {
    const item = this.byLane.get(op)!;
    this.byLane.delete(op);
    this.turns.giveLane(item.lane!);
    item.lane = null;
    item.phase = 'waiting';
    if (problem === null) this.wrote(item, op);
    else this.failed(item, op.ioError, problem);
    this.queue.settle();
    this.wake();
  }

  private push(item: Parameters<ApplyQueue['push']>[0]): void {
    this.queue.push(item);
    this.wake();
  }

  /** Starts what can start; true when a lane or room is lacking. */
  private start(hasRoom: () => boolean): boolean {
    this.blocked.clear();
    let again = false;
    for (let at = 0; at < WINDOW && !this.paused && !this.isHalted; at += 1) {
      const item = this.queue.at(at);
      if (item === undefined) break;
      if (this.mayBegin(item, at)) {
        if (!hasRoom() || !this.begin(item)) again = true;
        // What has ended at once is not in the queue any more: from the oldest again.
        if (this.queue.at(at) !== item) {
          at = -1;
          again = false;
          this.blocked.clear();
          continue;
        }
      }
      if (item.act !== null) break;
      if (item.phase !== 'ended') this.blocked.add(item.command!.extentId);
    }
    return again;
  }

  private mayBegin(item: Applying, at: number): boolean {
    if (item.phase !== 'waiting') return false;
    return item.act === null ? !this.blocked.has(item.command!.extentId) : at === 0;
  }

  /** False when it lacks a lane. */
  private begin(item: Applying): boolean {
    if (item.act !== null) {
      item.act(item);
      return true;
    }
    const command = item.command!;
    const decision = decideApply(command, viewExtent(this.store, command.extentId));
    if (decision.kind === 'missing') this.miss(item, decision.cause);
    else if (decision.kind !== 'write') this.queue.end(item, this.errorOf(item, decision.cause));
    else if (item.written === command.sizeBytes) this.queue.end(item, null);
    else return this.write(item);
    return true;
  }

  /** False without a free lane. */
  private write(item: Applying): boolean {
    const lane = this.turns.takeLane();
    if (lane === null) return false;
    const { opcode, extentId, extentOffset, sizeBytes, crc, data } = item.command!;
    const size = Math.min(sizeBytes - item.written, lane.bufferBytes);
    const bytes = data.subarray(item.written, item.written + size);
    this.host.regions[lane.region]!.set(bytes, lane.bufferOffset);
    const at = extentOffset + item.written;
    lane.prepare(this, { opcode, extentId, extentOffset: at, size, crc, bodyCrc: crc });
    if (!isTinyExtent(extentId) && wholeBlocks(extentOffset, size) > 0) this.checkCrc(item, lane);
    item.lane = lane;
    item.phase = 'running';
    this.byLane.set(lane, item);
    this.stores.accessExtent(this.store, lane);
    return true;
  }

  /** The checksum of a whole block is stored: nobody has compared it with the data so far (W30). */
  private checkCrc(item: Applying, lane: ApplyLane): void {
    lane.bodyCrc = this.host.crc32(lane.region, lane.bufferOffset, lane.size);
    if (lane.bodyCrc === lane.crc) return;
    const { id } = this.partition;
    const where = { partition: id, extent: lane.extentId, index: item.index };
    this.host.log('warn', 'a random write is not what its checksum says: written without one', where);
  }

  private wrote(item: Applying, { extentId, extentOffset, size }: Operation): void {
    this.changed(extentId);
    this.missing.cut(extentId, extentOffset, extentOffset + size, item.index);
    item.written += size;
    if (item.written === item.command!.sizeBytes) this.queue.end(item, null);
  }

  private failed(item: Applying, errno: number, problem: string): void {
    if (this.store.closed) return this.halt(ERROR_TEXT.partitionNotExists);
    const after = afterFailure(errno);
    if (after === 'missing') this.miss(item, problem);
    else this.holdUp(after, problem, item);
  }

  /** The range is not written here; the entry ends when that is durable. */
  private miss(item: Applying, cause: string): void {
    const { extentId, extentOffset, sizeBytes } = item.command!;
    item.error = this.errorOf(item, cause);
    if (sizeBytes > 0 && viewExtent(this.store, extentId).state !== 'deleted') {
      const range = { from: extentOffset, to: extentOffset + sizeBytes, index: item.index };
      this.missing.add(extentId, range);
    }
    if (!this.missing.isUnsaved && !this.missing.busy) return this.queue.end(item, item.error);
    item.phase = 'running';
    this.recording.push(item);
  }

  /** Writes RAFT_MISSING for those who wait; true without a free lane. */
  private record(): boolean {
    if (this.recording.length === 0 || this.missing.busy) return false;
    const lane = this.turns.takeLane();
    if (lane === null) return true;
    const items = this.recording;
    this.recording = [];
    const { host, store } = this;
    this.missing.save({ host, isGone: () => store.closed }, lane, false, (result) => {
      this.turns.giveLane(lane);
      for (const item of items) {
        if (result >= 0) this.queue.end(item, item.error);
        else item.phase = 'waiting';
      }
      if (result < 0) this.holdUpAt(FILE.raftMissing, result, items[0]!);
      this.wake();
    });
    return false;
  }

  private changeMembers(item: Applying, data: Uint8Array): void {
    const result = this.members.change(data, item.index);
    if (result < 0) this.holdUpAt(FILE.meta, result, item);
    else this.queue.end(item, null);
  }

  private holdUpAt(file: string, errno: number, item: Applying): void {
    const { disk } = this.host;
    reportDiskError(this.host, errno, true);
    const problem = `write ${this.store.path}/${file}: ${disk.errnoText(errno)}`;
    this.holdUp(this.store.closed ? 'stop' : afterFailure(errno), problem, item);
  }

  /** Nothing is passed over: a failing disk ends it, everything else is tried again at the next tick. */
  private holdUp(after: AfterFailure, problem: string, { index }: Applying): void {
    if (after === 'stop') return this.halt(problem);
    this.paused = true;
    this.heldUpAt = index;
    this.host.log('warn', `applying pauses: ${problem}`, { partition: this.partition.id });
  }

  private errorOf(item: Applying, cause: string): string {
    return applyError(item.index, this.partition.id, item.command, cause);
  }
}
