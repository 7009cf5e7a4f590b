/**
 * The walk of checksum work through all extents: everything once and in order, whatever comes and goes meanwhile.
 */
import t from 'tap';
import type { ExtentStore } from '../../src/partition/extentStore.js';
import { ExtentWalk } from '../../src/partition/extentWalk.js';
import { ROOT, SimRig } from './simRig.js';

/** Partitions of so many extents each, by id. */
function partitions(counts: Record<number, number>): { rig: SimRig; stores: ExtentStore[] } {
  const rig = SimRig.start();
  for (const [id, count] of Object.entries(counts)) {
    const partitionId = Number(id);
    rig.create(ROOT, { partitionId });
    for (let i = 0; i < count; i += 1) {
      rig.sendCreate({ partitionId });
      rig.run();
    }
  }
  return { rig, stores: [...rig.partitions.values()].map(({ store }) => store) };
}

const normal = ({ table }: ExtentStore, row: number): boolean => table.ids[row]! > 1024;

/** Everything that the walk finds until it has ended, as `partition/extent`; `meanwhile` runs before each step. */
function found(
  walk: ExtentWalk,
  stores: ExtentStore[],
  rowsMax: number,
  meanwhile = (): void => undefined,
): string[] {
  const all: string[] = [];
  for (let step = 0; step < 10_000; step += 1) {
    meanwhile();
    const result = walk.next(stores, normal, rowsMax);
    if (result === 'ended') return all;
    if (result === 'found') all.push(`${walk.store!.partitionId}/${walk.store!.table.ids[walk.row]}`);
  }
  throw new Error('it never ends');
}

const ALL = ['3/1025', '3/1026', '7/1025', '9/1025', '9/1026', '9/1027'];

t.test('every extent once and in order, however few are looked at in a turn', async (t) => {
  const { stores } = partitions({ 3: 2, 5: 0, 7: 1, 9: 3 });
  for (const rowsMax of [1, 2, 1000])
    t.same(found(new ExtentWalk(), stores, rowsMax), ALL, `${rowsMax} rows`);
  const walk = new ExtentWalk();
  t.equal(walk.next(stores, normal, 3), 'later', 'the tiny ones of the first partition');
});

t.test('it goes on behind any place, or with the extent of the moment again', async (t) => {
  const { stores } = partitions({ 3: 2, 5: 0, 7: 1, 9: 3 });
  for (const [partitionId, extentId, rest] of [
    [0, 0, 0],
    [3, 1025, 1],
    [3, 5000, 2],
    [4, 9999, 2],
    [9, 1026, 5],
    [10, 0, 6],
  ] as const) {
    const walk = new ExtentWalk();
    walk.moveTo({ partitionId, extentId });
    t.same(found(walk, stores, 1000), ALL.slice(rest), `behind ${partitionId}/${extentId}`);
  }
  const walk = new ExtentWalk();
  t.equal(walk.next(stores, normal, 1000), 'found');
  t.same(walk.position, { partitionId: 3, extentId: 1025 });
  walk.stepBack();
  t.same(found(walk, stores, 1000), ALL);
});

t.test('what comes later is found if it lies ahead, what has gone is not', async (t) => {
  const { rig, stores } = partitions({ 3: 2, 7: 1, 9: 3 });
  let step = 0;
  const seen = found(new ExtentWalk(), stores, 1000, () => {
    step += 1;
    if (step === 2) {
      // It stands at 3/1025.
      rig.sendCreate({ partitionId: 7 });
      rig.run();
      rig.stores.retire(rig.partitions.get(9)!.store, 'gone');
    }
  });
  t.same(seen, ['3/1025', '3/1026', '7/1025', '7/1026']);
});
