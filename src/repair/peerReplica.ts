/**
 * A partition's replica on another node, as repair asks it (`repair.md` 7): lists, sizes, notifications. Each question has a connection of its own, as in the reference; streams of extents and delete records are
 * read by who carries them out.
 */
import { setMaxListeners } from 'node:events';
import { ERROR_TEXT } from '../protocol/errors.js';
import { decodeExtentList, type ExtentInfo, encodeTinyIds } from '../protocol/extentInfo.js';
import { OP } from '../protocol/opcodes.js';
import { encodeRequest, hasRequestId, RequestIds } from '../protocol/packet.js';
import {
  decodeMaxExtentIdAndSize,
  decodeUint64Body,
  newPacketToGetAppliedId,
  newPacketToGetMaxExtentIdAndPartitionSize,
  newPacketToGetPartitionSize,
} from '../protocol/queries.js';
import { encodeRepairTask, type RepairTask } from '../protocol/repairTask.js';
import { RESULT } from '../protocol/resultCodes.js';
import { PEER_LIMITS, PeerConnection, type PeerLimits, type PeerPacket } from './peerConnection.js';

/** A member works on a task for as long as that takes; one that hangs is given up. */
export const NOTIFY_MS_MAX = 30 * 60_000;

export class PeerReplicas {
  readonly #signal: AbortSignal;
  readonly #limits: PeerLimits;
  readonly #ids = new RequestIds();

  /** @param signal aborts everything that is under way. */
  constructor(signal: AbortSignal, limits = PEER_LIMITS) {
    // One listener for each question under way, taken off with its answer: many at one time are no leak.
    setMaxListeners(0, signal);
    this.#signal = signal;
    this.#limits = limits;
  }

  nextReqId(): number {
    return this.#ids.next();
  }

  dial(address: string): Promise<PeerConnection> {
    return PeerConnection.dial(address, this.#signal, this.#limits);
  }

  /** 0x07: normal extents that were left alone for a minute (`tinyIds` null), or exactly these tiny ones. */
  async list(address: string, partitionId: number, tinyIds: readonly number[] | null): Promise<ExtentInfo[]> {
    const reqId = this.nextReqId();
    const body = tinyIds === null ? undefined : encodeTinyIds([...tinyIds]);
    const request = encodeRequest({
      ...{ opcode: OP.getAllWatermarks, reqId, partitionId, extentType: tinyIds === null ? 1 : 0 },
      ...(body === undefined ? {} : { body }),
    });
    const { body: reply } = await this.#ask(address, reqId, partitionId, request);
    const list = decodeExtentList(reply);
    if (!list.ok) throw new Error(`${address}: ${list.message}`);
    return list.value;
  }

  /** 0x08: resolves when the member has done what it could. */
  async notify(address: string, partitionId: number, task: RepairTask): Promise<void> {
    const reqId = this.nextReqId();
    const body = encodeRepairTask(task);
    const request = encodeRequest({
      opcode: OP.notifyReplicasToRepair,
      reqId,
      partitionId,
      extentType: 1,
      body,
    });
    await this.#ask(address, reqId, partitionId, request, NOTIFY_MS_MAX);
  }

  /** 0x11: bytes of the extents up to `extentIdMax`. */
  async sizeUpTo(address: string, partitionId: number, extentIdMax: number): Promise<number> {
    const reqId = this.nextReqId();
    const request = newPacketToGetPartitionSize(reqId, partitionId, extentIdMax);
    const { body } = await this.#ask(address, reqId, partitionId, request);
    const size = decodeUint64Body(body);
    if (size === null) throw new Error(`${address}: a size of ${body.byteLength} bytes`);
    return size;
  }

  /** 0x16: the largest extent id, and the bytes of all extents. */
  async maxIdAndSize(
    address: string,
    partitionId: number,
  ): Promise<{ extentIdMax: number; sizeBytes: number }> {
    const reqId = this.nextReqId();
    const request = newPacketToGetMaxExtentIdAndPartitionSize(reqId, partitionId);
    const { body } = await this.#ask(address, reqId, partitionId, request);
    const both = decodeMaxExtentIdAndSize(body);
    if (both === null) throw new Error(`${address}: sizes of ${body.byteLength} bytes`);
    return both;
  }

  /** 0x09: whether a normal extent with data is there and not deleted, by asking for its first byte. */
  async hasExtent(address: string, partitionId: number, extentId: number): Promise<boolean> {
    const reqId = this.nextReqId();
    const request = encodeRequest({
      ...{ opcode: OP.extentRepairRead, reqId, partitionId, extentType: 1 },
      ...{ extentId, size: 1 },
    });
    try {
      await this.#ask(address, reqId, partitionId, request);
      return true;
    } catch (error) {
      if ((error as Error).message.includes(ERROR_TEXT.extentNotFound)) return false;
      throw error;
    }
  }

  /** 0x10: what raft has applied there. */
  async appliedId(address: string, partitionId: number): Promise<number> {
    const reqId = this.nextReqId();
    const request = newPacketToGetAppliedId(reqId, partitionId);
    const { body } = await this.#ask(address, reqId, partitionId, request);
    const id = decodeUint64Body(body);
    if (id === null) throw new Error(`${address}: an applied id of ${body.byteLength} bytes`);
    return id;
  }

  /** One question with one packet as its answer. */
  async #ask(
    address: string,
    reqId: number,
    partitionId: number,
    request: Uint8Array,
    timeoutMs = this.#limits.packetMs,
  ): Promise<PeerPacket> {
    const connection = await this.dial(address);
    const abort = (): void => connection.close('the node is stopping');
    this.#signal.addEventListener('abort', abort);
    try {
      connection.send(request);
      const packet = await connection.next(timeoutMs);
      checkAnswer(address, packet, reqId, partitionId);
      return packet;
    } finally {
      this.#signal.removeEventListener('abort', abort);
      connection.close();
    }
  }
}

/** Throws unless the packet is a good answer to the question with this id. */
export function checkAnswer(address: string, packet: PeerPacket, reqId: number, partitionId: number): void {
  const { header, body } = packet;
  if (header.resultCode !== RESULT.ok) {
    const text = Buffer.from(body.subarray(0, ERROR_TEXT_BYTES_MAX)).toString('utf8');
    throw new Error(`${address}: ${text === '' ? `result code ${header.resultCode}` : text}`);
  }
  if (!hasRequestId(header, reqId) || !header.exact || header.partitionId !== partitionId)
    throw new Error(`${address}: a packet of another answer`);
}

/** Error texts are a line; what a peer calls one may be anything. */
const ERROR_TEXT_BYTES_MAX = 1024;
