/**
 * A data partition: identity, status, space, and the dispatch of its operations. Owned by one worker thread; made by `diskLoad.ts`.
 */
import {
  ACTION,
  ERROR_TEXT,
  extentCountExhausted,
  noTinyExtentAvailable,
  parameterMismatch,
  unknownOpcode,
} from '../protocol/errors.js';
import { decodeTinyIds, type ExtentInfo, encodeExtentList } from '../protocol/extentInfo.js';
import { actionOf, isInternalOp, isWriteOp, OP, UNKNOWN_OPCODE_ACTION } from '../protocol/opcodes.js';
import { decodeUint64Body, encodeMaxExtentIdAndSize, encodeUint64Body } from '../protocol/queries.js';
import { EXTENT_FLAG } from '../storage/extentTable.js';
import {
  EXTENTS_MAX,
  EXTENTS_READ_ONLY,
  isTinyExtent,
  type Status,
  TINY_EXTENT_LAST,
} from '../storage/layout.js';
import { formatCreateTime, type PartitionMeta, writeMeta } from '../storage/metaFile.js';
import { TINY_STATE } from '../storage/tinyExtents.js';
import type { ExtentStore } from './extentStore.js';
import { InternalRequests } from './internalRequests.js';
import type { Operation } from './operation.js';
import { normalWatermarks, replicaSnapshot, sizeSum, tinyWatermarks } from './queries.js';
import type { RaftApply } from './raftApply.js';
import type { GroupBeginner, RaftGate } from './raftGate.js';
import { proposeRandomWrite } from './randomWrites.js';
import type { StoreGroup } from './storeGroup.js';
import type { StoreHost } from './storeHost.js';

export interface Peer {
  id: number;
  addr: string;
}

/** ExtentType of a packet that addresses tiny extents. */
const TINY = 0;
/** Tiny extents are looked after this often, as in the reference (`repair.md`). */
const TINY_REPAIR_INTERVAL_MS = 120_000;

export class Partition {
  readonly id: number;
  readonly volume: string;
  readonly sizeBytes: number;
  /** Folder of the partition, and its disk's root. */
  readonly path: string;
  readonly root: string;
  /** 0 normal, 1 created by a decommission. */
  createType: number;
  /** Row in the table of its worker, which alone sets and uses it; -1: none. */
  tableRow = -1;
  hosts: string[];
  peers: Peer[];
  /**
   * Current replicas as the master lists them, the first being the primary; META's hosts until it has told. Never saved: who is a member is decided by the group,
   * and this list may be ten minutes behind.
   */
  replicas: readonly string[];
  private meta: PartitionMeta;
  /** What raft has committed, on its way into the store; null while no group is served. */
  raftApply: RaftApply | null = null;
  /** The group of this partition; null: it has not begun here, or is gone. */
  raft: RaftGate | null = null;
  /** Who begins its group when it has joined; null where no groups run. */
  beginner: GroupBeginner | null = null;
  /** What all replicas have applied durably, as the leader has told in this life (`raft.md` 5.7); 0: not yet. */
  minAppliedId = 0;
  /** Applied raft index as found in APPLY. */
  readonly appliedIndex: number;
  readonly store: ExtentStore;
  readonly host: StoreHost;
  private readonly stores: StoreGroup;
  /** The disk failed while this partition was on it: sticks until the next start. */
  private unavailable = false;
  private nextTinyRepairMs = 0;
  private readonly internal: InternalRequests;

  constructor(
    stores: StoreGroup,
    root: string,
    store: ExtentStore,
    meta: PartitionMeta,
    appliedIndex: number,
  ) {
    this.meta = meta;
    this.id = meta.partitionId;
    this.volume = meta.volume;
    this.sizeBytes = meta.sizeBytes;
    this.path = store.path;
    this.root = root;
    this.createType = meta.createType;
    this.hosts = meta.hosts;
    this.peers = meta.peers;
    this.replicas = meta.hosts;
    this.appliedIndex = appliedIndex;
    this.store = store;
    this.stores = stores;
    this.host = stores.host;
    this.internal = new InternalRequests(this, stores);
    this.repairTinyExtents();
  }

  /** Bytes used, accounted in memory (`storage.md` 12, W17). */
  get usedBytes(): number {
    return this.store.usedBytes;
  }

  /** Extent records in memory, tiny ones included. */
  get extentCount(): number {
    return this.store.table.count;
  }

  /** It has no other replica. */
  get isLone(): boolean {
    return this.hosts.length === 1;
  }

  /** Leader of its raft group, or the only host. */
  get isLeader(): boolean {
    return this.isLone || (this.raft?.isLeader ?? false);
  }

  /** The applied index that a restart will find. */
  get durableAppliedId(): number {
    return this.raftApply?.durableApplied ?? this.appliedIndex;
  }

  /** The log of the group was cut up to here, as META says. */
  get lastTruncateId(): number {
    return this.meta.lastTruncateId;
  }

  /** The lower of its own status and its disk's (`admin.md` 7.2). */
  get status(): Status {
    const { health } = this.host;
    if (this.unavailable || health.status === -1) return -1;
    const full = this.usedBytes >= this.sizeBytes || this.extentCount >= EXTENTS_READ_ONLY;
    return full || health.status === 1 ? 1 : 2;
  }

  /**
   * Takes an operation whose fields stand as in its packet: ends it at once, or adds entries to `disk.batch` for it, or parks it until submitted work
   * completes. The batch must not be in flight and must have room for `ENTRIES_PER_OPERATION` entries.
   */
  execute(op: Operation): void {
    op.primary = !op.internal && (op.remainingFollowers > 0 || this.hosts.length === 1);
    op.replyCrc = op.crc;
    op.replyBytes = 0;
    op.replyBody = null;
    op.next = null;
    switch (op.opcode) {
      case OP.write:
      case OP.syncWrite:
        return this.write(op);
      case OP.randomWrite:
      case OP.syncRandomWrite:
        return proposeRandomWrite(this, op);
      case OP.streamRead:
        return this.readNewest(op);
      case OP.streamFollowerRead:
      case OP.extentRepairRead:
        return this.read(op);
      case OP.createExtent:
        return this.create(op);
      case OP.readTinyDeleteRecord:
        return this.stores.stream(this.store, op);
      case OP.tinyExtentRepairRead:
        if (this.lacks(op)) return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.contentMissing);
        return this.stores.stream(this.store, op);
      case OP.markDelete:
        return this.delete(op);
      case OP.getAllWatermarks:
        return this.watermarks(op);
      case OP.getAppliedId:
        return this.reply(op, encodeUint64Body(this.durableAppliedId));
      case OP.broadcastMinAppliedId:
        return this.learnMinApplied(op);
      case OP.getPartitionSize:
        return this.reply(op, encodeUint64Body(sizeSum(this.store, op.extentId).sizeBytes));
      case OP.getMaxExtentIdAndPartitionSize: {
        const { extentIdMax, sizeBytes } = sizeSum(this.store, Number.MAX_SAFE_INTEGER);
        return this.reply(op, encodeMaxExtentIdAndSize(extentIdMax, sizeBytes));
      }
      default:
        if (op.internal && isInternalOp(op.opcode)) return this.internal.execute(op);
        return this.host.fail(op, UNKNOWN_OPCODE_ACTION, unknownOpcode(op.opcode));
    }
  }

  /**
   * Other members, durable when 0 comes back; after a negated errno all is as it was. A partition that a decommission has created is a normal one from then on
   * (`raft.md` 5.9).
   */
  setMembers(peers: Peer[], hosts: string[]): number {
    const written = this.changeMeta({ peers, hosts, createType: 0 });
    if (written < 0) return written;
    this.peers = peers;
    this.hosts = hosts;
    this.createType = 0;
    return 0;
  }

  /** A partition that a decommission has created has caught up (`repair.md` 10): a normal one, durable when 0 comes back. After a negated errno all is as it was. */
  endJoining(): number {
    if (this.createType === 0) return 0;
    // A crash between the two leaves a mark too many, never a new replica that passes for an old one.
    const marked = this.beginner?.markAdded(this.id) ?? 0;
    const result = marked < 0 ? marked : this.setMembers(this.peers, this.hosts);
    if (result >= 0) this.beginner?.joined(this.id);
    return result;
  }

  /** The log of the group is cut up to here: META says so, durably when 0 comes back. */
  setTruncated(lastTruncateId: number): number {
    return this.changeMeta({ lastTruncateId });
  }

  /** A read that its group has confirmed: what is here now is what a leader answers. As `execute`. */
  readConfirmed(op: Operation): void {
    if (this.store.closed) return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.partitionNotExists);
    this.read(op);
  }

  /** What became of a forwarded tiny append on all replicas (`tinyLoans.ts`). An id that no tiny extent has is passed over. */
  settleTinyAppend(extentId: number, loan: number, acknowledged: boolean): void {
    if (isTinyExtent(extentId)) this.store.tinyLoans.settle(extentId, loan, acknowledged);
  }

  /** Files of this replica for the master, as JSON (`admin.md` 5.6). */
  snapshot(): Uint8Array {
    return replicaSnapshot(this.store, this.host.clock.nowMs());
  }

  /** About once a second. A failed disk takes its partitions with it for good. */
  tick(nowMs: number): void {
    if (this.host.health.status === -1) this.unavailable = true;
    this.stores.purge(this.store, nowMs);
    if (nowMs < this.nextTinyRepairMs) return;
    this.nextTinyRepairMs = nowMs + TINY_REPAIR_INTERVAL_MS;
    this.repairTinyExtents();
  }

  /**
   * A lone replica has nobody to disagree with: its broken tiny extents are available again, except those that an fdatasync has failed on. On several hosts
   * they wait for a repair round.
   */
  private repairTinyExtents(): void {
    if (this.hosts.length !== 1) return;
    const { table, tiny } = this.store;
    tiny.repairAll((id) => !table.has(table.find(id), EXTENT_FLAG.syncFailed));
  }

  private changeMeta(change: Partial<PartitionMeta>): number {
    const { disk, clock } = this.host;
    const meta = { ...this.meta, ...change, createTime: formatCreateTime(clock.nowMs()) };
    const written = writeMeta(disk, this.path, meta);
    if (written >= 0) this.meta = meta;
    return written;
  }

  /** A read of the leader. A lone replica whose group does not run has nobody who could know more. */
  private readNewest(op: Operation): void {
    const { raft } = this;
    const runs = raft !== null && raft.failure === null;
    if (this.isLone && (!runs || raft.readsAtOnce)) return this.read(op);
    if (!runs || !(raft.isLeader || this.isLone))
      return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.notRaftLeader);
    raft.confirmRead(op);
  }

  /** A read of what is here. */
  private read(op: Operation): void {
    if (this.lacks(op)) return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.contentMissing);
    this.stores.accessExtent(this.store, op);
  }

  /** Whether raft has changed something of these bytes that this replica could not write; the only member has nobody who could. This node's own threads compare. */
  private lacks({ extentId, extentOffset, size, internal }: Operation): boolean {
    const missing = this.raftApply?.missing;
    if (missing === undefined || missing.count === 0 || internal || this.peers.length < 2) return false;
    return missing.lacks(extentId, extentOffset, extentOffset + size);
  }

  private learnMinApplied(op: Operation): void {
    const { size, region, bufferOffset, bufferBytes } = op;
    const body = this.host.regions[region]!.slice(bufferOffset, bufferOffset + Math.min(size, bufferBytes));
    const id = decodeUint64Body(body);
    if (id === null) return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.argLenMismatch);
    if (id > 0) this.minAppliedId = id;
    this.host.finish(op);
  }

  /** Order of checks: `wire.md` 6.1, 6.2, 9.2. */
  private write(op: Operation): void {
    if (packetCrcIsWrong(op)) return this.host.fail(op, ACTION.prepare, ERROR_TEXT.crcMismatch);
    if (!op.internal && this.isFull()) return this.host.fail(op, ACTION.prepare, ERROR_TEXT.noSpace);
    const assigned = op.extentType === TINY && op.primary;
    if (assigned && this.store.tiny.count(TINY_STATE.broken) === TINY_EXTENT_LAST) {
      return this.host.fail(op, ACTION.prepare, noTinyExtentAvailable(this.id));
    }
    const refusal = this.diskRefusal();
    if (refusal !== null) return this.host.fail(op, actionOf(op.opcode), refusal);
    if (!assigned) this.stores.accessExtent(this.store, op);
    else if (op.size === 0) this.host.fail(op, actionOf(op.opcode), parameterMismatch(0, 0));
    else this.stores.appendTiny(this.store, op);
  }

  /** A full or read-only disk takes deletes. */
  private delete(op: Operation): void {
    if (this.unavailable || this.host.health.status === -1) {
      return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.brokenDisk);
    }
    this.stores.delete(this.store, op);
  }

  private create(op: Operation): void {
    if (this.isFull()) return this.host.fail(op, ACTION.prepare, ERROR_TEXT.noSpace);
    if (op.primary && this.extentCount + this.store.idWaiters >= EXTENTS_MAX) {
      return this.host.fail(op, ACTION.prepare, extentCountExhausted(this.id));
    }
    const refusal = this.diskRefusal();
    if (refusal !== null) return this.host.fail(op, actionOf(op.opcode), refusal);
    this.stores.create(this.store, op);
  }

  private watermarks(op: Operation): void {
    let extents: ExtentInfo[];
    if (op.extentType === TINY) {
      const region = this.host.regions[op.region]!;
      // A copy: text decoding refuses shared memory.
      const ids = decodeTinyIds(region.slice(op.bufferOffset, op.bufferOffset + op.size));
      if (!ids.ok) return this.host.fail(op, actionOf(op.opcode), ids.message);
      extents = tinyWatermarks(this.store, ids.value);
    } else {
      extents = normalWatermarks(this.store, this.host.clock.nowMs());
    }
    this.reply(op, encodeExtentList(extents));
  }

  /** Answers with a body: in the slot where it fits. */
  private reply(op: Operation, body: Uint8Array): void {
    if (body.byteLength <= op.bufferBytes) {
      this.host.regions[op.region]!.set(body, op.bufferOffset);
      op.replyBytes = body.byteLength;
    } else if (op.internal) {
      return this.host.fail(
        op,
        actionOf(op.opcode),
        `an answer of ${body.byteLength} bytes does not fit its slot`,
      );
    } else {
      op.replyBody = body;
    }
    this.host.finish(op);
  }

  private isFull(): boolean {
    return this.usedBytes >= this.sizeBytes;
  }

  /** What the disk's state forbids (`wire.md` 9.1). */
  diskRefusal(): string | null {
    const { health } = this.host;
    if (this.unavailable || health.status === -1) return ERROR_TEXT.brokenDisk;
    return health.status === 1 || health.space.isExhausted ? ERROR_TEXT.noSpace : null;
  }
}

/** Whether a write's body is not what its packet says. The first check of all, before the partition is looked up (`wire.md` 6.1). */
export function packetCrcIsWrong(op: Operation): boolean {
  return isWriteOp(op.opcode) && op.crc !== op.bodyCrc;
}
