/**
 * Terms of consecutive log entries, as runs of the same term. Bounded by the number of elections, not of entries. Pure.
 */
import assert from 'node:assert';

/** Entries from index `from` on have `term`, up to the next run. */
export interface TermRun {
  from: number;
  term: number;
}

export class TermRuns {
  /** By index; neighbours differ in term. */
  readonly #runs: TermRun[] = [];

  /** The entry at `index`, behind all others, has `term`. */
  add(index: number, term: number): void {
    const last = this.#runs.at(-1);
    assert(last === undefined || last.from < index, 'terms are added in the order of their entries');
    if (last?.term !== term) this.#runs.push({ from: index, term });
  }

  /** Term of the entry at `index`, which must be one that is covered. */
  at(index: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle]!.from <= index) low = middle + 1;
      else high = middle;
    }
    const run = this.#runs[low - 1];
    assert(run !== undefined, `no term is known for index ${index}`);
    return run.term;
  }

  /** Forgets the entries from `index` on. */
  dropFrom(index: number): void {
    while (this.#runs.length > 0 && this.#runs.at(-1)!.from >= index) this.#runs.pop();
  }

  /** Forgets runs that end before `index`. The one that covers it keeps its beginning. */
  dropBefore(index: number): void {
    let gone = 0;
    while (gone + 1 < this.#runs.length && this.#runs[gone + 1]!.from <= index) gone += 1;
    this.#runs.splice(0, gone);
  }

  /** The runs of the entries from `index` to `last`; empty when there are none. */
  between(index: number, last: number): TermRun[] {
    if (index > last) return [];
    const first = { from: index, term: this.at(index) };
    return [
      first,
      ...this.#runs.filter(({ from }) => from > index && from <= last).map((run) => ({ ...run })),
    ];
  }
}
