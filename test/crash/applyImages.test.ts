/**
 * Crash images of committed random writes (`applyRun.ts`): after a replay each byte is the leader's, or named as missing.
 *
 * `CRASH_IMAGES=n` looks at more of them.
 */
import t from 'tap';
import { applyHunt } from './applyRun.js';

const images = Number(process.env['CRASH_IMAGES'] ?? 4000);
const timeout = 120_000 + images * 20;
t.setTimeout(timeout);

t.test(
  'a replay over every image of a crashed disk gives what the leader has, or names what is missing',
  { timeout },
  async (t) => {
    const found = applyHunt(images);
    t.same(found.problems, []);
    t.ok(found.seen.size >= images);
    t.ok(found.withApply > images / 10, 'APPLY had moved in many');
    t.ok(found.withMissing > images / 10, 'something was missing in many');
    t.comment(`${found.seen.size} distinct images of ${found.moments} moments`);
  },
);
