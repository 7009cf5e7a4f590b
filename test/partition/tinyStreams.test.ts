/**
 * Packets of the two streams of unknown length, one operation each, as a worker answers them; and repair reads of tiny extents past the end.
 */
import { crc32 } from 'node:zlib';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;

/** A rig whose tiny extent 3 has `content`. */
function withContent(content: Uint8Array): SimRig {
  const rig = SimRig.start();
  rig.create(ROOT);
  const fd = rig.sim.open(`${FOLDER}/3`, 2, 0);
  rig.sim.write(fd, content, 0);
  return rig.next(rig.sim.processEnd(1));
}

function ask(rig: SimRig, opcode: number, extentOffset: number, size: number): Sent {
  return run(
    rig,
    rig.send({ opcode, extentType: 0, extentId: 3, extentOffset, size, crc: 77 }, new Uint8Array(0)),
  );
}

/** The whole answer, as a network thread collects it. */
function stream(
  rig: SimRig,
  opcode: number,
  start: number,
  wanted: number,
): { packets: Sent[]; bytes: Uint8Array } {
  const packets: Sent[] = [];
  const pieces: Uint8Array[] = [];
  for (let at = start, left = wanted; ; ) {
    const sent = ask(rig, opcode, at, left);
    if (!sent.ok || sent.op.remainingBytes === 0) return { packets, bytes: Buffer.concat(pieces) };
    packets.push(sent);
    pieces.push(sent.body, new Uint8Array(sent.op.holeBytes));
    const covered = sent.body.length + sent.op.holeBytes;
    at += covered;
    left = sent.op.remainingBytes - covered;
    if (left <= 0) return { packets, bytes: Buffer.concat(pieces) };
  }
}

t.test('a repair read gives data and holes in turn, up to the file’s end', async (t) => {
  const content = pattern(400_000, 1);
  const rig = withContent(content);
  const key = { fileOffset: 0, partitionId: 7, extentId: 3, extentOffset: 8192, size: 300_000, crc: 0 };
  t.ok(
    run(rig, rig.send({ opcode: OP.markDelete, extentType: 0, extentId: 3 }, encodeClientMarkDelete(key))).ok,
  );
  const expected = rig.sim.content(`${FOLDER}/3`);
  const { packets, bytes } = stream(rig, OP.tinyExtentRepairRead, 0, 1_000_000);
  t.equal(Buffer.compare(bytes, expected), 0);
  t.same(
    packets.map(({ body, op }) => [body.length, op.holeBytes, op.remainingBytes]),
    [
      [8192, 0, 400_000],
      [0, BLOCK_BYTES, 391_808],
      [0, BLOCK_BYTES, 260_736],
      [0, 303_104 - 2 * BLOCK_BYTES, 129_664],
      [88_704, 0, 88_704],
    ].map(([body, hole, left], i) => (i === 4 ? [400_000 - 311_296, 0, left] : [body, hole, left])),
  );
  for (const { body, crc } of packets) t.equal(crc, body.length === 0 ? 0 : crc32(body));
});

t.test('a hole at the end reaches to the page behind it; what is past the end is no answer', async (t) => {
  const rig = withContent(pattern(5000, 1));
  const key = { fileOffset: 0, partitionId: 7, extentId: 3, extentOffset: 0, size: 5000, crc: 0 };
  t.ok(
    run(rig, rig.send({ opcode: OP.markDelete, extentType: 0, extentId: 3 }, encodeClientMarkDelete(key))).ok,
  );
  const hole = ask(rig, OP.tinyExtentRepairRead, 0, 8192);
  t.same([hole.ok, hole.op.holeBytes, hole.op.remainingBytes, hole.body.length], [true, 8192, 5000, 0]);
  for (const [offset, size] of [
    [5000, 10],
    [9000, 10],
    [0, 0],
  ] as const) {
    const nothing = ask(rig, OP.tinyExtentRepairRead, offset, size);
    t.same([nothing.ok, nothing.op.remainingBytes, nothing.body.length], [true, 0, 0]);
  }
  const normal = run(
    rig,
    rig.send({ opcode: OP.tinyExtentRepairRead, extentType: 0, extentId: 1025, size: 10 }),
  );
  t.equal(normal.error, 'ActionStreamReadTinyExtentRepair_unavali extentID (1025)');
});

t.test('delete records up to the end of the file, the one at the position too', async (t) => {
  const rig = withContent(pattern(50_000, 1));
  t.same(stream(rig, OP.readTinyDeleteRecord, 0, 0).packets, [], 'nothing yet');
  for (let i = 0; i < 3; i += 1) {
    const key = { fileOffset: 0, partitionId: 7, extentId: 3, extentOffset: i * 4096, size: 4096, crc: 0 };
    run(rig, rig.send({ opcode: OP.markDelete, extentType: 0, extentId: 3 }, encodeClientMarkDelete(key)));
  }
  const { packets, bytes } = stream(rig, OP.readTinyDeleteRecord, 0, 0);
  t.equal(packets.length, 1);
  t.equal(packets[0]!.crc, crc32(bytes));
  t.equal(Buffer.compare(bytes, rig.sim.content(`${FOLDER}/TINYEXTENT_DELETE`)), 0);
  t.equal(bytes.length, 96);
  t.equal(stream(rig, OP.readTinyDeleteRecord, 48, 0).bytes.length, 48);
  t.same(stream(rig, OP.readTinyDeleteRecord, 96, 0).packets, []);
  t.match(
    ask(rig, OP.readTinyDeleteRecord, -1, 0).error,
    /^ActionStreamReadTinyDeleteRecord_parameter mismatch/,
  );
});

t.test('many records come in whole ones, and places past the file’s end as zeros', async (t) => {
  const rig = withContent(pattern(10, 1));
  const { store } = rig.partitions.get(7)!;
  const list = pattern(240_000, 3);
  const fd = rig.sim.open(`${FOLDER}/TINYEXTENT_DELETE`, 2, 0);
  rig.sim.write(fd, list, 0);
  store.tinyDeleteOffset = 300_000;
  const { packets, bytes } = stream(rig, OP.readTinyDeleteRecord, 0, 0);
  t.equal(packets.length, 3);
  t.ok(packets.every(({ body, crc }) => body.length % 24 === 0 && crc === crc32(body)));
  t.equal(Buffer.compare(bytes, Buffer.concat([list, new Uint8Array(60_000)])), 0);
});

t.test('a repair read of a tiny extent past the end gives zeros, of a normal one EOF', async (t) => {
  const rig = withContent(pattern(5000, 1));
  // The slot has had other bytes before.
  run(rig, rig.sendRead(3, 0, 5000));
  for (const cold of [0, 1]) {
    rig.sim.coldReads = cold;
    const sent = run(rig, rig.sendRead(3, 4000, 4000, { opcode: OP.extentRepairRead }));
    t.equal(
      Buffer.compare(sent.body, Buffer.concat([pattern(5000, 1).subarray(4000), new Uint8Array(3000)])),
      0,
    );
    t.equal(sent.crc, crc32(sent.body));
    t.same(run(rig, rig.sendRead(3, 90_000, 100, { opcode: OP.extentRepairRead })).body, new Uint8Array(100));
    t.equal(run(rig, rig.sendRead(3, 4000, 4000)).error, 'ActionStreamRead_EOF');
  }
});

t.test('a read that fails, and a partition that is taken away', async (t) => {
  const rig = withContent(pattern(5000, 1));
  for (const call of ['seek', 'pread'] as const) {
    rig.sim.addFault({ call, path: /\/3$/, errno: 5, count: 1 });
    const sent = ask(rig, OP.tinyExtentRepairRead, 0, 5000);
    t.match(sent.error, /^ActionStreamReadTinyExtentRepair_read .*input\/output error/);
    t.equal(sent.body.length, 0);
  }
  const sent = rig.send({ opcode: OP.tinyExtentRepairRead, extentType: 0, extentId: 3, size: 5000 });
  rig.turn();
  rig.stores.retire(rig.partitions.get(7)!.store, 'data partition not exists');
  rig.run();
  t.ok(sent.ended);
  t.same([rig.stores.parkedOperations, rig.sim.openFds()], [0, 0]);
});
