/** Raft in the workers of three nodes, and of one: elections, random writes, reads of the leader, and what ends them. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { COMMAND } from '../../src/partition/messages.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { hostOf, RaftWorkers } from './raftRig.js';

const before = Buffer.alloc(4000, 'before.');
const after = Buffer.alloc(1000, 'after--');

t.test('three workers elect a leader, and a random write is on all of them', async (t) => {
  const rig = await RaftWorkers.start(t, 3);
  await rig.fill(before);
  for (const { addresses } of rig.nodes)
    t.same([...addresses.keys()].sort(), [1, 2, 3], 'each member’s address is told');
  t.equal(rig.nodes[0]!.addresses.get(2), hostOf(2).split(':')[0]);
  t.equal(
    (await rig.read(rig.nodes[0]!, OP.streamRead, 4000)).text,
    'ActionStreamRead_raft is not the leader.',
  );
  await rig.serve();
  const leader = await rig.leader();
  t.equal((await rig.randomWrite(leader, 500, after)).resultCode, RESULT.ok);
  const expected = Buffer.from(before);
  after.copy(expected, 500);
  for (const node of rig.nodes) {
    let there = '';
    while (there !== expected.toString('latin1'))
      there = (await rig.read(node, OP.streamFollowerRead, 4000)).text;
    t.pass(`node ${node.nodeId} has it`);
  }
  const read = await rig.read(leader, OP.streamRead, 4000);
  t.equal(read.text, expected.toString('latin1'), 'the leader reads it when a majority has confirmed it');
  const follower = rig.nodes.find((node) => node !== leader)!;
  const refused = await rig.randomWrite(follower, 0, after);
  t.match(refused, { resultCode: RESULT.tryOtherAddr, text: 'ActionWrite:_raft is not the leader.' });
  const status = await rig.command(leader, COMMAND.query, { kind: 'raft', partitionId: 7, extentId: 0 });
  t.match(status, {
    ok: true,
    value: { ID: 7, NodeID: leader.nodeId, Leader: leader.nodeId, Stopped: false, State: 'StateLeader' },
  });
});

t.test('a leader that is cut off reads nothing, and the others go on', async (t) => {
  const rig = await RaftWorkers.start(t, 3);
  await rig.fill(before);
  await rig.serve();
  const old = await rig.leader();
  t.equal((await rig.randomWrite(old, 0, after)).resultCode, RESULT.ok);
  rig.passes = (from, to) => from !== old.nodeId && to !== old.nodeId;
  const read = old.send({ opcode: OP.streamRead, extentId: 1025, size: 1000 });
  const write = old.send({ opcode: OP.randomWrite, extentId: 1025, extentOffset: 0, body: before });
  const others = rig.nodes.filter((node) => node !== old);
  const leader = await rig.leader(others);
  t.equal((await rig.randomWrite(leader, 2000, after)).resultCode, RESULT.ok);
  await rig.until(
    'the reads and writes of the old leader have ended',
    () => read() !== undefined && write() !== undefined,
  );
  for (const reply of [read()!, write()!])
    t.match(reply, { resultCode: RESULT.tryOtherAddr, text: /raft is not the leader\.$/ });
  rig.passes = () => true;
  const expected = Buffer.from(before);
  after.copy(expected, 0);
  after.copy(expected, 2000);
  let there = '';
  while (there !== expected.toString('latin1'))
    there = (await rig.read(old, OP.streamFollowerRead, 4000)).text;
  t.pass('what was never committed is not carried out, what the others have agreed on is');
});

t.test('a lone replica: what comes before the node serves waits for its lead', async (t) => {
  const rig = await RaftWorkers.start(t, 1);
  const [node] = rig.nodes;
  await rig.fill(before);
  const early = node!.send({ opcode: OP.randomWrite, extentId: 1025, extentOffset: 0, body: after });
  t.equal(
    (await rig.read(node!, OP.streamRead, 1000)).text,
    before.toString('latin1', 0, 1000),
    'it reads at once',
  );
  t.equal(early(), undefined, 'the write waits');
  await rig.serve();
  await rig.until('the write is carried out', () => early() !== undefined);
  t.equal(early()!.resultCode, RESULT.ok);
  t.equal((await rig.read(node!, OP.streamRead, 1000)).text, after.toString());
});

t.test('what waits when its partition is deleted, or its node stops, ends', async (t) => {
  const rig = await RaftWorkers.start(t, 1);
  const [node] = rig.nodes;
  await rig.fill(before);
  const deleted = node!.send({ opcode: OP.randomWrite, extentId: 1025, extentOffset: 0, body: after });
  t.same(await rig.command(node!, COMMAND.deletePartition, { id: 7 }), { ok: true, value: null });
  t.match(deleted(), { resultCode: RESULT.tryOtherAddr, text: 'ActionWrite:_data partition not exists' });
  t.same(
    readdirSync(node!.data.root).filter((name) => name.startsWith('datapartition_')),
    [],
  );
  const other = await RaftWorkers.start(t, 1);
  await other.fill(before);
  const [stopping] = other.nodes;
  const stopped = stopping!.send({ opcode: OP.randomWrite, extentId: 1025, extentOffset: 0, body: after });
  stopping!.handle.stop();
  await other.until('the worker has stopped', () => stopping!.handle.stopped);
  t.match(stopped(), { resultCode: RESULT.again, text: 'ActionWrite:_try again' });
  t.equal(stopping!.stopped, true, 'cleanly');
  t.ok(
    readdirSync(join(stopping!.data.root, '.extentd.raft', '0')).includes('emptied'),
    'with an empty journal',
  );
});
