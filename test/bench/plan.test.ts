/** What a connection sends next: pure, so every rule is checked without a socket. */
import t from 'tap';
import { KIND } from '../../bench/kinds.js';
import {
  AppendPlan,
  type ExtentRecord,
  type IdSource,
  KindMix,
  Lanes,
  type Plan,
  type PlanAnswer,
  PlannedOp,
} from '../../bench/plan.js';
import { Random, ReadPlan, VerifyPlan } from '../../bench/readPlans.js';

const WRITES = () => new KindMix(new Map([[KIND.write, 100]]));
const SERVER_IDS: IdSource = { by: 'server' };
const KiB = 1024;

function lanes(partitions: number[], extentBytesMax: number, ids = SERVER_IDS): Lanes {
  return new Lanes({ lanePartitions: partitions, ids, extentBytesMax });
}

/** The next op as `[kind, lane, extent id, offset]`, or the answer where there is none. */
function next(plan: Plan): (number | string)[] | PlanAnswer {
  const op = new PlannedOp();
  const answer = plan.next(op);
  return answer === 'send' ? [op.kind, op.lane, op.extentId, op.offset] : answer;
}

t.test('a write plan creates its extent first and waits for the answer', async (t) => {
  const plan = new AppendPlan(lanes([5], 128 * KiB), WRITES(), 4 * KiB, Number.POSITIVE_INFINITY);
  t.same(next(plan), [KIND.create, 0, 0, 0]);
  t.equal(next(plan), 'wait');
  plan.created(0, 1025);
  t.same(next(plan), [KIND.write, 0, 1025, 0]);
  t.same(next(plan), [KIND.write, 0, 1025, 4 * KiB]);
});

t.test('the next extent is created half-way and taken when the first is full', async (t) => {
  const plan = new AppendPlan(lanes([5], 16 * KiB), WRITES(), 4 * KiB, Number.POSITIVE_INFINITY);
  next(plan);
  plan.created(0, 1025);
  t.same(next(plan), [KIND.write, 0, 1025, 0]);
  t.same(next(plan), [KIND.write, 0, 1025, 4 * KiB]);
  t.same(next(plan), [KIND.create, 0, 0, 0], 'half-way');
  t.same(next(plan), [KIND.write, 0, 1025, 8 * KiB]);
  t.same(next(plan), [KIND.write, 0, 1025, 12 * KiB]);
  t.equal(next(plan), 'wait', 'full, and the next is not there yet');
  plan.created(0, 1026);
  t.same(next(plan), [KIND.write, 0, 1026, 0]);
});

t.test('no write reaches past the extent size, whatever the sizes', async (t) => {
  const own = lanes([1], 10_000);
  const plan = new AppendPlan(own, WRITES(), 3000, Number.POSITIVE_INFINITY);
  const op = new PlannedOp();
  let id = 1024;
  for (let step = 0; step < 1000; step++) {
    if (plan.next(op) !== 'send')
      t.fail('creates are answered at once here, so there is always something to send');
    if (op.kind === KIND.create) plan.created(op.lane, ++id);
    else if (op.offset + op.bytes > 10_000) t.fail(`write at ${op.offset}`);
  }
  t.equal(own.extents.length, id - 1024, 'every extent is remembered for reading back');
  t.ok(own.extents.length > 250, 'three writes an extent');
});

t.test('lanes take turns, and one that waits holds nobody up', async (t) => {
  const plan = new AppendPlan(lanes([1, 2], 64 * KiB), WRITES(), 4 * KiB, Number.POSITIVE_INFINITY);
  t.same(next(plan), [KIND.create, 0, 0, 0]);
  t.same(next(plan), [KIND.create, 1, 0, 0]);
  plan.created(1, 2000);
  t.same(next(plan), [KIND.write, 1, 2000, 0]);
  t.same(next(plan), [KIND.write, 1, 2000, 4 * KiB]);
  plan.created(0, 1000);
  t.same(next(plan), [KIND.write, 0, 1000, 0]);
  t.same(next(plan), [KIND.write, 1, 2000, 8 * KiB]);
});

t.test('a fill plan ends when every lane holds its bytes', async (t) => {
  const plan = new AppendPlan(lanes([1], 64 * KiB), WRITES(), 4 * KiB, 8 * KiB);
  next(plan);
  plan.created(0, 1025);
  t.same(next(plan), [KIND.write, 0, 1025, 0]);
  t.same(next(plan), [KIND.write, 0, 1025, 4 * KiB]);
  t.equal(next(plan), 'done');
  const onlyCreate = new AppendPlan(lanes([1], 64 * KiB), WRITES(), 4 * KiB, 0);
  next(onlyCreate);
  t.equal(next(onlyCreate), 'wait');
  onlyCreate.created(0, 1025);
  t.equal(next(onlyCreate), 'done', 'a limit of 0 creates and writes nothing');
});

t.test('after a lost connection it goes on in new extents', async (t) => {
  const own = lanes([1], 64 * KiB);
  const plan = new AppendPlan(own, WRITES(), 4 * KiB, Number.POSITIVE_INFINITY);
  next(plan);
  plan.created(0, 1025);
  next(plan);
  plan.lost();
  t.same(next(plan), [KIND.create, 0, 0, 0]);
  plan.created(0, 1026);
  t.same(next(plan), [KIND.write, 0, 1026, 0]);
  t.same(
    own.extents.map((extent) => extent.extentId),
    [1025, 1026],
    'the old one is still read back',
  );
});

t.test('own extent ids never meet those of other connections', async (t) => {
  const ids = new Set<string>();
  for (let index = 0; index < 3; index++) {
    const first = new Map([
      [1, 5000 + index],
      [2, 9000 + index],
    ]);
    const own = lanes([1, 2], 64 * KiB, { by: 'self', first, stride: 3 });
    for (let step = 0; step < 100; step++) {
      for (const partitionId of [1, 2]) ids.add(`${partitionId}:${own.idForCreate(partitionId)}`);
    }
  }
  t.equal(ids.size, 600);
});

t.test('kinds come in their shares, also while waiting', async (t) => {
  const mix = new KindMix(
    new Map([
      [KIND.write, 70],
      [KIND.create, 30],
    ]),
  );
  const plan = new AppendPlan(lanes([1], 128 * 1024 * KiB), mix, 4 * KiB, Number.POSITIVE_INFINITY);
  const op = new PlannedOp();
  const counts = [0, 0];
  let waits = 0;
  while (counts[0]! + counts[1]! < 1000) {
    if (plan.next(op) !== 'send') {
      // The lane's extent comes late: the writes that wait must not be skipped.
      if (++waits === 50) plan.created(0, 1025);
      continue;
    }
    if (op.measured) counts[op.kind]!++;
  }
  t.same(counts, [300, 700]);
});

function filled(...sizes: number[]): ExtentRecord[] {
  return sizes.map((ackedBytes, index) => {
    return { partitionId: 1, extentId: 1025 + index, ackedBytes, versions: null };
  });
}

const READS = () => new KindMix(new Map([[KIND.read, 1]]));

t.test('reads in order go through every unit of every extent', async (t) => {
  const plan = new ReadPlan(filled(8 * KiB, 4 * KiB), READS(), 4 * KiB, null);
  const round = [
    [KIND.read, -1, 1025, 0],
    [KIND.read, -1, 1025, 4 * KiB],
    [KIND.read, -1, 1026, 0],
  ];
  for (const expected of [...round, ...round]) t.same(next(plan), expected);
});

t.test('random reads stay on units that were written, and repeat with the seed', async (t) => {
  const sequence = (seed: number) => {
    const plan = new ReadPlan(filled(400 * KiB, 40 * KiB), READS(), 4 * KiB, new Random(seed));
    const op = new PlannedOp();
    return Array.from({ length: 2000 }, () => {
      plan.next(op);
      const limit = op.extentId === 1025 ? 400 * KiB : 40 * KiB;
      if (op.offset % (4 * KiB) !== 0 || op.offset + op.bytes > limit) t.fail(`read at ${op.offset}`);
      return `${op.extentId}:${op.offset}`;
    });
  };
  t.same(sequence(1), sequence(1));
  t.not(sequence(1).join(), sequence(2).join());
  t.equal(new Set(sequence(1)).size, 110, 'all 100 + 10 units were met');
});

t.test('a verify plan asks for every acknowledged byte once', async (t) => {
  const plan = new VerifyPlan(filled(300 * KiB, 0, 4 * KiB), KIND.followerread, 128 * KiB);
  const op = new PlannedOp();
  const asked: number[][] = [];
  while (plan.next(op) === 'send') asked.push([op.extentId, op.offset, op.bytes]);
  t.same(asked, [
    [1025, 0, 128 * KiB],
    [1025, 128 * KiB, 128 * KiB],
    [1025, 256 * KiB, 44 * KiB],
    [1027, 0, 4 * KiB],
  ]);
});
