/**
 * The sending end of a message ring whose reader may be slow for a while: what finds no room waits here, in order, up to a bound, and is written by `flush`. Both ends of raft's rings between main and a worker are of this kind: a
 * ring has room for a message or two of 1 MiB, and a turn brings several.
 *
 * What may not happen: that something overtakes what came before it, and that the few small messages which nobody says again (`keep`) are dropped for want of room that others take.
 */
import type { ByteRingMemory } from './byteRing.js';
import { MessageRingProducer } from './messageRing.js';

/** What a waiting message takes beside its bytes, so that empty ones are bounded too. */
const OVERHEAD_BYTES = 64;

interface Waiting {
  readonly kind: number;
  readonly a: number;
  readonly bytes: Uint8Array;
}

export class WaitingRing {
  /** Messages that found neither room in the ring nor here. */
  dropped = 0;
  /** Something was written to the ring since whoever wakes its reader has set this to false. */
  dirty = false;
  readonly #ring: MessageRingProducer;
  readonly #waitBytesMax: number;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;

  /** @param waitBytesMax what may wait here, `OVERHEAD_BYTES` a message included; kept messages go beyond it. */
  constructor(memory: ByteRingMemory, waitBytesMax: number) {
    this.#ring = new MessageRingProducer(memory);
    this.#waitBytesMax = waitBytesMax;
  }

  /** Something waits for room: `flush` again, soon. */
  get waits(): boolean {
    return this.#ring.waits || this.#waiting.length > 0;
  }

  /** Says something that may be lost; what has to wait is copied. False: it was dropped. */
  write(kind: number, a: number, bytes: Uint8Array): boolean {
    if (this.#writeNow(kind, a, bytes)) return true;
    if (this.#waitingBytes + OVERHEAD_BYTES + bytes.byteLength > this.#waitBytesMax) {
      this.dropped += 1;
      return false;
    }
    this.#wait({ kind, a, bytes: bytes.slice() });
    return true;
  }

  /** Room in the ring for a message of `length` bytes, to be filled and then made visible by `commit`; null: use `write`. */
  reserve(kind: number, a: number, length: number): Uint8Array | null {
    return this.waits ? null : this.#ring.reserve(kind, a, length);
  }

  /** The message for which there was room last is complete. */
  commit(): void {
    this.#ring.commit();
    this.dirty = true;
  }

  /** Says something that is never dropped. For what is short, and whose number something else bounds. */
  keep(kind: number, a: number, bytes: Uint8Array): void {
    if (!this.#writeNow(kind, a, bytes)) this.#wait({ kind, a, bytes: bytes.slice() });
  }

  /** Writes what waits, as far as there is room; whether anything was written. */
  flush(): boolean {
    let hasMoved = this.#ring.flush();
    let written = 0;
    for (const { kind, a, bytes } of this.#waiting) {
      if (!this.#ring.write(kind, a, bytes)) break;
      this.#waitingBytes -= OVERHEAD_BYTES + bytes.byteLength;
      written += 1;
    }
    if (written > 0) {
      this.#waiting = this.#waiting.slice(written);
      hasMoved = true;
    }
    if (hasMoved) this.dirty = true;
    return hasMoved;
  }

  #writeNow(kind: number, a: number, bytes: Uint8Array): boolean {
    if (this.waits || !this.#ring.write(kind, a, bytes)) return false;
    this.dirty = true;
    return true;
  }

  #wait(waiting: Waiting): void {
    this.#waiting.push(waiting);
    this.#waitingBytes += OVERHEAD_BYTES + waiting.bytes.byteLength;
  }
}
