/**
 * Splits a byte stream into packets, however its bytes are cut.
 *
 * For peers, the embedded master, the packet generator and tests. The server's receive path does its own framing straight into slab slots.
 * Lengths are compared with the caps before anything is allocated, and the buffer grows with the bytes that came, not with the announced
 * length. Bad input is a value; afterwards the framer takes nothing more, because the stream has lost its step.
 */
import assert from 'node:assert';
import { type HeaderCodec, headerV1, MAGIC, PacketHeader } from './header.js';
import { replyBodyBytes, requestBodyBytes } from './opcodes.js';

/** Why a stream cannot be split any further. */
export type FramerFault =
  | { readonly kind: 'badMagic'; readonly message: string }
  | { readonly kind: 'argTooLong'; readonly message: string }
  | { readonly kind: 'bodyTooLong'; readonly message: string };

export interface FramerOptions {
  /** Which body rule applies (`wire.md` 3.1). */
  readonly direction: 'request' | 'reply';
  readonly argBytesMax: number;
  readonly bodyBytesMax: number;
  readonly codec?: HeaderCodec;
}

/** One packet. The object and its bytes are the framer's: valid until the callback that got it returns. */
export class FramedPacket {
  readonly header = new PacketHeader();
  /** The packet is `bytes[start, start + totalBytes)`: header, Arg, body. */
  bytes: Uint8Array = EMPTY;
  start = 0;
  headerBytes = 0;
  bodyBytes = 0;

  get totalBytes(): number {
    return this.headerBytes + this.header.argBytes + this.bodyBytes;
  }

  /** View of the whole packet. */
  get raw(): Uint8Array {
    return this.bytes.subarray(this.start, this.start + this.totalBytes);
  }

  /** View of Arg. */
  get arg(): Uint8Array {
    const from = this.start + this.headerBytes;
    return this.bytes.subarray(from, from + this.header.argBytes);
  }

  /** View of the body. */
  get body(): Uint8Array {
    const from = this.start + this.headerBytes + this.header.argBytes;
    return this.bytes.subarray(from, from + this.bodyBytes);
  }
}

const EMPTY = new Uint8Array(0);
/** First size of the buffer for a packet that came in pieces. */
const PENDING_BYTES_MIN = 4096;

/** Incremental splitter of one direction of one connection. */
export class PacketFramer {
  readonly argBytesMax: number;
  readonly bodyBytesMax: number;
  readonly #bodyBytesOf: (header: PacketHeader) => number;
  readonly #codec: HeaderCodec;
  readonly #packet = new FramedPacket();
  #fault: FramerFault | null = null;
  /** A packet that is not complete yet: its first `#pendingBytes` bytes. */
  #pending: Uint8Array = EMPTY;
  #pendingView = new DataView(EMPTY.buffer);
  #pendingBytes = 0;
  /** Its full length, once its header is complete; 0 before. */
  #pendingTotal = 0;

  constructor(options: FramerOptions) {
    this.argBytesMax = options.argBytesMax;
    this.bodyBytesMax = options.bodyBytesMax;
    this.#bodyBytesOf = options.direction === 'request' ? requestBodyBytes : replyBodyBytes;
    this.#codec = options.codec ?? headerV1;
  }

  /** Bytes of an incomplete packet that wait for the rest. */
  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /**
   * Takes the next bytes of the stream and calls `onPacket` for each packet that they complete, in order.
   * Returns null, or why the stream cannot be read on; then every later call returns the same.
   */
  push(chunk: Uint8Array, onPacket: (packet: FramedPacket) => void): FramerFault | null {
    if (this.#fault !== null) return this.#fault;
    let at = this.#pendingBytes > 0 ? this.#completePending(chunk, onPacket) : 0;
    if (this.#fault !== null || at === chunk.byteLength) return this.#fault;
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    while (at < chunk.byteLength) {
      const total = this.#open(view, at, chunk.byteLength - at);
      if (this.#fault !== null) return this.#fault;
      if (total === 0 || total > chunk.byteLength - at) break;
      this.#emit(chunk, at, onPacket);
      at += total;
    }
    this.#keep(chunk, at);
    return null;
  }

  /** Feeds the packet in progress; returns how many bytes of the chunk it took. */
  #completePending(chunk: Uint8Array, onPacket: (packet: FramedPacket) => void): number {
    let at = 0;
    while (this.#pendingTotal === 0) {
      if (at === chunk.byteLength) return at;
      // One byte at a time past the shortest header: headers of later versions tell their length in their first bytes.
      const wanted = Math.max(this.#codec.bytesMin - this.#pendingBytes, 1);
      const taken = Math.min(wanted, chunk.byteLength - at);
      this.#append(chunk, at, taken);
      at += taken;
      this.#pendingTotal = this.#open(this.#pendingView, 0, this.#pendingBytes);
      if (this.#fault !== null) return at;
    }
    const taken = Math.min(this.#pendingTotal - this.#pendingBytes, chunk.byteLength - at);
    this.#append(chunk, at, taken);
    at += taken;
    if (this.#pendingBytes === this.#pendingTotal) {
      this.#pendingBytes = 0;
      this.#pendingTotal = 0;
      this.#emit(this.#pending, 0, onPacket);
    }
    return at;
  }

  /** Decodes the header at `at` into the packet. Returns the packet's length; 0 when its header is not complete, or on a fault. */
  #open(view: DataView, at: number, available: number): number {
    const { header } = this.#packet;
    if (view.getUint8(at) !== MAGIC) return this.#fail('badMagic', `Bad Magic ${view.getUint8(at)}`);
    if (available < this.#codec.bytesMin) return 0;
    const headerBytes = this.#codec.headerBytes(view, at, available);
    if (headerBytes === 0) return 0;
    assert(headerBytes <= available, 'a codec must not claim bytes that are not there');
    const outcome = this.#codec.decode(view, at, header);
    assert(outcome === 'ok', 'the magic was checked above');
    if (header.argBytes > this.argBytesMax) {
      return this.#fail(
        'argTooLong',
        `Arg of ${header.argBytes} bytes, at most ${this.argBytesMax} are taken`,
      );
    }
    const bodyBytes = this.#bodyBytesOf(header);
    if (bodyBytes > this.bodyBytesMax) {
      return this.#fail('bodyTooLong', `body of ${bodyBytes} bytes, at most ${this.bodyBytesMax} are taken`);
    }
    this.#packet.headerBytes = headerBytes;
    this.#packet.bodyBytes = bodyBytes;
    return headerBytes + header.argBytes + bodyBytes;
  }

  #fail(kind: FramerFault['kind'], message: string): 0 {
    this.#fault = { kind, message };
    this.#pending = EMPTY;
    this.#pendingBytes = 0;
    return 0;
  }

  #emit(bytes: Uint8Array, start: number, onPacket: (packet: FramedPacket) => void): void {
    this.#packet.bytes = bytes;
    this.#packet.start = start;
    onPacket(this.#packet);
    this.#packet.bytes = EMPTY;
  }

  /** Copies the unfinished end of a chunk. */
  #keep(chunk: Uint8Array, at: number): void {
    if (at === chunk.byteLength) return;
    this.#append(chunk, at, chunk.byteLength - at);
    this.#pendingTotal = this.#open(this.#pendingView, 0, this.#pendingBytes);
  }

  #append(chunk: Uint8Array, at: number, count: number): void {
    const needed = this.#pendingBytes + count;
    if (needed > this.#pending.byteLength) {
      const grown = new Uint8Array(Math.max(needed, this.#pending.byteLength * 2, PENDING_BYTES_MIN));
      grown.set(this.#pending.subarray(0, this.#pendingBytes));
      this.#pending = grown;
      this.#pendingView = new DataView(grown.buffer);
    }
    this.#pending.set(chunk.subarray(at, at + count), this.#pendingBytes);
    this.#pendingBytes = needed;
  }
}
