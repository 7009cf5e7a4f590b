/**
 * Long run: kills a node at random moments under load, many times on the same disks, and checks after each start that nothing acknowledged is lost.
 *
 *     node dist/test/long/killUnderLoad.js --runs 200 [--seed N]
 *
 * Ends with exit code 1 at the first round that finds something wrong, and names the seed.
 */
import { parseArgs } from 'node:util';
import { Cleanup } from '../support/cleanup.js';
import { crashRounds } from '../support/crashRounds.js';

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '200' }, seed: { type: 'string' } },
});
const runs = Number(values.runs);
const seed = Number(values.seed ?? Date.now() % 1_000_000);
if (!(runs > 0) || !Number.isInteger(seed)) throw new Error('--runs and --seed take whole numbers');

const cleanup = new Cleanup();
console.log(`${runs} rounds, seed ${seed}`);
try {
  const report = await crashRounds(
    cleanup,
    runs,
    seed,
    ({ rounds, killsDuringStart, appends, syncs, extents }) => {
      if (rounds % 10 !== 0 && rounds !== runs) return;
      console.log(
        `${rounds}/${runs}: ${killsDuringStart} kills during start too, ${appends} appends (${syncs} sync) acknowledged, ${extents} extents`,
      );
    },
  );
  for (const problem of report.problems) console.log(`LOST: ${problem}`);
  console.log(report.problems.length === 0 ? 'nothing acknowledged was lost' : `failed with seed ${seed}`);
  process.exitCode = report.problems.length === 0 ? 0 : 1;
} finally {
  await cleanup.run();
}
