/**
 * Counts peers that were refused and tells of them once an interval at most, however many there are. Owned by the HTTP thread.
 */

/** What was refused since the last report; `peer`: the last of them. */
export interface RefusalReport {
  count: number;
  peer: string;
}

/** How often at most it is told, ms. */
const REPORT_INTERVAL_MS = 1_000;

export class Refusals {
  readonly #report: (report: RefusalReport) => void;
  readonly #nowMs: () => number;
  #count = 0;
  #peer = '';
  #reportedAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  /** `nowMs`: a monotonic clock. */
  constructor(report: (report: RefusalReport) => void, nowMs: () => number) {
    this.#report = report;
    this.#nowMs = nowMs;
  }

  /** The first is told at once, those that follow within the interval together at its end. */
  add(peer: string): void {
    this.#count++;
    this.#peer = peer;
    if (this.#timer !== undefined) return;
    const waitMs = this.#reportedAtMs + REPORT_INTERVAL_MS - this.#nowMs();
    if (waitMs <= 0) this.flush();
    else this.#timer = setTimeout(() => this.flush(), waitMs);
  }

  /** Tells what has not been told. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#count === 0) return;
    this.#reportedAtMs = this.#nowMs();
    this.#report({ count: this.#count, peer: this.#peer });
    this.#count = 0;
  }
}
