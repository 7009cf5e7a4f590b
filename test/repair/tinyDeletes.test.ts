/** Which tiny deletes a replica has missed, and from where it reads the first host's file. */
import fc from 'fast-check';
import t from 'tap';
import {
  TINY_DELETE_FULL_SYNC_SECONDS,
  TINY_DELETE_RECORD_BYTES,
  writeTinyDeleteRecord,
} from '../../src/protocol/tinyDelete.js';
import {
  DeferredDeletes,
  missedDeletes,
  neverSynced,
  synced,
  syncFrom,
} from '../../src/repair/tinyDeletes.js';

type Slot = [extentId: number, extentOffset: number, sizeBytes: number] | null;

function file(...slots: Slot[]): Uint8Array {
  const bytes = new Uint8Array(slots.length * TINY_DELETE_RECORD_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [i, slot] of slots.entries()) {
    if (slot === null) continue;
    const [extentId, extentOffset, sizeBytes] = slot;
    writeTinyDeleteRecord(view, i * TINY_DELETE_RECORD_BYTES, { extentId, extentOffset, sizeBytes });
  }
  return bytes;
}

const placed = (theirs: Uint8Array, ours: Uint8Array, offset = 0): [number, number][] =>
  missedDeletes(theirs, ours, offset).map(({ record, at }) => [record.extentId, at]);

t.test('equal and empty slots cost nothing; a missing record goes into its own slot', async (t) => {
  const theirs = file(null, [1, 0, 5000], [3, 8192, 5000], [5, 0, 4096]);
  const ours = file(null, null, [3, 8192, 5000], [5, 0, 4096]);
  t.same(placed(theirs, ours), [[1, 24]]);
  t.same(placed(theirs, theirs), []);
  t.same(placed(theirs.subarray(48), ours.subarray(48), 48), []);
});

t.test('behind the end of our file is room', async (t) => {
  t.same(placed(file(null, [1, 0, 5000], [2, 4096, 1]), file(null), 240), [
    [1, 264],
    [2, 288],
  ]);
});

t.test('where another record lies the missed one goes to the end: none is lost', async (t) => {
  t.same(placed(file([1, 0, 5000]), file([2, 0, 5000]), 48), [[1, -1]]);
});

t.test('pains 10: slots that no store has written are passed over', async (t) => {
  const bytes = file([65, 0, 1], [0, 4096, 9], [1, 0, 4096]);
  t.same(placed(bytes, new Uint8Array(0)), [[1, 48]]);
  const huge = file([1, 0, 4096]);
  huge.fill(0xff, 8, 16);
  t.same(placed(huge, new Uint8Array(0)), []);
});

t.test(
  'pains 10: half a record, as a loss of power leaves it, keeps no other from being carried out',
  async (t) => {
    const halves = file([1, 4096, 0], [1, 0, 0], [0, 4096, 10], [2, 4096, 4096]);
    t.same(placed(halves, new Uint8Array(0)), [[2, 72]]);
    t.same(placed(file([1, 100, 4096], [3, Number.MAX_SAFE_INTEGER - 4095, 8192]), new Uint8Array(0)), []);
  },
);

const slot = fc.oneof(
  fc.constant(null),
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom(0, 4096), fc.constant(4096)),
) as fc.Arbitrary<Slot>;

t.test('carried out, every record of theirs is in our file, and none of ours is gone', async (t) => {
  const check = fc.check(
    fc.property(fc.array(slot, { maxLength: 8 }), fc.array(slot, { maxLength: 8 }), (theirs, ours) => {
      const after = [...ours];
      const key = (one: Slot | undefined): string => JSON.stringify(one ?? null);
      for (const { record, at } of missedDeletes(file(...theirs), file(...ours), 0)) {
        const { extentId, extentOffset, sizeBytes } = record;
        const target = at < 0 ? Math.max(after.length, theirs.length) : at / TINY_DELETE_RECORD_BYTES;
        if (key(after[target]) !== 'null') return false;
        after[target] = [extentId, extentOffset, sizeBytes];
      }
      const has = (one: Slot): boolean =>
        one === null || Array.from(after).some((other) => key(other) === key(one));
      return theirs.every(has) && ours.every(has);
    }),
    { numRuns: 1000 },
  );
  t.notOk(check.failed, JSON.stringify(check.counterexample));
});

t.test(
  'the first sync with a first host is a whole one, later ones take up what is new, once a day all again',
  async (t) => {
    const day = TINY_DELETE_FULL_SYNC_SECONDS * 1000;
    const none = new DeferredDeletes();
    t.equal(syncFrom(neverSynced(), 'a', 0, false, 5), null, 'nothing was ever deleted there');
    t.equal(syncFrom(neverSynced(), 'a', 72, false, 5), 0);
    const first = synced(neverSynced(), 'a', 0, 72, none, 1000);
    t.equal(syncFrom(first, 'a', 72, false, 2000), null);
    t.equal(syncFrom(first, 'a', 120, false, 2000), 72);
    t.equal(syncFrom(first, 'b', 120, false, 2000), 0, 'offsets of another host mean nothing');
    const second = synced(first, 'a', 72, 120, none, 60_000);
    t.equal(syncFrom(second, 'a', 120, false, day + 999), null);
    t.equal(
      syncFrom(second, 'a', 120, false, day + 1000),
      0,
      'a day after the last whole one, however many parts came since',
    );
    t.equal(syncFrom(second, 'a', 24, false, 60_001), null, 'a file that has become shorter');
  },
);

function deferred(...places: [theirs: number, extentId: number, end: number][]): DeferredDeletes {
  const all = new DeferredDeletes();
  for (const [theirs, extentId, end] of places)
    all.add({ record: { extentId, extentOffset: end - 4096, sizeBytes: 4096 }, at: theirs, theirs });
  return all;
}

t.test(
  'what was deferred has its turn when its extent is long enough, from its first record on',
  async (t) => {
    const sizes = (...rows: [fileId: number, size: number][]) =>
      rows.map(([fileId, size]) => ({ fileId, size }));
    const some = deferred([96, 1, 12_288], [48, 2, 8192], [24, 1, 20_480]);
    t.equal(some.fromBytes, 24);
    t.notOk(some.isDue(sizes([1, 8192], [2, 4096], [3, 1 << 30])));
    t.ok(some.isDue(sizes([1, 12_288], [2, 0])));
    t.ok(some.isDue(sizes([1, 0], [2, 8192])));
    t.notOk(new DeferredDeletes().isDue(sizes([1, 1 << 30])));
    const state = synced(neverSynced(), 'a', 0, 120, some, 1000);
    t.equal(syncFrom(state, 'a', 120, false, 2000), null);
    t.equal(syncFrom(state, 'a', 240, false, 2000), 120, 'it does not hold up what is new');
    t.equal(syncFrom(state, 'a', 120, true, 2000), 24);
    t.equal(syncFrom(state, 'a', 24, true, 2000), null, 'never behind the end');
    const later = synced(state, 'a', 120, 240, deferred([144, 3, 4096]), 2000);
    t.equal(later.deferred.fromBytes, 24, 'those of before still wait');
    t.ok(later.deferred.isDue(sizes([2, 8192])));
    t.ok(later.deferred.isDue(sizes([3, 4096])));
    const after = synced(later, 'a', 24, 240, deferred([48, 2, 8192]), 3000);
    t.equal(after.deferred.fromBytes, 48);
    t.notOk(after.deferred.isDue(sizes([1, 20_480], [3, 4096])), 'those that had their turn are gone');
    t.equal(
      synced(after, 'b', 0, 240, new DeferredDeletes(), 4000).deferred.fromBytes,
      Number.POSITIVE_INFINITY,
    );
  },
);
