/**
 * The simulation of replicas finds every bug that is planted in replication and repair, among the seeds that CI runs, and says the right thing about it; `docs/plantedBugs.md` lists exactly those.
 *
 * The hunt begins at the seed that is known to be the first. A change of production or simulation moves it: then the hunt goes on for a while, and a comment tells the new one.
 * `PLANTED_FROM_ONE=1` hunts from seed 1 and holds the table to what it finds.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../../packageRoot.js';
import type { PlantedRepairBug } from './plantedParts.js';
import { PLANTED_REPAIR_BUGS, runPlanted } from './plantedRepairBugs.js';

/** A bug that this many seeds do not show has been missed. */
const SEEDS_MAX = 2000;
/** Looked at behind the known one. */
const SEEDS_AHEAD = 150;
const FROM_ONE = process.env['PLANTED_FROM_ONE'] === '1';

if (FROM_ONE) t.setTimeout(0);

async function hunt(bug: PlantedRepairBug): Promise<{ seed: number; message: string }> {
  const first = FROM_ONE ? 1 : bug.seed;
  const last = FROM_ONE ? SEEDS_MAX : Math.min(SEEDS_MAX, first + SEEDS_AHEAD);
  for (let seed = first; seed <= last; seed += 1) {
    const failure = await runPlanted(bug, seed);
    if (failure !== null) return { seed, message: failure.message };
  }
  return { seed: last, message: `nothing was found in seeds ${first} to ${last}` };
}

for (const bug of PLANTED_REPAIR_BUGS) {
  t.test(`the planted bug ${bug.name} is found`, async (t) => {
    const { seed, message } = await hunt(bug);
    t.match(message, bug.finding);
    t.equal(await runPlanted(null, seed), null, 'the same run without it is fine');
    if (FROM_ONE) t.equal(seed, bug.seed, 'the table has the first seed');
    t.comment(`seed ${seed}: ${message}`);
  });
}

t.test('there are enough of them, each with a name of its own', async (t) => {
  const names = new Set(PLANTED_REPAIR_BUGS.map(({ name }) => name));
  t.equal(names.size, PLANTED_REPAIR_BUGS.length);
  t.ok(names.size >= 20, `${names.size}`);
});

t.test('the page lists the planted bugs, all and no others', async (t) => {
  const page = readFileSync(join(packageRoot, 'docs/plantedBugs.md'), 'utf8');
  const section = page.slice(page.indexOf('\n## Replication and repair\n'));
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  t.same(
    rows,
    PLANTED_REPAIR_BUGS.map(
      ({ name, breaks, planted, seed }) => `| \`${name}\` | ${breaks} | ${planted} | ${seed} |`,
    ),
  );
});
