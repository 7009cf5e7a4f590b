/**
 * What a partition does for the node's own threads (`internalOps.ts`): answers from memory, and the way of everything else into the stores. Owned by its partition.
 */
import { ERROR_TEXT, parameterMismatch, unknownOpcode } from '../protocol/errors.js';
import { actionOf, UNKNOWN_OPCODE_ACTION } from '../protocol/opcodes.js';
import { TINY_DELETE_RECORD_BYTES } from '../protocol/tinyDelete.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { BLOCK_BYTES, FILE, isTinyExtent } from '../storage/layout.js';
import { TINY_STATE } from '../storage/tinyExtents.js';
import {
  PAGE_END,
  type Page,
  pageOfDeleted,
  pageOfExtents,
  pageOfFindings,
  pageOfTiny,
  sizeOf,
} from './extentPages.js';
import { INTERNAL_OP, LIST } from './internalOps.js';
import {
  MISSED_RANGE_BYTES,
  PARTITION_INFO_BYTES,
  readMissedRange,
  TINY_DELETE_FILE_BYTES_MAX,
  writePartitionInfo,
} from './internalRecords.js';
import { reportDiskError } from './ioErrors.js';
import { MissingRequests } from './missingRequests.js';
import type { Operation } from './operation.js';
import type { Partition } from './partition.js';
import { sizeSum } from './queries.js';
import type { StoreGroup } from './storeGroup.js';
import { JUDGED } from './waitingBlocks.js';

export class InternalRequests {
  private readonly partition: Partition;
  private readonly stores: StoreGroup;
  private readonly missing: MissingRequests;

  constructor(partition: Partition, stores: StoreGroup) {
    this.partition = partition;
    this.stores = stores;
    this.missing = new MissingRequests(partition);
  }

  /** Takes an internal operation; as `Partition.execute`. */
  execute(op: Operation): void {
    const { store } = this.partition;
    switch (op.opcode) {
      case INTERNAL_OP.listExtents:
        return this.list(op);
      case INTERNAL_OP.describe:
        return this.describe(op);
      case INTERNAL_OP.listDeleted:
        return this.paged(op, (view) => pageOfDeleted(store, op.extentOffset, view, op.bufferBytes));
      case INTERNAL_OP.takeTiny:
        return this.takeTiny(op);
      case INTERNAL_OP.giveBackTiny:
        return this.giveBackTiny(op);
      case INTERNAL_OP.forgetRounds:
        store.tiny.forgetRounds();
        return this.partition.host.finish(op);
      case INTERNAL_OP.tinyHole:
        return this.changing(op, isTinyExtent(op.extentId), () => this.access(op));
      case INTERNAL_OP.extentSize:
        op.extentOffset = sizeOf(store, op.extentId);
        return this.partition.host.finish(op);
      case INTERNAL_OP.syncExtent:
        return this.stores.syncWhole(store, op);
      case INTERNAL_OP.createExtent:
        return this.changing(op, !isTinyExtent(op.extentId), () => this.create(op));
      case INTERNAL_OP.missedDelete:
        return this.missedDelete(op);
      case INTERNAL_OP.finishDeletes:
        return this.finishDeletes(op);
      case INTERNAL_OP.readBlock:
        return this.access(op);
      case INTERNAL_OP.healBlock:
        return this.changing(op, !isTinyExtent(op.extentId), () => this.access(op));
      case INTERNAL_OP.listFindings:
        return this.paged(op, (view) => {
          return pageOfFindings(this.stores.checksums.findings.listOf(store, op.extentOffset), view);
        });
      case INTERNAL_OP.blockJudged:
        return this.blockJudged(op);
      case INTERNAL_OP.endJoining:
        return this.endJoining(op);
      case INTERNAL_OP.raftState:
        return this.raftState(op);
      default:
        if (this.missing.execute(op)) return;
        return this.partition.host.fail(op, UNKNOWN_OPCODE_ACTION, unknownOpcode(op.opcode));
    }
  }

  private list(op: Operation): void {
    const { store, host } = this.partition;
    const { extentType, extentOffset, bufferBytes, size, bufferOffset } = op;
    if (extentType === LIST.tiny) {
      if (size > bufferBytes) return this.refuse(op);
      // A copy: the answer goes where the ids stand.
      const ids = host.regions[op.region]!.slice(bufferOffset, bufferOffset + size);
      return this.paged(op, (view) => pageOfTiny(store, ids, view, bufferBytes));
    }
    if (extentType !== LIST.quiet && extentType !== LIST.all) return this.refuse(op);
    const nowMs = host.clock.nowMs();
    this.paged(op, (view) => pageOfExtents(store, extentType, extentOffset, nowMs, view, bufferBytes));
  }

  private paged(op: Operation, write: (view: DataView) => Page): void {
    if (op.extentOffset < 0) return this.refuse(op);
    const { bytes, next } = write(this.slot(op));
    // A slot without room for a single record would ask for the same page for ever.
    if (bytes === 0 && next === op.extentOffset && next !== PAGE_END) return this.refuse(op);
    op.replyBytes = bytes;
    op.extentOffset = next;
    this.partition.host.finish(op);
  }

  private describe(op: Operation): void {
    const { store, createType, hosts, status, host } = this.partition;
    if (op.bufferBytes < PARTITION_INFO_BYTES) return this.refuse(op);
    const { sizeBytes, extentIdMax } = sizeSum(store, Number.MAX_SAFE_INTEGER);
    const { tiny } = store;
    writePartitionInfo(this.slot(op), 0, {
      tinyDeletePosition: store.tinyDeleteOffset,
      tinyDeleteEnd: store.tinyDeleteEnd,
      createType,
      hosts: hosts.length,
      extents: store.table.count,
      extentIdMax,
      sizeBytes,
      deletedIds: store.deletedIds.size,
      tinyAvailable: tiny.count(TINY_STATE.available),
      tinyWriting: tiny.count(TINY_STATE.writing),
      tinyBroken: tiny.count(TINY_STATE.broken),
      tinyRepairing: tiny.count(TINY_STATE.repairing),
      status,
    });
    op.replyBytes = PARTITION_INFO_BYTES;
    host.finish(op);
  }

  private takeTiny(op: Operation): void {
    const { store, host } = this.partition;
    if (op.bufferBytes < store.tiny.idCount) return this.refuse(op);
    const ids = store.tiny.takeForRepair();
    host.regions[op.region]!.set(ids, op.bufferOffset);
    op.replyBytes = ids.length;
    host.finish(op);
  }

  private giveBackTiny(op: Operation): void {
    const { store, host } = this.partition;
    const { size, bufferBytes, bufferOffset } = op;
    if (size > bufferBytes || size % 2 !== 0) return this.refuse(op);
    const region = host.regions[op.region]!;
    for (let at = bufferOffset; at < bufferOffset + size; at += 2) {
      const id = region[at]!;
      if (!isTinyExtent(id)) continue;
      const row = store.table.find(id);
      const sound = row !== NONE && !store.table.has(row, EXTENT_FLAG.syncFailed);
      store.tiny.repaired(id, sound && region[at + 1] === 1);
    }
    host.finish(op);
  }

  /** Something that needs a disk that takes writes. The partition may be full: what repair brings, the others have already. */
  private changing(op: Operation, sane: boolean, go: () => void): void {
    if (!sane) return this.refuse(op);
    const refusal = this.partition.diskRefusal();
    if (refusal !== null) return this.partition.host.fail(op, actionOf(op.opcode), refusal);
    go();
  }

  /** Something with an extent's file. */
  private access(op: Operation): void {
    const { store, host } = this.partition;
    if (sizeOf(store, op.extentId) < 0) return host.fail(op, actionOf(op.opcode), ERROR_TEXT.extentNotFound);
    this.stores.openFor(store, op);
  }

  private create(op: Operation): void {
    const { store, host } = this.partition;
    if (store.isDeletedForGood(op.extentId)) {
      return host.fail(op, actionOf(op.opcode), ERROR_TEXT.extentDeleted);
    }
    this.stores.create(store, op);
  }

  private missedDelete(op: Operation): void {
    const { store, host } = this.partition;
    if (op.size !== MISSED_RANGE_BYTES || op.size > op.bufferBytes) return this.refuse(op);
    const missed = readMissedRange(this.slot(op), 0);
    if (missed.recordAt >= TINY_DELETE_FILE_BYTES_MAX) return this.refuse(op);
    if (this.partition.status === -1) return host.fail(op, actionOf(op.opcode), ERROR_TEXT.brokenDisk);
    this.stores.deleteMissed(store, op, missed);
  }

  private finishDeletes(op: Operation): void {
    const { store, host } = this.partition;
    const { extentOffset } = op;
    const sane = extentOffset >= 0 && extentOffset <= TINY_DELETE_FILE_BYTES_MAX;
    if (!sane || extentOffset % TINY_DELETE_RECORD_BYTES !== 0) return this.refuse(op);
    store.tinyDeleteOffset = Math.max(store.tinyDeleteOffset, extentOffset);
    host.finish(op);
  }

  private blockJudged(op: Operation): void {
    const { extentId, extentOffset } = op;
    const judged = Object.values(JUDGED).find((each) => each === op.size);
    if (extentOffset < 0 || extentOffset % BLOCK_BYTES !== 0 || judged === undefined) return this.refuse(op);
    const place = { partitionId: this.partition.id, extentId, block: extentOffset / BLOCK_BYTES };
    this.stores.waits.judged(place, judged);
    this.partition.host.finish(op);
  }

  private endJoining(op: Operation): void {
    const { partition } = this;
    const result = partition.endJoining();
    if (result >= 0) return partition.host.finish(op);
    reportDiskError(partition.host, result, true);
    const problem = `write ${partition.path}/${FILE.meta}: ${partition.host.disk.errnoText(result)}`;
    partition.host.fail(op, actionOf(op.opcode), problem);
  }

  private raftState(op: Operation): void {
    const { raft, raftApply, durableAppliedId, host } = this.partition;
    const runs = raft !== null && raft.failure === null;
    op.extentOffset = runs ? durableAppliedId : -1;
    op.remainingBytes = raftApply?.appliedIndex ?? 0;
    const wantsComparison = runs && (raftApply?.missing.compareFrom ?? 0) > 0;
    op.holeBytes = (runs && raft.isLeader ? 1 : 0) + (wantsComparison ? 2 : 0);
    op.extentId = runs ? (raftApply?.missing.ranges.count ?? 0) : 0;
    host.finish(op);
  }

  private slot({ region, bufferOffset, bufferBytes }: Operation): DataView {
    const { buffer, byteOffset } = this.partition.host.regions[region]!;
    return new DataView(buffer, byteOffset + bufferOffset, bufferBytes);
  }

  private refuse(op: Operation): void {
    this.partition.host.fail(op, actionOf(op.opcode), parameterMismatch(op.extentOffset, op.size));
  }
}
