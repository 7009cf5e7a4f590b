/**
 * Folders that are not as they should be, on a simulated disk: what is wrong is named, the rest is served.
 */
import t from 'tap';
import { createPartition, loadDisk, loadPartition } from '../../src/partition/diskLoad.js';
import { ROOT, run, SimRig } from './simRig.js';
import { NEW_PARTITION, pattern } from './storeRig.js';

const NAME = 'datapartition_7_1073741824';
const FOLDER = `${ROOT}/${NAME}`;

t.test('names that look like extents', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  for (const name of ['0099', '99999999999999999999', '70']) rig.sim.open(`${FOLDER}/${name}`, 0o102, 0);
  rig.sim.mkdir(`${FOLDER}/1500`, 0o755);
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(next.partitions.get(7)!.extentCount, 65, 'only 70 is one');
  t.equal(next.complaints.length, 3, 'the others are named');
});

t.test('a folder without tiny extents or auxiliary files is completed', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  for (const name of ['5', 'EXTENT_META', 'EXTENT_CRC']) rig.sim.unlink(`${FOLDER}/${name}`);
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(next.partitions.get(7)!.extentCount, 64);
  t.same(next.sim.content(`${FOLDER}/EXTENT_META`), new Uint8Array(16));
});

t.test('what cannot be trusted is refused, and the rest is loaded', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  rig.create(ROOT, { partitionId: 8 });
  rig.create(ROOT, { partitionId: 9 });
  rig.sim.rename(`${ROOT}/datapartition_8_1073741824`, `${ROOT}/datapartition_8_5`);
  rig.sim.unlink(`${ROOT}/datapartition_9_1073741824/META`);
  rig.sim.mkdir(`${ROOT}/datapartition_7_6`, 0o755);
  const loaded = loadDisk(rig.bare(rig.sim.processEnd(1)).stores, ROOT, () => true, false);
  t.ok(loaded.ok);
  if (!loaded.ok) return;
  t.same(
    loaded.value.partitions.map(({ id }) => id),
    [7],
  );
  t.same(loaded.value.refused.map(({ name }) => name).sort(), [
    'datapartition_7_6',
    'datapartition_8_5',
    'datapartition_9_1073741824',
  ]);
});

t.test('a file that cannot be looked at refuses its partition', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  rig.sim.addFault({ call: 'open', path: /^stat .*\/12$/, errno: 5, count: 1 });
  t.match(loadPartition(rig.stores, ROOT, NAME), { ok: false, message: /12: input\/output error/ });
  rig.sim.addFault({ call: 'scan', path: /datapartition/, errno: 5, count: 1 });
  t.match(loadPartition(rig.stores, ROOT, NAME), { ok: false, message: /input\/output error/ });
});

t.test('an own file that cannot be looked at refuses its partition, and is not written over', async (t) => {
  for (const name of ['EXTENT_META', 'EXTENT_CRC', 'NORMALEXTENT_DELETE', 'TINYEXTENT_DELETE']) {
    const rig = SimRig.start();
    rig.create(ROOT);
    t.same(rig.stop(), []);
    const before = Buffer.from(rig.sim.content(`${FOLDER}/${name}`));
    rig.sim.addFault({ call: 'open', path: new RegExp(`^stat .*/${name}$`), errno: 5, count: 1 });
    const message = new RegExp(`^lstat .*/${name}: input/output error`);
    t.match(loadPartition(rig.stores, ROOT, NAME), { ok: false, message });
    t.same(Buffer.from(rig.sim.content(`${FOLDER}/${name}`)), before);
  }
});

t.test('a creation does not complete a folder whose files it cannot look at', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  run(rig, rig.sendCreate());
  run(rig, rig.sendWrite(1025, 0, pattern(10, 1)));
  rig.sim.unlink(`${FOLDER}/META`);
  rig.sim.addFault({ call: 'open', path: /^stat .*\/1025$/, errno: 5, count: 1 });
  t.match(createPartition(rig.stores, ROOT, NEW_PARTITION), { ok: false, message: /holds a partition/ });
  rig.sim.unlink(`${FOLDER}/1025`);
  rig.sim.addFault({ call: 'open', path: /^\/d.*EXTENT_META$/, errno: 5, count: 1 });
  t.match(createPartition(rig.stores, ROOT, NEW_PARTITION), {
    ok: false,
    message: /^read .*EXTENT_META: input/,
  });
});
