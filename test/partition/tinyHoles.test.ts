/**
 * What repair copies into tiny extents: pieces of data and holes at the end of one, beside forwarded appends; deletes that were missed; and what a crash leaves of a hole.
 */
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { MISSED_DELETE } from '../../src/partition/internalRecords.js';
import { OP } from '../../src/protocol/opcodes.js';
import { crashImages } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import {
  ask,
  describe,
  FOLDER,
  follower,
  hole,
  missedDelete,
  piece,
  send,
  sizeOf,
  storeOf,
} from './internalRig.js';
import { run, type SimRig } from './simRig.js';
import { pattern } from './storeRig.js';

const MISMATCH = /^ActionRepair:_parameter mismatch error/;
const LIST = `${FOLDER}/TINYEXTENT_DELETE`;
const EINTR = 4;
const EOPNOTSUPP = 95;

function content(rig: SimRig, id: number): Uint8Array {
  return rig.sim.content(`${FOLDER}/${id}`);
}

function used(rig: SimRig): number {
  return rig.partitions.get(7)!.usedBytes;
}

t.test('the example of the repair chapter: a hole, then data', async (t) => {
  const rig = follower();
  rig.sim.trace.length = 0;
  t.ok(hole(rig, 1, 0, 8192).ok);
  t.ok(rig.sim.trace.includes(`punch ${FOLDER}/1 0 8192`));
  t.equal(content(rig, 1).length, 8192);
  t.ok(piece(rig, 1, 8192, pattern(5000, 1)).ok);
  t.equal(sizeOf(rig, 1), 16_384);
  t.equal(content(rig, 1).length, 13_192);
  t.same(content(rig, 1).subarray(0, 8192), new Uint8Array(8192));
  t.equal(used(rig), 8192, 'a hole takes no space');
  t.ok(hole(rig, 1, 16_384, 100).ok, 'a trailing one that is no whole page');
  t.equal(sizeOf(rig, 1), 20_480);
  t.equal(content(rig, 1).length, 16_484);
  const next = rig.next(rig.sim.processEnd(1));
  t.equal(sizeOf(next, 1), 20_480, 'it shows in the length of the file');
});

t.test('a hole is for the end of a tiny extent alone', async (t) => {
  const rig = follower();
  t.ok(piece(rig, 1, 0, pattern(5000, 1)).ok);
  for (const [offset, size] of [
    [0, 4096],
    [5000, 4096],
    [12_288, 4096],
    [-4096, 4096],
    [8192, 0],
  ] as const)
    t.match(hole(rig, 1, offset, size).error, MISMATCH, `${size} at ${offset}`);
  t.match(hole(rig, 1025, 0, 4096).error, MISMATCH, 'a normal extent');
  t.match(hole(rig, 0, 0, 4096).error, MISMATCH);
  t.equal(hole(rig, 1, 8192, 2 ** 32 - 8192).error, 'ActionRepair:_extent is full');
  t.equal(content(rig, 1).length, 5000, 'nothing was touched');
  rig.health.space.exhaust();
  t.match(hole(rig, 1, 8192, 4096).error, /no space left on the device/);
});

t.test('bytes that a failed append has left are zeros in the hole, and behind it they stay', async (t) => {
  const rig = follower();
  t.ok(piece(rig, 1, 0, pattern(4096, 1)).ok);
  rig.sim.addFault({ call: 'pwrite', path: /\/1$/, shortBytes: 16_384 - 4096, count: 1 });
  rig.sim.addFault({ call: 'truncate', path: /\/1$/, errno: EINTR, count: 1 });
  t.notOk(piece(rig, 1, 4096, pattern(20_000, 2)).ok);
  t.same([sizeOf(rig, 1), content(rig, 1).length], [4096, 16_384], 'it could not be taken back');
  t.ok(hole(rig, 1, 4096, 8192).ok);
  t.same(content(rig, 1).subarray(4096, 12_288), new Uint8Array(8192));
  t.equal(content(rig, 1).length, 16_384, 'a file is not made shorter');
  t.ok(piece(rig, 1, 12_288, pattern(8192, 3)).ok);
  t.same(content(rig, 1).subarray(12_288), pattern(8192, 3), 'what comes next overwrites it');
  const short = new Uint8Array(rig.sim.content(`${FOLDER}/1`));
  t.same(short.subarray(0, 4096), pattern(4096, 1));
});

t.test('where nothing can be punched, zeros are written', async (t) => {
  const rig = follower();
  rig.sim.addFault({ call: 'fallocate', path: /./, errno: EOPNOTSUPP, count: Number.POSITIVE_INFINITY });
  rig.sim.addFault({ call: 'pwrite', path: /\/1$/, shortBytes: 9000, count: 1 });
  t.notOk(piece(rig, 1, 0, pattern(20_000, 2)).ok);
  t.ok(hole(rig, 1, 0, 200_000).ok);
  t.same(content(rig, 1), new Uint8Array(200_000));
  t.equal(sizeOf(rig, 1), 200_704);
  t.equal(used(rig), 200_704, 'their space is taken');
});

t.test('a hole that fails leaves the watermark, and is made when it is asked for again', async (t) => {
  for (const call of ['truncate', 'fallocate'] as const) {
    const rig = follower();
    t.ok(piece(rig, 1, 0, pattern(4096, 1)).ok);
    // EDQUOT: it says nothing of the disk as a whole.
    rig.sim.addFault({ call, path: /\/1$/, errno: 122, count: 1 });
    t.match(hole(rig, 1, 4096, 8192).error, /^ActionRepair:_(truncate|fallocate) .*\/1: /, call);
    t.equal(sizeOf(rig, 1), 4096);
    t.ok(piece(rig, 2, 0, pattern(10, 1)).ok, 'others serve');
    t.ok(hole(rig, 1, 4096, 8192).ok);
    t.same([sizeOf(rig, 1), content(rig, 1).length], [12_288, 12_288]);
    t.equal(rig.stores.parkedOperations, 0);
  }
});

t.test('forwarded appends and holes do not meet: whoever comes second finds another end', async (t) => {
  const rig = follower();
  t.ok(piece(rig, 1, 0, pattern(4096, 1)).ok);
  const forwarded = (extentOffset: number): ReturnType<typeof send> =>
    rig.sendTinyWrite(pattern(4096, 9), { extentId: 1, extentOffset });
  const holeAt = (extentOffset: number): ReturnType<typeof send> =>
    send(rig, INTERNAL_OP.tinyHole, { extentId: 1, extentOffset, size: 8192 });
  // The append is on its way: the hole would lie behind something that may still fail.
  const first = [forwarded(4096), holeAt(8192), holeAt(4096)];
  rig.run();
  t.same(
    first.map(({ ok }) => ok),
    [true, false, false],
  );
  // The hole is on its way: neither at its beginning nor behind it is the end.
  const second = [holeAt(8192), forwarded(8192), forwarded(16_384), holeAt(8192)];
  rig.run();
  t.same(
    second.map(({ ok }) => ok),
    [true, false, false, false],
  );
  t.ok(run(rig, forwarded(16_384)).ok);
  t.same(content(rig, 1).subarray(16_384), pattern(4096, 9));
});

t.test('a partition that is deleted under a hole ends it, and no file stays open', async (t) => {
  for (let steps = 0; steps < 5; steps += 1) {
    const rig = follower();
    t.ok(piece(rig, 1, 0, pattern(10, 1)).ok);
    const sent = send(rig, INTERNAL_OP.tinyHole, { extentId: 1, extentOffset: 4096, size: 4096 });
    rig.turn();
    for (let i = 0; i < steps; i += 1) {
      rig.sim.step();
      rig.turn();
    }
    const { store } = rig.partitions.get(7)!;
    rig.partitions.delete(7);
    rig.stores.retire(store, 'data partition not exists');
    rig.run();
    t.ok(sent.ended, `after ${steps} steps`);
    t.equal(rig.sim.openFds(), 0);
    t.equal(rig.stores.parkedOperations, 0);
  }
});

t.test(
  'a crash between length and punch: the end is the old one or the new one, and nothing else changes',
  async (t) => {
    const watermarks = new Set<number>();
    const check = (rig: SimRig, sim: SimRig['sim']): void => {
      const next = rig.next(sim);
      const end = sizeOf(next, 1);
      watermarks.add(end);
      t.same(content(next, 1).subarray(0, 5000), pattern(5000, 1), 'what was synced is there');
      // Whatever it left, the extent can be brought to the same end as everywhere.
      if (end < 24_576) t.ok(hole(next, 1, end, 24_576 - end).ok);
      t.ok(piece(next, 1, sizeOf(next, 1), pattern(100, 3)).ok);
      next.stop();
    };
    for (let steps = 0; steps <= 4; steps += 1) {
      const rig = follower();
      t.ok(piece(rig, 1, 0, pattern(5000, 1)).ok);
      t.ok(ask(rig, INTERNAL_OP.syncExtent, { extentId: 1 }).ok);
      // A failed append has left bytes behind the end.
      rig.sim.addFault({ call: 'pwrite', path: /\/1$/, shortBytes: 3000, count: 1 });
      t.notOk(piece(rig, 1, 8192, pattern(9000, 2)).ok);
      send(rig, INTERNAL_OP.tinyHole, { extentId: 1, extentOffset: 8192, size: 16_384 });
      for (let i = 0; i <= steps; i += 1) {
        rig.turn();
        if (i < steps) rig.sim.step();
      }
      for (const image of crashImages(rig.sim.rootFolder, 16, new Random(steps), new Set())) {
        check(rig, rig.sim.withRoot(image, 1));
      }
      check(rig, rig.sim.processEnd(steps));
    }
    for (const end of watermarks) t.ok(end >= 8192 && end <= 24_576, `watermark ${end}`);
    t.ok(watermarks.has(8192) && watermarks.has(24_576), 'both were seen');
  },
);

t.test('a missed delete is carried out and recorded in its slot, or behind the last record', async (t) => {
  const rig = follower();
  t.ok(piece(rig, 1, 0, pattern(40_000, 1)).ok);
  const records = (): string => Buffer.from(rig.sim.content(LIST)).toString('hex');
  t.ok(missedDelete(rig, 1, 0, 5000, 48).ok);
  const first = '000000000000000100000000000000000000000000001388';
  t.equal(records(), '0'.repeat(96) + first);
  t.match(describe(rig), { tinyDeletePosition: 48, tinyDeleteEnd: 72 });
  t.same(content(rig, 1).subarray(0, 8192), new Uint8Array(8192));
  t.ok(missedDelete(rig, 1, 8192, 4096, -1).ok);
  t.equal(records().slice(144), '000000000000000100000000000020000000000000001000');
  t.match(describe(rig), { tinyDeletePosition: 72, tinyDeleteEnd: 96 });
  // Behind the watermark: nothing to do, nothing recorded.
  t.equal(missedDelete(rig, 1, 36_864, 10_000, -1).extentOffset, MISSED_DELETE.beyond);
  t.match(describe(rig), { tinyDeletePosition: 72, tinyDeleteEnd: 96 }, 'no empty slots are left behind');
  for (const [id, offset, size, at] of [
    [1, 100, 50, 0],
    [1, -4096, 50, 0],
    [1, 0, 0, 0],
    [1, 0, 50, -24],
    [1, 0, 50, 7],
    [1, 0, 50, 2 ** 40],
    [1, Number.NaN, 50, 0],
    [1, 0, 50, Number.NaN],
    [1025, 0, 50, 0],
  ] as const)
    t.match(
      missedDelete(rig, id, offset, size, at).error,
      /parameter mismatch error/,
      `${id} ${offset} ${at}`,
    );
  t.match(ask(rig, INTERNAL_OP.missedDelete, { extentId: 1 }, new Uint8Array(8)).error, MISMATCH);
});

t.test('a missed delete of what is a hole already is recorded, and nothing is punched', async (t) => {
  const rig = follower();
  t.ok(hole(rig, 1, 0, 8192).ok);
  t.ok(piece(rig, 1, 8192, pattern(4096, 1)).ok);
  rig.sim.trace.length = 0;
  const sent = missedDelete(rig, 1, 4096, 4000, 24);
  t.same([sent.ok, sent.extentOffset], [true, MISSED_DELETE.done]);
  t.same(
    rig.sim.trace.filter((line) => /^(punch|pwrite)/.test(line)).length,
    1,
    `the record alone: ${rig.sim.trace}`,
  );
  const record = '0000000000000001' + '0000000000001000' + '0000000000000fa0';
  t.equal(Buffer.from(rig.sim.content(LIST)).toString('hex', 24), record);
  t.match(describe(rig), { tinyDeletePosition: 24, tinyDeleteEnd: 48 });
  const { sim } = rig;
  sim.addFault({ call: 'pwrite', path: /TINYEXTENT_DELETE$/, errno: 28, count: 1 });
  t.notOk(missedDelete(rig, 1, 0, 4096, 48).ok, 'what could not be recorded is not done');
});

t.test('after a sync the position is that of the first host, never before the own one', async (t) => {
  const rig = follower();
  t.ok(piece(rig, 1, 0, pattern(40_000, 1)).ok);
  t.ok(ask(rig, INTERNAL_OP.finishDeletes, { extentOffset: 240 }).ok);
  t.equal(describe(rig).tinyDeletePosition, 240);
  t.ok(ask(rig, INTERNAL_OP.finishDeletes, { extentOffset: 24 }).ok);
  t.equal(describe(rig).tinyDeletePosition, 240);
  for (const extentOffset of [-24, 7, 2 ** 40]) {
    t.match(ask(rig, INTERNAL_OP.finishDeletes, { extentOffset }).error, MISMATCH);
  }
  t.ok(missedDelete(rig, 1, 0, 4096, -1).ok);
  t.equal(describe(rig).tinyDeletePosition, 264);
});

t.test('the own delete file is read by the packet that peers read it with', async (t) => {
  const rig = follower();
  t.ok(piece(rig, 1, 0, pattern(40_000, 1)).ok);
  t.ok(missedDelete(rig, 1, 0, 4096, 24).ok);
  const read = (extentOffset: number, size: number): ReturnType<typeof ask> =>
    ask(rig, OP.readTinyDeleteRecord, { extentType: 0, extentOffset, size });
  t.same(read(0, 48).body, rig.sim.content(LIST));
  t.same(read(24, 72).body.subarray(24), new Uint8Array(48), 'places behind the end are empty');
  const small = send(rig, OP.readTinyDeleteRecord, { extentType: 0, size: 4800 });
  small.op.bufferBytes = 100;
  rig.run();
  t.equal(small.body.length, 96, 'whole records, as many as the slot takes');
});

t.test('an extent whose fdatasync has failed gets no hole', async (t) => {
  const rig = follower();
  t.ok(piece(rig, 1, 0, pattern(10, 1)).ok);
  rig.sim.addFault({ call: 'fdatasync', path: /\/1$/, errno: 5, count: 1 });
  t.notOk(ask(rig, INTERNAL_OP.syncExtent, { extentId: 1 }).ok);
  t.equal(hole(rig, 1, 4096, 4096).error, 'ActionRepair:_extent has been broken');
  t.ok(storeOf(rig).lostExtents.includes(1));
});
