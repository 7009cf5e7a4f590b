/**
 * Crash images: what every legal image of a crashed disk must give back. `scenarios.ts` has the runs, `imageCheck.ts` what an image is held to.
 *
 * `CRASH_IMAGES=n` looks at more of them. `moreCrashImages.test.ts` runs other seeds beside this file.
 */
import t from 'tap';
import { hunt } from './scenarios.js';

const images = Number(process.env['CRASH_IMAGES'] ?? 5_000);
/** Combinations tried at one moment: enough to make all images of most moments. */
const PER_MOMENT = 200;
const timeout = 120_000 + images * 20;
t.setTimeout(timeout);

t.test('every image of a crashed disk opens and holds what was promised', { timeout }, async (t) => {
  const found = hunt(images, PER_MOMENT);
  t.same(found.problems, []);
  t.ok(found.seen.size >= images);
  t.comment(`${found.seen.size} distinct images of ${found.moments} moments`);
});
