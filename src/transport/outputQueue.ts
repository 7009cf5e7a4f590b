/**
 * What waits for one connection, and what its socket holds: whole frames behind each other, in order, bounded in bytes and number. Pure.
 *
 * Frames are copied into one buffer, which the socket gets as a whole; meanwhile the next ones go into another. New frames are refused, old ones never dropped, so that what arrives is in order with gaps only at the end.
 * The bytes that were handed to the socket count until they have left, so a peer that takes nothing costs the bound and no more. A frame longer than the bound is taken when nothing else is here: else it could never be
 * sent.
 */
import type { OutputBuffers } from './outputBuffers.js';

/** Frames behind each other in a buffer. */
interface Run {
  buffer: Buffer;
  bytes: number;
  frames: number;
}

export class OutputQueue {
  readonly #bytesMax: number;
  readonly #framesMax: number;
  readonly #buffers: OutputBuffers;
  #waiting: Run | null = null;
  #handed: Run | null = null;

  constructor(bytesMax: number, framesMax: number, buffers: OutputBuffers) {
    this.#bytesMax = bytesMax;
    this.#framesMax = framesMax;
    this.#buffers = buffers;
  }

  /** Frames held, handed over or not. */
  get frames(): number {
    return (this.#waiting?.frames ?? 0) + (this.#handed?.frames ?? 0);
  }

  /** Their bytes. */
  get bytes(): number {
    return (this.#waiting?.bytes ?? 0) + (this.#handed?.bytes ?? 0);
  }

  /** The socket has not taken what it was handed. */
  get isHanded(): boolean {
    return this.#handed !== null;
  }

  /** Copies a frame; false: there is no room. */
  push(frame: Uint8Array): boolean {
    const isOver = this.bytes + frame.byteLength > this.#bytesMax || this.frames >= this.#framesMax;
    if (isOver && this.frames > 0) return false;
    const run = this.#runFor(frame.byteLength);
    run.buffer.set(frame, run.bytes);
    run.bytes += frame.byteLength;
    run.frames += 1;
    return true;
  }

  /** Everything that waits, to be handed over; null when nothing does, and while the socket still holds what it was handed before. Valid until `left` or `clear`. */
  handOver(): Uint8Array | null {
    if (this.#handed !== null || this.#waiting === null) return null;
    this.#handed = this.#waiting;
    this.#waiting = null;
    return this.#handed.buffer.subarray(0, this.#handed.bytes);
  }

  /** What was handed over has left. */
  left(): void {
    if (this.#handed !== null) this.#buffers.give(this.#handed.buffer);
    this.#handed = null;
  }

  /** Gives all of it up; returns how many frames that were. */
  clear(): number {
    const { frames } = this;
    if (this.#waiting !== null) this.#buffers.give(this.#waiting.buffer);
    this.#waiting = null;
    // The system may still read what a socket was handed: that buffer is nobody's any more.
    this.#handed = null;
    return frames;
  }

  /** Where the next so many bytes go. */
  #runFor(frameBytes: number): Run {
    const run = this.#waiting;
    if (run === null) {
      this.#waiting = { buffer: this.#buffers.take(frameBytes), bytes: 0, frames: 0 };
      return this.#waiting;
    }
    const bytes = run.bytes + frameBytes;
    if (bytes <= run.buffer.byteLength) return run;
    const larger = this.#buffers.take(Math.max(bytes, Math.min(2 * run.buffer.byteLength, this.#bytesMax)));
    larger.set(run.buffer.subarray(0, run.bytes));
    this.#buffers.give(run.buffer);
    run.buffer = larger;
    return run;
  }
}
