/** Blocks that reads wait for: their order, one look at a time for each, and the bounds of what clients can cause. */
import t from 'tap';
import { ASKED_MAX, ASKED_PER_SECOND, AskedBlocks } from '../../src/repair/askedBlocks.js';

t.test('in order, each once, also while it is being looked at', async (t) => {
  const blocks = new AskedBlocks<number>();
  t.equal(blocks.next(), null);
  t.ok(blocks.add('a', 1, 0));
  t.ok(blocks.add('b', 2, 0));
  t.ok(blocks.add('a', 3, 0), 'is known');
  t.equal(blocks.next(), 1);
  t.ok(blocks.add('a', 4, 0), 'is being looked at');
  t.equal(blocks.next(), 2);
  t.ok(blocks.add('a', 5, 0), 'again, after its look');
  t.equal(blocks.next(), 5);
  t.equal(blocks.next(), null);
  t.ok(blocks.add('a', 6, 0), 'and after all of them');
  t.equal(blocks.next(), 6);
});

t.test('no more wait than so many', async (t) => {
  const blocks = new AskedBlocks<number>();
  for (let i = 0; i < ASKED_MAX; i += 1) t.ok(blocks.add(`${i}`, i, i * 1_000));
  t.notOk(blocks.add('more', 0, 1e6));
  t.ok(blocks.add('3', 0, 1e6), 'one that waits is known');
  t.equal(blocks.next(), 0);
  t.ok(blocks.add('more', 0, 2e6));
});

t.test('no more a second than so many, in the long run', async (t) => {
  const blocks = new AskedBlocks<number>();
  let looked = 0;
  for (let ms = 0; ms < 10_000; ms += 1) {
    if (!blocks.add(`${ms}`, ms, ms)) continue;
    looked += 1;
    blocks.next();
  }
  t.ok(Math.abs(looked - (ASKED_MAX + 10 * ASKED_PER_SECOND)) <= 1, String(looked));
});
