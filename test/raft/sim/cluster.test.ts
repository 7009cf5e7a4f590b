/**
 * Simulated clusters: the same seed is the same run, and a calm month.
 */
import t from 'tap';
import { runSeed } from './run.js';
import { CALM, STORMY } from './settings.js';
import { Totals } from './totals.js';

const CALM_RUNS = 10;

t.test('the same seed gives the same run, down to each message; another seed another one', async (t) => {
  const hashes = new Set<string>();
  for (let seed = 1; seed <= 20; seed += 1) {
    const first = runSeed(seed, { setting: STORMY });
    const second = runSeed(seed, { setting: STORMY });
    t.same(first, second, `seed ${seed}`);
    hashes.add(first.hash);
  }
  t.equal(hashes.size, 20);
});

t.test('a trace that is printed does not change the run', async (t) => {
  const lines: string[] = [];
  const printed = runSeed(3, { setting: STORMY, print: (line) => lines.push(line) });
  t.ok(lines.length > 100, `${lines.length} lines`);
  t.equal(printed.hash, runSeed(3, { setting: STORMY }).hash);
});

t.test('hours in which little happens: the groups keep their leaders', async (t) => {
  const totals = new Totals();
  const startedAt = performance.now();
  for (let seed = 1; seed <= CALM_RUNS; seed += 1) totals.add(runSeed(seed, { setting: CALM }));
  for (const line of totals.lines()) t.comment(line);
  t.comment(`${(totals.simulatedMs / (performance.now() - startedAt)).toFixed(0)} simulated hours an hour`);
  t.ok(totals.simulatedMs >= CALM_RUNS * CALM.durationMs);
  t.ok(totals.elections < 20 * CALM_RUNS, `${totals.elections} elections`);
  t.ok(totals.answered > 50 * CALM_RUNS, `${totals.answered} operations answered`);
});
