/**
 * The crash-image suites find every planted bug; `docs/plantedBugs.md` lists exactly those.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { packageRoot } from '../packageRoot.js';
import { APPLY_BUGS } from './applyBugs.js';
import { applyHunt } from './applyRun.js';
import { PLANTED_BUGS } from './plantedBugs.js';
import { hunt } from './scenarios.js';

/** A suite that has seen so many images without finding the bug has missed it. */
const IMAGES_MAX = 8000;
const PER_MOMENT = 100;
/** Hunts of seconds each, on a machine that may be busy. */
t.setTimeout(600_000);

for (const { name, disk: PlantedDisk, finding, scenario } of PLANTED_BUGS) {
  t.test(`the planted bug ${name} is found`, { timeout: 120_000 }, async (t) => {
    const first = scenario === undefined ? {} : { first: scenario };
    const found = hunt(IMAGES_MAX, PER_MOMENT, (options) => new PlantedDisk(options), first);
    t.match(found.problems[0] ?? 'nothing was found', finding);
    t.comment(`after ${found.seen.size} images: ${found.problems[0]}`);
  });
}

for (const { name, disk: PlantedDisk, finding } of APPLY_BUGS) {
  t.test(`the planted bug ${name} is found`, { timeout: 120_000 }, async (t) => {
    const found = applyHunt(IMAGES_MAX, (options, root) => new PlantedDisk(options, root));
    t.match(found.problems[0] ?? 'nothing was found', finding);
    t.comment(`after ${found.seen.size} images: ${found.problems[0]}`);
  });
}

t.test('the page lists the planted bugs, all and no others', async (t) => {
  const [page = ''] = readFileSync(join(packageRoot, 'docs/plantedBugs.md'), 'utf8').split('\n## Raft\n');
  const told = [...page.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, name = '']) => name);
  t.same(
    told,
    [...PLANTED_BUGS, ...APPLY_BUGS].map(({ name }) => name),
  );
  for (const name of told) t.ok(page.includes(`› the planted bug ${name} is found\``), name);
});
