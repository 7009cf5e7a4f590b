/** Partitions on a disk under the names of the Go API: created, stored, restored, checked, stopped; on the simulated disk. */
import t from 'tap';
import { createPartition, loadDisk, loadPartition } from '../../src/partition/diskLoad.js';
import { replicaSnapshot } from '../../src/partition/queries.js';
import { OP } from '../../src/protocol/opcodes.js';
import { writeApply } from '../../src/storage/applyFile.js';
import { readMeta, writeMeta } from '../../src/storage/metaFile.js';
import { ROOT, SimRig } from '../partition/simRig.js';
import { pattern } from '../partition/storeRig.js';

const SIZE = 1 << 30;
const NAME = `datapartition_7_${SIZE}`;
const REQUEST = {
  partitionId: 7,
  sizeBytes: SIZE,
  volume: 'vol1',
  members: [{ id: 2, addr: '10.0.0.1:17310' }],
  hosts: ['10.0.0.1:17310'],
  createType: 0 as const,
};

t.test('CreateDataPartition: folder, metadata and store are there', async (t) => {
  const rig = SimRig.start();
  const created = createPartition(rig.stores, ROOT, REQUEST);
  t.ok(created.ok);
  t.match(readMeta(rig.disk, `${ROOT}/${NAME}`), {
    ok: true,
    value: { volume: 'vol1', partitionId: 7, sizeBytes: SIZE, hosts: REQUEST.hosts, peers: REQUEST.members },
  });
  const files = rig.disk.scan(`${ROOT}/${NAME}`);
  const names = typeof files === 'number' ? [] : files.map((entry) => entry.name);
  for (const name of [
    '1',
    '64',
    'META',
    'EXTENT_CRC',
    'EXTENT_META',
    'TINYEXTENT_DELETE',
    'NORMALEXTENT_DELETE',
  ]) {
    t.ok(names.includes(name), name);
  }
  t.notOk(createPartition(rig.stores, ROOT, { ...REQUEST, partitionId: 8, volume: ' ' }).ok);
});

t.test('LoadDataPartition: a folder becomes the partition that its metadata tells of', async (t) => {
  const rig = SimRig.start();
  t.ok(createPartition(rig.stores, ROOT, REQUEST).ok);
  const loaded = loadPartition(rig.stores, ROOT, NAME);
  if (!loaded.ok) throw new Error(loaded.message);
  const { id, volume, sizeBytes, hosts, peers } = loaded.value;
  t.same(
    { id, volume, sizeBytes, hosts, peers },
    { id: 7, volume: 'vol1', sizeBytes: SIZE, hosts: REQUEST.hosts, peers: REQUEST.members },
  );
  t.notOk(loadPartition(rig.stores, ROOT, 'datapartition_9_5').ok, 'without META');
});

t.test('ReloadSnapshot, SnapShot: the list for the master is made when it is asked for', async (t) => {
  const rig = SimRig.start();
  const { store } = rig.create(ROOT, { partitionId: 7 });
  rig.sendCreate();
  rig.run();
  rig.sendWrite(1025, 0, pattern(100, 1));
  rig.run();
  const list = () => JSON.parse(Buffer.from(replicaSnapshot(store, rig.clock.nowMs())).toString());
  t.equal(list().length, 64);
  rig.simClock.advance(61_000);
  t.match(list()[0], { Name: '1025', Size: 100 });
});

t.test('RestorePartition: every partition of a disk is restored once, others are named', async (t) => {
  const rig = SimRig.start();
  t.ok(createPartition(rig.stores, ROOT, REQUEST).ok);
  t.ok(createPartition(rig.stores, ROOT, { ...REQUEST, partitionId: 8 }).ok);
  rig.sim.mkdir(`${ROOT}/datapartition_9_5`, 0o755);
  rig.sim.mkdir(`${ROOT}/lost+found`, 0o755);
  const loaded = loadDisk(rig.stores, ROOT, () => true, false);
  if (!loaded.ok) throw new Error(loaded.message);
  t.same(loaded.value.partitions.map((partition) => partition.id).sort(), [7, 8]);
  t.same(
    loaded.value.refused.map((folder) => folder.name),
    ['datapartition_9_5'],
  );
});

t.test('PersistMetadata: what is saved is read back, and no temporary file stays', async (t) => {
  const rig = SimRig.start();
  t.ok(createPartition(rig.stores, ROOT, REQUEST).ok);
  const folder = `${ROOT}/${NAME}`;
  const before = readMeta(rig.disk, folder);
  if (!before.ok) throw new Error(before.message);
  t.equal(writeMeta(rig.disk, folder, { ...before.value, lastTruncateId: 99 }), 0);
  t.same(readMeta(rig.disk, folder), { ok: true, value: { ...before.value, lastTruncateId: 99 } });
  t.equal(writeApply(rig.disk, folder, 12345), 0);
  t.equal(Buffer.from(rig.sim.content(`${folder}/APPLY`)).toString(), '12345');
  const entries = rig.disk.scan(folder);
  const hidden = typeof entries === 'number' ? [] : entries.filter((entry) => entry.name.startsWith('.'));
  t.same(hidden, []);
});

t.test('ExtentStore: an extent is created, written and read back', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  const created = rig.sendCreate();
  rig.run();
  const body = pattern(5000, 1);
  const written = rig.sendWrite(created.extentId, 0, body);
  rig.run();
  const read = rig.sendRead(created.extentId, 0, 5000);
  rig.run();
  t.same([created.ok, written.ok, read.ok], [true, true, true]);
  t.same(Buffer.from(read.body), Buffer.from(body));
});

t.test('CheckLeader: only the leader serves stream reads', async (t) => {
  const rig = SimRig.start();
  const leader = rig.create(ROOT);
  const follower = rig.create(ROOT, { partitionId: 8, hosts: ['10.0.0.1:17310', '10.0.0.2:17310'] });
  t.same([leader.isLeader, follower.isLeader], [true, false]);
  const atFollower = rig.send({ opcode: OP.streamRead, partitionId: 8, extentId: 1, size: 10 });
  rig.run();
  t.equal(atFollower.error, 'ActionStreamRead_raft is not the leader.');
});

t.test('Available: a partition without room takes no extent', async (t) => {
  const rig = SimRig.start();
  const partition = rig.create(ROOT, { sizeBytes: 4096 });
  const extent = rig.sendCreate();
  rig.run();
  t.ok(extent.ok);
  t.equal(partition.status, 2);
  rig.sendWrite(extent.extentId, 0, pattern(4096, 1));
  rig.run();
  t.equal(partition.usedBytes, 4096);
  t.equal(partition.status, 1);
  const refused = rig.sendCreate();
  rig.run();
  t.equal(refused.error, 'ActionPreparePkt_no space left on the device');
});

t.test('IsRejectWrite: a disk without room takes no write', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  const extent = rig.sendCreate();
  rig.run();
  rig.health.space.endLook(0);
  const refused = rig.sendWrite(extent.extentId, 0, pattern(100, 1));
  rig.run();
  t.equal(refused.error, 'ActionWrite:_no space left on the device');
});

t.test('Stop: a stopped store is complete on disk', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  const extent = rig.sendCreate();
  rig.run();
  rig.sendWrite(extent.extentId, 0, pattern(5000, 1));
  rig.run();
  t.same(rig.stop(), []);
  t.equal(rig.sim.content(`${ROOT}/${NAME}/${extent.extentId}`).length, 5000);
  t.same(
    rig.load(ROOT).map((partition) => partition.id),
    [7],
  );
});
