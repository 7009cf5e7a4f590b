/**
 * When operations are meant to start, and when two classes of connections may send. Pure.
 *
 * Open loop (`--rate`): each connection has its own evenly spaced schedule. Latency counts from the intended start, so time that an operation spends
 * waiting for a free slot behind a stalled server is part of its latency. The generator's own timer is a tick of about 1 ms: an
 * operation that was sent at the first tick after its start, with a slot free, counts from when it was really sent, unless that tick came
 * more than `TIMER_LAG_MS` late. So the generator hides at most that much, and does not report its own timer as the server's latency.
 */

/** Lateness of the generator's own timer that is not charged to the server. */
export const TIMER_LAG_MS = 2;

/** The schedule of one connection, in milliseconds of one monotonic clock. */
export class OpenLoopSchedule {
  readonly #intervalMs: number;
  #nextMs: number;
  #lastTickMs: number;

  /** `ratePerSecond` operations; the first is meant to start at `firstMs`. */
  constructor(ratePerSecond: number, firstMs: number) {
    this.#intervalMs = 1000 / ratePerSecond;
    this.#nextMs = firstMs;
    this.#lastTickMs = firstMs;
  }

  /** Whether an operation is meant to have started by `nowMs`. */
  due(nowMs: number): boolean {
    return this.#nextMs <= nowMs;
  }

  /** Takes the next due operation, which is sent now; returns the time its latency counts from. */
  take(nowMs: number): number {
    const intendedMs = this.#nextMs;
    this.#nextMs += this.#intervalMs;
    const heldBack = intendedMs <= this.#lastTickMs || nowMs - intendedMs > TIMER_LAG_MS;
    return heldBack ? intendedMs : nowMs;
  }

  /** How many operations were due at the last tick and are still held back. */
  overdue(): number {
    const lateMs = this.#lastTickMs - this.#nextMs;
    return lateMs < 0 ? 0 : Math.floor(lateMs / this.#intervalMs) + 1;
  }

  /** To be called after a tick has sent what it could: what is still due then is held back by the server. */
  ticked(nowMs: number): void {
    this.#lastTickMs = nowMs;
  }
}

/**
 * Keeps two classes of connections in proportion in a closed loop: a class may send unless it is ahead of its share by more than a window. One
 * instance a worker.
 */
export class MixGate {
  readonly #share: readonly [number, number];
  readonly #window: number;
  readonly #sent: [number, number] = [0, 0];

  /** Shares of class 0 and class 1 (any scale, both above 0); `window`: operations a class may run ahead, about what is in flight. */
  constructor(share: readonly [number, number], window: number) {
    const total = share[0] + share[1];
    this.#share = [share[0] / total, share[1] / total];
    this.#window = window;
  }

  maySend(side: 0 | 1): boolean {
    const total = this.#sent[0] + this.#sent[1];
    return this.#sent[side] <= (total + this.#window) * this.#share[side];
  }

  sent(side: 0 | 1): void {
    this.#sent[side]++;
  }
}
