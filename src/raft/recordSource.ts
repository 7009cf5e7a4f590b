/**
 * The bytes of records on their way into files: cut at any place, small pieces gathered so that a batch of entries is one write. Copies at most its scratch at a time.
 */
import assert from 'node:assert';

const SCRATCH_BYTES = 64 * 1024;
/** Of the thread: a step is written before the next one is asked for. */
const scratch = new Uint8Array(SCRATCH_BYTES);

export class RecordSource {
  readonly #pieces: readonly Uint8Array[];
  #piece = 0;
  /** Bytes of that piece that are gone. */
  #at = 0;

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
  }

  /** The next bytes, at most `bytesMax` and at least one: a part of a large piece, or small ones gathered. Valid until the next call of any source. */
  next(bytesMax: number): Uint8Array {
    const whole = this.#take(bytesMax);
    if (whole.byteLength === bytesMax || whole.byteLength >= SCRATCH_BYTES) return whole;
    let filled = 0;
    for (let part = whole; ; part = this.#take(Math.min(bytesMax, SCRATCH_BYTES) - filled)) {
      scratch.set(part, filled);
      filled += part.byteLength;
      if (filled === Math.min(bytesMax, SCRATCH_BYTES)) return scratch.subarray(0, filled);
    }
  }

  /** At most `bytesMax` bytes of the piece that is at hand. */
  #take(bytesMax: number): Uint8Array {
    assert(bytesMax > 0);
    while (this.#at === this.#pieces[this.#piece]?.byteLength) {
      this.#piece += 1;
      this.#at = 0;
    }
    const piece = this.#pieces[this.#piece];
    assert(piece !== undefined, 'the records have as many bytes as their entries tell');
    const part = piece.subarray(this.#at, this.#at + bytesMax);
    this.#at += part.byteLength;
    return part;
  }
}
