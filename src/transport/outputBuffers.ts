/**
 * Memory for what leaves on the connections to peers: a connection takes a buffer when it has something to send and gives it back when that has left. A few are kept, so that a busy node allocates nothing and an idle one
 * holds next to nothing.
 */

/** Of a buffer that is kept: room for the appends of a turn. */
const BUFFER_BYTES = 128 * 1024;
const KEPT_MAX = 32;

export class OutputBuffers {
  readonly #kept: Buffer[] = [];

  /** A buffer with room for so many bytes at least; what it holds is of no meaning. */
  take(bytesMin: number): Buffer {
    if (bytesMin > BUFFER_BYTES) return Buffer.allocUnsafeSlow(bytesMin);
    return this.#kept.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
  }

  /** Nobody uses it any more. */
  give(buffer: Buffer): void {
    if (buffer.byteLength === BUFFER_BYTES && this.#kept.length < KEPT_MAX) this.#kept.push(buffer);
  }
}
