/**
 * What waits for one connection, and what its socket holds: whole frames, in order, bounded in bytes and number. Pure.
 *
 * New frames are refused, old ones never dropped, so that what arrives is in order with gaps only at the end. The bytes that were handed to the socket count until they have left, so a peer that takes nothing costs the
 * bound and no more. A frame longer than the bound is taken when nothing else is here: else it could never be sent.
 */

export class OutputQueue {
  readonly #bytesMax: number;
  readonly #framesMax: number;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #handedFrames = 0;
  #handedBytes = 0;

  constructor(bytesMax: number, framesMax: number) {
    this.#bytesMax = bytesMax;
    this.#framesMax = framesMax;
  }

  /** Frames held, handed over or not. */
  get frames(): number {
    return this.#waiting.length + this.#handedFrames;
  }

  /** Their bytes. */
  get bytes(): number {
    return this.#waitingBytes + this.#handedBytes;
  }

  /** The socket has not taken what it was handed. */
  get isHanded(): boolean {
    return this.#handedFrames > 0;
  }

  /** Takes a frame, which belongs to the queue from then on; false: there is no room. */
  push(frame: Uint8Array): boolean {
    const isOver = this.bytes + frame.byteLength > this.#bytesMax || this.frames >= this.#framesMax;
    if (isOver && this.frames > 0) return false;
    this.#waiting.push(frame);
    this.#waitingBytes += frame.byteLength;
    return true;
  }

  /** Everything that waits, to be handed over; nothing while the socket still holds what it was handed before. */
  handOver(): readonly Uint8Array[] {
    if (this.isHanded) return [];
    const frames = this.#waiting;
    this.#handedFrames = frames.length;
    this.#handedBytes = this.#waitingBytes;
    this.#waiting = [];
    this.#waitingBytes = 0;
    return frames;
  }

  /** What was handed over has left. */
  left(): void {
    this.#handedFrames = 0;
    this.#handedBytes = 0;
  }

  /** Gives all of it up; returns how many frames that were. */
  clear(): number {
    const { frames } = this;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.left();
    return frames;
  }
}
