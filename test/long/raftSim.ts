/**
 * Long run: simulated raft clusters, seed after seed, until a number of them or so many hours are over.
 *
 *     node dist/test/long/raftSim.js --setting calm --hours 1
 *     node dist/test/long/raftSim.js --setting stormy --seeds 100000 --from 1
 *     node dist/test/long/raftSim.js --setting stormy --seed 4711            one run, with its trace
 *
 * Ends with exit code 1 at the first run that shows a bug, and prints the end of its trace.
 */
import { parseArgs } from 'node:util';
import { RunFailed, runSeed } from '../raft/sim/run.js';
import { SETTINGS } from '../raft/sim/settings.js';
import { Totals, toldRun } from '../raft/sim/totals.js';

const RUNS_BETWEEN_LINES = 100;
const MS_AN_HOUR = 3_600_000;

const { values } = parseArgs({
  options: {
    setting: { type: 'string', default: 'stormy' },
    from: { type: 'string', default: '1' },
    seeds: { type: 'string' },
    hours: { type: 'string' },
    seed: { type: 'string' },
    each: { type: 'boolean', default: false },
  },
});
const setting = SETTINGS[values.setting];
if (setting === undefined) throw new Error(`--setting takes one of ${Object.keys(SETTINGS).join(', ')}`);
const one = numberOf(values.seed);
const first = one ?? numberOf(values.from) ?? 1;
const seeds = one === null ? (numberOf(values.seeds) ?? Number.POSITIVE_INFINITY) : 1;
const hours = numberOf(values.hours) ?? (seeds === Number.POSITIVE_INFINITY ? 1 : Number.POSITIVE_INFINITY);
const print = one === null ? {} : { print: (line: string) => console.log(line) };

const startedAt = performance.now();
const totals = new Totals();

try {
  for (
    let seed = first;
    seed < first + seeds && performance.now() - startedAt < hours * MS_AN_HOUR;
    seed += 1
  ) {
    const report = runSeed(seed, { setting, ...print });
    totals.add(report);
    if (values.each || one !== null) console.log(toldRun(report));
    if (totals.runs % RUNS_BETWEEN_LINES === 0) console.log(`up to seed ${seed}: ${speed()}`);
  }
} catch (error) {
  if (!(error instanceof RunFailed)) throw error;
  for (const line of error.lines) console.log(line);
  console.log(error.message);
  console.log(error.cause instanceof Error ? error.cause.stack : '');
  process.exitCode = 1;
}
for (const line of totals.lines()) console.log(line);
console.log(speed());

function speed(): string {
  const perHour = totals.simulatedMs / (performance.now() - startedAt);
  return `${(totals.simulatedMs / MS_AN_HOUR).toFixed(1)} simulated hours, ${perHour.toFixed(0)} an hour`;
}

function numberOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`not a number above 0: ${text}`);
  return value;
}
