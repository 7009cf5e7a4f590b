/**
 * Reads of damaged blocks that wait for their heal (docs/repair.md, "A read that waits"), on a simulated disk: they get the healed bytes, or today's error in time; and what ends them otherwise.
 */
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { LANE } from '../../src/partition/diskLimits.js';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { JUDGED, WAIT_BOUNDS } from '../../src/partition/waitingBlocks.js';
import { OP } from '../../src/protocol/opcodes.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ask, FOLDER, follower, HOSTS, piece, send, storeOf } from './internalRig.js';
import { limits } from './limitRig.js';
import { ROOT, type SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const ID = 1025;
const GOOD = [pattern(BLOCK_BYTES, 1), pattern(BLOCK_BYTES, 2)];
const DAMAGED = /is damaged: its checksum does not fit/;

/** A follower whose extent 1025 has two blocks, somewhere a thread that heals. */
function start(threaded = false): SimRig {
  const rig = follower();
  rig.threaded = threaded;
  rig.healer.isThere = true;
  ask(rig, INTERNAL_OP.createExtent, { extentId: ID });
  for (const [block, body] of GOOD.entries()) piece(rig, ID, block * BLOCK_BYTES, body, { extentType: 1 });
  return rig;
}

/** The disk has changed a byte of a block; returns what the block is now. */
function damage(rig: SimRig, block: number): Uint8Array {
  const bad = GOOD[block]!.slice();
  bad[77]! ^= 4;
  const fd = rig.sim.open(`${FOLDER}/${ID}`, 2, 0);
  rig.sim.write(fd, bad.subarray(77, 78), block * BLOCK_BYTES + 77);
  rig.sim.close(fd);
  return bad;
}

function read(rig: SimRig, block: number, fields: Parameters<SimRig['sendRead']>[3] = {}): Sent {
  const sent = rig.sendRead(ID, block * BLOCK_BYTES, BLOCK_BYTES, fields);
  rig.run();
  return sent;
}

function heal(rig: SimRig, block: number, against: Uint8Array): Sent {
  const body = GOOD[block]!;
  const fields = { extentId: ID, extentOffset: block * BLOCK_BYTES, crc: crc32(body) };
  return ask(rig, INTERNAL_OP.healBlock, { ...fields, expectedCrc: crc32(against) }, body);
}

function judge(rig: SimRig, block: number, size: number): void {
  const { ok, error } = ask(rig, INTERNAL_OP.blockJudged, {
    ...{ extentId: ID, extentOffset: block * BLOCK_BYTES, size },
  });
  if (!ok) throw new Error(error);
}

function isGood(t: Test, sent: Sent, block: number): void {
  t.ok(sent.ok, sent.error);
  t.equal(Buffer.compare(sent.body, GOOD[block]!), 0, 'the right bytes');
  t.equal(sent.crc, crc32(GOOD[block]!));
}

/** Nothing is left behind. */
function isQuiet(t: Test, rig: SimRig, served: number, gaveUp: number): void {
  const { waits, parkedOperations } = rig.stores;
  t.same([waits.parked, parkedOperations, rig.unanswered], [0, 0, 0]);
  t.same([waits.served, waits.gaveUp], [served, gaveUp]);
  t.equal(waits.wakeInMs(), Number.POSITIVE_INFINITY);
}

for (const threaded of [false, true]) {
  t.test(
    `pains 11: a read of a damaged block waits and gets the healed bytes (threaded ${threaded})`,
    async (t) => {
      const rig = start(threaded);
      const bad = damage(rig, 1);
      const first = read(rig, 1);
      const second = read(rig, 1);
      t.same([first.ended, second.ended, rig.stores.parkedOperations], [false, false, 2]);
      t.same(rig.healer.asked, [{ partitionId: 7, extentId: ID, block: 1 }], 'asked once');
      isGood(t, read(rig, 0), 0);
      t.ok(heal(rig, 1, bad).ok);
      isGood(t, first, 1);
      isGood(t, second, 1);
      isQuiet(t, rig, 2, 0);
      judge(rig, 1, JUDGED.sound);
      isGood(t, read(rig, 1), 1);
      isQuiet(t, rig, 2, 0);
    },
  );
}

t.test(
  'nothing comes of it in time: the error of today, and reads of the block do not wait for a minute',
  async (t) => {
    const rig = start();
    const bad = damage(rig, 0);
    const waits = read(rig, 0);
    rig.simClock.advance(WAIT_BOUNDS.waitMs - 1);
    t.ok(rig.stores.wakeInMs() <= 1, 'the worker wakes for it');
    const later = read(rig, 0);
    t.same([waits.ended, later.ended], [false, false]);
    rig.simClock.advance(1);
    rig.run();
    t.match([waits.error, later.error], [DAMAGED, DAMAGED]);
    t.match(read(rig, 0).error, DAMAGED, 'at once');
    rig.simClock.advance(WAIT_BOUNDS.rememberedMs - 1);
    t.match(read(rig, 0).error, DAMAGED);
    rig.simClock.advance(1);
    const again = read(rig, 0);
    t.notOk(again.ended);
    t.equal(rig.healer.asked.length, 2);
    t.ok(heal(rig, 0, bad).ok);
    isGood(t, again, 0);
    isQuiet(t, rig, 1, 2);
  },
);

t.test('a heal that comes too late for a read makes the next one wait again', async (t) => {
  const rig = start();
  const bad = damage(rig, 0);
  read(rig, 0);
  rig.simClock.advance(WAIT_BOUNDS.waitMs);
  rig.run();
  t.ok(heal(rig, 0, bad).ok);
  isGood(t, read(rig, 0), 0);
  damage(rig, 0);
  t.notOk(read(rig, 0).ended);
});

t.test(
  'judged: undecided is an error and remembered, not looked at an error only, sound is read again',
  async (t) => {
    const rig = start();
    damage(rig, 0);
    const notLooked = read(rig, 0);
    judge(rig, 0, JUDGED.notLooked);
    t.match(notLooked.error, DAMAGED);
    const undecided = read(rig, 0);
    t.notOk(undecided.ended);
    judge(rig, 1, JUDGED.undecided);
    t.notOk(undecided.ended, 'another block');
    judge(rig, 0, JUDGED.undecided);
    t.match(undecided.error, DAMAGED);
    t.match(read(rig, 0).error, DAMAGED);
    judge(rig, 0, JUDGED.sound);
    const sound = read(rig, 0);
    t.notOk(sound.ended, 'what was remembered is forgotten');
    judge(rig, 0, JUDGED.sound);
    t.match(sound.error, DAMAGED, 'verified again, and a second time it does not wait');
    isQuiet(t, rig, 0, 3);
  },
);

t.test('a block that is right again without a heal is served', async (t) => {
  const rig = start();
  damage(rig, 0);
  const waits = read(rig, 0);
  const fd = rig.sim.open(`${FOLDER}/${ID}`, 2, 0);
  rig.sim.write(fd, GOOD[0]!.subarray(77, 78), 77);
  rig.sim.close(fd);
  judge(rig, 0, JUDGED.sound);
  isGood(t, waits, 0);
  isQuiet(t, rig, 1, 0);
});

t.test('nonsense is refused', async (t) => {
  const rig = start();
  for (const fields of [{ extentOffset: -BLOCK_BYTES }, { extentOffset: 5 }, { size: 3 }, { size: -1 }]) {
    const place = { extentId: ID, extentOffset: 0, size: JUDGED.sound, ...fields };
    t.match(ask(rig, INTERNAL_OP.blockJudged, place).error, /parameter mismatch/);
  }
  t.ok(ask(rig, INTERNAL_OP.blockJudged, { extentId: 99_999, extentOffset: 0, size: JUDGED.sound }).ok);
});

t.test('of so many reads that wait one more is answered at once', async (t) => {
  const rig = start();
  const bad = [0, 1].map((block) => damage(rig, block));
  const sent = Array.from({ length: WAIT_BOUNDS.readsMax }, (_, i) => read(rig, i % 2));
  t.ok(sent.every(({ ended }) => !ended));
  t.match(read(rig, 0).error, DAMAGED);
  t.equal(rig.healer.asked.length, 2);
  t.ok(heal(rig, 0, bad[0]!).ok);
  t.same(
    sent.map(({ ok }) => ok),
    sent.map((_, i) => i % 2 === 0),
  );
  t.ok(heal(rig, 1, bad[1]!).ok);
  for (const [i, each] of sent.entries()) isGood(t, each, i % 2);
  isQuiet(t, rig, WAIT_BOUNDS.readsMax, 0);
});

t.test(
  'what does not wait: repair’s reads, and all while nobody heals or nothing can be written',
  async (t) => {
    const rig = start();
    damage(rig, 0);
    t.match(read(rig, 0, { opcode: OP.extentRepairRead }).error, DAMAGED);
    t.match(read(rig, 0, { internal: true }).error, DAMAGED);
    t.same(rig.healer.asked, []);
    rig.health.status = -1;
    t.match(read(rig, 0).error, DAMAGED);
    t.same(rig.healer.asked, []);
    rig.health.status = 2;
    rig.healer.isThere = false;
    t.match(read(rig, 0).error, DAMAGED);
    isQuiet(t, rig, 0, 0);
  },
);

t.test('nobody was told: nothing waits, and the next read asks again', async (t) => {
  const rig = start();
  damage(rig, 0);
  const { ask: askFor } = rig.healer;
  rig.healer.ask = () => false;
  t.match(read(rig, 0).error, DAMAGED);
  rig.healer.ask = askFor;
  t.notOk(read(rig, 0).ended);
});

t.test('what ends the wait: the thread is gone, the disk is out of service, the node stops', async (t) => {
  for (const end of ['gone', 'disk', 'stop'] as const) {
    const rig = start();
    damage(rig, 0);
    const waits = read(rig, 0);
    t.notOk(waits.ended);
    if (end === 'gone') rig.healer.isThere = false;
    else if (end === 'disk') rig.health.status = -1;
    else t.ok(rig.stores.stop());
    rig.run();
    t.match(waits.error, DAMAGED, end);
    rig.health.status = 2;
    if (end === 'stop') t.match(read(rig, 0).error, DAMAGED, 'nothing waits any more');
    isQuiet(t, rig, 0, 1);
    if (end === 'stop') t.same(rig.stop(), []);
  }
});

t.test(
  'its extent is deleted while a read waits: the delete is not held up, and the read says so',
  async (t) => {
    const rig = start();
    const bad = damage(rig, 0);
    const waits = read(rig, 0);
    const deleted = rig.send({ opcode: OP.markDelete, extentId: ID });
    rig.run();
    t.ok(deleted.ok, deleted.error);
    t.match(waits.error, /extent does not exist/);
    t.match(heal(rig, 0, bad).error, /extent does not exist/);
    judge(rig, 0, JUDGED.undecided);
    isQuiet(t, rig, 0, 1);
  },
);

t.test('its partition goes while reads wait, or are on their way after the heal', async (t) => {
  const ends = new Set<boolean>();
  for (let turns = -1; turns < 40; turns += 1) {
    const rig = start(turns % 2 === 0);
    const bad = damage(rig, 0);
    const waits = [read(rig, 0), read(rig, 0)];
    const fields = { extentId: ID, extentOffset: 0, crc: crc32(GOOD[0]!), expectedCrc: crc32(bad) };
    if (turns >= 0) send(rig, INTERNAL_OP.healBlock, fields, GOOD[0]!);
    for (let i = 0; i < turns; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    const store = storeOf(rig);
    rig.partitions.delete(7);
    rig.stores.retire(store, 'data partition not exists');
    rig.run();
    for (const { ok, error, ended, body } of waits) {
      t.ok(ended, `${turns} turns`);
      ends.add(ok);
      if (ok) t.equal(Buffer.compare(body, GOOD[0]!), 0);
      else t.match(error, /data partition not exists|is damaged/);
    }
    const { waits: all } = rig.stores;
    isQuiet(t, rig, all.served, 2 - all.served);
  }
  t.equal(ends.size, 2, 'some are served, some are not');
});

t.test(
  'a partition that goes takes its own reads along, and a read that finds the damage later is not kept',
  async (t) => {
    for (let turns = 0; turns < 12; turns += 1) {
      const rig = start(turns % 2 === 0);
      damage(rig, 0);
      const sent = rig.sendRead(ID, 0, BLOCK_BYTES);
      for (let i = 0; i < turns; i += 1) {
        rig.turn();
        rig.sim.step();
      }
      const store = storeOf(rig);
      rig.partitions.delete(7);
      rig.stores.retire(store, 'data partition not exists');
      rig.run();
      t.notOk(sent.ok);
      t.ok(sent.ended, `${turns} turns`);
      t.equal(rig.stores.parkedOperations, 0);
    }
  },
);

t.test('reads of another partition that are to be read again are', async (t) => {
  const rig = start();
  const bad = damage(rig, 0);
  const store = rig.create(ROOT, { partitionId: 8, hosts: HOSTS }).store;
  const fields = { partitionId: 8, extentId: ID };
  ask(rig, INTERNAL_OP.createExtent, fields);
  ask(rig, OP.write, { ...fields, extentOffset: 0 }, GOOD[0]!);
  const fd = rig.sim.open(`${store.path}/${ID}`, 2, 0);
  rig.sim.write(fd, bad, 0);
  const sent = [7, 8].map((partitionId) => read(rig, 0, { partitionId }));
  t.same(
    sent.map(({ ended }) => ended),
    [false, false],
  );
  for (const path of [`${FOLDER}/${ID}`, `${store.path}/${ID}`]) {
    const file = rig.sim.open(path, 2, 0);
    rig.sim.write(file, GOOD[0]!, 0);
    rig.sim.close(file);
  }
  rig.sim.close(fd);
  for (const partitionId of [8, 7]) rig.stores.waits.healed({ partitionId, extentId: ID, block: 0 });
  rig.partitions.delete(8);
  rig.stores.retire(store, 'data partition not exists');
  rig.run();
  isGood(t, sent[0]!, 0);
  t.match(sent[1]!.error, /data partition not exists/);
  isQuiet(t, rig, 1, 1);
});

t.test('a read that waits has no place of its disk’s limits', async (t) => {
  const rig = start();
  rig.limits.change(limits({ readsAtOnce: 1 }), 0);
  damage(rig, 0);
  const { op } = rig.sendRead(ID, 0, BLOCK_BYTES);
  t.ok(rig.limits.admit(op, 0));
  const lane = rig.limits.lanes[LANE.clientsRead]!;
  t.equal(lane.running, 1);
  rig.run();
  t.equal(rig.stores.waits.parked, 1);
  t.same([lane.running, op.chargedLane], [0, 0]);
});
