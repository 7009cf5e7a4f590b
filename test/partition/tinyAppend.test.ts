/**
 * Appends to tiny extents: which extent and where, in both forms (assigned by this node, dictated by a primary), and what becomes of the extent afterwards.
 */
import { crc32 } from 'node:zlib';
import t from 'tap';
import type { ExtentStore } from '../../src/partition/extentStore.js';
import { OP } from '../../src/protocol/opcodes.js';
import { MiB, TINY_WATERMARK_MAX } from '../../src/storage/layout.js';
import { TINY_STATE } from '../../src/storage/tinyExtents.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const FOLDER = `${ROOT}/datapartition_7_1073741824`;
const NONE_AVAILABLE =
  'ActionPreparePkt_addExtentInfo partition 7 GetAvailableTinyExtent error no available extent';

function started(hosts = ['a:1'], settings = {}): SimRig {
  const rig = SimRig.start(settings);
  rig.create(ROOT, { hosts });
  return rig;
}

function storeOf(rig: SimRig): ExtentStore {
  return rig.partitions.get(7)!.store;
}

/** What a follower gets: extent and offset are the packet's. */
function dictated(rig: SimRig, extentId: number, extentOffset: number, body: Uint8Array): Sent {
  return run(rig, rig.sendTinyWrite(body, { extentId, extentOffset }));
}

function watermark(rig: SimRig, id: number): number {
  const { table } = storeOf(rig);
  return table.sizes[table.find(id)]!;
}

t.test('a lone replica assigns extent and offset, one extent after the other', async (t) => {
  const rig = started();
  t.equal(storeOf(rig).tiny.count(TINY_STATE.available), 64, 'all at once after the load');
  for (let round = 0; round < 3; round += 1) {
    for (let id = 1; id <= 64; id += 1) {
      const sent = run(
        rig,
        rig.sendTinyWrite(pattern(5000, id * 3 + round), { extentId: 99, extentOffset: 7 }),
      );
      t.same([sent.ok, sent.extentId, sent.extentOffset], [true, id, round * 8192]);
    }
  }
  t.equal(rig.sim.content(`${FOLDER}/9`).length, 2 * 8192 + 5000, 'the file keeps the unrounded length');
  t.equal(watermark(rig, 9), 3 * 8192);
  const back = run(rig, rig.sendRead(9, 8192, 5000));
  t.same(back.body, pattern(5000, 28));
  t.equal(back.crc, crc32(back.body));
  t.equal(rig.sim.content(`${FOLDER}/EXTENT_CRC`).length, 0, 'tiny extents have no checksum slots');
});

t.test('a body of more than a block is one write at the watermark', async (t) => {
  const rig = started();
  const body = pattern(400_001, 5);
  const sent = run(rig, rig.sendTinyWrite(body));
  t.same([sent.ok, sent.extentId, sent.extentOffset, sent.crc], [true, 1, 0, crc32(body)]);
  t.same(rig.sim.content(`${FOLDER}/1`), body);
  t.equal(watermark(rig, 1), 401_408);
});

t.test('files are opened when used, within the budget', async (t) => {
  const rig = started(['a:1'], { openExtentsMax: 3 });
  t.equal(rig.stores.files.openCount, 0);
  for (let i = 0; i < 10; i += 1) t.ok(run(rig, rig.sendTinyWrite(pattern(100, i))).ok);
  t.ok(rig.stores.files.openCount <= 3);
});

t.test('more appends at once than extents wait for their turn, in order', async (t) => {
  const rig = started();
  const sent = Array.from({ length: 200 }, (_, i) => rig.sendTinyWrite(pattern(300, i)));
  rig.run();
  t.ok(sent.every(({ ok }) => ok));
  t.equal(new Set(sent.map(({ extentId, extentOffset }) => `${extentId}/${extentOffset}`)).size, 200);
  for (const [i, { extentId, extentOffset }] of sent.entries()) {
    const at = rig.sim.content(`${FOLDER}/${extentId}`).subarray(extentOffset, extentOffset + 300);
    if (Buffer.compare(at, pattern(300, i)) !== 0) t.fail(`append ${i} is not where its reply says`);
  }
  t.equal(rig.stores.parkedOperations, 0);
  t.equal(storeOf(rig).tiny.count(TINY_STATE.available), 64);
});

t.test('a failed append breaks its extent, which is given back once; the others serve', async (t) => {
  const rig = started();
  rig.sim.addFault({ call: 'pwrite', path: /\/1$/, shortBytes: 700, count: 1 });
  const sent = run(rig, rig.sendTinyWrite(pattern(5000, 1)));
  t.match(sent.error, /^ActionWrite:_write .*short write/);
  t.equal(sent.extentId, 1);
  t.equal(storeOf(rig).tiny.state(1), TINY_STATE.broken);
  t.equal(watermark(rig, 1), 0, 'a watermark moves with an acknowledgement only');
  for (let id = 2; id <= 64; id += 1) t.equal(run(rig, rig.sendTinyWrite(pattern(10, id))).extentId, id);
  t.equal(run(rig, rig.sendTinyWrite(pattern(10, 0))).extentId, 2);
  rig.partitions.get(7)!.tick(rig.clock.nowMs() + 1);
  t.equal(storeOf(rig).tiny.state(1), TINY_STATE.available, 'a lone replica has nothing to compare');
});

t.test('with all extents broken a tiny append is refused, and normal ones go on', async (t) => {
  const rig = started();
  // EDQUOT: unlike ENOSPC and EIO it says nothing of the disk as a whole.
  rig.sim.addFault({ call: 'pwrite', path: /\/\d+$/, errno: 122, count: 64 });
  const failing = Array.from({ length: 64 }, (_, i) => rig.sendTinyWrite(pattern(10, i)));
  const waiting = rig.sendTinyWrite(pattern(10, 99));
  rig.run();
  t.ok(failing.every(({ ended, ok }) => ended && !ok));
  t.equal(waiting.error, NONE_AVAILABLE, 'nothing is left to wait for');
  t.equal(run(rig, rig.sendTinyWrite(pattern(10, 1))).error, NONE_AVAILABLE);
  t.equal(run(rig, rig.sendCreate()).extentId, 1025);
});

t.test('an extent whose fdatasync failed stays broken', async (t) => {
  const rig = started();
  rig.sim.addFault({ call: 'fdatasync', path: /\/1$/, errno: 5, count: 1 });
  t.match(run(rig, rig.sendTinyWrite(pattern(10, 1), { opcode: OP.syncWrite })).error, /^ActionWrite:_sync/);
  rig.partitions.get(7)!.tick(rig.clock.nowMs() + 1);
  t.equal(storeOf(rig).tiny.state(1), TINY_STATE.broken);
});

t.test('sync appends of one batch are on disk before their replies', async (t) => {
  const rig = started();
  const sent = Array.from({ length: 8 }, (_, i) =>
    rig.sendTinyWrite(pattern(4096, i), { opcode: OP.syncWrite }),
  );
  rig.run();
  t.ok(sent.every(({ ok }) => ok));
  const next = rig.next(rig.sim.powerLoss(3));
  for (const [i, { extentId, extentOffset }] of sent.entries()) {
    t.same(run(next, next.sendRead(extentId, extentOffset, 4096)).body, pattern(4096, i));
  }
});

t.test('after a restart appends go on at the rounded length of the file', async (t) => {
  const rig = started();
  for (let i = 0; i < 65; i += 1) run(rig, rig.sendTinyWrite(pattern(5000, i)));
  const next = rig.next(rig.sim.processEnd(1));
  const sent = run(next, next.sendTinyWrite(pattern(9, 1)));
  t.same([sent.ok, sent.extentId, sent.extentOffset], [true, 1, 16384]);
  t.same(run(next, next.sendRead(1, 8192, 5000)).body, pattern(5000, 64));
});

t.test('several hosts: nothing is available after a load', async (t) => {
  const rig = started(['a:1', 'b:1']);
  t.equal(storeOf(rig).tiny.count(TINY_STATE.broken), 64);
  const body = pattern(10, 1);
  t.equal(run(rig, rig.sendTinyWrite(body, { remainingFollowers: 1 })).error, NONE_AVAILABLE);
  rig.partitions.get(7)!.tick(rig.clock.nowMs() + 1);
  t.equal(run(rig, rig.sendTinyWrite(body, { remainingFollowers: 1 })).error, NONE_AVAILABLE);
});

t.test(
  'pains 9: an append that was cut short inside a page looks complete to nobody, after a restart either',
  async (t) => {
    const rig = started(['a:1', 'b:1']);
    t.ok(dictated(rig, 3, 0, pattern(100, 1)).ok);
    rig.sim.addFault({ call: 'pwrite', path: /\/3$/, shortBytes: 4096 + 700, count: 1 });
    t.match(dictated(rig, 3, 4096, pattern(5000, 2)).error, /short write/);
    t.equal(rig.sim.content(`${FOLDER}/3`).length, 4096, 'nothing of it is left');
    const next = rig.next(rig.sim.processEnd(1));
    t.equal(watermark(next, 3), 4096);
    t.ok(dictated(next, 3, 4096, pattern(5000, 2)).ok);
  },
);

t.test('a follower appends where it is told, at the watermark only', async (t) => {
  const rig = started(['a:1', 'b:1']);
  t.ok(dictated(rig, 3, 0, pattern(5000, 1)).ok);
  const mismatch = 'ActionWrite:_parameter mismatch error';
  for (const offset of [0, 5000, 4096, 12288, -1]) {
    t.equal(dictated(rig, 3, offset, pattern(10, 2)).error, mismatch, `offset ${offset}`);
  }
  const sent = dictated(rig, 3, 8192, pattern(10, 2));
  t.same([sent.ok, sent.extentId, sent.extentOffset], [true, 3, 8192]);
  t.equal(dictated(rig, 1025, 0, pattern(10, 2)).error, 'ActionWrite:_extent does not exist');
  run(rig, rig.sendCreate({ extentId: 1025 }));
  t.equal(dictated(rig, 1025, 0, pattern(10, 2)).error, mismatch, 'a normal extent under the tiny type');
  t.equal(storeOf(rig).tiny.count(TINY_STATE.broken), 64, 'the states are the primary’s');
  const pipelined = [12288, 16384].map((extentOffset) => {
    return rig.sendTinyWrite(pattern(4096, 7), { extentId: 3, extentOffset });
  });
  rig.run();
  t.ok(
    pipelined.every(({ ok }) => ok),
    'the second finds the end that the first will make',
  );
});

t.test('the limit of 2^32: a follower refuses the last byte, a primary takes another extent', async (t) => {
  const follower = started(['a:1', 'b:1']);
  const { table } = storeOf(follower);
  const row = table.find(3);
  table.sizes[row] = table.ends[row] = 2 ** 32 - 4096;
  t.equal(dictated(follower, 3, 2 ** 32 - 4096, pattern(4095, 1)).error, 'ActionWrite:_extent is full');
  t.ok(dictated(follower, 3, 2 ** 32 - 4096, pattern(4094, 1)).ok);
  t.equal(watermark(follower, 3), 2 ** 32);

  const rig = started();
  const own = storeOf(rig).table;
  own.ends[own.find(1)] = own.sizes[own.find(1)] = TINY_WATERMARK_MAX - 4096;
  t.equal(run(rig, rig.sendTinyWrite(pattern(4097, 1))).extentId, 2, 'it would not fit into the first');
  t.equal(run(rig, rig.sendTinyWrite(pattern(4096, 1))).extentId, 1);
  for (let id = 1; id <= 64; id += 1) own.ends[own.find(id)] = TINY_WATERMARK_MAX;
  t.equal(
    run(rig, rig.sendTinyWrite(pattern(1, 1))).error,
    NONE_AVAILABLE,
    'the client takes a normal extent',
  );
});

t.test('what is refused before an extent is taken', async (t) => {
  const rig = started();
  const body = pattern(10, 1);
  t.equal(run(rig, rig.sendTinyWrite(body, { crc: 1 })).error, 'ActionPreparePkt_packet Crc is incorrect');
  t.match(run(rig, rig.sendTinyWrite(new Uint8Array(0))).error, /^ActionWrite:_parameter mismatch error/);
  rig.health.space.exhaust();
  t.equal(run(rig, rig.sendTinyWrite(body)).error, 'ActionWrite:_no space left on the device');
  rig.health.space.beginLook();
  rig.health.space.endLook(1 << 30);
  t.equal(run(rig, rig.sendTinyWrite(body)).extentId, 1, 'none was lost to them');
});

t.test('used bytes grow by whole pages', async (t) => {
  const rig = started();
  run(rig, rig.sendTinyWrite(pattern(5000, 1)));
  t.equal(rig.partitions.get(7)!.usedBytes, 8192);
  t.equal(rig.next(rig.sim.processEnd(1)).partitions.get(7)!.usedBytes, 8192);
  t.equal(TINY_WATERMARK_MAX % MiB, MiB - 4096);
});

t.test('a partition that is taken away ends the appends that wait for an extent', async (t) => {
  const rig = started();
  const sent = Array.from({ length: 130 }, (_, i) =>
    rig.sendTinyWrite(pattern(10, i), { opcode: OP.syncWrite }),
  );
  rig.turn();
  t.ok(rig.stores.parkedOperations > 0);
  rig.stores.retire(storeOf(rig), 'data partition not exists');
  rig.partitions.delete(7);
  rig.run();
  t.ok(sent.every(({ ended }) => ended));
  t.equal(rig.stores.parkedOperations, 0);
});
