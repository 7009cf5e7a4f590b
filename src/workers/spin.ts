/**
 * How long a thread may spin before it sleeps. Pure: it is told what happened and answers with a budget.
 *
 * A wake-up costs tens of µs, so a thread that is about to get work should spin instead of sleeping; but a thread that spins takes a core from whoever would
 * bring the work. So spinning is paid for by evidence: it is allowed while work has lately come within the budget, and in small batches (with deep batches one
 * wake-up is shared by many packets and spinning buys nothing).
 */

/** Weight of the newest observation in the moving averages. */
const WEIGHT = 1 / 8;

export class SpinPolicy {
  /** Longest spin, ns; 0 switches spinning off. */
  readonly #budgetNs: number;
  #gapNs: number;
  #batch = 1;

  /** `budgetUs` from the settings; `cores` the machine's: with one core spinning can only delay the work. */
  constructor(budgetUs: number, cores: number) {
    this.#budgetNs = cores > 1 ? budgetUs * 1000 : 0;
    this.#gapNs = this.#budgetNs * 4;
  }

  /** Work of `batch` items came `gapNs` after the thread had run out of work. */
  observe(gapNs: number, batch: number): void {
    this.#gapNs += (Math.min(gapNs, this.#budgetNs * 8) - this.#gapNs) * WEIGHT;
    this.#batch += (batch - this.#batch) * WEIGHT;
  }

  /** ns to spin before the next sleep. */
  spinNs(): number {
    if (this.#budgetNs === 0 || this.#batch > 6) return 0;
    return this.#gapNs <= this.#budgetNs ? this.#budgetNs : 0;
  }
}
