/**
 * Which missing range is asked of whom.
 */
import fc from 'fast-check';
import t from 'tap';
import { MissingRanges } from '../../src/partition/missingRanges.js';
import { FetchPlan, type FetchSource, type FetchTask } from '../../src/repair/missingPlan.js';

const BLOCK_BYTES = 131_072;
const HERE = (bytes: number) => (): number => bytes;

function planOf(
  ...ranges: [extentId: number, from: number, to: number, index: number][]
): [FetchPlan, MissingRanges] {
  const missing = new MissingRanges();
  for (const [extentId, from, to, index] of ranges) missing.add(extentId, { from, to, index });
  return [new FetchPlan(missing), missing];
}

function sources(...applied: number[]): FetchSource[] {
  return applied.map((appliedIndex, number) => ({ address: `${'abc'[number]}:1`, appliedIndex }));
}

t.test('only a replica that has applied as much is asked', async (t) => {
  const [plan] = planOf([1025, 0, 100, 7]);
  t.equal(plan.next(sources(6, 5), HERE(1000)), null);
  t.same(plan.next(sources(6, 7), HERE(1000)), { extentId: 1025, from: 0, to: 100, index: 7, source: 'b:1' });
});

t.test('pieces inside one block, one of an extent at a time, inside the extent as it is', async (t) => {
  const [plan, missing] = planOf([1025, 100, 300_000, 7], [1026, 0, 10, 8]);
  const end = (extentId: number): number => (extentId === 1025 ? 140_000 : 10);
  const first = plan.next(sources(9), end)!;
  t.match(first, { extentId: 1025, from: 100, to: BLOCK_BYTES });
  const second = plan.next(sources(9), end)!;
  t.match(second, { extentId: 1026, from: 0, to: 10 });
  t.equal(plan.next(sources(9), end), null);
  missing.cut(1025, first.from, first.to, 9);
  plan.ended(first, 'copied');
  const third = plan.next(sources(9), end)!;
  t.match(third, { extentId: 1025, from: BLOCK_BYTES, to: 140_000 });
  missing.cut(1025, third.from, third.to, 9);
  plan.ended(third, 'copied');
  t.match(
    plan.next(sources(9), end),
    { extentId: 1025, from: 140_000, to: 140_001 },
    'of the rest one byte, to learn whether the extent exists',
  );
});

t.test('who has failed is left alone until the next tick', async (t) => {
  const [plan] = planOf([1025, 0, 10, 7]);
  const all = sources(7, 7);
  const asked: string[] = [];
  for (let task = plan.next(all, HERE(10)); task !== null; task = plan.next(all, HERE(10))) {
    asked.push(task.source);
    plan.ended(task, 'failed');
  }
  t.same(asked.toSorted(), ['a:1', 'b:1']);
  plan.tick();
  t.not(plan.next(all, HERE(10)), null);
});

t.test('an extent that nobody has any more is forgotten, and one that was deleted here', async (t) => {
  const [plan, missing] = planOf([1025, 0, 10, 7]);
  const all = sources(7, 7);
  for (let asked = 0; asked < 2; asked += 1) plan.ended(plan.next(all, HERE(0))!, 'unknown');
  t.equal(missing.count, 1, 'the last answer forgets nothing by itself');
  t.equal(plan.next(all, HERE(0)), null);
  t.equal(missing.count, 0);
  t.same(plan.forgotten, [{ extentId: 1025, from: 0 }]);

  const [other, deleted] = planOf([1025, 0, 10, 7]);
  t.equal(other.next(all, HERE(-1)), null);
  t.equal(deleted.count, 0);

  const [third, kept] = planOf([1025, 0, 10, 7]);
  third.ended(third.next(all, HERE(0))!, 'unknown');
  third.ended(third.next(all, HERE(0))!, 'failed');
  t.equal(third.next(all, HERE(0)), null);
  t.equal(third.next([], HERE(0)), null);
  t.equal(kept.count, 1, 'not all have said that they do not have it');
});

t.test(
  'what lies behind the end of an extent on all others is forgotten, and nothing before it',
  async (t) => {
    const [plan, missing] = planOf([1025, 0, 300, 7], [1025, 500, 900, 8]);
    const all = sources(9, 9);
    const copied = plan.next(all, HERE(1000))!;
    missing.copied(1025, copied.from, copied.to, 9);
    plan.ended(copied, 'copied');
    plan.ended(plan.next(all, HERE(1000))!, 'beyond');
    const last = plan.next(all, HERE(1000))!;
    t.match(last, { from: 500 });
    plan.ended(last, 'failed');
    plan.tick();
    t.not(plan.next(all, HERE(1000)), null, 'one has not said so');
    const [other, kept] = planOf([1025, 200, 300, 7], [1025, 500, 900, 8]);
    for (const [from, index] of [
      [200, 9],
      [200, 9],
    ]) {
      const task = other.next(sources(index!, index!), HERE(1000))!;
      t.equal(task.from, from);
      other.ended(task, 'beyond');
    }
    t.equal(other.next(all, HERE(1000)), null);
    t.same([kept.count, other.forgotten], [0, [{ extentId: 1025, from: 200 }]]);
  },
);

t.test('whatever the answers, every range is fetched in the end when somebody has it', async () => {
  const answers = fc.array(fc.constantFrom('copied' as const, 'failed' as const, 'unknown' as const), {
    maxLength: 40,
  });
  const missing = fc.array(
    fc.tuple(fc.nat(3), fc.nat(400_000), fc.integer({ min: 1, max: 300_000 }), fc.nat(9)),
    {
      minLength: 1,
      maxLength: 6,
    },
  );
  fc.assert(
    fc.property(missing, answers, (ranges, answers) => {
      const [plan, set] = planOf(
        ...ranges.map(
          ([id, from, bytes, index]) =>
            [1025 + id, from, from + bytes, index] as [number, number, number, number],
        ),
      );
      const all = sources(5, 9, 3);
      const end = HERE(1_000_000);
      const running: FetchTask[] = [];
      for (let round = 0; round < 500 && set.count > 0; round += 1) {
        const task = plan.next(all, end);
        if (task !== null) {
          if (running.some(({ extentId }) => extentId === task.extentId)) throw new Error('two at a time');
          if (all.find(({ address }) => address === task.source)!.appliedIndex < task.index)
            throw new Error('too old');
          running.push(task);
          if (running.length < 3) continue;
        }
        const ended = running.shift();
        if (ended === undefined) {
          plan.tick();
          continue;
        }
        // Source b has every extent, and answers once the others have had their say.
        const answer =
          ended.source === 'b:1' && answers.length === 0 ? 'copied' : (answers.shift() ?? 'failed');
        const outcome = answer === 'unknown' && ended.source === 'b:1' ? 'failed' : answer;
        if (outcome === 'copied') set.cut(ended.extentId, ended.from, ended.to, 9);
        plan.ended(ended, outcome);
      }
      return set.count === 0;
    }),
    { numRuns: 300 },
  );
});
