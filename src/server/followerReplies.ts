/**
 * The stream of replies of one follower: framed without copying where it may be, and compared with the packets that they should answer (`wire.md` 7.3). Pure.
 *
 * Nearly all replies are a bare header with OK. Others have a text, which is bounded; a stream that has lost its step is of no use any more.
 */
import { followerReplyMismatch } from '../protocol/errors.js';
import { HEADER_BYTES, HEADER_OFFSET, headerV1, PacketHeader } from '../protocol/header.js';
import { nameOf } from '../protocol/opcodes.js';
import { RESULT } from '../protocol/resultCodes.js';

/** Longest Arg and body of a reply together: an error text, and the Arg that one may send back. */
const REST_BYTES_MAX = 128 * 1024;
/** ReqID, PartitionID, ExtentID and ExtentOffset lie side by side. */
const SAME_FROM = HEADER_OFFSET.partitionId;
const SAME_TO = HEADER_OFFSET.kernelOffset;

/** Takes the replies in their order. */
export interface ReplyTaker {
  /** The next packet that is to be answered: offset of its header in `headers`; -1: none is. */
  expected(): number;
  /** That packet is done. */
  done(): void;
  /** That packet has failed, with the follower's text. */
  failed(text: string): void;
}

const header = new PacketHeader();

export class FollowerReplies {
  /** Headers of the packets as they were forwarded. */
  readonly #headers: DataView;
  readonly #taker: ReplyTaker;
  readonly #partial = Buffer.alloc(HEADER_BYTES);
  readonly #partialView = new DataView(this.#partial.buffer, this.#partial.byteOffset, HEADER_BYTES);
  #partialBytes = 0;
  /** Arg and body of the reply whose header is in `#partial`, when it has any. */
  #rest: Buffer | null = null;
  #restFill = 0;

  constructor(headers: DataView, taker: ReplyTaker) {
    this.#headers = headers;
    this.#taker = taker;
  }

  /** Takes `bytes[0, count)`. Returns why the stream is of no use any more, or null. */
  received(bytes: Uint8Array, count: number): string | null {
    const view = new DataView(bytes.buffer, bytes.byteOffset, count);
    let at = 0;
    while (at < count) {
      if (this.#rest !== null) {
        at += this.#takeRest(bytes, at, count);
        continue;
      }
      if (this.#partialBytes === 0 && count - at >= HEADER_BYTES) {
        const fault = this.#header(view, at);
        if (fault !== null) return fault;
        at += HEADER_BYTES;
        continue;
      }
      const take = Math.min(HEADER_BYTES - this.#partialBytes, count - at);
      for (let i = 0; i < take; i++) this.#partial[this.#partialBytes + i] = bytes[at + i]!;
      this.#partialBytes += take;
      at += take;
      if (this.#partialBytes < HEADER_BYTES) break;
      this.#partialBytes = 0;
      const fault = this.#header(this.#partialView, 0);
      if (fault !== null) return fault;
    }
    return null;
  }

  #header(view: DataView, at: number): string | null {
    if (headerV1.decode(view, at, header) === 'badMagic') return `Bad Magic ${view.getUint8(at)}`;
    const expected = this.#taker.expected();
    if (expected < 0 || !this.#matches(view, at, expected)) return this.#mismatch(expected);
    const restBytes = header.argBytes + header.size;
    if (restBytes > REST_BYTES_MAX) return `reply with ${restBytes} bytes, the limit is ${REST_BYTES_MAX}`;
    if (restBytes === 0) return this.#complete(view.getUint8(at + HEADER_OFFSET.resultCode), '');
    if (view !== this.#partialView) {
      for (let i = 0; i < HEADER_BYTES; i++) this.#partial[i] = view.getUint8(at + i);
    }
    this.#rest = Buffer.alloc(restBytes);
    this.#restFill = 0;
    return null;
  }

  #takeRest(bytes: Uint8Array, at: number, to: number): number {
    const rest = this.#rest!;
    const take = Math.min(rest.length - this.#restFill, to - at);
    rest.set(bytes.subarray(at, at + take), this.#restFill);
    this.#restFill += take;
    if (this.#restFill < rest.length) return take;
    this.#rest = null;
    const argBytes = this.#partialView.getUint32(HEADER_OFFSET.argBytes);
    this.#complete(this.#partial[HEADER_OFFSET.resultCode]!, rest.toString('utf8', argBytes));
    return take;
  }

  #complete(resultCode: number, text: string): null {
    if (resultCode === RESULT.ok || resultCode === 0) this.#taker.done();
    else this.#taker.failed(text);
    return null;
  }

  #matches(view: DataView, at: number, expected: number): boolean {
    const headers = this.#headers;
    const crc = HEADER_OFFSET.crc;
    if (view.getUint32(at + crc) !== headers.getUint32(expected + crc)) return false;
    for (let i = SAME_FROM; i < SAME_TO; i += 4) {
      if (view.getUint32(at + i) !== headers.getUint32(expected + i)) return false;
    }
    return true;
  }

  /** `header` is the reply's. */
  #mismatch(expected: number): string {
    if (expected < 0) return 'a reply to no packet';
    const reply = logId(header);
    headerV1.decode(this.#headers, expected, header);
    return followerReplyMismatch(logId(header), reply);
  }
}

/** A packet as the reference's logs name it. */
function logId(packet: PacketHeader): string {
  const { partitionId, extentId, extentOffset, size, crc } = packet;
  const reqId = signed64(packet.reqIdHigh, packet.reqIdLow);
  const kernelOffset = (BigInt(packet.kernelOffsetHigh) << 32n) | BigInt(packet.kernelOffsetLow);
  return (
    `Req(${reqId})_Partition(${partitionId})_Extent(${extentId})_ExtentOffset(${extentOffset})_` +
    `KernelOffset(${kernelOffset})_Size(${size})_Opcode(${nameOf(packet.opcode)})_CRC(${crc})`
  );
}

function signed64(high: number, low: number): bigint {
  return BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
}
