/**
 * A block gets the content of the other replicas (docs/repair.md "Healing"): compare-and-swap, order with writes and reads, what becomes of slot, entry and finding, and every call that can fail.
 */
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { readFindings } from '../../src/partition/internalRecords.js';
import { OP } from '../../src/protocol/opcodes.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ask, FOLDER, follower, list, piece, send, storeOf } from './internalRig.js';
import type { SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';
import { slotsOf, wrongTrustedSlots } from './trustedSlots.js';

const ID = 1025;
const CHANGED = /the block has changed since it was voted on$/;
const GOOD = [pattern(BLOCK_BYTES, 1), pattern(BLOCK_BYTES, 2), pattern(5000, 3)];

/** A follower whose extent 1025 has two blocks and a part of a third. */
function rigWithExtent(threaded = false): SimRig {
  const rig = follower();
  rig.threaded = threaded;
  ask(rig, INTERNAL_OP.createExtent, { extentId: ID });
  for (const [block, body] of GOOD.entries()) piece(rig, ID, block * BLOCK_BYTES, body, { extentType: 1 });
  rig.run();
  return rig;
}

/** The disk has changed a byte of a block; returns what the block is now. */
function damage(rig: SimRig, block: number): Uint8Array {
  const bad = GOOD[block]!.slice();
  bad[77]! ^= 4;
  const fd = rig.sim.open(`${FOLDER}/${ID}`, 2, 0);
  rig.sim.write(fd, bad.subarray(77, 78), block * BLOCK_BYTES + 77);
  rig.sim.fdatasync(fd);
  rig.sim.close(fd);
  return bad;
}

function sendHeal(rig: SimRig, block: number, against: Uint8Array, body = GOOD[block]!): Sent {
  const fields = { extentId: ID, extentOffset: block * BLOCK_BYTES, crc: crc32(body) };
  return send(rig, INTERNAL_OP.healBlock, { ...fields, expectedCrc: crc32(against) }, body);
}

function heal(rig: SimRig, block: number, against: Uint8Array, body = GOOD[block]!): Sent {
  const sent = sendHeal(rig, block, against, body);
  rig.run();
  return sent;
}

function read(rig: SimRig, block: number): Sent {
  const sent = rig.sendRead(ID, block * BLOCK_BYTES, GOOD[block]!.length);
  rig.run();
  return sent;
}

function content(rig: SimRig, block: number): Uint8Array {
  const from = block * BLOCK_BYTES;
  return rig.sim.content(`${FOLDER}/${ID}`).slice(from, from + GOOD[block]!.length);
}

function slot(rig: SimRig, block: number): number {
  return slotsOf(rig, storeOf(rig), ID).getUint32(block * 4);
}

function findings(rig: SimRig): unknown[] {
  const page = ask(rig, INTERNAL_OP.listFindings);
  if (!page.ok || page.extentOffset !== -1) throw new Error(page.error);
  return readFindings(page.body);
}

/** `t.same` of a block takes half a second. */
function isBytes(test: Test, found: Uint8Array, wanted: Uint8Array, name = 'the bytes'): void {
  test.equal(Buffer.compare(found, wanted), 0, name);
}

/** Ten minutes pass; the checksum job does what is due. */
function rest(rig: SimRig): void {
  rig.simClock.advance(601_000);
  for (let tick = 0; tick < 4; tick += 1) {
    rig.stores.tick();
    rig.run();
  }
}

for (const threaded of [false, true]) {
  t.test(
    `pains 11: a damaged block is healed, durably, and its finding is gone (threaded ${threaded})`,
    async (t) => {
      const rig = rigWithExtent(threaded);
      rest(rig);
      t.ok(storeOf(rig).table.has(storeOf(rig).table.find(ID), EXTENT_FLAG.clean), 'clean before');
      const before = list(rig, 2).find(({ fileId }) => fileId === ID)!;
      const bad = damage(rig, 1);
      t.match(read(rig, 1).error, /is damaged/);
      t.same(findings(rig), [{ extentId: ID, kind: 'damaged', blocks: [1] }]);
      t.ok(heal(rig, 1, bad).ok);
      t.same(findings(rig), []);
      t.same(rig.stores.checksums.report().findings, []);
      isBytes(t, content(rig, 1), GOOD[1]!);
      t.equal(slot(rig, 1), crc32(GOOD[1]!));
      isBytes(t, read(rig, 1).body, GOOD[1]!);
      const after = list(rig, 2).find(({ fileId }) => fileId === ID)!;
      t.same([after.size, after.modTime], [before.size, before.modTime], 'size and time stay');
      t.equal(rig.sim.content(`${FOLDER}/${ID}`).length, 2 * BLOCK_BYTES + 5000);
      const crashed = rig.next(rig.sim.powerLoss(3));
      isBytes(t, content(crashed, 1), GOOD[1]!, 'durable when answered');
      t.equal(slot(crashed, 1), crc32(GOOD[1]!));
      t.equal(storeOf(crashed).unhealed.size, 0, 'nothing says that it is being healed');
      rest(rig);
      t.ok(storeOf(rig).table.has(storeOf(rig).table.find(ID), EXTENT_FLAG.clean), 'clean again');
      t.same(wrongTrustedSlots(rig).wrong, []);
    },
  );

  t.test(`a heal and writes to its extent do not mix (threaded ${threaded})`, async (t) => {
    for (let turns = 0; turns < 24; turns += 1) {
      const rig = rigWithExtent(threaded);
      const bad = damage(rig, 0);
      const healed = sendHeal(rig, 0, bad);
      for (let i = 0; i < turns; i += 1) {
        rig.turn();
        rig.sim.step();
      }
      const over = pattern(3000, 9);
      const reads = [rig.sendRead(ID, 0, 4096), rig.sendRead(ID, 0, BLOCK_BYTES)];
      const written = rig.sendWrite(ID, 1000, over, { remainingFollowers: 0 });
      rig.run();
      t.ok(written.ok);
      const expected = (healed.ok ? GOOD[0]! : bad).slice();
      if (!healed.ok) t.match(healed.error, CHANGED);
      expected.set(over, 1000);
      isBytes(t, content(rig, 0), expected, `after ${turns} turns`);
      for (const { ok, body } of reads)
        if (ok)
          t.ok(
            [bad, GOOD[0]!, expected].some(
              (each) => Buffer.compare(each.subarray(0, body.length), body) === 0,
            ),
            'a read has one or the other',
          );
      t.same(wrongTrustedSlots(rig).wrong, []);
      t.equal(storeOf(rig).unhealed.size, 0);
    }
  });
}

t.test('what was voted against must still be there, as long as it was', async (t) => {
  const rig = rigWithExtent();
  const bad = damage(rig, 2);
  t.match(heal(rig, 2, GOOD[1]!).error, CHANGED);
  isBytes(t, content(rig, 2), bad);
  piece(rig, ID, 2 * BLOCK_BYTES + 5000, pattern(10, 5), { extentType: 1 });
  t.match(heal(rig, 2, bad).error, CHANGED, 'the extent has grown');
  t.match(heal(rig, 0, GOOD[0]!, GOOD[0]!.subarray(0, 100)).error, CHANGED);
  isBytes(t, content(rig, 0), GOOD[0]!);
  t.match(heal(rig, 3, GOOD[0]!, GOOD[0]!).error, CHANGED, 'behind the end');
});

t.test('a partial last block is healed', async (t) => {
  const rig = rigWithExtent();
  const bad = damage(rig, 2);
  t.ok(heal(rig, 2, bad).ok);
  isBytes(t, content(rig, 2), GOOD[2]!);
  t.equal(slot(rig, 2), crc32(GOOD[2]!));
});

t.test('a wrong slot of a right block is put right the same way', async (t) => {
  const rig = rigWithExtent();
  const fd = rig.sim.open(`${FOLDER}/EXTENT_CRC`, 2, 0);
  rig.sim.write(fd, new Uint8Array([1, 2, 3, 4]), ID * 4096);
  rig.sim.close(fd);
  storeOf(rig).table.unset(storeOf(rig).table.find(ID), EXTENT_FLAG.trusted);
  t.ok(read(rig, 0).ok);
  t.match(findings(rig), [{ kind: 'suspect', blocks: [0] }]);
  t.ok(heal(rig, 0, GOOD[0]!).ok);
  isBytes(t, content(rig, 0), GOOD[0]!);
  t.equal(slot(rig, 0), crc32(GOOD[0]!));
  t.same(findings(rig), []);
});

t.test('nonsense, tiny extents, deleted ones and a disk that takes no writes are refused', async (t) => {
  const rig = rigWithExtent();
  const body = GOOD[0]!;
  const ask1 = (fields: Record<string, number>, bytes = body): Sent =>
    ask(rig, INTERNAL_OP.healBlock, { extentId: ID, crc: crc32(bytes), expectedCrc: 1, ...fields }, bytes);
  t.match(ask1({ extentOffset: 5 }).error, /parameter mismatch/);
  t.match(ask1({ extentOffset: -BLOCK_BYTES }).error, /parameter mismatch/);
  t.match(ask1({ size: 0 }).error, /parameter mismatch/);
  t.match(ask1({ extentId: 7 }).error, /parameter mismatch/);
  t.match(ask1({ crc: 5 }).error, /packet Crc is incorrect/);
  t.match(ask1({ extentId: 4000 }).error, /extent does not exist/);
  rig.health.status = -1;
  t.ok(!ask1({}).ok);
});

t.test('an extent that is deleted while a block of it is healed, a partition that goes', async (t) => {
  for (const what of ['extent', 'partition'] as const) {
    for (let turns = 0; turns < 20; turns += 1) {
      const rig = rigWithExtent();
      const healed = sendHeal(rig, 0, damage(rig, 0));
      for (let i = 0; i < turns; i += 1) {
        rig.turn();
        rig.sim.step();
      }
      if (what === 'extent') rig.send({ opcode: OP.markDelete, extentId: ID });
      else {
        const store = storeOf(rig);
        rig.partitions.delete(7);
        rig.stores.retire(store, 'gone');
      }
      rig.run();
      t.ok(healed.ended, `${what}, ${turns} turns`);
      t.equal(rig.unanswered, 0);
      t.equal(rig.stores.parkedOperations, 0);
    }
  }
});

t.test('many heals wait for each other; each is carried out', async (t) => {
  const rig = rigWithExtent();
  const sent = [0, 1, 2].map((block) => sendHeal(rig, block, damage(rig, block)));
  rig.run();
  t.same(
    sent.map(({ ok, error }) => ok || error),
    [true, true, true],
  );
  for (const block of [0, 1, 2]) isBytes(t, content(rig, block), GOOD[block]!);
});

t.test('a failed call leaves what can be healed later, and never a wrong block called right', async (t) => {
  const faults = [
    { call: 'pread', path: new RegExp(`/${ID}$`), errno: 5 },
    { call: 'pwrite', path: /EXTENT_CLEAN$/, errno: 28 },
    { call: 'fdatasync', path: /EXTENT_CLEAN$/, errno: 28 },
    { call: 'pwrite', path: /EXTENT_CRC$/, errno: 28 },
    { call: 'pwrite', path: /EXTENT_CRC$/, shortBytes: 2 },
    { call: 'fdatasync', path: /EXTENT_CRC$/, errno: 28 },
    { call: 'pwrite', path: new RegExp(`/${ID}$`), errno: 28 },
    { call: 'pwrite', path: new RegExp(`/${ID}$`), shortBytes: 60_000 },
    { call: 'fdatasync', path: new RegExp(`/${ID}$`), errno: 28 },
  ] as const;
  const cases = faults.flatMap((fault) => [true, false].map((trusted) => ({ fault, trusted })));
  for (const { fault, trusted } of cases) {
    const name = JSON.stringify({ ...fault, path: String(fault.path), trusted });
    const rig = rigWithExtent();
    rest(rig);
    // Differs from the content all over, so that half of it is a third one.
    const good = pattern(BLOCK_BYTES, 50);
    const { table } = storeOf(rig);
    if (!trusted) table.unset(table.find(ID), EXTENT_FLAG.trusted | EXTENT_FLAG.clean);
    rig.sim.addFault({ ...fault, count: 1 });
    const first = heal(rig, 0, GOOD[0]!, good);
    t.notOk(first.ok, name);
    const now = content(rig, 0);
    const whole = [GOOD[0]!, good].some((each) => Buffer.compare(each, now) === 0);
    const served = read(rig, 0);
    t.ok(served.ok ? whole : /damaged/.test(served.error), `${name}: a read has one of both, or fails`);
    const broken = storeOf(rig).table.has(storeOf(rig).table.find(ID), EXTENT_FLAG.syncFailed);
    const again = heal(rig, 0, now, good);
    t.equal(again.ok, !broken, `${name}: ${again.error}`);
    if (again.ok) isBytes(t, content(rig, 0), good);
    if (again.ok) isBytes(t, read(rig, 0).body, good);
    t.equal(storeOf(rig).healingRow, -1);
  }
});

t.test('a read of a block that is being healed waits, and has one or the other', async (t) => {
  const good = pattern(BLOCK_BYTES, 50);
  for (let turns = 0; turns < 24; turns += 1) {
    const rig = rigWithExtent(turns % 2 === 0);
    const healed = sendHeal(rig, 0, GOOD[0]!, good);
    for (let i = 0; i < turns; i += 1) {
      rig.turn();
      rig.sim.step();
    }
    const reads = [rig.sendRead(ID, 0, BLOCK_BYTES), rig.sendRead(ID, BLOCK_BYTES, BLOCK_BYTES)];
    rig.run();
    t.ok(healed.ok);
    t.same(
      reads.map(({ ok, error }) => ok || error),
      [true, true],
      `after ${turns} turns`,
    );
    const either = [GOOD[0]!, good].some((each) => Buffer.compare(each, reads[0]!.body) === 0);
    t.ok(either);
    t.same(findings(rig), []);
  }
});

t.test(
  'while the disk takes its time for a heal, only its block and the writes to its extent wait',
  async (t) => {
    const rig = rigWithExtent();
    rig.sim.addFault({ call: 'fdatasync', path: /EXTENT_CRC$/, hang: true, count: 1 });
    const some = (): void => {
      for (let i = 0; i < 50; i += 1) {
        rig.turn();
        rig.sim.step();
      }
    };
    const healed = sendHeal(rig, 0, GOOD[0]!, pattern(BLOCK_BYTES, 50));
    some();
    const reads = [0, 1].map((block) => rig.sendRead(ID, block * BLOCK_BYTES, BLOCK_BYTES));
    const written = rig.sendWrite(ID, BLOCK_BYTES, pattern(100, 1));
    some();
    t.same(
      [healed, ...reads, written].map(({ ended }) => ended),
      [false, false, true, false],
    );
    rig.sim.releaseHung();
    rig.run();
    t.same(
      [healed, ...reads, written].map(({ ok }) => ok),
      [true, true, true, true],
    );
    t.equal(Buffer.compare(reads[0]!.body, pattern(BLOCK_BYTES, 50)), 0);
  },
);

t.test('a heal that a crash has interrupted: the block is damaged until it is healed again', async (t) => {
  const good = pattern(BLOCK_BYTES, 50);
  const rig = rigWithExtent();
  rest(rig);
  rig.sim.addFault({ call: 'pwrite', path: new RegExp(`/${ID}$`), shortBytes: 60_000, count: 1 });
  t.notOk(heal(rig, 0, GOOD[0]!, good).ok);
  const next = rig.next(rig.sim.processEnd(1));
  t.same([...storeOf(next).unhealed], [[ID, 0]]);
  t.match(read(next, 0).error, /damaged/);
  t.ok(read(next, 1).ok);
  rest(next);
  t.match(read(next, 0).error, /damaged/, 'a comparison does not take it for a slot that a crash has left');
  t.same(findings(next), [{ extentId: ID, kind: 'damaged', blocks: [0] }]);
  const looks = [0, 1].map((block) =>
    ask(next, INTERNAL_OP.readBlock, { extentId: ID, extentOffset: block * BLOCK_BYTES, size: BLOCK_BYTES }),
  );
  t.same(
    looks.map(({ op }) => op.holeBytes),
    [1, 0],
    'its stored checksum is the one that was voted on',
  );
  t.match(heal(next, 1, GOOD[1]!).error, /block 0 of the extent is to be healed first/);
  t.ok(heal(next, 0, content(next, 0), good).ok);
  rest(next);
  t.same(findings(next), []);
  isBytes(t, read(next, 0).body, good);
  t.same([...storeOf(next.next(next.sim.processEnd(1))).unhealed], []);
});

t.test('what is written over a block whose heal was interrupted is what counts', async (t) => {
  const rig = rigWithExtent();
  rig.sim.addFault({ call: 'pwrite', path: new RegExp(`/${ID}$`), shortBytes: 60_000, count: 1 });
  t.notOk(heal(rig, 0, GOOD[0]!, pattern(BLOCK_BYTES, 50)).ok);
  const next = rig.next(rig.sim.processEnd(1));
  const newer = pattern(BLOCK_BYTES, 60);
  const sent = next.send({ opcode: OP.syncWrite, extentId: ID }, newer);
  next.run();
  t.ok(sent.ok);
  for (const rig2 of [next, next.next(next.sim.powerLoss(1))]) {
    rest(rig2);
    t.same(storeOf(rig2).unhealed.size, 0);
    isBytes(t, read(rig2, 0).body, newer);
    t.same(findings(rig2), []);
  }
});

t.test('a heal in a folder that has no EXTENT_CLEAN begins one', async (t) => {
  const rig = rigWithExtent();
  const store = storeOf(rig);
  store.cleanStamp = 0;
  const bad = damage(rig, 0);
  t.ok(heal(rig, 0, bad).ok);
  t.not(store.cleanStamp, 0);
  isBytes(t, content(rig, 0), GOOD[0]!);
});
