/** Extents that a first host does not list, found by sums of sizes: all of them, whoever writes meanwhile, and within a bound of questions. */
import fc from 'fast-check';
import t from 'tap';
import { findUnlisted, WEIGHED_MAX } from '../../src/repair/unlisted.js';

/** A first host's extents; `asked` is called before each answer. */
function host(sizes: Map<number, number>, asked: () => void = () => {}) {
  return async (max: number): Promise<number> => {
    asked();
    return [...sizes].reduce((sum, [id, size]) => sum + (id <= max ? size : 0), 0);
  };
}

t.test('what the lists have weighs nothing; what they do not have is found with its size', async (t) => {
  const sizes = new Map([
    [3, 8192],
    [1025, 10],
    [1026, 20],
    [1030, 30],
    [4000, 40],
  ]);
  let asked = 0;
  const sumUpTo = host(sizes, () => {
    asked += 1;
  });
  const find = (listed: number[]) =>
    findUnlisted(64, 1030, new Map(listed.map((id) => [id, sizes.get(id)!])), sumUpTo);
  t.same(await find([1025, 1026, 1030]), new Map());
  t.equal(asked, 2, 'one look at all');
  t.same(await find([1026, 1030]), new Map([[1025, 10]]));
  t.ok(asked < 50, `${asked} questions`);
  t.same(
    await find([1026]),
    new Map([
      [1025, 10],
      [1030, 30],
    ]),
  );
  t.same(await findUnlisted(64, 64, new Map(), sumUpTo), new Map());
});

t.test('a list that weighs more than the sum: deleted extents were forgotten since', async (t) => {
  t.equal(await findUnlisted(64, 1030, new Map([[1025, 11]]), host(new Map([[1025, 10]]))), 'changing');
});

t.test('very many are too many, and the questions have a bound', async (t) => {
  const sizes = new Map(Array.from({ length: 5000 }, (_, i) => [1025 + i, 1]));
  let asked = 0;
  const sumUpTo = host(sizes, () => {
    asked += 1;
  });
  t.equal(await findUnlisted(64, 7000, new Map(), sumUpTo), 'too many');
  t.equal(asked, 2 * WEIGHED_MAX);
});

t.test(
  'whatever grows meanwhile, nothing that is not listed is overlooked, and none is too light',
  async (t) => {
    const row = fc.record({ size: fc.integer({ min: 1, max: 3 }), isListed: fc.boolean() });
    const check = await fc.check(
      fc.asyncProperty(
        fc.dictionary(fc.integer({ min: 60, max: 90 }).map(String), row),
        fc.array(fc.tuple(fc.integer({ min: 1, max: 90 }), fc.integer({ min: 0, max: 2 })), {
          maxLength: 12,
        }),
        async (rows, growth) => {
          const all = Object.entries(rows).map(([id, each]) => ({ id: Number(id), ...each }));
          const sizes = new Map(all.map(({ id, size }) => [id, size]));
          const listed = new Map(all.filter(({ isListed }) => isListed).map(({ id, size }) => [id, size]));
          const left = [...growth];
          const grow = (): void => {
            const [id, bytes] = left.pop() ?? [0, 0];
            if (sizes.has(id)) sizes.set(id, sizes.get(id)! + bytes);
          };
          const found = await findUnlisted(64, 88, listed, host(sizes, grow));
          if (typeof found === 'string') return false;
          return all.every(
            ({ id, size, isListed }) => isListed || id <= 64 || id > 88 || (found.get(id) ?? 0) >= size,
          );
        },
      ),
      { numRuns: 2000 },
    );
    t.notOk(check.failed, JSON.stringify(check.counterexample));
  },
);
