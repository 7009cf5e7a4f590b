/**
 * What a partition answers to the node's own threads from memory, what they may create, make durable and end, and that nobody else may ask for it.
 */
import t from 'tap';
import { PAGE_ROWS } from '../../src/partition/extentPages.js';
import { INTERNAL_OP, LIST } from '../../src/partition/internalOps.js';
import { readExtentRecords, readIds } from '../../src/partition/internalRecords.js';
import { OP } from '../../src/protocol/opcodes.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { readMeta } from '../../src/storage/metaFile.js';
import {
  allIds,
  ask,
  describe,
  FOLDER,
  follower,
  list,
  piece,
  send,
  sizeOf,
  storeOf,
} from './internalRig.js';
import { ROOT, run, type SimRig } from './simRig.js';
import { pattern } from './storeRig.js';

const MISMATCH = /^ActionRepair:_parameter mismatch error/;

/** A follower with normal extents 1025.., each with `bytes` bytes. */
function withExtents(count: number, bytes = 100): SimRig {
  const rig = follower();
  for (let i = 0; i < count; i += 1) {
    run(rig, rig.sendCreate({ extentId: 1025 + i }));
    if (bytes > 0) run(rig, rig.sendWrite(1025 + i, 0, pattern(bytes, i)));
  }
  return rig;
}

t.test('from a connection every internal opcode is unknown', async (t) => {
  const rig = withExtents(1);
  for (const opcode of Object.values(INTERNAL_OP)) {
    const sent = run(rig, rig.send({ opcode, extentId: 1025 }, new Uint8Array(0)));
    t.equal(sent.error, `unknown opcode_unknown opcode${opcode}`);
  }
  t.equal(ask(rig, 0xd0).error, 'unknown opcode_unknown opcode208', 'one that is not in the table');
  t.equal(Object.values(INTERNAL_OP).length, new Set(Object.values(INTERNAL_OP)).size);
});

t.test('a list of quiet extents is what peers are told, and that of all has the rest', async (t) => {
  const rig = withExtents(3);
  run(rig, rig.sendCreate({ extentId: 2000 }));
  run(rig, rig.send({ opcode: OP.markDelete, extentId: 1026 }));
  t.same(list(rig, LIST.quiet), [], 'nothing is quiet yet');
  rig.simClock.advance(61_000);
  run(rig, rig.sendWrite(1027, 100, pattern(5, 9)));
  const [only, ...others] = list(rig, LIST.quiet);
  t.same(others, []);
  const watermarks = run(rig, rig.send({ opcode: OP.getAllWatermarks }));
  t.same([only], JSON.parse(Buffer.from(watermarks.body).toString()).map(fromWire));
  t.same([only!.fileId, only!.size], [1025, 100]);
  const tiny = Array.from({ length: 64 }, (_, i) => i + 1);
  t.same(allIds(rig), [...tiny, 1025, 1027, 2000]);
});

function fromWire(record: Record<string, unknown>): Record<string, unknown> {
  const { Crc, src, ...rest } = record;
  return { ...rest, crc: Crc, source: src };
}

t.test('pages go on where the last one ended, whatever fits a slot', async (t) => {
  const rig = withExtents(20, 10);
  const expected = allIds(rig);
  for (const records of [1, 7, 84]) {
    const ids: number[] = [];
    let pages = 0;
    for (let from = 0; from >= 0; pages += 1) {
      const sent = send(rig, INTERNAL_OP.listExtents, { extentType: LIST.all, extentOffset: from });
      sent.op.bufferBytes = records * 24 + 23;
      rig.run();
      ids.push(...readExtentRecords(sent.body).map(({ fileId }) => fileId));
      from = sent.extentOffset;
    }
    t.same(
      ids.sort((a, b) => a - b),
      expected,
    );
    t.equal(pages, Math.ceil(84 / records));
  }
  const small = send(rig, INTERNAL_OP.listExtents, { extentType: LIST.all });
  small.op.bufferBytes = 23;
  rig.run();
  t.match(small.error, MISMATCH, 'not one record fits');
});

t.test('a page looks at a bounded number of rows, found or not', async (t) => {
  const rig = follower();
  const { table } = storeOf(rig);
  for (let i = 0; i < PAGE_ROWS + 100; i += 1) table.insert(5000 + i);
  const first = ask(rig, INTERNAL_OP.listExtents, { extentType: LIST.quiet });
  t.same([first.body.length, first.extentOffset], [0, PAGE_ROWS]);
  const last = ask(rig, INTERNAL_OP.listExtents, { extentType: LIST.quiet, extentOffset: PAGE_ROWS });
  t.same([last.body.length, last.extentOffset], [0, -1]);
});

t.test('named tiny extents are listed with their watermarks, others not', async (t) => {
  const rig = withExtents(1);
  t.ok(piece(rig, 3, 0, pattern(5000, 1)).ok);
  const sent = ask(rig, INTERNAL_OP.listExtents, { extentType: LIST.tiny }, Uint8Array.of(3, 64, 3, 0, 200));
  t.same(
    readExtentRecords(sent.body).map(({ fileId, size, modTime }) => [fileId, size, modTime]),
    [
      [3, 8192, 0],
      [64, 0, 0],
    ],
  );
  t.equal(sent.extentOffset, -1);
  t.match(ask(rig, INTERNAL_OP.listExtents, { extentType: 7 }).error, MISMATCH);
  t.match(ask(rig, INTERNAL_OP.listExtents, { extentType: LIST.all, extentOffset: -1 }).error, MISMATCH);
});

t.test('a partition is described by its figures', async (t) => {
  const rig = withExtents(2);
  run(rig, rig.send({ opcode: OP.markDelete, extentId: 1026 }));
  ask(rig, INTERNAL_OP.takeTiny);
  const info = describe(rig);
  t.match(info, {
    ...{ createType: 0, hosts: 3, extents: 66, extentIdMax: 1026, sizeBytes: 200, deletedIds: 1, status: 2 },
    ...{ tinyAvailable: 0, tinyWriting: 0, tinyBroken: 0, tinyRepairing: 64 },
    ...{ tinyDeletePosition: 0, tinyDeleteEnd: 0 },
  });
});

t.test('deleted ids are listed for good until somebody creates them again', async (t) => {
  const rig = withExtents(5);
  for (const extentId of [1026, 1028, 1029]) run(rig, rig.send({ opcode: OP.markDelete, extentId }));
  const deleted = (from = 0): { ids: number[]; next: number } => {
    const sent = ask(rig, INTERNAL_OP.listDeleted, { extentOffset: from });
    return { ids: readIds(sent.body), next: sent.extentOffset };
  };
  t.same(deleted(), { ids: [1026, 1028, 1029], next: -1 });
  t.same(deleted(2), { ids: [1029], next: -1 });
  const gone = { extentId: 1026 };
  t.equal(ask(rig, INTERNAL_OP.createExtent, gone).error, 'ActionRepair:_extent has been deleted');
  rig.simClock.advance(700_000);
  rig.partitions.get(7)!.tick(rig.clock.nowMs());
  t.equal(ask(rig, INTERNAL_OP.createExtent, gone).error, 'ActionRepair:_extent has been deleted');
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(ask(next, INTERNAL_OP.createExtent, gone).error, 'ActionRepair:_extent has been deleted', 'W5');
  t.ok(run(next, next.sendCreate(gone)).ok, 'a primary may have given it out again');
  t.same(readIds(ask(next, INTERNAL_OP.listDeleted).body), [1028, 1029]);
});

t.test('a listed id of which there is a file is not deleted', async (t) => {
  const rig = withExtents(1);
  run(rig, rig.send({ opcode: OP.markDelete, extentId: 1025 }));
  rig.sim.close(rig.sim.open(`${FOLDER}/1025`, 0o102, 0o666));
  const next = rig.next(rig.sim.processEnd(1));
  t.same(readIds(ask(next, INTERNAL_OP.listDeleted).body), []);
  t.equal(
    ask(next, INTERNAL_OP.createExtent, { extentId: 1025 }).error,
    'ActionRepair:_extent already exists',
  );
});

t.test('repair creates normal extents by their ids, also where a partition is full', async (t) => {
  const rig = follower();
  t.ok(ask(rig, INTERNAL_OP.createExtent, { extentId: 3000 }).ok);
  t.equal(sizeOf(rig, 3000), 0);
  t.equal(sizeOf(rig, 3001), -1);
  t.match(ask(rig, INTERNAL_OP.createExtent, { extentId: 3000 }).error, /extent already exists/);
  for (const extentId of [0, 5, -1, 2 ** 41]) {
    t.match(ask(rig, INTERNAL_OP.createExtent, { extentId }).error, MISMATCH, `id ${extentId}`);
  }
  storeOf(rig).usedBytes = 2 ** 40;
  t.match(run(rig, rig.sendWrite(3000, 0, pattern(10, 1))).error, /no space left on the device/, 'a client');
  t.ok(ask(rig, INTERNAL_OP.createExtent, { extentId: 3001 }).ok);
  t.ok(piece(rig, 3001, 0, pattern(10, 1), { extentType: 1 }).ok);
  rig.health.space.exhaust();
  t.match(ask(rig, INTERNAL_OP.createExtent, { extentId: 3002 }).error, /no space left on the device/);
});

t.test('a piece of a normal extent goes behind its end and nowhere else', async (t) => {
  const rig = withExtents(1, 5000);
  const normal = { extentType: 1 };
  t.match(piece(rig, 1025, 4096, pattern(10, 2), normal).error, /^ActionWrite:_parameter mismatch/);
  t.match(piece(rig, 1025, 5001, pattern(10, 2), normal).error, /^ActionWrite:_parameter mismatch/);
  t.equal(
    piece(rig, 1025, 5000, pattern(10, 2), { ...normal, crc: 1 }).error,
    'ActionPreparePkt_packet Crc is incorrect',
  );
  // A forwarded append comes first: the piece would write over it.
  const racing = [
    rig.sendWrite(1025, 5000, pattern(3000, 3)),
    send(rig, OP.write, { ...normal, extentId: 1025, extentOffset: 5000 }, pattern(9000, 4)),
  ];
  rig.run();
  t.same(
    racing.map(({ ok }) => ok),
    [true, false],
  );
  t.same(rig.sim.content(`${FOLDER}/1025`).subarray(5000), pattern(3000, 3));
  // It comes second: the same bytes, as everywhere.
  const bytes = pattern(9000, 5);
  const second = [
    send(rig, OP.write, { ...normal, extentId: 1025, extentOffset: 8000 }, bytes),
    rig.sendWrite(1025, 8000, bytes.subarray(0, 3000)),
  ];
  rig.run();
  t.ok(second.every(({ ok }) => ok));
  t.same(rig.sim.content(`${FOLDER}/1025`).subarray(8000), bytes);
  t.equal(sizeOf(rig, 1025), 17_000);
});

t.test('what was synced outlives the power, the entry in the folder too', async (t) => {
  const rig = follower();
  for (const extentId of [1025, 1026]) {
    t.ok(ask(rig, INTERNAL_OP.createExtent, { extentId }).ok);
    t.ok(piece(rig, extentId, 0, pattern(9000, extentId), { extentType: 1 }).ok);
  }
  t.ok(piece(rig, 7, 0, pattern(4096, 7)).ok);
  for (const extentId of [1025, 7, 999]) t.ok(ask(rig, INTERNAL_OP.syncExtent, { extentId }).ok);
  for (let seed = 1; seed <= 8; seed += 1) {
    const after = rig.sim.withRoot(rig.sim.rootFolder, seed).powerLoss(seed);
    t.same(after.content(`${FOLDER}/1025`), pattern(9000, 1025));
    t.same(after.content(`${FOLDER}/7`), pattern(4096, 7));
  }
  rig.sim.addFault({ call: 'fdatasync', path: /\/1026$/, errno: 5, count: 1 });
  t.match(ask(rig, INTERNAL_OP.syncExtent, { extentId: 1026 }).error, /^ActionRepair:_sync .*1026: input/);
  t.match(
    ask(rig, INTERNAL_OP.syncExtent, { extentId: 1026 }).error,
    /^ActionRepair:_extent has been broken/,
  );
});

t.test('a sync covers what a killed process has left, and writes that are on their way', async (t) => {
  const rig = follower();
  ask(rig, INTERNAL_OP.createExtent, { extentId: 1025 });
  for (const extentId of [1025, 7]) {
    const extentType = extentId === 7 ? 0 : 1;
    t.ok(piece(rig, extentId, 0, pattern(9000, extentId), { extentType }).ok);
  }
  const next = rig.next(rig.sim.processEnd(1));
  for (const extentId of [1025, 7]) t.ok(ask(next, INTERNAL_OP.syncExtent, { extentId }).ok);
  const together = [
    send(next, OP.write, { extentId: 1025, extentOffset: 9000, extentType: 1 }, pattern(500, 1)),
    send(next, INTERNAL_OP.syncExtent, { extentId: 1025 }),
  ];
  next.run();
  t.ok(together.every(({ ok }) => ok));
  for (let seed = 1; seed <= 8; seed += 1) {
    const after = next.sim.withRoot(next.sim.rootFolder, seed).powerLoss(seed);
    const expected = Buffer.concat([pattern(9000, 1025), pattern(500, 1)]);
    t.ok(expected.equals(after.content(`${FOLDER}/1025`)));
    t.ok(Buffer.from(pattern(9000, 7)).equals(after.content(`${FOLDER}/7`)));
  }
});

t.test('a partition that joined is a normal one when its META says so', async (t) => {
  const rig = follower();
  t.ok(ask(rig, INTERNAL_OP.endJoining).ok, 'one that is normal already');
  rig.create(ROOT, { partitionId: 8, createType: 1, hosts: ['a:1', 'b:1'] });
  const joining = { partitionId: 8 };
  const folder = `${ROOT}/datapartition_8_1073741824`;
  const createType = (): number => {
    const meta = readMeta(rig.sim, folder);
    return meta.ok ? meta.value.createType : -1;
  };
  rig.sim.addFault({ call: 'fdatasync', path: /\.meta/, errno: 28, count: 1 });
  t.match(ask(rig, INTERNAL_OP.endJoining, joining).error, /^ActionRepair:_write .*META: no space left/);
  t.same([createType(), rig.partitions.get(8)!.createType], [1, 1], 'all is as it was');
  t.ok(ask(rig, INTERNAL_OP.endJoining, joining).ok);
  t.same([createType(), rig.partitions.get(8)!.createType], [0, 0]);
  t.same(rig.partitions.get(8)!.hosts, ['a:1', 'b:1']);
  const after = rig.sim.powerLoss(3);
  t.equal(rig.next(after).partitions.get(8)!.createType, 0);
});

t.test('a block comes with its stored checksum, and whether that is surely right', async (t) => {
  const rig = follower();
  ask(rig, INTERNAL_OP.createExtent, { extentId: 1025 });
  const block = pattern(BLOCK_BYTES, 1);
  piece(rig, 1025, 0, block, { extentType: 1 });
  piece(rig, 1025, BLOCK_BYTES, pattern(5000, 2), { extentType: 1 });
  rig.run();
  const look = (at: number, size = BLOCK_BYTES): ReturnType<typeof ask> =>
    ask(rig, INTERNAL_OP.readBlock, { extentId: 1025, extentOffset: at, size });
  const first = look(0);
  t.same(first.body, block);
  t.same([first.op.remainingBytes, first.op.holeBytes], [first.crc, 1], 'stored, and trusted');
  const second = look(BLOCK_BYTES);
  t.same([second.body.length, second.op.remainingBytes], [5000, 0], 'what there is; not known');
  // The disk has gone wrong.
  const fd = rig.sim.open(`${FOLDER}/1025`, 2, 0);
  rig.sim.write(fd, Uint8Array.of(255 - block[5]!), 5);
  rig.sim.close(fd);
  const damaged = look(0);
  t.ok(damaged.ok, 'served all the same');
  t.not(damaged.op.remainingBytes, damaged.crc);
  t.equal(damaged.op.remainingBytes, first.crc);
  t.match(
    ask(rig, OP.extentRepairRead, { extentId: 1025, size: BLOCK_BYTES }).error,
    /is damaged: its checksum does not fit/,
    'a repair read is not',
  );
  storeOf(rig).table.unset(storeOf(rig).table.find(1025), EXTENT_FLAG.trusted);
  t.equal(look(0).op.holeBytes, 0);
  for (const [at, size] of [
    [5, 10],
    [0, BLOCK_BYTES + 1],
    [0, 0],
    [-BLOCK_BYTES, 10],
    [2 ** 27, 10],
  ] as const)
    t.match(look(at, size).error, MISMATCH);
  t.equal(look(2 * BLOCK_BYTES).error, 'ActionRepair:_EOF');
  t.equal(ask(rig, INTERNAL_OP.readBlock, { extentId: 9, size: 9 }).error, 'ActionRepair:_EOF');
  t.match(ask(rig, INTERNAL_OP.readBlock, { extentId: 5000, size: 9 }).error, /extent does not exist/);
});

t.test('a block that is written to while it is looked at has no known checksum', async (t) => {
  const rig = follower();
  ask(rig, INTERNAL_OP.createExtent, { extentId: 1025 });
  piece(rig, 1025, 0, pattern(BLOCK_BYTES, 1), { extentType: 1 });
  rig.run();
  const sent = send(rig, INTERNAL_OP.readBlock, { extentId: 1025, size: BLOCK_BYTES });
  for (let i = 0; i < 40 && !sent.ended; i += 1) {
    rig.turn();
    rig.sendWrite(1025, 0, pattern(BLOCK_BYTES, i));
    rig.turn();
    rig.sim.step();
  }
  rig.run();
  t.ok(sent.ok);
  t.ok(sent.op.remainingBytes === 0 || sent.op.remainingBytes === sent.crc, 'never one of other content');
});

t.test('an answer that does not fit its slot is an error, not a large body', async (t) => {
  const rig = withExtents(30);
  rig.simClock.advance(61_000);
  const sent = send(rig, OP.getAllWatermarks);
  sent.op.bufferBytes = 1000;
  rig.run();
  t.match(sent.error, /^ActionGetAllExtentWatermarks:_an answer of \d+ bytes does not fit its slot/);
});
