/**
 * What the repair thread asks of a partition about what is missing there (`internalOps.ts`, docs/raft.md "What is missing"): lists, copies, what is to be forgotten, and the beginning of a comparison. Owned by the partition's
 * `InternalRequests`.
 */
import { ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { BLOCK_BYTES } from '../storage/layout.js';
import { viewExtent } from './applyDecision.js';
import { PAGE_END, pageOfMissing } from './extentPages.js';
import { INTERNAL_OP } from './internalOps.js';
import { FILL_HEADER_BYTES, readFillHeader } from './internalRecords.js';
import type { MissingFile } from './missingFile.js';
import type { Operation } from './operation.js';
import type { Partition } from './partition.js';
import type { RaftApply } from './raftApply.js';

/** Opcodes that `execute` takes. */
const MISSING_OPS = new Set<number>([
  INTERNAL_OP.compareAll,
  INTERNAL_OP.forgetMissing,
  INTERNAL_OP.fillMissing,
  INTERNAL_OP.listMissing,
]);

export class MissingRequests {
  private readonly partition: Partition;

  constructor(partition: Partition) {
    this.partition = partition;
  }

  /** Takes an operation if it is one of these. */
  execute(op: Operation): boolean {
    if (!MISSING_OPS.has(op.opcode)) return false;
    const { raftApply, host } = this.partition;
    if (raftApply === null) host.fail(op, actionOf(op.opcode), ERROR_TEXT.raftNotExists);
    else this.carryOut(op, raftApply);
    return true;
  }

  private carryOut(op: Operation, apply: RaftApply): void {
    const { host } = this.partition;
    switch (op.opcode) {
      case INTERNAL_OP.listMissing:
        return this.list(op, apply);
      case INTERNAL_OP.fillMissing:
        return this.fill(op, apply);
      case INTERNAL_OP.forgetMissing:
        if (op.extentOffset < 0) return this.refuse(op);
        apply.missing.forget(op.extentId, op.extentOffset);
        return host.finish(op);
      default:
        if (apply.missing.compareFrom > 0) apply.compareAll();
        return host.finish(op);
    }
  }

  private list(op: Operation, { missing }: Pick<RaftApply, 'missing'>): void {
    if (op.extentOffset < 0) return this.refuse(op);
    if (op.extentOffset === 0) this.forgetDeleted(missing);
    const { bytes, next } = pageOfMissing(missing.ranges, op.extentOffset, this.slot(op));
    // A slot without room for one extent would ask for the same page for ever.
    if (next !== PAGE_END && bytes === 0) return this.refuse(op);
    op.replyBytes = bytes;
    op.extentOffset = next;
    this.partition.host.finish(op);
  }

  private forgetDeleted(missing: MissingFile): void {
    for (const id of missing.ranges.extentIds)
      if (viewExtent(this.partition.store, id).state === 'deleted') missing.forget(id, 0);
  }

  private fill(op: Operation, apply: RaftApply): void {
    const { host } = this.partition;
    const { size, bufferBytes, extentId, extentOffset: from, bufferOffset } = op;
    if (size < FILL_HEADER_BYTES || size > bufferBytes || from < 0) return this.refuse(op);
    const { appliedIndex, bytes } = readFillHeader(this.slot(op), 0);
    const given = size - FILL_HEADER_BYTES;
    const sane = Number.isSafeInteger(appliedIndex) && Number.isSafeInteger(from + bytes);
    if (!sane || bytes <= 0 || (given > 0 && (given !== bytes || given > BLOCK_BYTES)))
      return this.refuse(op);
    if (host.health.status === -1) return host.fail(op, actionOf(op.opcode), ERROR_TEXT.brokenDisk);
    if (given === 0) {
      apply.missing.copied(extentId, from, from + bytes, appliedIndex);
      op.extentOffset = 0;
      return host.finish(op);
    }
    // The slot is the operation's until it ends.
    const at = bufferOffset + FILL_HEADER_BYTES;
    const copy = { extentId, from, appliedIndex, bytes: host.regions[op.region]!.subarray(at, at + given) };
    apply.fill(copy, (writtenBytes, problem) => {
      op.extentOffset = writtenBytes;
      if (problem === null) host.finish(op);
      else host.fail(op, actionOf(op.opcode), problem);
    });
  }

  private slot({ region, bufferOffset, bufferBytes }: Operation): DataView {
    const { buffer, byteOffset } = this.partition.host.regions[region]!;
    return new DataView(buffer, byteOffset + bufferOffset, bufferBytes);
  }

  private refuse(op: Operation): void {
    this.partition.host.fail(op, actionOf(op.opcode), parameterMismatch(op.extentOffset, op.size));
  }
}
