/**
 * Building whole packets, for everyone who sends requests: peers, the embedded master, the packet generator, tests.
 *
 * The server's replies are patched in place instead (`header.ts`).
 */
import { type HeaderCodec, headerV1, PacketHeader } from './header.js';

const TWO_32 = 0x1_0000_0000;
const EMPTY = new Uint8Array(0);

/** The fields of a request that differ from zero; sizes follow from Arg and body. */
export interface RequestFields {
  opcode: number;
  /** A safe integer, at least 2 (`RequestIds`). */
  reqId: number;
  extentType?: number;
  remainingFollowers?: number;
  crc?: number;
  partitionId?: number;
  extentId?: number;
  extentOffset?: number;
  kernelOffset?: number;
  /** Bytes wanted, for read requests; otherwise the body's length counts. */
  size?: number;
  arg?: Uint8Array;
  body?: Uint8Array;
}

/** Encodes a complete request: header, Arg, body. */
export function encodeRequest(fields: RequestFields, codec: HeaderCodec = headerV1): Uint8Array {
  const arg = fields.arg ?? EMPTY;
  const body = fields.body ?? EMPTY;
  const header = new PacketHeader();
  header.opcode = fields.opcode;
  header.extentType = fields.extentType ?? 0;
  header.remainingFollowers = fields.remainingFollowers ?? 0;
  header.crc = fields.crc ?? 0;
  header.size = fields.size ?? body.byteLength;
  header.partitionId = fields.partitionId ?? 0;
  header.extentId = fields.extentId ?? 0;
  header.extentOffset = fields.extentOffset ?? 0;
  setRequestId(header, fields.reqId);
  header.kernelOffsetHigh = Math.floor((fields.kernelOffset ?? 0) / TWO_32);
  header.kernelOffsetLow = (fields.kernelOffset ?? 0) >>> 0;
  return encodePacket(header, arg, body, codec);
}

/** Encodes header, Arg and body; `header.argBytes` is set from Arg, `header.size` is the caller's. */
export function encodePacket(
  header: PacketHeader,
  arg: Uint8Array,
  body: Uint8Array,
  codec: HeaderCodec = headerV1,
): Uint8Array {
  header.argBytes = arg.byteLength;
  const bytes = new Uint8Array(codec.bytesMin + arg.byteLength + body.byteLength);
  codec.encode(new DataView(bytes.buffer), 0, header);
  bytes.set(arg, codec.bytesMin);
  bytes.set(body, codec.bytesMin + arg.byteLength);
  return bytes;
}

/** Puts a number into the header's opaque ReqID. */
export function setRequestId(header: PacketHeader, reqId: number): void {
  header.reqIdHigh = Math.floor(reqId / TWO_32);
  header.reqIdLow = reqId >>> 0;
}

/** Whether the header carries this ReqID. */
export function hasRequestId(header: PacketHeader, reqId: number): boolean {
  return header.reqIdLow === reqId >>> 0 && header.reqIdHigh === Math.floor(reqId / TWO_32);
}

/** ReqIDs of one sender: a counter whose first value is 2, as the reference's (`wire.md` 2). */
export class RequestIds {
  #last = 1;

  next(): number {
    this.#last += 1;
    return this.#last;
  }
}
