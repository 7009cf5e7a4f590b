/** Deletes on file systems that know no holes: zeros take their place, and everything else is as with holes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { IO, native } from '../../src/native/addon.js';
import { deletePartition } from '../../src/partition/diskLoad.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { NativeRig, temporaryFolder } from './nativeRig.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern, type Sent, type StoreRig } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const LIST = `${FOLDER}/TINYEXTENT_DELETE`;
const CRC_FILE = `${FOLDER}/EXTENT_CRC`;
const PIECE = 64 * 1024;
const EOPNOTSUPP = 95;
const ENOSYS = 38;
const ALWAYS = 1_000_000;
/** The device of `NativeRig`'s disk. */
const DEVICE = 7;

function run(rig: SimRig | NativeRig, sent: Sent): Sent {
  rig.run();
  return sent;
}

function sendDelete(rig: StoreRig, extentId: number, extentOffset: number, size: number): Sent {
  const key = { fileOffset: 0, partitionId: 7, extentId, extentOffset, size, crc: 0 };
  return rig.send({ opcode: OP.markDelete, extentType: 0, extentId }, encodeClientMarkDelete(key));
}

/** A rig whose tiny extent 1 has two files of `bytes` bytes and whose disk answers `errno` to every punch. */
function withoutHoles(errno = EOPNOTSUPP, bytes = 5000): SimRig {
  const rig = SimRig.start();
  rig.create(ROOT);
  const { tiny } = rig.partitions.get(7)!.store;
  for (let id = 2; id <= 64; id += 1) tiny.move(id, 0);
  for (const seed of [0, 1]) run(rig, rig.sendTinyWrite(pattern(bytes, seed)));
  rig.sim.addFault({ call: 'fallocate', path: /./, errno, count: ALWAYS });
  rig.sim.trace.length = 0;
  return rig;
}

for (const errno of [EOPNOTSUPP, ENOSYS]) {
  t.test(
    `a deleted range is recorded, then overwritten with zeros; its space stays used (errno ${errno})`,
    async (t) => {
      const rig = withoutHoles(errno);
      t.ok(run(rig, sendDelete(rig, 1, 0, 5000)).ok);
      t.same(rig.sim.trace, [`pwrite ${LIST} 24 24`, `pwrite ${FOLDER}/1 0 8192`]);
      t.same(run(rig, rig.sendRead(1, 0, 5000)).body, new Uint8Array(5000));
      t.same(run(rig, rig.sendRead(1, 8192, 5000)).body, pattern(5000, 1), 'its neighbour stays');
      t.equal(rig.partitions.get(7)!.usedBytes, 2 * 8192);
      t.same(rig.diskErrors, []);
      t.equal(rig.stores.parkedOperations, 0);
    },
  );
}

t.test('that is found out once, and said once', async (t) => {
  const rig = withoutHoles();
  let punches = 0;
  const fallocate = rig.sim.fallocate.bind(rig.sim);
  rig.sim.fallocate = (...args) => {
    punches += 1;
    return fallocate(...args);
  };
  for (const at of [0, 8192]) t.ok(run(rig, sendDelete(rig, 1, at, 5000)).ok);
  t.same(rig.complaints, [
    'the disk cannot punch holes: deleted ranges are overwritten with zeros, and their space is not freed',
  ]);
  t.equal(punches, 1);
});

t.test('the last range ends at its page, and the next append comes behind it', async (t) => {
  const rig = withoutHoles();
  t.ok(run(rig, sendDelete(rig, 1, 8192, 5000)).ok);
  t.equal(rig.sim.content(`${FOLDER}/1`).length, 16_384);
  t.equal(run(rig, rig.sendTinyWrite(pattern(10, 3))).extentOffset, 16_384);
  const next = rig.next(rig.sim.processEnd(1));
  const { table } = next.partitions.get(7)!.store;
  t.equal(table.sizes[table.find(1)], 16_384 + 4096);
});

t.test('a long range is overwritten in pieces, whatever each of them moves', async (t) => {
  const rig = withoutHoles(EOPNOTSUPP, 200_000);
  const end = Math.ceil(200_000 / 4096) * 4096;
  rig.sim.addFault({ call: 'pwrite', path: /\/1$/, shortBytes: 10_000, count: 2 });
  t.ok(run(rig, sendDelete(rig, 1, 0, 200_000)).ok);
  const lengths = rig.sim.trace
    .filter((line) => line.includes('/1 '))
    .map((line) => line.split(' ').slice(2));
  t.same(lengths, [
    ['0', '10000'],
    ['10000', '10000'],
    ...[0, 1, 2].map((i) => [20_000 + i * PIECE, Math.min(PIECE, end - 20_000 - i * PIECE)].map(String)),
  ]);
  t.ok(run(rig, rig.sendRead(1, 0, 131_072)).body.every((byte) => byte === 0));
  t.equal(
    Buffer.compare(run(rig, rig.sendRead(1, end, 131_072)).body, pattern(200_000, 1).subarray(0, 131_072)),
    0,
  );
});

t.test('a write that fails is told, and the next delete goes over the range again', async (t) => {
  const rig = withoutHoles(EOPNOTSUPP, 200_000);
  rig.sim.addFault({ call: 'pwrite', path: /\/1$/, errno: 5, count: 1 });
  t.match(
    run(rig, sendDelete(rig, 1, 0, 200_000)).error,
    /^ActionMarkDelete:_fallocate .*input\/output error$/,
  );
  t.same(rig.diskErrors, [5]);
  rig.sim.addFault({ call: 'pwrite', path: /\/1$/, shortBytes: 0, count: 1 });
  t.match(run(rig, sendDelete(rig, 1, 0, 200_000)).error, /input\/output error$/, 'one that moves nothing');
  t.ok(run(rig, sendDelete(rig, 1, 0, 200_000)).ok);
  t.ok(run(rig, rig.sendRead(1, 0, 131_072)).body.every((byte) => byte === 0));
});

t.test('a partition that goes in the middle of it ends the delete', async (t) => {
  const rig = withoutHoles(EOPNOTSUPP, 200_000);
  const sent = sendDelete(rig, 1, 0, 200_000);
  for (let steps = 0; steps < 1000 && !rig.sim.trace.some((line) => line.includes('/1 0 ')); steps += 1) {
    rig.turn();
    rig.sim.step();
  }
  const partition = rig.partitions.get(7)!;
  rig.partitions.delete(7);
  t.ok(deletePartition(rig.stores, partition).ok);
  rig.run();
  t.equal(sent.error, 'ActionMarkDelete:_data partition not exists');
  t.equal(rig.sim.openFds(), 0);
});

t.test('slots of a deleted normal extent are zeroed where they cannot be punched', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  run(rig, rig.sendCreate());
  run(rig, rig.sendWrite(1025, 0, pattern(131_072, 1)));
  t.ok(rig.sim.content(CRC_FILE).some((byte) => byte !== 0));
  rig.sim.addFault({ call: 'fallocate', path: /EXTENT_CRC/, errno: EOPNOTSUPP, count: ALWAYS });
  t.ok(run(rig, rig.send({ opcode: OP.markDelete, extentId: 1025 })).ok);
  t.ok(rig.sim.content(CRC_FILE).every((byte) => byte === 0));
});

t.test('where holes cannot be asked for there is data everywhere', async (t) => {
  const rig = withoutHoles();
  rig.sim.addFault({ call: 'seek', path: /./, errno: 22, count: ALWAYS });
  t.ok(run(rig, sendDelete(rig, 1, 0, 5000)).ok);
  const sent = rig.send({
    opcode: OP.tinyExtentRepairRead,
    extentType: 0,
    extentId: 1,
    extentOffset: 0,
    size: 99_999,
  });
  rig.run();
  t.ok(sent.ok);
  t.same([sent.op.holeBytes, sent.op.remainingBytes, sent.op.replyBytes], [0, 13_192, 13_192]);
  t.equal(Buffer.compare(sent.body, Buffer.concat([new Uint8Array(8192), pattern(5000, 1)])), 0);
});

t.test('on a real disk that refuses to punch', async (t) => {
  const root = temporaryFolder();
  const rig = NativeRig.start(root);
  t.teardown(() => rig.removeRoot());
  t.teardown(() => native.clearFaults(DEVICE));
  rig.create(root);
  const { tiny } = rig.partitions.get(7)!.store;
  for (let id = 2; id <= 64; id += 1) tiny.move(id, 0);
  for (const seed of [0, 1]) run(rig, rig.sendTinyWrite(pattern(200_000, seed)));
  native.setFault(DEVICE, [IO.punchHole], 'errno', EOPNOTSUPP, 0);
  t.ok(run(rig, sendDelete(rig, 1, 0, 200_000)).ok);
  const content = readFileSync(join(root, 'datapartition_7_1073741824', '1'));
  const end = Math.ceil(200_000 / 4096) * 4096;
  t.ok(content.subarray(0, end).every((byte) => byte === 0));
  t.equal(Buffer.compare(content.subarray(end), pattern(200_000, 1)), 0);
  t.equal(rig.partitions.get(7)!.usedBytes, 2 * end);
  t.match(rig.complaints, [/cannot punch holes/]);
});
