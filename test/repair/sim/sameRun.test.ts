/** A run of the simulation is a function of its seed: what a seed has shown once it shows again, with the trace that tells why. */
import t from 'tap';
import { runSeed } from './run.js';

/** Runs of all sizes, with and without each kind of fault. */
const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

t.test('a seed gives the same run again, whatever ran before', async (t) => {
  const first = [];
  for (const seed of SEEDS) first.push(await runSeed(seed));
  const again = [];
  for (const seed of [...SEEDS].reverse()) again.unshift(await runSeed(seed));
  t.same(again, first);
  const digests = new Set(first.map(({ digest }) => digest));
  t.equal(digests.size, SEEDS.length, 'no two seeds give the same run');
});
