/**
 * An fdatasync that has failed, and those after it: they succeed, since the kernel has forgotten what was lost, and must not be believed.
 */
import t from 'tap';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern } from './storeRig.js';
import { wrongTrustedSlots } from './trustedSlots.js';

const ENOSPC = 28;
const EAGAIN = 11;
const QUIET_MS = 601_000;

/** A partition with an extent of a block. */
function rigWithBlock(): SimRig {
  const rig = SimRig.start({ scrubIntervalMs: 1e12 });
  rig.create(ROOT);
  t.equal(run(rig, rig.sendCreate()).extentId, 1025);
  t.ok(run(rig, rig.sendWrite(1025, 0, pattern(BLOCK_BYTES, 1))).ok);
  return rig;
}

/** Ten minutes pass, and every extent is compared. */
function rest(rig: SimRig): void {
  rig.simClock.advance(QUIET_MS);
  rig.stores.checksums.startScrub();
  for (let tick = 0; tick < 4; tick += 1) {
    rig.stores.tick();
    rig.run();
  }
}

function isClean(rig: SimRig): boolean {
  const { table } = rig.partitions.get(7)!.store;
  return table.has(table.find(1025), EXTENT_FLAG.clean);
}

t.test('after a failed fdatasync of EXTENT_CRC no extent is called clean, at the stop neither', async (t) => {
  const rig = rigWithBlock();
  rig.sim.addFault({ call: 'fdatasync', path: /EXTENT_CRC$/, errno: ENOSPC, count: 1 });
  rest(rig);
  rest(rig);
  t.notOk(isClean(rig));
  t.same(rig.stop(), []);
  for (let seed = 1; seed <= 20; seed += 1) {
    const next = rig.next(rig.sim.withRoot(rig.sim.rootFolder, seed).powerLoss(seed));
    t.same(wrongTrustedSlots(next).wrong, []);
    t.notOk(isClean(next));
  }
});

t.test(
  'an extent whose fdatasync has failed is never called clean, but broken, after a restart too',
  async (t) => {
    const rig = rigWithBlock();
    rig.sim.addFault({ call: 'fdatasync', path: /1025$/, errno: ENOSPC, count: 1 });
    t.notOk(run(rig, rig.sendSyncWrite(1025, BLOCK_BYTES, pattern(10, 2))).ok);
    rest(rig);
    t.notOk(isClean(rig));
    t.match(rig.stop(), [/unsynced data of .*1025 was lost/]);
    const next = rig.next(rig.sim.powerLoss(1));
    t.notOk(isClean(next));
    const refused = run(next, next.sendWrite(1025, BLOCK_BYTES, pattern(10, 3)));
    t.match(refused.error, /sync|lost|broken/);
    t.same(next.stop(), [], 'nothing more was lost in that life');
  },
);

t.test('the mark of a broken extent that finds the I/O queue full is written later', async (t) => {
  const rig = rigWithBlock();
  rig.sim.addFault({ call: 'fdatasync', path: /1025$/, errno: ENOSPC, count: 1 });
  rig.sim.addFault({ call: 'fdatasync', path: /EXTENT_CLEAN$/, errno: EAGAIN, count: 1 });
  t.notOk(run(rig, rig.sendSyncWrite(1025, BLOCK_BYTES, pattern(10, 2))).ok);
  rest(rig);
  for (let seed = 1; seed <= 20; seed += 1) {
    const next = rig.next(rig.sim.withRoot(rig.sim.rootFolder, seed).powerLoss(seed));
    t.notOk(run(next, next.sendWrite(1025, 0, pattern(10, 3))).ok);
  }
});

t.test('ids are not safe by an fdatasync behind another one of EXTENT_META that has failed', async (t) => {
  const rig = SimRig.start();
  const { store } = rig.create(ROOT);
  const created = rig.sendCreate();
  rig.turn();
  t.notOk(created.ended, 'the base is being synced');
  store.metaSyncsFailed += 1;
  rig.run();
  t.match(created.error, /EXTENT_META: input\/output error/);
  t.ok(run(rig, rig.sendCreate()).ok, 'the next one reserves again');
});
