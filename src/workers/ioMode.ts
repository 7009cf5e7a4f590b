/**
 * Whether a disk's writes run inline on the worker or on its I/O thread. Pure.
 *
 * A buffered pwrite normally costs a few µs and is cheapest inline. When the kernel throttles writers (dirty page limits, a slow device) the same call
 * takes milliseconds, and a worker stuck in it serves nobody. So the mode follows what the batches cost, with hysteresis.
 */

export type WriteMode = 'auto' | 'always' | 'never';

/** A batch slower than this counts against inline writing. */
export const SLOW_BATCH_NS = 20_000_000;
/** One batch this slow is enough. */
export const STALLED_BATCH_NS = 200_000_000;
/** Slow batches in a row that move writing to the I/O thread. */
export const SLOW_BATCHES = 3;
/** Fast batches in a row (under a tenth of slow) that bring it back. */
export const FAST_BATCHES = 200;

export class IoMode {
  readonly #setting: WriteMode;
  #threaded: boolean;
  #slow = 0;
  #fast = 0;

  /** `auto` decides by measuring; `always` writes inline; `never` uses the I/O thread. */
  constructor(setting: WriteMode) {
    this.#setting = setting;
    this.#threaded = setting === 'never';
  }

  /** True while batches go to the I/O thread. */
  get threaded(): boolean {
    return this.#threaded;
  }

  /** A batch took `ns`. Returns true when the mode has changed. */
  observe(ns: number): boolean {
    if (this.#setting !== 'auto') return false;
    if (this.#threaded) {
      this.#fast = ns < SLOW_BATCH_NS / 10 ? this.#fast + 1 : 0;
      if (this.#fast < FAST_BATCHES) return false;
    } else {
      this.#slow = ns >= SLOW_BATCH_NS ? this.#slow + 1 : 0;
      if (this.#slow < SLOW_BATCHES && ns < STALLED_BATCH_NS) return false;
    }
    this.#threaded = !this.#threaded;
    this.#slow = 0;
    this.#fast = 0;
    return true;
  }
}
