/**
 * Long run: opens distinct images of crashed disks until so many were seen, and holds each to what `docs/durability.md` promises.
 *
 *     node dist/test/long/crashImages.js --images 1000000
 *
 * Ends with exit code 1 at the first image that breaks a promise, and names its scenario and seed. Takes some 1 to 2 ms an image.
 */
import { parseArgs } from 'node:util';
import { hunt } from '../crash/scenarios.js';

const PER_MOMENT = 1000;
const SEEDS_BETWEEN_LINES = 10;

const { values } = parseArgs({ options: { images: { type: 'string', default: '1000000' } } });
const images = Number(values.images);
if (!(images > 0)) throw new Error('--images takes a number');

const found = hunt(images, PER_MOMENT, undefined, {
  onSeed: ({ seen, moments }, seed) => {
    if (seed % SEEDS_BETWEEN_LINES === 0)
      console.log(`${seen.size} distinct images of ${moments} moments, seed ${seed}`);
  },
});
for (const problem of found.problems) console.log(`BROKEN: ${problem}`);
console.log(`${found.seen.size} distinct images, ${found.problems.length} broken`);
process.exitCode = found.problems.length === 0 ? 0 : 1;
