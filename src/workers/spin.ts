/**
 * How long a thread may spin before it sleeps. Pure: it is told what happened and answers with a budget.
 *
 * A wake-up costs tens of µs, so with a single request in flight spinning on both sides more than doubles the rate: 4 KiB appends 1 × 1 went from 12 k/s
 * to 25 k/s on two cores. But a thread that spins takes a core from whoever would bring the next request: with four in flight the same spin took a third
 * to a half of the rate. So a thread spins only while there is one request in flight at most (the network thread sees that and tells the workers), and only while work
 * lately came soon enough to be worth waiting for. `docs/benchmarks.md` has the figures.
 */

/** Weight of the newest gap in the moving average. */
const WEIGHT = 1 / 8;
/** Gaps up to this many budgets are worth spinning for: spinning itself shortens them. */
const WORTH = 2;
/** Below this share of spins that found work, spinning pauses; above the other the next pause is short again. */
const LUCK_MIN = 0.6;
const LUCK_GOOD = 0.95;
/** Sleeps a pause lasts. */
const PAUSE_MIN = 64;
const PAUSE_MAX = 4096;
/** A longer gap counts as this many budgets, so that one pause does not stop the spinning for long. */
const GAP_MAX = 8;

export class SpinPolicy {
  /** Longest spin, ns; 0 switches spinning off. */
  readonly #budgetNs: number;
  #gapNs = 0;
  /** Share of the last spins in which work came. */
  #luck = 1;
  /** Sleeps without a spin before the next try. */
  #pause = 0;
  #nextPause = PAUSE_MIN;

  /** `budgetUs` from the settings; `cores` the machine's: with one core spinning can only delay the work. */
  constructor(budgetUs: number, cores: number) {
    this.#budgetNs = cores > 1 ? budgetUs * 1000 : 0;
  }

  /** Work came `gapNs` after the thread had run out of it. */
  observe(gapNs: number): void {
    this.#gapNs += (Math.min(gapNs, this.#budgetNs * GAP_MAX) - this.#gapNs) * WEIGHT;
  }

  /**
   * How a spin ended. Spins in vain cost a core that somebody else may need (the one who would bring the work, on a busy machine), so after a few of them
   * there is a pause, longer each time.
   */
  spun(found: boolean): void {
    this.#luck += ((found ? 1 : 0) - this.#luck) * WEIGHT;
    if (this.#luck >= LUCK_MIN) {
      if (this.#luck > LUCK_GOOD) this.#nextPause = PAUSE_MIN;
      return;
    }
    this.#luck = 1;
    this.#pause = this.#nextPause;
    this.#nextPause = Math.min(PAUSE_MAX, this.#nextPause * 2);
  }

  /** ns to spin before the next sleep. `lone`: at most one request is in flight in the whole node. */
  spinNs(lone: boolean): number {
    if (!lone || this.#gapNs > this.#budgetNs * WORTH) return 0;
    if (this.#pause > 0) {
      this.#pause--;
      return 0;
    }
    return this.#budgetNs;
  }
}

/** Turns over which the network thread looks back. */
const LONE_TURNS = 32;

/** Whether one request at a time is all there is to do. Pure; fed once a turn of the network thread. */
export class LoneWatch {
  #peak = 0;
  #turns = 0;
  /** At most one request was in flight at any time lately. */
  lone = false;

  /** `inFlight`: requests at workers at the end of a turn. Returns true when `lone` has changed. */
  observe(inFlight: number): boolean {
    const before = this.lone;
    if (inFlight > this.#peak) this.#peak = inFlight;
    if (this.#peak > 1) this.lone = false;
    this.#turns++;
    if (this.#turns >= LONE_TURNS) {
      this.lone = this.#peak <= 1;
      this.#peak = inFlight;
      this.#turns = 0;
    }
    return this.lone !== before;
  }
}
