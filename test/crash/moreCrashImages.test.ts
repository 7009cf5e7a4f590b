/** Crash images as in `crashImages.test.ts`, of other seeds. */
import t from 'tap';
import { hunt } from './scenarios.js';
import { WatchedDisk } from './watchedDisk.js';

const IMAGES = 5_000;
const PER_MOMENT = 200;
const FIRST_SEED = 1_001;
t.setTimeout(220_000);

t.test('every image of a crashed disk opens, under other seeds', { timeout: 220_000 }, async (t) => {
  const found = hunt(IMAGES, PER_MOMENT, (options) => new WatchedDisk(options), { firstSeed: FIRST_SEED });
  t.same(found.problems, []);
  t.ok(found.seen.size >= IMAGES);
  t.comment(`${found.seen.size} distinct images of ${found.moments} moments`);
});
