/**
 * This node's replica of one partition as its worker answers questions about it (`partition/internalOps.ts`): each question a method, bodies as values. What is done with the answers is decided elsewhere.
 */
import assert from 'node:assert';
import { INTERNAL_OP, LIST } from '../partition/internalOps.js';
import {
  FILL_HEADER_BYTES,
  type ListedFinding,
  MISSED_DELETE,
  MISSED_RANGE_BYTES,
  type MissedRange,
  type MissingPart,
  type PartitionInfo,
  readExtentRecords,
  readFindings,
  readIds,
  readMissingParts,
  readPartitionInfo,
  writeFillHeader,
  writeMissedRange,
} from '../partition/internalRecords.js';
import type { Judged } from '../partition/waitingBlocks.js';
import type { ExtentInfo } from '../protocol/extentInfo.js';
import { OP } from '../protocol/opcodes.js';
import { decodeUint64Body, encodeUint64Body } from '../protocol/queries.js';
import { BLOCK_BYTES, isTinyExtent } from '../storage/layout.js';
import type { Content, Hole } from './differences.js';
import type { HealReplica, OwnBlock } from './healer.js';
import type { WorkerAnswer, WorkerPorts, WorkerQuestion } from './workerPorts.js';

/** Instead of a cursor: there are no more pages. */
const PAGE_END = -1;

/** How the group of a partition stands here. */
export interface RaftState {
  /** Its durable applied index, null where none runs; and that in memory. */
  readonly durable: number | null;
  readonly applied: number;
  readonly isLeader: boolean;
  /** Ranges that are missing here, and whether a snapshot has asked for a comparison that has not begun. */
  readonly missing: number;
  readonly wantsComparison: boolean;
}

export class OwnReplica implements HealReplica {
  readonly partitionId: number;
  readonly #ports: WorkerPorts;
  readonly #worker: number;

  constructor(ports: WorkerPorts, worker: number, partitionId: number) {
    this.#ports = ports;
    this.#worker = worker;
    this.partitionId = partitionId;
  }

  /** All extents of a kind that are not deleted: `LIST.quiet` or `LIST.all`. */
  async extents(list: typeof LIST.quiet | typeof LIST.all): Promise<ExtentInfo[]> {
    const pages = await this.#pages({ opcode: INTERNAL_OP.listExtents, extentType: list });
    return pages.flatMap(readExtentRecords);
  }

  /** The tiny extents that are named. */
  async tinyExtents(ids: readonly number[]): Promise<ExtentInfo[]> {
    const question = { opcode: INTERNAL_OP.listExtents, extentType: LIST.tiny, body: Uint8Array.from(ids) };
    return readExtentRecords((await this.#ask(question)).body);
  }

  /** Ids that were deleted here for good. */
  async deletedIds(): Promise<Set<number>> {
    const pages = await this.#pages({ opcode: INTERNAL_OP.listDeleted });
    return new Set(pages.flatMap(readIds));
  }

  async describe(): Promise<PartitionInfo> {
    return readPartitionInfo((await this.#ask({ opcode: INTERNAL_OP.describe })).body);
  }

  /** Bytes of the extents up to `extentIdMax`, as OpGetPartitionSize has them. */
  async sizeUpTo(extentIdMax: number): Promise<number> {
    const { body } = await this.#ask({ opcode: OP.getPartitionSize, extentType: 0, extentId: extentIdMax });
    const size = decodeUint64Body(body);
    assert(size !== null, 'a worker answers a size');
    return size;
  }

  /** Tiny extents for a round. */
  async takeTiny(): Promise<number[]> {
    return [...(await this.#ask({ opcode: INTERNAL_OP.takeTiny })).body];
  }

  async giveBackTiny(good: readonly number[], bad: readonly number[]): Promise<void> {
    const body = Uint8Array.from([...good.flatMap((id) => [id, 1]), ...bad.flatMap((id) => [id, 0])]);
    await this.#ask({ opcode: INTERNAL_OP.giveBackTiny, body });
  }

  async forgetRounds(): Promise<void> {
    await this.#ask({ opcode: INTERNAL_OP.forgetRounds });
  }

  /** Creates a normal extent unless it exists. */
  async createExtent(extentId: number): Promise<void> {
    await this.#ask({ opcode: INTERNAL_OP.createExtent, extentId });
  }

  /** Its size, of a tiny one the watermark; -1: there is none. */
  async extentSize(extentId: number): Promise<number> {
    return (await this.#ask({ opcode: INTERNAL_OP.extentSize, extentId })).extentOffset;
  }

  /** Appends a piece whose checksum is `crc`, which the worker compares. */
  async append(extentId: number, extentOffset: number, body: Uint8Array, crc: number): Promise<void> {
    const extentType = isTinyExtent(extentId) ? 0 : 1;
    await this.#ask({ opcode: OP.write, extentType, extentId, extentOffset, body, crc });
  }

  /** A hole at the end of a tiny extent. */
  async appendHole(extentId: number, extentOffset: number, bytes: number): Promise<void> {
    await this.#ask({
      opcode: INTERNAL_OP.tinyHole,
      ...{ extentType: 0, extentId, extentOffset, size: bytes },
    });
  }

  /** Resolves when all that the extent has so far is durable. */
  async sync(extentId: number): Promise<void> {
    await this.#ask({ opcode: INTERNAL_OP.syncExtent, extentId });
  }

  /** `bytes` of the tiny delete file from `offset`, zeros behind its end. */
  async tinyDeleteRecords(offset: number, bytes: number): Promise<Uint8Array> {
    const records = new Uint8Array(bytes);
    let at = 0;
    while (at < bytes) {
      const { body } = await this.#ask({
        ...{ opcode: OP.readTinyDeleteRecord, extentType: 0, extentOffset: offset + at },
        ...{ size: bytes - at, answerBytes: BLOCK_BYTES },
      });
      assert(body.byteLength > 0 && body.byteLength <= bytes - at, 'a worker answers what was asked for');
      records.set(body, at);
      at += body.byteLength;
    }
    return records;
  }

  /** Carries out and records a tiny delete of another replica; false: the extent ends before the range does. */
  async missedDelete(extentId: number, range: MissedRange): Promise<boolean> {
    const body = new Uint8Array(MISSED_RANGE_BYTES);
    writeMissedRange(new DataView(body.buffer), 0, range);
    const question = { opcode: INTERNAL_OP.missedDelete, extentType: 0, extentId, body };
    return (await this.#ask(question)).extentOffset === MISSED_DELETE.done;
  }

  /** All records of the first host up to `bytes` were carried out. */
  async finishDeletes(bytes: number): Promise<void> {
    await this.#ask({ opcode: INTERNAL_OP.finishDeletes, extentOffset: bytes });
  }

  /** Extents with blocks that are not what their checksums say. */
  async findings(): Promise<ListedFinding[]> {
    const pages = await this.#pages({ opcode: INTERNAL_OP.listFindings });
    return pages.flatMap(readFindings);
  }

  async readBlock(extentId: number, block: number): Promise<OwnBlock> {
    const { body, crc, remainingBytes, holeBytes } = await this.#ask({
      ...{ opcode: INTERNAL_OP.readBlock, extentId, extentOffset: block * BLOCK_BYTES },
      ...{ size: BLOCK_BYTES, answerBytes: BLOCK_BYTES },
    });
    return { body, crc, stored: remainingBytes, storedIsSure: holeBytes === 1 };
  }

  /** Replaces a block whose checksum is `expectedCrc` by `body`, whose is `crc`. */
  async healBlock(
    extentId: number,
    block: number,
    body: Uint8Array,
    crc: number,
    expectedCrc: number,
  ): Promise<void> {
    const extentOffset = block * BLOCK_BYTES;
    await this.#ask({ opcode: INTERNAL_OP.healBlock, extentId, extentOffset, body, crc, expectedCrc });
  }

  /** A block that reads wait for has been judged. */
  async blockJudged(extentId: number, block: number, judged: Judged): Promise<void> {
    const extentOffset = block * BLOCK_BYTES;
    await this.#ask({ opcode: INTERNAL_OP.blockJudged, extentId, extentOffset, size: judged });
  }

  /**
   * What raft has applied, for a vote on contents; null: no group runs here. It is the index in memory, which is what the bytes here are as of: peers tell their durable one and may have applied more, so where both are equal
   * nobody's bytes are older than these.
   */
  async appliedId(): Promise<number | null> {
    const { durable, applied } = await this.raftState();
    return durable === null ? null : applied;
  }

  async raftState(): Promise<RaftState> {
    const { extentOffset, remainingBytes, holeBytes, extentId } = await this.#ask({
      opcode: INTERNAL_OP.raftState,
    });
    return {
      durable: extentOffset < 0 ? null : extentOffset,
      ...{ applied: remainingBytes, isLeader: (holeBytes & 1) !== 0 },
      ...{ missing: extentId, wantsComparison: (holeBytes & 2) !== 0 },
    };
  }

  /** Begins the comparison of all contents that is wanted. */
  async compareAll(): Promise<void> {
    await this.#ask({ opcode: INTERNAL_OP.compareAll });
  }

  async missing(passOver: number): Promise<{ parts: MissingPart[]; next: number }> {
    const { body, extentOffset } = await this.#ask({
      ...{ opcode: INTERNAL_OP.listMissing, extentOffset: passOver, answerBytes: BLOCK_BYTES },
    });
    return { parts: readMissingParts(body), next: extentOffset };
  }

  /** Bytes [from, to) of an extent, whose file may end before; of a normal one inside one block, of a tiny one whole pages. */
  async content(extentId: number, from: number, to: number): Promise<Content> {
    if (isTinyExtent(extentId)) return this.#tinyContent(extentId, from, to);
    const block = Math.floor(from / BLOCK_BYTES);
    const { body } = await this.readBlock(extentId, block);
    const start = block * BLOCK_BYTES;
    return { bytes: body.subarray(from - start, to - start), holes: [] };
  }

  /** A copy of what is missing; resolves with how many bytes were missing of it, and are written. */
  async fillMissing(
    extentId: number,
    extentOffset: number,
    bytes: Uint8Array,
    appliedIndex: number,
  ): Promise<number> {
    const body = new Uint8Array(FILL_HEADER_BYTES + bytes.byteLength);
    writeFillHeader(new DataView(body.buffer), 0, { appliedIndex, bytes: bytes.byteLength });
    body.set(bytes, FILL_HEADER_BYTES);
    const question = { opcode: INTERNAL_OP.fillMissing, extentId, extentOffset, body };
    return (await this.#ask(question)).extentOffset;
  }

  async notMissing(extentId: number, from: number, to: number, appliedIndex: number): Promise<void> {
    const body = new Uint8Array(FILL_HEADER_BYTES);
    writeFillHeader(new DataView(body.buffer), 0, { appliedIndex, bytes: to - from });
    await this.#ask({ opcode: INTERNAL_OP.fillMissing, extentId, extentOffset: from, body });
  }

  async forgetMissing(extentId: number, from: number): Promise<void> {
    await this.#ask({ opcode: INTERNAL_OP.forgetMissing, extentId, extentOffset: from });
  }

  /** All replicas have applied `leastId`: the log may be cut there. */
  async tellLeast(leastId: number): Promise<void> {
    const body = encodeUint64Body(leastId);
    await this.#ask({ opcode: OP.broadcastMinAppliedId, extentType: 0, body });
  }

  async endJoining(): Promise<void> {
    await this.#ask({ opcode: INTERNAL_OP.endJoining });
  }

  async #tinyContent(extentId: number, from: number, to: number): Promise<Content> {
    const bytes = new Uint8Array(to - from);
    const holes: Hole[] = [];
    let at = from;
    while (at < to) {
      const { body, holeBytes, remainingBytes } = await this.#ask({
        ...{ opcode: OP.tinyExtentRepairRead, extentType: 0, extentId, extentOffset: at },
        ...{ size: to - at, answerBytes: BLOCK_BYTES },
      });
      if (remainingBytes <= 0) break;
      const kept = Math.min(to - at, holeBytes > 0 ? holeBytes : body.byteLength);
      assert(kept > 0, 'a worker answers something of what there is');
      if (holeBytes > 0) holes.push({ from: at, to: at + kept });
      else bytes.set(body.subarray(0, kept), at - from);
      at += kept;
    }
    return { bytes: bytes.subarray(0, Math.min(at, to) - from), holes };
  }

  #ask(question: Omit<WorkerQuestion, 'partitionId'>): Promise<WorkerAnswer> {
    return this.#ports.ask(this.#worker, { ...question, partitionId: this.partitionId });
  }

  async #pages(question: Omit<WorkerQuestion, 'partitionId'>): Promise<Uint8Array[]> {
    const pages: Uint8Array[] = [];
    for (let next = 0; next !== PAGE_END; ) {
      const { body, extentOffset } = await this.#ask({
        ...question,
        ...{ extentOffset: next, answerBytes: BLOCK_BYTES },
      });
      if (body.byteLength > 0) pages.push(body);
      next = extentOffset;
    }
    return pages;
  }
}
