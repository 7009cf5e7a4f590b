/**
 * Partitions come up and go down: creation, loading, refusal, removal, the lock, on a simulated disk.
 */
import t, { type Test } from 'tap';
import { answerQuery } from '../../src/partition/debugQuery.js';
import {
  closePartition,
  createPartition,
  deletePartition,
  loadDisk,
  lockDisk,
} from '../../src/partition/diskLoad.js';
import { OP } from '../../src/protocol/opcodes.js';
import type { FolderEntry } from '../../src/storage/io.js';
import { ROOT, run, SimRig } from './simRig.js';
import { NEW_PARTITION, pattern, type Sent } from './storeRig.js';

const NAME = 'datapartition_7_1073741824';
const FOLDER = `${ROOT}/${NAME}`;

function names(rig: SimRig, path: string): string[] {
  return (rig.sim.scan(path) as FolderEntry[]).map(({ name }) => name).sort();
}

/** Reasons of the folders that are refused at a fresh load. */
function refusals(rig: SimRig): string[] {
  const loaded = loadDisk(rig.stores, ROOT, () => true, false);
  return loaded.ok ? loaded.value.refused.map(({ reason }) => reason) : [loaded.message];
}

t.test('a fresh partition holds what the reference creates, and EXTENT_CLEAN', async (t) => {
  const rig = SimRig.start();
  const partition = rig.create(ROOT, { hosts: ['a:1'], members: [{ id: 3, addr: 'a:1' }] });
  const tiny = Array.from({ length: 64 }, (_, i) => String(i + 1));
  const files = [
    'EXTENT_CLEAN',
    'EXTENT_CRC',
    'EXTENT_META',
    'META',
    'NORMALEXTENT_DELETE',
    'TINYEXTENT_DELETE',
  ];
  t.same(names(rig, FOLDER), [...tiny, ...files].sort());
  t.same([partition.extentCount, partition.usedBytes, partition.status], [64, 0, 2]);
  t.match(Buffer.from(rig.sim.content(`${FOLDER}/META`)).toString(), /^\{"VolumeID":"vol","PartitionID":7,/);
});

t.test('after a power loss in the middle of a creation the partition is whole or not there', async (t) => {
  const seen = { whole: 0, none: 0 };
  for (let seed = 1; seed <= 80; seed += 1) {
    const rig = SimRig.start({}, seed);
    const calls = ['mkdir', 'open', 'pwrite', 'fdatasync', 'fsyncFolder', 'rename'] as const;
    rig.sim.addFault({ call: calls[seed % 6]!, path: seed % 12 < 6 ? /./ : /META|meta/, errno: 5, count: 1 });
    const outcome = createPartition(rig.stores, ROOT, NEW_PARTITION);
    const disk = rig.sim.powerLoss(seed);
    const loaded = loadDisk(rig.bare(disk).stores, ROOT, () => true, false);
    if (!loaded.ok) t.fail(loaded.message);
    else if (loaded.value.partitions.length === 1) {
      seen.whole += 1;
      t.equal(loaded.value.partitions[0]!.extentCount, 64);
    } else {
      seen.none += 1;
      t.notOk(outcome.ok, 'a created partition stays');
    }
  }
  t.ok(seen.whole > 10 && seen.none > 10, JSON.stringify(seen));
});

t.test('a folder that a crash left without META is completed by the same creation', async (t) => {
  const rig = SimRig.start();
  rig.sim.addFault({ call: 'rename', path: /meta/, errno: 5, count: 1 });
  t.notOk(createPartition(rig.stores, ROOT, NEW_PARTITION).ok);
  t.match(refusals(rig), [/META: no such file/]);
  t.ok(createPartition(rig.stores, ROOT, NEW_PARTITION).ok);
});

t.test(
  'a folder that a failed creation left with META is taken by the same creation, and by no other',
  async (t) => {
    const rig = SimRig.start();
    rig.sim.addFault({ call: 'fsyncFolder', path: /^\/d$/, errno: 5, count: 1 });
    t.match(createPartition(rig.stores, ROOT, NEW_PARTITION), {
      ok: false,
      message: /sync \/d: input\/output error/,
    });
    t.ok(rig.sim.node(`${FOLDER}/META`), 'complete, but not known to be durable');
    for (const other of [
      { volume: 'other' },
      { createType: 1 as const },
      { hosts: ['10.0.0.2:17310'] },
      { members: [{ id: 3, addr: '10.0.0.1:17310' }] },
    ]) {
      const outcome = createPartition(rig.stores, ROOT, { ...NEW_PARTITION, ...other });
      t.match(outcome, { ok: false, message: /exists and holds a partition/ }, JSON.stringify(other));
    }
    rig.simClock.advance(60_000);
    t.ok(createPartition(rig.stores, ROOT, NEW_PARTITION).ok, 'a minute later');
    const loaded = loadDisk(rig.bare(rig.sim.powerLoss(1)).stores, ROOT, () => true, false);
    t.equal(loaded.ok && loaded.value.partitions.length, 1);
  },
);

t.test('loading tells how far it is, folder by folder', async (t) => {
  const rig = SimRig.start();
  for (const partitionId of [1, 2, 3]) rig.create(ROOT, { partitionId });
  rig.sim.unlink(`${ROOT}/datapartition_2_1073741824/META`);
  const told: number[][] = [];
  loadDisk(
    rig.bare(rig.sim).stores,
    ROOT,
    () => true,
    false,
    (...numbers) => told.push(numbers),
  );
  t.same(told, [
    [0, 3],
    [1, 3],
    [2, 3],
    [3, 3],
  ]);
});

t.test('a creation does not take over data, nor another size', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  run(rig, rig.sendCreate());
  run(rig, rig.sendWrite(1025, 0, pattern(10, 1)));
  const again = createPartition(rig.stores, ROOT, NEW_PARTITION);
  t.match(again, { ok: false, message: /exists and holds a partition/ });
  rig.sim.unlink(`${FOLDER}/META`);
  t.notOk(createPartition(rig.stores, ROOT, NEW_PARTITION).ok, 'META lost, data there');
  const other = createPartition(rig.stores, ROOT, { ...NEW_PARTITION, sizeBytes: 5 });
  t.match(other, { ok: false, message: /partition 7 exists already/ });
  t.notOk(createPartition(rig.stores, ROOT, { ...NEW_PARTITION, partitionId: 8, volume: ' ' }).ok);
});

t.test('sizes, ids and space come back from the files', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  run(rig, rig.sendCreate());
  run(rig, rig.sendWrite(1025, 0, pattern(5000, 2)));
  const fd = rig.sim.open(`${FOLDER}/9`, 2, 0);
  rig.sim.write(fd, pattern(5000, 3), 0);
  t.same(rig.stop(), []);
  const next = rig.next(rig.sim.processEnd(1));
  const partition = next.partitions.get(7)!;
  t.equal(partition.usedBytes, 5000 + 8192, 'normal by length, tiny by blocks');
  t.same(answerQuery(partition, { kind: 'extent', partitionId: 7, extentId: 9 }), {
    ok: true,
    value: { fileId: 9, size: 8192, Crc: 0, deleted: false, modTime: 0, src: '' },
  });
  t.match(run(next, next.sendWrite(1025, 5001, pattern(1, 4))).error, /parameter mismatch/);
  t.ok(run(next, next.sendWrite(1025, 5000, pattern(1, 4))).ok);
});

t.test('ids in NORMALEXTENT_DELETE are not handed out again', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  const fd = rig.sim.open(`${FOLDER}/NORMALEXTENT_DELETE`, 2, 0);
  rig.sim.write(fd, Uint8Array.of(0, 0, 0, 0, 0, 0, 8, 0, 255, 255, 255, 255, 255, 255, 255, 255, 1), 0);
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(run(next, next.sendCreate()).extentId, 2049);
});

t.test('a partition whose folder cannot be renamed serves on', async (t) => {
  const rig = SimRig.start();
  const partition = rig.create(ROOT);
  rig.sim.addFault({ call: 'rename', path: /datapartition/, errno: 5, count: 1 });
  t.match(deletePartition(rig.stores, partition), { ok: false, serves: true, message: /^rename / });
  t.ok(run(rig, rig.sendCreate()).ok);
  rig.sim.addFault({ call: 'fsyncFolder', path: /^\/d$/, errno: 5, count: 1 });
  t.match(deletePartition(rig.stores, partition), { ok: false, serves: false, message: /^sync / });
  rig.run();
  t.equal(rig.sim.openFds(), 0, 'out of service, as its folder is');
});

t.test('several workers share a disk by partition id', async (t) => {
  const rig = SimRig.start();
  for (const partitionId of [1, 2, 3]) rig.create(ROOT, { partitionId });
  const loaded = loadDisk(rig.stores, ROOT, (id) => id % 2 === 1, false);
  t.same(loaded.ok && loaded.value.partitions.map(({ id }) => id), [1, 3]);
});

/** A partition that is deleted while operations wait. */
function deleted(t: Test): SimRig {
  const rig = SimRig.start();
  const partition = rig.create(ROOT);
  run(rig, rig.sendCreate());
  run(rig, rig.sendWrite(1025, 0, pattern(10, 5)));
  const parked = [rig.sendSyncWrite(1025, 10, pattern(10, 6)), rig.sendCreate()];
  rig.turn();
  rig.partitions.delete(7);
  t.same(deletePartition(rig.stores, partition), { ok: true, value: null });
  t.match(parked[0]!.error, /data partition not exists/);
  t.match(parked[1]!.error, /data partition not exists/);
  t.match(names(rig, ROOT), [/^deleted_datapartition_7_1073741824_\d+$/]);
  return rig;
}

t.test('deletion: out of sight at once, then removed', async (t) => {
  const rig = deleted(t);
  rig.run();
  t.same(names(rig, ROOT), []);
  t.same([rig.sim.openFds(), rig.unanswered, rig.stores.parkedOperations], [0, 0, 0]);
});

t.test('deletion while slot writes stand in the batch', async (t) => {
  const rig = SimRig.start();
  const partition = rig.create(ROOT);
  run(rig, rig.sendCreate());
  rig.threaded = true;
  rig.sendWrite(1025, 0, pattern(131072, 8));
  rig.turn();
  rig.sim.step();
  rig.sim.drainCompletions();
  t.equal(rig.sim.batch.length, 1, 'the checksum waits for its turn');
  rig.partitions.delete(7);
  t.ok(deletePartition(rig.stores, partition).ok);
  rig.run();
  t.same([rig.sim.openFds(), rig.unanswered, rig.stores.parkedOperations], [0, 0, 0]);
});

t.test('limits of the number of extents', async (t) => {
  const rig = SimRig.start();
  const partition = rig.create(ROOT);
  const fill = (count: number): void => {
    while (partition.extentCount < count) partition.store.table.insert(100_000 + partition.extentCount);
  };
  fill(19_999);
  t.equal(partition.status, 2);
  fill(20_000);
  t.equal(partition.status, 1);
  t.ok(run(rig, rig.sendCreate()).ok, "read-only is the master's hint, not a refusal");
  fill(60_000);
  const refused = run(rig, rig.sendCreate());
  t.equal(refused.error, 'ActionPreparePkt_addExtentInfo partition 7 has reached maxExtentId');
  partition.hosts = ['a:1', 'b:1'];
  t.ok(run(rig, rig.sendCreate({ extentId: 3000 })).ok, 'a follower does as its primary says');
});

t.test('a clean stop while a file is being synced to make room', async (t) => {
  const rig = SimRig.start({ openExtentsMax: 1 });
  const partition = rig.create(ROOT);
  const ids = [rig.sendCreate(), rig.sendCreate()];
  rig.run();
  const written = ids.map(({ extentId }) => run(rig, rig.sendWrite(extentId, 0, pattern(10, extentId))));
  t.ok(written.every(({ ok }) => ok));
  rig.sim.addFault({ call: 'fdatasync', path: /102\d$/, hang: true, count: 1 });
  rig.sendRead(1025, 0, 10);
  rig.turn();
  t.same(closePartition(rig.stores, partition), { ok: true, value: null });
  const next = rig.next(rig.sim.powerLoss(1));
  for (const { extentId } of ids) t.ok(run(next, next.sendRead(extentId, 0, 10)).ok);
});

t.test('what a crash leaves of a deletion is removed at the next start', async (t) => {
  const rig = deleted(t);
  const next = rig.bare(rig.sim.powerLoss(4));
  t.match(names(next, ROOT), [/^deleted_/]);
  next.load(ROOT);
  next.run();
  t.same(names(next, ROOT), []);
});

t.test('deletion in the middle of everything leaves nothing open and nobody waiting', async (t) => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const rig = SimRig.start({ openExtentsMax: 3 }, seed);
    const partition = rig.create(ROOT);
    for (let i = 0; i < 6; i += 1) rig.sendCreate();
    rig.run();
    rig.sim.coldReads = 0.5;
    for (let i = 0; i < 12; i += 1) {
      const id = 1025 + (i % 6);
      if (i % 3 === 0) rig.sendSyncWrite(id, 0, pattern(100, i));
      else if (i % 3 === 1) rig.sendRead(id, 0, 50);
      else rig.sendCreate();
    }
    for (let turns = 0; turns < seed % 17; turns += 1) {
      rig.turn();
      rig.sim.step();
    }
    rig.turn();
    rig.partitions.delete(7);
    t.ok(deletePartition(rig.stores, partition).ok);
    rig.run();
    t.same([rig.sim.openFds(), rig.unanswered, rig.stores.parkedOperations], [0, 0, 0], `seed ${seed}`);
  }
});

t.test('one process a disk', async (t) => {
  const rig = SimRig.start();
  const held = lockDisk(rig.sim, ROOT);
  t.ok(held.ok);
  t.same(lockDisk(rig.sim, ROOT), { ok: false, message: `disk ${ROOT} is in use by another process` });
  if (held.ok) rig.sim.close(held.value);
  t.ok(lockDisk(rig.sim, ROOT).ok);
});

t.test('watermarks, sizes and the debug API', async (t) => {
  const rig = SimRig.start();
  const partition = rig.create(ROOT);
  run(rig, rig.sendCreate());
  run(rig, rig.sendCreate());
  run(rig, rig.sendWrite(1025, 0, pattern(131072 + 5, 7)));
  const watermarks = (type: number, body = ''): Sent =>
    run(rig, rig.send({ opcode: OP.getAllWatermarks, extentType: type }, Buffer.from(body)));
  t.equal(Buffer.from(watermarks(1).body).toString(), '[]', 'too young');
  rig.simClock.advance(62_000);
  const list = JSON.parse(Buffer.from(watermarks(1).body).toString());
  t.match(
    list,
    [{ fileId: 1025, size: 131077, Crc: 0, deleted: false, src: '' }],
    'the empty one is not told',
  );
  t.equal(
    Buffer.from(watermarks(0, '[3,1025]').body).toString(),
    '[{"fileId":3,"size":0,"Crc":0,"deleted":false,"modTime":0,"src":""}]',
  );
  t.equal(watermarks(0).error, 'ActionGetAllExtentWatermarks:_unexpected end of JSON input');
  const size = run(rig, rig.send({ opcode: OP.getPartitionSize, extentId: 1025, extentType: 0 }));
  t.equal(Buffer.from(size.body).toString('hex'), '0000000000020005');
  const most = run(rig, rig.send({ opcode: OP.getMaxExtentIdAndPartitionSize, extentType: 0 }));
  t.equal(Buffer.from(most.body).toString('hex'), '00000000000004020000000000020005');
  const ask = (kind: 'partition' | 'extent' | 'block', extentId = 0) =>
    answerQuery(partition, { kind, partitionId: 7, extentId });
  t.match(ask('partition'), { ok: true, value: { tinyDeleteRecordSize: 0 } });
  t.match(ask('block', 1025), { ok: true, value: [{ BlockNo: 0 }, { BlockNo: 1, Crc: 0 }] });
  t.match(ask('extent', 1), { ok: true, value: { fileId: 1, size: 0 } });
  const missing = { ok: false, message: 'e extent 7_99 not exist', httpStatus: 500 };
  t.same([ask('extent', 99), ask('block', 99)], [missing, missing]);
});

t.test('a watermark list that is larger than its slot comes by itself', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  const ids = JSON.stringify(Array.from({ length: 64 }, (_, i) => i + 1));
  const sent = rig.send({ opcode: OP.getAllWatermarks, extentType: 0 }, Buffer.from(ids));
  rig.run();
  t.ok(sent.op.replyBody !== null);
  t.equal(JSON.parse(Buffer.from(sent.body).toString()).length, 64);
});
