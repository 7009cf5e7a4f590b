/** Folders are scanned ahead of their loading: each partition must get the scan of its own folder. */
import t from 'tap';
import { loadDisk } from '../../src/partition/diskLoad.js';
import { ROOT, SimRig } from './simRig.js';

t.test('a folder refused or passed over does not shift the scans of those behind it', async (t) => {
  const rig = SimRig.start();
  for (const partitionId of [1, 2, 3, 4, 5]) rig.create(ROOT, { partitionId });
  const fresh = rig.bare(rig.sim.processEnd(1));
  const folder = (id: number): string => `${ROOT}/datapartition_${id}_1073741824`;
  fresh.sim.unlink(`${folder(3)}/META`);
  fresh.sim.mkdir(`${ROOT}/datapartition_4_5`, 0o755);
  for (const id of [1, 2, 5]) {
    const fd = fresh.sim.open(`${folder(id)}/${1024 + id}`, 0o102, 0);
    fresh.sim.write(fd, new Uint8Array(id * 100), 0);
    fresh.sim.close(fd);
  }
  fresh.sim.addFault({ call: 'scan', path: /datapartition_2/, errno: 5, count: 1 });
  const loaded = loadDisk(fresh.stores, ROOT, () => true, false);
  t.ok(loaded.ok);
  if (!loaded.ok) return;
  t.same(
    loaded.value.partitions.map(({ id, usedBytes, extentCount }) => [id, usedBytes, extentCount]),
    [
      [1, 100, 65],
      [4, 0, 64],
      [5, 500, 65],
    ],
  );
  const refused = loaded.value.refused.map(({ name }) => name).sort();
  t.same(refused, ['datapartition_2_1073741824', 'datapartition_3_1073741824', 'datapartition_4_5']);
});
