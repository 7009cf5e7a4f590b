/**
 * Failed operations by reason, and content mismatches, of one worker or of a whole run.
 */
import type { FailureCount } from './workerMessages.js';

const MISMATCH_TEXTS_MAX = 5;

/** See the file comment. */
export class FailureLog {
  readonly #byCode = new Map<string, FailureCount>();
  /** Descriptions of the first mismatches. */
  readonly mismatchTexts: string[] = [];
  mismatches = 0;

  failed(code: string, text: string, count: number): void {
    const known = this.#byCode.get(code);
    if (known === undefined) this.#byCode.set(code, { code, count, example: text });
    else known.count += count;
  }

  mismatched(text: string): void {
    this.mismatches++;
    if (this.mismatchTexts.length < MISMATCH_TEXTS_MAX) this.mismatchTexts.push(text);
  }

  /** Adds what another log holds. */
  merge(failures: readonly FailureCount[], mismatches: number, mismatchTexts: readonly string[]): void {
    for (const { code, count, example } of failures) this.failed(code, example, count);
    this.mismatches += mismatches;
    for (const text of mismatchTexts) {
      if (this.mismatchTexts.length < MISMATCH_TEXTS_MAX) this.mismatchTexts.push(text);
    }
  }

  /** Failed operations in all. */
  get total(): number {
    return this.list().reduce((sum, row) => sum + row.count, 0);
  }

  /** By reason, most frequent first. */
  list(): FailureCount[] {
    return [...this.#byCode.values()].sort((left, right) => right.count - left.count);
  }
}
