/**
 * Heals that were interrupted (docs/checksums.md, "Healing a block"): the entry that says so, what it does to reads and comparisons, and that one block holds up no other.
 */
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { OP } from '../../src/protocol/opcodes.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { content, findings, GOOD, heal, ID, isBytes, read, rest, rigWithExtent } from './healRig.js';
import { ask, FOLDER, follower, piece, storeOf } from './internalRig.js';
import { pattern } from './storeRig.js';

t.test('a heal that a crash has interrupted: the block is damaged until it is healed again', async (t) => {
  const good = pattern(BLOCK_BYTES, 50);
  const rig = rigWithExtent();
  rest(rig);
  rig.sim.addFault({ call: 'pwrite', path: new RegExp(`/${ID}$`), shortBytes: 60_000, count: 1 });
  t.notOk(heal(rig, 0, GOOD[0]!, good).ok);
  const next = rig.next(rig.sim.processEnd(1));
  t.same([...storeOf(next).unhealed], [[ID, [0]]]);
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
  t.ok(heal(next, 1, GOOD[1]!, pattern(BLOCK_BYTES, 51)).ok, 'it holds up no other block');
  const after = next.next(next.sim.powerLoss(2));
  t.same([...storeOf(after).unhealed], [[ID, [0]]], 'and its mark outlives their heals');
  isBytes(t, content(after, 1), pattern(BLOCK_BYTES, 51));
  t.ok(heal(next, 0, content(next, 0), good).ok);
  rest(next);
  t.same(findings(next), []);
  isBytes(t, read(next, 0).body, good);
  t.same([...storeOf(next.next(next.sim.processEnd(1))).unhealed], []);
});

t.test(
  'five blocks of an extent may wait for another heal, the sixth heal waits for one of them',
  async (t) => {
    const rig = follower();
    ask(rig, INTERNAL_OP.createExtent, { extentId: ID });
    const bodies = Array.from({ length: 7 }, (_, i) => pattern(BLOCK_BYTES, i));
    for (const [block, body] of bodies.entries())
      piece(rig, ID, block * BLOCK_BYTES, body, { extentType: 1 });
    rig.run();
    ask(rig, INTERNAL_OP.syncExtent, { extentId: ID });
    const good = pattern(BLOCK_BYTES, 50);
    const disturb = (block: number): void => {
      rig.sim.addFault({ call: 'pwrite', path: new RegExp(`/${ID}$`), shortBytes: 60_000, count: 1 });
      t.notOk(heal(rig, block, bodies[block]!, good).ok);
    };
    for (const block of [6, 0, 3, 1, 4]) disturb(block);
    t.match(
      heal(rig, 2, bodies[2]!, good).error,
      /blocks 6, 0, 3, 1, 4 of the extent are to be healed first/,
    );
    const next = rig.next(rig.sim.powerLoss(1));
    t.same([...storeOf(next).unhealed], [[ID, [6, 0, 3, 1, 4]]]);
    rest(next);
    const isDamaged = (block: number): boolean => {
      const sent = next.sendRead(ID, block * BLOCK_BYTES, BLOCK_BYTES);
      next.run();
      return /is damaged/.test(sent.error);
    };
    t.same([0, 1, 2, 3, 4, 5, 6].map(isDamaged), [true, true, false, true, true, false, true]);
    const now = (block: number): Uint8Array =>
      next.sim.content(`${FOLDER}/${ID}`).slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES);
    const left = [6, 0, 3, 1, 4];
    for (const block of [3, 2, 6, 0, 4, 1]) {
      t.ok(heal(next, block, now(block), good).ok);
      if (left.includes(block)) left.splice(left.indexOf(block), 1);
      t.same(storeOf(next).unhealed.get(ID) ?? [], left);
    }
    t.same([...storeOf(next.next(next.sim.powerLoss(2))).unhealed], []);
  },
);

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
