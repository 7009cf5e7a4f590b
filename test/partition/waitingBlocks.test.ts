/** Which reads of damaged blocks wait, how long, and what is remembered: bounds, one question a block, deadlines, blocks of which nothing comes. */
import t from 'tap';
import type { BlockPlace } from '../../src/partition/messages.js';
import { WAIT_BOUNDS, type WaitBounds, WaitingBlocks } from '../../src/partition/waitingBlocks.js';

const BOUNDS: WaitBounds = { readsMax: 4, waitMs: 100, rememberedMs: 1_000, rememberedMax: 3 };

function place(block: number, extentId = 1025, partitionId = 7): BlockPlace {
  return { partitionId, extentId, block };
}

function rig(): WaitingBlocks<string> {
  return new WaitingBlocks<string>(BOUNDS);
}

t.test('the bounds of a worker', async (t) => {
  t.same(WAIT_BOUNDS, { readsMax: 64, waitMs: 2_000, rememberedMs: 60_000, rememberedMax: 1_024 });
});

t.test('so many reads wait, whatever their blocks, and leave room when they go', async (t) => {
  const blocks = rig();
  for (let i = 0; i < 4; i += 1) {
    t.ok(blocks.mayWait(place(i % 2), 0));
    blocks.add(place(i % 2), `r${i}`, 0);
  }
  t.notOk(blocks.mayWait(place(0), 0));
  t.notOk(blocks.mayWait(place(9), 0));
  t.same(blocks.healed(place(0)), ['r0', 'r2']);
  t.equal(blocks.count, 2);
  t.ok(blocks.mayWait(place(9), 0));
});

t.test('a block is awaited from its first read to its end', async (t) => {
  const blocks = rig();
  t.notOk(blocks.isAwaited(place(1)));
  blocks.add(place(1), 'a', 0);
  t.ok(blocks.isAwaited(place(1)));
  for (const other of [place(2), place(1, 1026), place(1, 1025, 8)]) {
    t.notOk(blocks.isAwaited(other), 'partition, extent and block');
    t.same(blocks.healed(other), []);
  }
  blocks.add(place(1), 'b', 5);
  t.same(blocks.healed(place(1)), ['a', 'b']);
  t.notOk(blocks.isAwaited(place(1)));
  t.same(blocks.healed(place(1)), [], 'told twice');
  t.equal(blocks.count, 0);
});

t.test('the time of a block begins with its first read, and ends for all of them', async (t) => {
  const blocks = rig();
  t.equal(blocks.dueInMs(0), Number.POSITIVE_INFINITY);
  blocks.add(place(1), 'a', 10);
  blocks.add(place(2), 'b', 40);
  blocks.add(place(1), 'c', 90);
  t.equal(blocks.dueInMs(50), 60);
  t.same(blocks.due(109.9), []);
  t.match(blocks.due(110), [{ ...place(1), reads: ['a', 'c'] }]);
  t.equal(blocks.dueInMs(120), 20);
  t.equal(blocks.dueInMs(150), 0);
  t.match(blocks.due(500), [{ ...place(2), reads: ['b'] }]);
  t.equal(blocks.count, 0);
  t.same(blocks.due(9_999), []);
});

t.test(
  'a block of which nothing came is remembered for a while: after its time, and when told so',
  async (t) => {
    const blocks = rig();
    blocks.add(place(1), 'a', 0);
    blocks.due(100);
    blocks.add(place(2), 'b', 0);
    t.same(blocks.fruitless(place(2), true, 100), ['b']);
    for (const block of [1, 2]) {
      t.notOk(blocks.mayWait(place(block), 101));
      t.notOk(blocks.mayWait(place(block), 1_099));
      t.ok(blocks.mayWait(place(block), 1_100));
    }
    t.ok(blocks.mayWait(place(3), 101));
    blocks.add(place(3), 'c', 0);
    t.same(blocks.fruitless(place(3), false, 100), ['c']);
    t.ok(blocks.mayWait(place(3), 101), 'nobody has looked at it');
  },
);

t.test('a heal that comes late makes reads wait again', async (t) => {
  const blocks = rig();
  blocks.fruitless(place(1), true, 0);
  t.same(blocks.healed(place(1)), []);
  t.ok(blocks.mayWait(place(1), 1));
});

t.test(
  'so many blocks are remembered; the oldest are forgotten first, and those whose time is over',
  async (t) => {
    const blocks = rig();
    for (let block = 0; block < 4; block += 1) blocks.fruitless(place(block), true, block);
    t.same(
      [0, 1, 2, 3].map((block) => blocks.mayWait(place(block), 10)),
      [true, false, false, false],
    );
    blocks.fruitless(place(1), true, 20);
    blocks.fruitless(place(5), true, 21);
    t.same(
      [1, 2, 3, 5].map((block) => blocks.mayWait(place(block), 22)),
      [false, true, false, false],
      'told again, a block is as new',
    );
  },
);

t.test('what goes is taken out, and not remembered', async (t) => {
  const blocks = rig();
  blocks.add(place(1), 'a', 0);
  blocks.add(place(1), 'b', 0);
  blocks.add(place(2), 'c', 0);
  const seen: string[] = [];
  const left = blocks.takeOut(({ block }, read) => {
    seen.push(read);
    return block === 1;
  });
  t.match(left, [{ ...place(1), reads: ['a', 'b'] }]);
  t.same(seen, ['a', 'c']);
  t.equal(blocks.count, 1);
  t.ok(blocks.mayWait(place(1), 1));
});
