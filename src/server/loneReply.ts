/**
 * Waiting for the reply of the only request in flight: a little spinning instead of going to sleep, where that pays (`workers/spin.ts`).
 */
import { LoneWatch } from '../workers/spin.js';
import type { NetworkParts } from './networkParts.js';

export class LoneReply {
  readonly #parts: NetworkParts;
  readonly #watch = new LoneWatch();
  /** When the reply began to be awaited; 0: none is. */
  #fromMs = 0;

  constructor(parts: NetworkParts) {
    this.#parts = parts;
  }

  /** The end of a turn with `inFlight` requests at workers: tells the workers whether they may spin. */
  observe(inFlight: number): void {
    if (this.#watch.observe(inFlight)) Atomics.store(this.#parts.lone, 0, this.#watch.lone ? 1 : 0);
  }

  /** Spins for the reply; true when something was rung after `seen`. */
  wait(seen: number): boolean {
    const { spin, spinForReplies, monotonicMs } = this.#parts;
    this.#fromMs = monotonicMs();
    const spinNs = spin.spinNs(this.#watch.lone);
    if (spinNs === 0) return false;
    const found = spinForReplies(seen, spinNs);
    spin.spun(found);
    return found;
  }

  /** A reply came: how long it took is what the next spin is decided by. */
  answered(): void {
    if (this.#fromMs === 0) return;
    this.#parts.spin.observe((this.#parts.monotonicMs() - this.#fromMs) * 1e6);
    this.#fromMs = 0;
  }
}
