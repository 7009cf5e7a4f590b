/**
 * When a peer that could not be reached is dialled again: with the next frame, but not before a pause that doubles from failure to failure. One for all connections to a peer. Pure; times are of the transport's clock, ms.
 *
 * A connection that was made and lost again at once counts as a failure: so a peer that closes whatever it accepts (its access lists) is not dialled without end. A connection that is made
 * lets the others be dialled at once.
 */

/** The first pause and the longest one, ms. */
export interface BackOffLimits {
  readonly pauseMsMin: number;
  readonly pauseMsMax: number;
}

export class DialBackOff {
  readonly #limits: BackOffLimits;
  #pauseMs = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  constructor(limits: BackOffLimits) {
    this.#limits = limits;
  }

  mayDial(nowMs: number): boolean {
    return nowMs >= this.#notBeforeMs;
  }

  /** A dial failed. Several that fail in one pause are one failure. */
  failed(nowMs: number): void {
    if (!this.mayDial(nowMs)) return;
    const { pauseMsMin, pauseMsMax } = this.#limits;
    this.#pauseMs = Math.min(Math.max(2 * this.#pauseMs, pauseMsMin), pauseMsMax);
    this.#notBeforeMs = nowMs + this.#pauseMs;
  }

  /** A dial succeeded. */
  reached(): void {
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
  }

  /** A connection that was made at `sinceMs` is lost. */
  lost(nowMs: number, sinceMs: number): void {
    if (nowMs - sinceMs < this.#limits.pauseMsMax) this.failed(nowMs);
    else this.#pauseMs = 0;
  }
}
