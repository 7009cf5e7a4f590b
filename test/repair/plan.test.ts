/** What a round plans: each rule by an example, and all of them against a twin that compares every copy with every other. */
import fc from 'fast-check';
import t from 'tap';
import type { ExtentInfo } from '../../src/protocol/extentInfo.js';
import { type Plan, type PlanInput, planRound } from '../../src/repair/plan.js';

const MiB = 1024 * 1024;

function extent(fileId: number, size: number, crc = 0, deleted = false): ExtentInfo {
  return { fileId, size, crc, deleted, modTime: 1_700_000_000, source: 'x' };
}

/** Members `a`, `b`, ... with these extents. */
function plan(lists: ExtentInfo[][], options: Partial<PlanInput> = {}): Plan {
  return planRound({
    kind: 'normal',
    members: lists.map((extents, i) => ({ address: String.fromCharCode(97 + i), extents })),
    complete: true,
    isDeleted: () => false,
    ...options,
  });
}

const brief = (entries: readonly ExtentInfo[]): string[] =>
  entries.map(({ fileId, size, source }) => `${fileId}:${size}<${source}`);

t.test('the shorter copies are brought up to the largest, from who has it', async (t) => {
  const { tasks } = plan([[extent(1025, 100)], [extent(1025, 300)], [extent(1025, 200)]]);
  t.same(
    tasks.map(({ repair }) => brief(repair)),
    [['1025:300<b'], [], ['1025:300<b']],
  );
  t.same(
    tasks.map(({ create }) => create),
    [[], [], []],
  );
});

t.test('who lacks an extent creates it and fetches it: both lists, as Go members want it', async (t) => {
  const { tasks } = plan([[extent(1025, 100), extent(1026, 50)], [], [extent(1026, 50)]]);
  t.same(
    brief(tasks[1]!.create),
    ['1025:100<a', '1026:50<a'].map((text) => text.replace('50<a', '50<c')),
  );
  t.same(brief(tasks[1]!.repair), brief(tasks[1]!.create));
  t.same(brief(tasks[2]!.create), ['1025:100<a']);
  t.same(tasks[0], { create: [], repair: [] });
});

t.test('an entry is a record of the wire with nothing but id, target and source', async (t) => {
  const { tasks } = plan([[extent(1025, 9, 77)], []]);
  t.same(tasks[1]!.create, [{ fileId: 1025, size: 9, crc: 0, deleted: false, modTime: 0, source: 'a' }]);
});

t.test('what was deleted here does not come back from one that has missed it', async (t) => {
  const { tasks } = plan([[], [extent(1025, 100)], []], { isDeleted: (id) => id === 1025 });
  t.same(
    tasks,
    [0, 1, 2].map(() => ({ create: [], repair: [] })),
  );
});

t.test('a copy that its member reports as deleted is neither a source nor made again', async (t) => {
  const { tasks } = plan([[extent(1025, 100)], [extent(1025, 300, 0, true)], []]);
  t.same(
    tasks.map(({ repair }) => brief(repair)),
    [[], [], ['1025:100<a']],
  );
});

t.test(
  'among equals the source is one of those whose checksum most share, and they take turns',
  async (t) => {
    const holders = [[extent(1025, 9, 5)], [extent(1025, 9, 7)], [extent(1025, 9, 7)], []];
    t.same(brief(plan(holders).tasks[3]!.repair), ['1025:9<b']);
    const many = Array.from({ length: 6 }, (_, i) => extent(1025 + i, 9));
    t.same(brief(plan([many, many, []]).tasks[2]!.repair), [
      '1025:9<a',
      '1026:9<b',
      '1027:9<a',
      '1028:9<b',
      '1029:9<a',
      '1030:9<b',
    ]);
  },
);

t.test(
  'tiny extents: equal on all hosts is good; a lag, an absent host, an unreported one is bad',
  async (t) => {
    const kind = { tinyIds: [1, 2, 3, 3] };
    const full = [extent(1, 4096), extent(2, 8192), extent(3, 0)];
    const equal = plan([full, full, full], { kind });
    t.same([equal.good, equal.bad], [[1, 2, 3], []]);
    const lag = plan([full, [extent(1, 4096), extent(2, 4096), extent(3, 0)], full], { kind });
    t.same([lag.good, lag.bad], [[1, 3], [2]]);
    t.same(brief(lag.tasks[1]!.repair), ['2:8192<a']);
    const absent = plan([full, full], { kind, complete: false });
    t.same([absent.good, absent.bad], [[], [1, 2, 3]]);
    const unreported = plan([full, full.slice(1), full], { kind });
    t.same([unreported.good, unreported.bad], [[2, 3], [1]]);
    t.same(unreported.tasks[1], { create: [], repair: [] }, 'tiny extents are never created by a task');
    const nobody = plan([[], [], []], { kind });
    t.same([nobody.good, nobody.bad], [[], [1, 2, 3]], 'every id that was taken comes back');
  },
);

t.test('pains 10: nonsense of a peer is passed over and counted', async (t) => {
  const bad = [
    extent(0, 5),
    extent(7, 4096),
    extent(1025, 0),
    extent(1026, 128 * MiB + 1),
    extent(2 ** 41, 5),
  ];
  const normal = plan([[extent(1027, 5)], bad]);
  t.same(normal.nonsense, [0, 5]);
  t.same(
    normal.tasks.map(({ repair }) => brief(repair)),
    [[], ['1027:5<a']],
  );
  const tiny = plan([[extent(1, 4096)], [extent(1, 5000), extent(2, 4096), extent(1, 2 ** 32)]], {
    kind: { tinyIds: [1] },
  });
  t.same([tiny.nonsense, tiny.good, tiny.bad], [[0, 3], [], [1]]);
  const twice = plan([[extent(1025, 50)], [extent(1025, 10), extent(1025, 30), extent(1025, 20)]]);
  t.same(brief(twice.tasks[1]!.repair), ['1025:50<a'], 'a record that comes twice is one copy');
});

t.test('a task is bounded, and what is left out is said', async (t) => {
  const many = Array.from({ length: 10 }, (_, i) => extent(1025 + i, 9));
  const { tasks, leftOut } = plan([many, []], { entriesMax: 4 });
  t.same(brief(tasks[1]!.create), ['1025:9<a', '1026:9<a', '1027:9<a', '1028:9<a']);
  t.equal(leftOut, 6);
});

const copyOf = fc.record({
  id: fc.integer({ min: 65, max: 72 }),
  size: fc.integer({ min: 1, max: 4 }),
  crc: fc.integer({ min: 0, max: 2 }),
  deleted: fc.boolean(),
});
const listOf = fc.uniqueArray(copyOf, { selector: ({ id }) => id, maxLength: 6 });

t.test(
  'carried out, a plan leaves every copy as long as the longest, and touches nothing else',
  async (t) => {
    const check = fc.check(
      fc.property(
        fc.array(listOf, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 65, max: 72 }),
        (lists, gone) => {
          const members = lists.map((list) =>
            list.map(({ id, size, crc, deleted }) => extent(id, size, crc, deleted)),
          );
          const { tasks } = plan(members, { isDeleted: (id) => id === gone });
          const held = members.map(
            (list) =>
              new Map(list.filter(({ deleted }) => !deleted).map(({ fileId, size }) => [fileId, size])),
          );
          const dead = members.map(
            (list) => new Set(list.filter(({ deleted }) => deleted).map(({ fileId }) => fileId)),
          );
          for (const [member, { create, repair }] of tasks.entries()) {
            const ids = repair.map(({ fileId }) => fileId);
            if (new Set(ids).size !== ids.length) return false;
            for (const { fileId, size, source } of repair) {
              const own = held[member]!.get(fileId) ?? -1;
              const holder = source.charCodeAt(0) - 97;
              if (
                held[holder]!.get(fileId) !== size ||
                own >= size ||
                fileId === gone ||
                dead[member]!.has(fileId)
              )
                return false;
              if ((own === -1) !== create.some((entry) => entry.fileId === fileId)) return false;
            }
            if (create.some((entry) => !repair.includes(entry))) return false;
          }
          // The twin: every pair of members, every id.
          for (let id = 65; id <= 72; id += 1) {
            if (id === gone) continue;
            const longest = Math.max(-1, ...held.map((copies) => copies.get(id) ?? -1));
            for (const [member, copies] of held.entries()) {
              const after =
                tasks[member]!.repair.find(({ fileId }) => fileId === id)?.size ?? copies.get(id) ?? -1;
              if (!dead[member]!.has(id) && after !== longest) return false;
            }
          }
          return true;
        },
      ),
      { numRuns: 2000 },
    );
    t.notOk(check.failed, JSON.stringify(check.counterexample));
  },
);
