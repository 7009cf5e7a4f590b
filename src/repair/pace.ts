/** What the whole node fetches a second (`repair.bytesPerSecond`), beside the limits of its disks: a stream takes its packet's bytes here before it takes the packet. Owned by the repair thread. */
import { TokenBucket } from '../partition/tokenBucket.js';

/** A tenth of a second, and one packet at least, is what an idle moment saves up. */
const BURST_SECONDS = 0.1;
const BURST_BYTES_MIN = 128 * 1024;

export class Pace {
  readonly #bucket: TokenBucket;
  readonly #nowMs: () => number;
  readonly #signal: AbortSignal;

  constructor(bytesPerSecond: number, nowMs: () => number, signal: AbortSignal) {
    this.#nowMs = nowMs;
    this.#signal = signal;
    this.#bucket = new TokenBucket(bytesPerSecond, burstOf(bytesPerSecond));
  }

  change(bytesPerSecond: number): void {
    this.#bucket.setRate(bytesPerSecond, burstOf(bytesPerSecond), this.#nowMs());
  }

  /** Resolves when so many bytes may be taken. Rejects when the node stops. */
  async take(bytes: number): Promise<void> {
    while (!this.#bucket.take(bytes, this.#nowMs())) {
      if (this.#signal.aborted) throw new Error('the node is stopping');
      // A rate that is raised must not be waited for at the old one.
      const waitMs = Math.min(100, Math.max(1, this.#bucket.waitMs(this.#nowMs())));
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}

function burstOf(bytesPerSecond: number): number {
  return Math.max(BURST_BYTES_MIN, bytesPerSecond * BURST_SECONDS);
}
