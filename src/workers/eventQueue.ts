/**
 * Frames from a worker to main that must not be lost: kept here while the event ring is full, sent in order.
 *
 * Log records are the exception: beyond a bound they are dropped and counted, because a worker must not keep a disk's whole story of errors in memory.
 */
import { EVENT } from '../partition/messages.js';
import { type ByteRingMemory, ByteRingProducer } from '../shm/byteRing.js';

/** Log records kept while the ring is full. */
const LOGS_KEPT_MAX = 256;
const encoder = new TextEncoder();

interface Frame {
  kind: number;
  a: number;
  b: number;
  payload: Uint8Array;
}

export class EventQueue {
  /** Frames were written since the last look: main has to be told. */
  dirty = false;
  readonly #ring: ByteRingProducer;
  #waiting: Frame[] = [];
  #logsDropped = 0;

  constructor(memory: ByteRingMemory) {
    this.#ring = new ByteRingProducer(memory);
  }

  /** Frames that did not fit yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Sends a JSON value. */
  json(kind: number, a: number, value: unknown): void {
    this.bytes(kind, a, encoder.encode(JSON.stringify(value)));
  }

  /** Sends bytes; longer ones in pieces, `b` being the piece's offset, and of an answer's the length still to come. */
  bytes(kind: number, a: number, payload: Uint8Array): void {
    const max = this.#ring.payloadBytesMax;
    let at = 0;
    do {
      const piece = payload.subarray(at, at + max);
      const isAnswer = kind === EVENT.answer || kind === EVENT.answerBytes;
      const b = isAnswer ? payload.length - at - piece.length : at;
      this.#send({ kind, a, b, payload: piece });
      at += piece.length;
    } while (at < payload.length);
  }

  log(level: string, message: string, fields: Record<string, string | number> | undefined): void {
    if (this.#waiting.length >= LOGS_KEPT_MAX) {
      this.#logsDropped++;
      return;
    }
    const dropped = this.#logsDropped;
    this.#logsDropped = 0;
    this.json(EVENT.log, dropped, { level, message, fields: fields ?? {} });
  }

  /** Tries what waited again. */
  flush(): void {
    let sent = 0;
    for (const frame of this.#waiting) {
      if (!this.#ring.tryWrite(frame.kind, frame.a, frame.b, frame.payload)) break;
      sent++;
    }
    if (sent === 0) return;
    this.#waiting = this.#waiting.slice(sent);
    this.dirty = true;
  }

  #send(frame: Frame): void {
    if (this.#waiting.length === 0 && this.#ring.tryWrite(frame.kind, frame.a, frame.b, frame.payload))
      this.dirty = true;
    else this.#waiting.push(frame);
  }
}
