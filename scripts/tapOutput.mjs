/**
 * Reads what one test file prints (TAP, from tap 21) as it comes, and keeps only what a report needs: the totals, the failed assertions with their
 * diagnostics, and the last lines. Memory is bounded, however much a test prints.
 */

const KEPT_LINES_MAX = 400;
const TAIL_LINES = 60;

export class TapOutput {
  /** From the summary that ends the output; null without one. */
  totals = null;
  #rest = '';
  #failures = [];
  #tail = [];
  /** Indentation of the failed assertion whose diagnostics are being read, or -1. */
  #failureIndent = -1;

  /** Takes the next piece of the output, cut anywhere. */
  push(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  /** Ends the output. Returns the lines to show for a failed file: its failures, or its last lines if it says nothing of a failure. */
  end() {
    if (this.#rest !== '') this.#line(this.#rest);
    this.#rest = '';
    return this.#failures.length > 0 ? this.#failures : this.#tail;
  }

  #line(line) {
    this.#tail.push(line);
    if (this.#tail.length > TAIL_LINES) this.#tail.shift();
    const indent = line.search(/\S|$/);
    const summary = /^# \{ (total: \d+.*) \}$/.exec(line);
    if (summary !== null) this.totals = readTotals(summary[1]);
    if (/^\s*not ok /.test(line) && !/ # (skip|todo)/i.test(line)) {
      this.#failureIndent = indent;
    } else if (this.#failureIndent >= 0 && indent <= this.#failureIndent && line.trim() !== '') {
      this.#failureIndent = -1;
    }
    if (this.#failureIndent >= 0 && this.#failures.length < KEPT_LINES_MAX) this.#failures.push(line);
  }
}

/** `total: 3, pass: 2, fail: 1` as an object of counts. */
function readTotals(text) {
  const counts = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 };
  for (const [, name, count] of text.matchAll(/(\w+): (\d+)/g)) counts[name] = Number(count);
  return counts;
}
