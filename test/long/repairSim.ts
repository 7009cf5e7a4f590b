/**
 * Long run: simulated replicas with repair, seed after seed.
 *
 *     node dist/test/long/repairSim.js --from 10000 --seeds 100000
 *     node dist/test/long/repairSim.js --from 10000 --seeds 1000 --twice      each seed twice: both runs must be the same
 *     node dist/test/long/repairSim.js --seed 4711            one run, with the end of its trace
 *
 * Ends with exit code 1 at the first run that shows a bug, and prints the end of its trace.
 */
import assert from 'node:assert';
import { parseArgs } from 'node:util';
import { RunFailed, runSeed } from '../repair/sim/run.js';
import { type HitName, noHits } from '../repair/sim/world.js';

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '1000' },
    seed: { type: 'string' },
    twice: { type: 'boolean', default: false },
    lines: { type: 'string', default: '100' },
  },
});
const first = Number(values.seed ?? values.from);
const count = values.seed === undefined ? Number(values.seeds) : 1;
const sums = noHits();
const startedAt = performance.now();
let seed = first;
let events = 0;
let simulatedMs = 0;
try {
  for (; seed < first + count; seed += 1) {
    const report = await runSeed(seed);
    if (values.twice) assert.deepStrictEqual(await runSeed(seed), report, `seed ${seed} gives two runs`);
    for (const [name, hits] of Object.entries(report.hits)) sums[name as HitName] += hits;
    events += report.events;
    simulatedMs += report.simulatedMs;
    if (count === 1) console.log(JSON.stringify(report));
  }
} catch (error) {
  if (!(error instanceof RunFailed)) throw error;
  for (const line of error.lines.slice(-Number(values.lines))) console.log(line);
  console.log(error.message);
  console.log(error.cause instanceof Error ? error.cause.stack : '');
  process.exitCode = 1;
}
const seconds = (performance.now() - startedAt) / 1000;
console.log(
  `${seed - first} runs in ${seconds.toFixed(1)} s, ${events} events, ${(simulatedMs / 3_600_000).toFixed(1)} simulated hours: ${JSON.stringify(sums)}`,
);
