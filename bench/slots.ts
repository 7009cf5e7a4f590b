/**
 * The packets one connection has in flight: a ring of slots, first in, first out, and the send region in which each slot has a fixed place. The packets of
 * a batch lie side by side there, so that they leave with one write. Owned by its connection.
 */
import assert from 'node:assert';
import type * as net from 'node:net';
import { headerV1 } from '../src/protocol/header.js';
import { isRead, KIND } from './kinds.js';
import type { Payload } from './payload.js';
import type { Piece } from './pieces.js';
import type { ExtentRecord, PlannedOp } from './plan.js';

/** Body of a create: the inode number. */
export const CREATE_BODY_BYTES = 8;
/** Largest body of a delete: the extent key as JSON, six numbers. */
export const DELETE_BODY_BYTES_MAX = 256;
/** The first ReqID in use, as in the reference. */
const FIRST_SEQUENCE = 2;

/** What is remembered of one packet in flight. */
export class Slot {
  kind: number = KIND.create;
  isRead = false;
  measured = true;
  lane = -1;
  partitionId = 0;
  extentId = 0;
  offset = 0;
  bytes = 0;
  /** Bytes of a read that have not come yet. */
  left = 0;
  crc = 0;
  stampExtentId = 0;
  stampOffset = 0;
  version = 0;
  extent: ExtentRecord | null = null;
  piece: Piece | null = null;
  zeros = false;
  /** When its latency counts from, ms. */
  startMs = 0;
}

/** See the file comment. */
export class Slots {
  /** Sequence number (low word of the ReqID) of the next packet, and of the oldest in flight. */
  head = FIRST_SEQUENCE;
  tail = FIRST_SEQUENCE;
  /** Over the send region. */
  view: DataView = new DataView(new ArrayBuffer(0));
  #arg: Uint8Array;
  readonly #slots: readonly Slot[];
  #region: Buffer = Buffer.alloc(0);
  #slotBytes = 0;
  /** The part of the region that was filled and not handed to the socket. */
  #fromByte = 0;
  #toByte = 0;
  #corked = false;

  /** `arg`: the follower list that follows the header of every packet with a body. */
  constructor(depth: number, arg: Uint8Array) {
    this.#arg = arg;
    this.#slots = Array.from({ length: depth }, () => new Slot());
  }

  /** Another follower list from now on: everything is laid out anew with the next `prepare`. Nothing may be in flight. */
  useArg(arg: Uint8Array): void {
    assert(this.count === 0, 'nothing in flight');
    this.#arg = arg;
    this.#slotBytes = 0;
  }

  /** Packets in flight. */
  get count(): number {
    return this.head - this.tail;
  }

  /** The packet whose reply comes next. */
  get oldest(): Slot {
    return this.#slots[this.tail % this.#slots.length]!;
  }

  /** The packet taken last. */
  get newest(): Slot {
    return this.#slots[(this.head - 1) % this.#slots.length]!;
  }

  /**
   * Lays the region out for packets with bodies of up to `bodyBytes` (null: read requests, which have neither body nor Arg) and fills in what never
   * changes. Nothing may be in flight.
   */
  prepare(bodyBytes: number | null, payload: Payload): void {
    const bodyAt = headerV1.bytesMin + (bodyBytes === null ? 0 : this.#arg.length);
    const slotBytes = bodyAt + (bodyBytes ?? 0);
    if (slotBytes === this.#slotBytes) return;
    this.#slotBytes = slotBytes;
    this.#region = Buffer.alloc(slotBytes * this.#slots.length);
    this.view = new DataView(this.#region.buffer, this.#region.byteOffset, this.#region.length);
    this.#fromByte = 0;
    this.#toByte = 0;
    if (bodyBytes === null) return;
    for (let at = 0; at < this.#region.length; at += slotBytes) {
      this.#region.set(this.#arg, at + headerV1.bytesMin);
      if (bodyBytes % payload.unitBytes === 0) payload.fillPattern(this.#region, at + bodyAt, bodyBytes);
    }
  }

  /** Puts the body of a packet where it changes each time. */
  setBytes(at: number, body: Uint8Array): void {
    this.#region.set(body, at);
  }

  /** Takes the next slot for `op`, whose packet has `restBytes` behind the header; returns the packet's place in the region. */
  take(op: PlannedOp, startMs: number, restBytes: number, socket: net.Socket): number {
    assert(this.count < this.#slots.length, 'a free slot');
    const index = this.head % this.#slots.length;
    const slot = this.#slots[index]!;
    slot.kind = op.kind;
    slot.isRead = isRead(op.kind);
    slot.measured = op.measured;
    slot.lane = op.lane;
    slot.partitionId = op.partitionId;
    slot.extentId = op.extentId;
    slot.offset = op.offset;
    slot.bytes = op.bytes;
    slot.left = slot.isRead ? op.bytes : 0;
    slot.stampExtentId = op.stampExtentId;
    slot.stampOffset = op.stampOffset;
    slot.version = op.version;
    slot.extent = op.extent;
    slot.piece = op.piece;
    slot.zeros = op.zeros;
    slot.startMs = startMs;
    this.head++;
    const at = index * this.#slotBytes;
    if (at !== this.#toByte) this.#handOver(socket);
    if (this.#fromByte === this.#toByte) this.#fromByte = at;
    this.#toByte = at + headerV1.bytesMin + restBytes;
    return at;
  }

  /** Hands the rest of a batch to the socket. */
  flush(socket: net.Socket): void {
    if (this.#toByte > this.#fromByte) socket.write(this.#region.subarray(this.#fromByte, this.#toByte));
    this.#fromByte = this.#toByte;
    if (this.#corked) socket.uncork();
    this.#corked = false;
  }

  /** The oldest packet is answered, or given up. */
  release(): void {
    assert(this.count > 0, 'a packet in flight');
    this.oldest.extent = null;
    this.oldest.piece = null;
    this.tail++;
  }

  /** The batch goes on elsewhere in the region: corked, so that both parts leave with one system call. */
  #handOver(socket: net.Socket): void {
    if (this.#toByte > this.#fromByte) {
      if (!this.#corked) socket.cork();
      this.#corked = true;
      socket.write(this.#region.subarray(this.#fromByte, this.#toByte));
    }
    this.#fromByte = this.#toByte;
  }
}
