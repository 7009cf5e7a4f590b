/**
 * Creates, appends, reads and block checksums of normal extents on a simulated disk.
 */
import { crc32 } from 'node:zlib';
import t from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { BLOCK_BYTES, EXTENT_BYTES_MAX } from '../../src/storage/layout.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const CRC_FILE = `${FOLDER}/EXTENT_CRC`;

function started(): SimRig {
  const rig = SimRig.start();
  rig.create(ROOT);
  return rig;
}

/** A rig with one extent, 1025. */
function withExtent(): SimRig {
  const rig = started();
  rig.sendCreate();
  rig.run();
  return rig;
}

function slot(rig: SimRig, offset: number): number {
  const bytes = Buffer.from(rig.sim.content(CRC_FILE));
  return offset + 4 <= bytes.length ? bytes.readUInt32BE(offset) : 0;
}

t.test('a one-host partition assigns ids from 1025 on, whatever id was sent', async (t) => {
  const rig = started();
  const first = rig.sendCreate({ extentId: 99 });
  const second = rig.sendCreate();
  rig.run();
  t.same([first.ok, first.extentId, second.ok, second.extentId], [true, 1025, true, 1026]);
  t.equal(rig.partitions.get(7)!.extentCount, 66);
});

t.test('a follower creates the id that it is given, once', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT, { hosts: ['a:1', 'b:1'] });
  const created = rig.sendCreate({ extentId: 1030 });
  const again = rig.sendCreate({ extentId: 1030 });
  rig.run();
  t.same([created.ok, created.extentId], [true, 1030]);
  t.equal(again.error, 'ActionCreateExtent:_extent already exists');
  const tiny = run(rig, rig.sendCreate({ extentId: 5 }));
  t.equal(tiny.error, 'ActionCreateExtent:_extent already exists');
  const zero = run(rig, rig.sendCreate({ extentId: 0 }));
  t.match(zero.error, /^ActionCreateExtent:_parameter mismatch error/);
  const primary = run(rig, rig.sendCreate({ remainingFollowers: 1 }));
  t.equal(primary.extentId, 1031, 'the base was raised to the given id');
});

t.test('a file without a record answers with the words of the system', async (t) => {
  const rig = started();
  rig.sim.open(`${FOLDER}/1025`, 0o102, 0);
  const created = run(rig, rig.sendCreate());
  t.equal(created.error, `ActionCreateExtent:_open ${FOLDER}/1025: file exists`);
  t.equal(rig.partitions.get(7)!.extentCount, 64, 'no record stays');
  t.ok(run(rig, rig.sendCreate()).ok, 'the next id is free');
});

t.test('writes that are pipelined behind the create wait for its file', async (t) => {
  const rig = started();
  const created = rig.sendCreate();
  rig.turn();
  while (rig.partitions.get(7)!.extentCount === 64) {
    rig.sim.step();
    rig.turn();
  }
  t.notOk(created.ended, 'the record is there before the file');
  const body = pattern(5000, 1);
  const writes = [rig.sendWrite(1025, 0, body), rig.sendWrite(1025, 5000, body)];
  const read = rig.sendRead(1025, 4000, 2000);
  rig.run();
  t.same(
    writes.map((sent) => sent.ok),
    [true, true],
  );
  t.same(read.body, Buffer.concat([body.subarray(4000), body.subarray(0, 1000)]));
});

t.test('an appended range is read back with its checksum', async (t) => {
  const rig = withExtent();
  const body = pattern(10_000, 2);
  const written = run(rig, rig.sendWrite(1025, 0, body));
  t.same([written.ok, written.crc], [true, crc32(body)]);
  for (const opcode of [OP.streamRead, OP.streamFollowerRead, OP.extentRepairRead]) {
    const read = run(rig, rig.sendRead(1025, 100, 9000, { opcode }));
    t.ok(read.ok);
    t.same(Buffer.from(read.body), Buffer.from(body.subarray(100, 9100)));
    t.equal(read.crc, crc32(body.subarray(100, 9100)));
  }
});

t.test('a cold read goes to an I/O thread and brings the same bytes', async (t) => {
  const rig = withExtent();
  const body = pattern(60_000, 3);
  run(rig, rig.sendWrite(1025, 0, body));
  rig.sim.coldReads = 1;
  const reads = Array.from({ length: 20 }, (_, i) => rig.sendRead(1025, i * 3000, 3000));
  rig.run();
  for (const [i, read] of reads.entries()) {
    t.same(Buffer.from(read.body), Buffer.from(body.subarray(i * 3000, i * 3000 + 3000)));
    t.equal(read.crc, crc32(read.body));
  }
  t.equal(run(rig, rig.sendRead(1025, 59_000, 3000)).error, 'ActionStreamRead_EOF');
});

t.test('an append may not leave a hole; a rewrite below the end may', async (t) => {
  const rig = withExtent();
  const body = pattern(4096, 4);
  t.ok(run(rig, rig.sendWrite(1025, 0, body)).ok);
  const gap = run(rig, rig.sendWrite(1025, 8192, body));
  t.equal(gap.error, 'ActionWrite:_parameter mismatch error: offset=8192 size=4096');
  t.ok(run(rig, rig.sendWrite(1025, 100, body)).ok, 'overlap');
  t.ok(run(rig, rig.sendWrite(1025, 0, pattern(10, 5))).ok, 'rewrite');
  rig.settings.strictAppend = false;
  t.ok(run(rig, rig.sendWrite(1025, 8192, body)).ok, 'the setting allows it');
});

t.test('appends in one batch count on each other, and fall together', async (t) => {
  const rig = withExtent();
  const body = pattern(4096, 6);
  run(rig, rig.sendWrite(1025, 0, body));
  rig.sim.addFault({ call: 'pwrite', path: /\/1025$/, shortBytes: 1000, count: 1 });
  const sent = [1, 2, 3].map((i) => rig.sendWrite(1025, i * 4096, body));
  rig.run();
  t.same(
    sent.map(({ ok }) => ok),
    [false, false, false],
  );
  t.equal(sent[0]!.error, `ActionWrite:_write ${FOLDER}/1025: short write`);
  t.match(run(rig, rig.sendWrite(1025, 8192, body)).error, /parameter mismatch error: offset=8192/);
  t.ok(run(rig, rig.sendWrite(1025, 5096, body)).ok, 'what was written of the failed one counts');
  rig.sim.addFault({ call: 'pwrite', path: /\/1025$/, errno: 28, count: 1 });
  const full = run(rig, rig.sendWrite(1025, 9192, body));
  t.equal(full.error, `ActionWrite:_write ${FOLDER}/1025: no space left on device`);
  t.same(rig.diskErrors, [], 'running out of space is no disk error');
  rig.health.space.endLook(1_000_000);
  rig.sim.addFault({ call: 'pwrite', path: /\/1025$/, errno: 5, count: 1 });
  run(rig, rig.sendWrite(1025, 9192, body));
  t.same(rig.diskErrors, [5]);
});

t.test('range checks', async (t) => {
  const rig = withExtent();
  const body = pattern(100, 7);
  const text = (offset: number, size: number): string =>
    `parameter mismatch error: offset=${offset} size=${size}`;
  const write = (offset: number, bytes: Uint8Array): string =>
    run(rig, rig.sendWrite(1025, offset, bytes)).error;
  t.equal(write(EXTENT_BYTES_MAX - 50, body), `ActionWrite:_${text(EXTENT_BYTES_MAX - 50, 100)}`);
  t.equal(write(EXTENT_BYTES_MAX, body), `ActionWrite:_${text(EXTENT_BYTES_MAX, 100)}`);
  t.equal(write(-1, body), `ActionWrite:_${text(-1, 100)}`);
  t.equal(write(0, new Uint8Array(0)), `ActionWrite:_${text(0, 0)}`);
  const read = (offset: number, size: number): string => run(rig, rig.sendRead(1025, offset, size)).error;
  t.equal(read(EXTENT_BYTES_MAX, 1), `ActionStreamRead_${text(EXTENT_BYTES_MAX, 1)}`);
  t.equal(read(-5, 1), `ActionStreamRead_${text(-5, 1)}`);
  t.equal(read(0, 0), `ActionStreamRead_${text(0, 0)}`);
  t.equal(read(0, BLOCK_BYTES + 1), `ActionStreamRead_${text(0, BLOCK_BYTES + 1)}`);
  t.equal(run(rig, rig.sendRead(2000, 0, 1)).error, 'ActionStreamRead_extent does not exist');
  t.equal(run(rig, rig.sendWrite(2000, -1, body)).error, 'ActionWrite:_extent does not exist');
  t.equal(
    run(rig, rig.sendWrite(1025, 0, body, { crc: 1 })).error,
    'ActionPreparePkt_packet Crc is incorrect',
  );
});

t.test('a tiny extent is read without a range check, and takes no append of the normal type', async (t) => {
  const rig = started();
  t.equal(run(rig, rig.sendRead(3, 0, 10)).error, 'ActionStreamRead_EOF');
  t.match(run(rig, rig.sendWrite(3, 0, pattern(10, 8))).error, /^ActionWrite:_parameter mismatch error/);
});

t.test('block checksums: whole block, partial block, crossing write', async (t) => {
  const rig = withExtent();
  const block = Uint8Array.from({ length: BLOCK_BYTES }, (_, i) => (i + 1) % 256);
  t.ok(run(rig, rig.sendWrite(1025, 0, block)).ok);
  t.equal(rig.sim.content(CRC_FILE).length, 4198404);
  t.equal(slot(rig, 0x401000), 0xbfd76714);
  const traceFrom = rig.sim.trace.length;
  t.ok(run(rig, rig.sendWrite(1025, BLOCK_BYTES, pattern(5000, 9))).ok);
  t.notOk(
    rig.sim.trace.slice(traceFrom).some((line) => line.includes('EXTENT_CRC')),
    'a slot that is known to be zero is not written',
  );
  const crossingFrom = rig.sim.trace.length;
  t.ok(run(rig, rig.sendWrite(1025, 131022, pattern(100, 10))).ok);
  t.same(
    rig.sim.trace.slice(crossingFrom),
    [`pwrite ${CRC_FILE} ${0x401000} 8`, `pwrite ${FOLDER}/1025 131022 100`],
    'both slots are zeroed before the data',
  );
  t.equal(slot(rig, 0x401000), 0);
  t.equal(slot(rig, 0x401004), 0);
  const wholeFrom = rig.sim.trace.length;
  t.ok(run(rig, rig.sendWrite(1025, 0, block)).ok);
  t.same(
    rig.sim.trace.slice(wholeFrom),
    [`pwrite ${FOLDER}/1025 0 131072`, `pwrite ${CRC_FILE} ${0x401000} 4`],
    'a whole block: data, then its checksum',
  );
});

t.test(
  'block checksums: a write behind a whole block in the same batch takes its checksum back',
  async (t) => {
    const rig = withExtent();
    rig.sendWrite(1025, 0, pattern(BLOCK_BYTES, 11));
    rig.sendWrite(1025, 50, pattern(100, 12));
    rig.run();
    t.equal(slot(rig, 0x401000), 0);
    const last = pattern(BLOCK_BYTES, 13);
    rig.sendWrite(1025, 0, pattern(BLOCK_BYTES, 14));
    rig.sendWrite(1025, 0, last);
    rig.run();
    t.equal(slot(rig, 0x401000), crc32(last));
  },
);

t.test('block checksums: a body of several blocks, aligned or not', async (t) => {
  const rig = withExtent();
  const body = pattern(3 * BLOCK_BYTES + 700, 15);
  t.ok(run(rig, rig.sendWrite(1025, 0, body)).ok);
  for (const block of [0, 1, 2]) {
    t.equal(
      slot(rig, 0x401000 + 4 * block),
      crc32(body.subarray(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES)),
    );
  }
  t.equal(slot(rig, 0x40100c), 0);
  t.ok(run(rig, rig.sendWrite(1025, 100, body)).ok);
  for (const block of [0, 1, 2, 3]) t.equal(slot(rig, 0x401000 + 4 * block), 0);
  const read = run(rig, rig.sendRead(1025, 100 + BLOCK_BYTES, BLOCK_BYTES));
  t.same(Buffer.from(read.body), Buffer.from(body.subarray(BLOCK_BYTES, 2 * BLOCK_BYTES)));
});

t.test('block checksums: a failed data write leaves none', async (t) => {
  const rig = withExtent();
  run(rig, rig.sendWrite(1025, 0, pattern(BLOCK_BYTES, 16)));
  rig.sim.addFault({ call: 'pwrite', path: /\/1025$/, errno: 28, count: 1 });
  t.notOk(run(rig, rig.sendWrite(1025, 0, pattern(BLOCK_BYTES, 17))).ok);
  t.equal(slot(rig, 0x401000), 0);
});

t.test('slots written by an earlier process are found, and zeroed before a partial write', async (t) => {
  const rig = withExtent();
  run(rig, rig.sendWrite(1025, 0, pattern(BLOCK_BYTES, 18)));
  t.same(rig.stop(), []);
  const next = rig.next(rig.sim.processEnd(1));
  t.ok(run(next, next.sendWrite(1025, 10, pattern(20, 19))).ok);
  t.equal(slot(next, 0x401000), 0);
});

t.test('where an old checksum cannot be zeroed its data does not change', async (t) => {
  for (const how of [{ errno: 5 }, { shortBytes: 4 }]) {
    const rig = withExtent();
    const old = pattern(2 * BLOCK_BYTES, 40);
    t.ok(run(rig, rig.sendWrite(1025, 0, old)).ok);
    rig.sim.addFault({ call: 'pwrite', path: /EXTENT_CRC$/, ...how, count: 1 });
    const crossing = rig.sendWrite(1025, BLOCK_BYTES - 10, pattern(20, 41));
    const behind = rig.sendWrite(1025, 2 * BLOCK_BYTES, pattern(20, 42));
    rig.run();
    t.notOk(crossing.ok || behind.ok);
    t.same(Buffer.from(rig.sim.content(`${FOLDER}/1025`)), Buffer.from(old));
    t.ok(run(rig, rig.sendWrite(1025, BLOCK_BYTES - 10, pattern(20, 41))).ok);
    t.same([slot(rig, 0x401000), slot(rig, 0x401004)], [0, 0]);
  }
});

t.test('a stale slot under a newly created extent is never trusted', async (t) => {
  const rig = started();
  const fd = rig.sim.open(CRC_FILE, 2, 0);
  rig.sim.write(fd, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), 0x401000);
  rig.sim.close(fd);
  t.same(rig.stop(), []);
  const next = rig.next(rig.sim.processEnd(1));
  next.sendCreate();
  next.run();
  run(next, next.sendWrite(1025, 0, pattern(5000, 20)));
  t.equal(slot(next, 0x401000), 0);
});

t.test('space and disk state refuse writes and creates with their own texts', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT, { sizeBytes: 6000 });
  rig.sendCreate();
  rig.run();
  t.ok(run(rig, rig.sendWrite(1025, 0, pattern(6000, 21))).ok);
  t.equal(rig.partitions.get(7)!.usedBytes, 6000);
  t.equal(rig.partitions.get(7)!.status, 1);
  const full = 'ActionPreparePkt_no space left on the device';
  t.equal(run(rig, rig.sendWrite(1025, 0, pattern(1, 22))).error, full);
  t.equal(run(rig, rig.sendCreate()).error, full);
  const roomy = withExtent();
  const partition = roomy.partitions.get(7)!;
  t.equal(partition.status, 2);
  roomy.health.space.endLook(0);
  t.equal(run(roomy, roomy.sendCreate()).error, 'ActionCreateExtent:_no space left on the device');
  roomy.health.status = -1;
  t.equal(run(roomy, roomy.sendWrite(1025, 0, pattern(1, 23))).error, 'ActionWrite:_disk has broken');
  partition.tick(roomy.clock.nowMs());
  roomy.health.status = 2;
  roomy.health.space.endLook(1_000_000);
  t.equal(partition.status, -1, 'a failed disk sticks');
});

t.test(
  'stream reads of a partition with several hosts need a leader; unknown opcodes are named',
  async (t) => {
    const rig = withExtent();
    rig.partitions.get(7)!.hosts = ['a:1', 'b:1'];
    const read = run(rig, rig.sendRead(1025, 0, 1, { opcode: OP.streamRead }));
    t.equal(read.error, 'ActionStreamRead_raft is not the leader.');
    t.equal(run(rig, rig.send({ opcode: 99 })).error, 'unknown opcode_unknown opcode99');
  },
);

t.test('an extent whose file is gone', async (t) => {
  const rig = withExtent();
  t.same(rig.stop(), []);
  const next = rig.next(rig.sim.processEnd(1));
  next.sim.unlink(`${FOLDER}/1025`);
  const path = `${FOLDER}/1025`;
  const text = `load  extent 7_1025 from disk: restore from file ${path} putCache true system: extent does not exist`;
  t.equal(run(next, next.sendRead(1025, 0, 1)).error, `ActionStreamRead_${text}`);
});

t.test('the same on a throttled disk, whose batches run elsewhere', async (t) => {
  const rig = started();
  rig.threaded = true;
  const create = run(rig, rig.sendCreate());
  const body = pattern(BLOCK_BYTES, 24);
  const writes = [0, 1, 2].map((i) => rig.sendWrite(create.extentId, i * BLOCK_BYTES, body));
  rig.run();
  t.ok(writes.every(({ ok }) => ok));
  t.same(Buffer.from(run(rig, rig.sendRead(1025, BLOCK_BYTES, BLOCK_BYTES)).body), Buffer.from(body));
  t.equal(slot(rig, 0x401008), crc32(body));
  t.ok(run(rig, rig.sendSyncWrite(1025, 0, body)).ok);
});
