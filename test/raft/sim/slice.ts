/**
 * The seeds that CI runs, in slices: test files beside each other take one each. A slice fails at its first run that shows a bug, and when too little of anything was hit to
 * believe that it would have shown one.
 */
import type { Test } from 'tap';
import { FAULT_NAMES } from './faults.js';
import { RunFailed, type RunReport, runSeed, type Setting } from './run.js';
import { Totals, toldRun } from './totals.js';

/** Seeds of one slice: half a minute, on a busy machine a minute and a half. */
export const SLICE_SEEDS = 250;
/** What a slice comes to at least; about half of what it usually does. */
const FLOORS = {
  elections: 500,
  restarts: 1000,
  changes: 100,
  snapshots: 15,
  committed: 5000,
  answered: 6000,
};
const FAULT_FLOOR = 5;

/** Runs slice `number`, from 0, and holds it to its floors. */
export function runSlice(t: Test, number: number, setting: Setting): void {
  const startedAt = performance.now();
  const totals = new Totals();
  const first = number * SLICE_SEEDS + 1;
  for (let seed = first; seed < first + SLICE_SEEDS; seed += 1) {
    const report = runOrTell(t, seed, setting);
    if (report === null) return;
    totals.add(report);
  }
  for (const line of totals.lines()) t.comment(line);
  const perHour = totals.simulatedMs / (performance.now() - startedAt);
  t.comment(`${perHour.toFixed(0)} simulated hours an hour`);
  t.equal(totals.runs, SLICE_SEEDS);
  for (const [what, floor] of Object.entries(FLOORS)) {
    const count = totals[what as keyof typeof FLOORS];
    t.ok(count >= floor, `${what}: ${count}, at least ${floor}`);
  }
  for (const name of FAULT_NAMES) {
    const count = totals.faults[name];
    t.ok(count >= FAULT_FLOOR, `${name}: ${count}, at least ${FAULT_FLOOR}`);
  }
}

/** One run, told in a comment. Null when it shows a bug: the test has failed then, with the end of its trace. */
export function runOrTell(t: Test, seed: number, setting: Setting): RunReport | null {
  try {
    const report = runSeed(seed, { setting });
    t.comment(toldRun(report));
    return report;
  } catch (error) {
    if (!(error instanceof RunFailed)) throw error;
    for (const line of error.lines.slice(-100)) t.comment(line);
    t.fail(error.message);
    return null;
  }
}
