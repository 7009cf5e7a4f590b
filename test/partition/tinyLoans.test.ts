/**
 * Packets that go to followers too: what the primary assigns before it writes, and tiny extents that stay lent until all replicas have answered.
 */
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import type { Operation } from '../../src/partition/operation.js';
import { OP } from '../../src/protocol/opcodes.js';
import { decodeMarkDelete, encodeClientMarkDelete } from '../../src/protocol/tinyDelete.js';
import { TINY_STATE } from '../../src/storage/tinyExtents.js';
import { ask, follower, send, storeOf } from './internalRig.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern, type Sent } from './storeRig.js';

const FORWARDED = { remainingFollowers: 2, forwarded: true };
const NONE_AVAILABLE =
  'ActionPreparePkt_addExtentInfo partition 7 GetAvailableTinyExtent error no available extent';

/** The primary of three hosts, whose tiny extents were all found equal. */
function primary(settings = {}): SimRig {
  const rig = follower(settings);
  const ids = ask(rig, INTERNAL_OP.takeTiny).body;
  const good = Uint8Array.from([...ids].flatMap((id) => [id, 1]));
  ask(rig, INTERNAL_OP.giveBackTiny, {}, good);
  return rig;
}

function append(rig: SimRig, bytes: number, fields: Partial<Operation> = {}): Sent {
  return rig.sendTinyWrite(pattern(bytes, bytes), { ...FORWARDED, ...fields });
}

function settle(rig: SimRig, { assigned }: Sent, acknowledged: boolean): void {
  rig.partitions.get(7)!.settleTinyAppend(assigned!.extentId, assigned!.loan, acknowledged);
  rig.run();
}

function stateOf(rig: SimRig, id: number): number {
  return storeOf(rig).tiny.state(id);
}

t.test(
  'a tiny append is assigned before it writes, and its extent lent until all replicas have it',
  async (t) => {
    const rig = primary();
    const sent = append(rig, 5000);
    rig.turn();
    t.match(sent.assigned, { extentId: 1, extentOffset: 0, loan: 1 });
    t.equal(sent.ended, false, 'the file is not even open');
    rig.run();
    t.match(sent, { ok: true, extentId: 1, extentOffset: 0 });
    t.equal(stateOf(rig, 1), TINY_STATE.writing, 'the write is done, the packet is not');
    settle(rig, sent, true);
    t.equal(stateOf(rig, 1), TINY_STATE.available);
    for (let id = 2; id <= 64; id += 1) settle(rig, run(rig, append(rig, 10)), true);
    const again = run(rig, append(rig, 10));
    t.match(again.assigned, { extentId: 1, extentOffset: 8192, loan: 65 }, 'at the back of the queue');
  },
);

t.test(
  'an outcome that is no acknowledgement breaks the extent, before its write has ended too',
  async (t) => {
    const rig = primary();
    const late = run(rig, append(rig, 10));
    settle(rig, late, false);
    t.equal(stateOf(rig, 1), TINY_STATE.broken);
    for (const [id, acknowledged, state] of [
      [2, false, TINY_STATE.broken],
      [3, true, TINY_STATE.available],
    ] as const) {
      const early = append(rig, 10);
      rig.turn();
      rig.partitions.get(7)!.settleTinyAppend(id, early.assigned!.loan, acknowledged);
      t.equal(stateOf(rig, id), TINY_STATE.writing, 'its end is not known yet');
      rig.run();
      t.equal(early.ok, true);
      t.equal(stateOf(rig, id), state);
    }
  },
);

t.test('a local failure breaks the extent at once, and a late outcome counts for nothing', async (t) => {
  const rig = primary();
  rig.sim.addFault({ call: 'pwrite', path: /\/1$/, errno: 122, count: 1 });
  const failed = run(rig, append(rig, 10));
  t.notOk(failed.ok);
  t.equal(stateOf(rig, 1), TINY_STATE.broken);
  settle(rig, failed, true);
  t.equal(stateOf(rig, 1), TINY_STATE.broken, 'no failed append makes an extent available');
  // A round finds it equal everywhere, and it is lent again: the old outcome is not the new one.
  storeOf(rig).tiny.repairAll(() => true);
  for (let id = 2; id <= 64; id += 1) settle(rig, run(rig, append(rig, 10)), true);
  const again = run(rig, append(rig, 10));
  t.equal(again.assigned!.extentId, 1);
  settle(rig, failed, false);
  t.equal(stateOf(rig, 1), TINY_STATE.writing);
  settle(rig, again, true);
  settle(rig, again, false);
  t.equal(stateOf(rig, 1), TINY_STATE.available, 'once settled it stays so');
  for (const id of [0, 65, 1025, -1]) rig.partitions.get(7)!.settleTinyAppend(id, 1, true);
});

t.test('appends wait for an extent that is lent, and are refused when none will come back', async (t) => {
  const rig = primary();
  const lent = Array.from({ length: 64 }, () => append(rig, 10));
  const waiting = [append(rig, 20), append(rig, 30)];
  rig.run();
  t.ok(lent.every(({ ok }) => ok));
  t.same(
    waiting.map(({ ended, assigned }) => [ended, assigned]),
    [
      [false, null],
      [false, null],
    ],
  );
  settle(rig, lent[9]!, true);
  t.match(waiting[0], { ok: true, extentId: 10, extentOffset: 4096 });
  for (const [i, sent] of lent.entries()) if (i !== 9) settle(rig, sent, false);
  t.equal(waiting[1]!.ended, false, 'one is lent still');
  settle(rig, waiting[0]!, false);
  t.equal(waiting[1]!.error, NONE_AVAILABLE);
  t.equal(rig.stores.parkedOperations, 0);
});

t.test('without followers to send it to an append ends its own loan', async (t) => {
  const rig = primary();
  const sent = run(rig, append(rig, 10, { forwarded: false }));
  t.same([sent.ok, sent.assigned], [true, null]);
  t.equal(stateOf(rig, 1), TINY_STATE.available);
});

t.test('a create is assigned its id before the file is there', async (t) => {
  const rig = primary();
  const first = rig.sendCreate(FORWARDED);
  rig.run();
  t.match([first.assigned, first.extentId, first.ok], [{ extentId: 1025, loan: 0 }, 1025, true]);
  rig.sim.addFault({ call: 'open', path: /\/1026$/, errno: 122, count: 1 });
  const failed = run(rig, rig.sendCreate(FORWARDED));
  t.match([failed.assigned, failed.ok], [{ extentId: 1026 }, false]);
  const follows = run(rig, rig.sendCreate({ extentId: 3000 }));
  t.same([follows.ok, follows.assigned], [true, null], 'a follower assigns nothing');
});

t.test('a tiny delete is assigned its record’s place, in the body that followers get', async (t) => {
  const rig = primary();
  settle(rig, run(rig, append(rig, 5000)), true);
  const key = { fileOffset: 9, partitionId: 7, extentId: 1, extentOffset: 0, size: 5000, crc: 3 };
  const sent = rig.send(
    { opcode: OP.markDelete, extentType: 0, extentId: 1, ...FORWARDED },
    encodeClientMarkDelete(key),
  );
  rig.turn();
  t.same(decodeMarkDelete(sent.assigned!.body), { ok: true, value: { ...key, tinyDeleteFileOffset: 24 } });
  t.equal(sent.ended, false);
  rig.run();
  t.ok(sent.ok);
  // Whatever becomes of it here: followers are told as the reference tells them.
  const unknown = run(
    rig,
    rig.send(
      { opcode: OP.markDelete, extentType: 0, extentId: 1, ...FORWARDED },
      encodeClientMarkDelete({ ...key, extentOffset: 1 << 30 }),
    ),
  );
  t.equal(unknown.ok, true);
  t.match(decodeMarkDelete(unknown.assigned!.body), { value: { tinyDeleteFileOffset: 48 } });
  const normal = run(rig, rig.send({ opcode: OP.markDelete, extentId: 1025, ...FORWARDED }));
  t.same([normal.ok, normal.assigned], [true, null], 'nothing is assigned to a delete of a normal extent');
  const wrong = run(
    rig,
    rig.send({ opcode: OP.markDelete, extentType: 0, extentId: 1, ...FORWARDED }, Buffer.from('x')),
  );
  t.equal(wrong.assigned, null);
  t.match(wrong.error, /^ActionPreparePkt_addExtentInfo failed/);
});

t.test('an extent is written or repaired, never both, and rounds give back what they took', async (t) => {
  const rig = primary();
  const lent = run(rig, append(rig, 10));
  t.same(
    [...ask(rig, INTERNAL_OP.takeTiny).body],
    [2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
    'those available longest',
  );
  t.equal(run(rig, append(rig, 10)).assigned!.extentId, 12);
  t.equal(stateOf(rig, 1), TINY_STATE.writing);
  const back = Uint8Array.of(2, 1, 3, 0, 1, 1, 1, 0, 64, 0, 0, 1, 200, 1);
  t.ok(ask(rig, INTERNAL_OP.giveBackTiny, {}, back).ok);
  t.same(
    [2, 3, 1, 64].map((id) => stateOf(rig, id)),
    [TINY_STATE.available, TINY_STATE.broken, TINY_STATE.writing, TINY_STATE.available],
  );
  t.same([...ask(rig, INTERNAL_OP.takeTiny).body], [3], 'broken ones go first');
  t.ok(ask(rig, INTERNAL_OP.forgetRounds).ok);
  t.equal(storeOf(rig).tiny.count(TINY_STATE.repairing), 0);
  t.equal(stateOf(rig, 3), TINY_STATE.broken);
  t.ok(ask(rig, INTERNAL_OP.giveBackTiny, {}, Uint8Array.of(3, 1)).ok);
  t.equal(stateOf(rig, 3), TINY_STATE.broken, 'a round that was forgotten has nothing to say');
  settle(rig, lent, true);
  t.equal(stateOf(rig, 1), TINY_STATE.available);
  t.match(ask(rig, INTERNAL_OP.giveBackTiny, {}, Uint8Array.of(3)).error, /parameter mismatch/);
});

t.test(
  'a start without extents takes all for a round; one that lost data never comes back good',
  async (t) => {
    const rig = follower();
    t.equal(ask(rig, INTERNAL_OP.takeTiny).body.length, 64);
    t.equal(ask(rig, INTERNAL_OP.takeTiny).body.length, 0, 'nothing is left');
    const sync = { extentType: 0, extentId: 5, extentOffset: 0 };
    rig.sim.addFault({ call: 'fdatasync', path: /\/5$/, errno: 5, count: 1 });
    t.notOk(run(rig, send(rig, OP.syncWrite, sync, pattern(10, 1))).ok);
    t.ok(ask(rig, INTERNAL_OP.giveBackTiny, {}, Uint8Array.of(5, 1, 6, 1)).ok);
    t.same([stateOf(rig, 5), stateOf(rig, 6)], [TINY_STATE.broken, TINY_STATE.available]);
  },
);

t.test('a lone replica’s extents are available again without a round', async (t) => {
  const rig = SimRig.start();
  rig.create(ROOT);
  t.equal(storeOf(rig).tiny.count(TINY_STATE.available), 64);
});
