/**
 * A block gets the content of the other replicas (docs/repair.md "Healing"): compare-and-swap, order with writes and reads, what becomes of slot, entry and finding, and every call that can fail.
 */
import { crc32 } from 'node:zlib';
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { OP } from '../../src/protocol/opcodes.js';
import { EXTENT_FLAG } from '../../src/storage/extentTable.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import {
  content,
  damage,
  findings,
  GOOD,
  heal,
  ID,
  isBytes,
  read,
  rest,
  rigWithExtent,
  sendHeal,
  slot,
} from './healRig.js';
import { ask, FOLDER, list, piece, storeOf } from './internalRig.js';
import { pattern, type Sent } from './storeRig.js';
import { wrongTrustedSlots } from './trustedSlots.js';

const CHANGED = /the block has changed since it was voted on$/;

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

t.test('a heal in a folder that has no EXTENT_CLEAN begins one', async (t) => {
  const rig = rigWithExtent();
  const store = storeOf(rig);
  store.cleanStamp = 0;
  const bad = damage(rig, 0);
  t.ok(heal(rig, 0, bad).ok);
  t.not(store.cleanStamp, 0);
  isBytes(t, content(rig, 0), GOOD[0]!);
});
