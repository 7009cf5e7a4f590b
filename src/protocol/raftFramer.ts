/**
 * Splits the bytes of a raft connection into bodies, however they are cut (`raft.md` 2.2). For messages and for the blocks of a snapshot's stream, which have the
 * same frame.
 *
 * A body that is in one chunk is a part of it, not a copy. A length is compared with the bound before anything is allocated, and the buffer for a body that comes in pieces grows with the bytes that came, not with the
 * announced length.
 */
import { FRAME_HEAD_BYTES } from './raftMessage.js';

/** A legal append has about 1 MiB of entries, or one larger entry. */
export const RAFT_FRAME_BYTES_MAX = 64 * 1024 * 1024;

/** First size of the buffer for a long body that came in pieces. */
const PENDING_BYTES_MIN = 64 * 1024;
const EMPTY = new Uint8Array(0);

/** Incremental splitter of one connection. */
export class RaftFramer {
  readonly bodyBytesMax: number;
  #fault: string | null = null;
  /** The first bytes of a length that is not complete. */
  #headBytes = 0;
  #head = 0;
  /** The body under way: its length, what came of it, and how much. -1 while its length is not known. */
  #bodyBytes = -1;
  #body = EMPTY;
  #taken = 0;

  constructor(bodyBytesMax: number = RAFT_FRAME_BYTES_MAX) {
    this.bodyBytesMax = bodyBytesMax;
  }

  /** Bytes held for the body under way. */
  get heldBytes(): number {
    return this.#body.byteLength;
  }

  /** Something came of a frame that is not complete. */
  get isMidFrame(): boolean {
    return this.#headBytes > 0 || this.#bodyBytes >= 0;
  }

  /**
   * Takes the next bytes of the stream and calls `onBody` for each body that they complete, in order. A body may be a part of the chunk: it is valid as long as that is. Returns null, or why
   * the stream cannot be read on; then every later call returns the same.
   */
  push(chunk: Uint8Array, onBody: (body: Uint8Array) => void): string | null {
    let at = 0;
    while (this.#fault === null) {
      if (this.#bodyBytes < 0) at = this.#readLength(chunk, at);
      if (this.#bodyBytes < 0 || this.#fault !== null) break;
      const end = at + this.#bodyBytes;
      if (this.#taken === 0 && end <= chunk.byteLength) {
        this.#bodyBytes = -1;
        onBody(chunk.subarray(at, end));
        at = end;
        continue;
      }
      at = this.#readBody(chunk, at);
      if (this.#taken < this.#bodyBytes) break;
      const body = this.#body;
      this.#body = EMPTY;
      this.#bodyBytes = -1;
      this.#taken = 0;
      onBody(body);
    }
    return this.#fault;
  }

  /** Reads on in a length; returns the offset behind what it took. */
  #readLength(chunk: Uint8Array, from: number): number {
    let at = from;
    while (this.#headBytes < FRAME_HEAD_BYTES && at < chunk.byteLength) {
      this.#head = ((this.#head << 8) | chunk[at]!) >>> 0;
      this.#headBytes += 1;
      at += 1;
    }
    if (this.#headBytes < FRAME_HEAD_BYTES) return at;
    if (this.#head > this.bodyBytesMax)
      this.#fault = `raft frame of ${this.#head} bytes, at most ${this.bodyBytesMax} are taken`;
    else this.#bodyBytes = this.#head;
    this.#head = 0;
    this.#headBytes = 0;
    return at;
  }

  /** Copies what the chunk has of the body; returns the offset behind it. */
  #readBody(chunk: Uint8Array, from: number): number {
    const count = Math.min(this.#bodyBytes - this.#taken, chunk.byteLength - from);
    const needed = this.#taken + count;
    if (needed > this.#body.byteLength) {
      const room = Math.max(needed, 2 * this.#body.byteLength, PENDING_BYTES_MIN);
      const grown = new Uint8Array(Math.min(this.#bodyBytes, room));
      grown.set(this.#body.subarray(0, this.#taken));
      this.#body = grown;
    }
    this.#body.set(chunk.subarray(from, from + count), this.#taken);
    this.#taken = needed;
    return from + count;
  }
}
