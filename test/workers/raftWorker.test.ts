/** Raft in the workers of three nodes, and of one: elections, random writes, reads of the leader, and what ends them. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { IO, native } from '../../src/native/addon.js';
import { COMMAND } from '../../src/partition/messages.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeMessage, FRAME_HEAD_BYTES, RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { emptyMessage } from '../../src/raft/outbox.js';
import { RAFT_IN, RAFT_OUT } from '../../src/raft/ports.js';
import { DISK_WORK, DiskWork } from '../../src/shm/diskWork.js';
import { createLimitTable } from '../../src/shm/limitTable.js';
import { createDiskTable, DiskTable } from '../../src/shm/tables.js';
import { RAFT_WORD } from '../../src/workers/workerData.js';
import { until } from '../support/until.js';
import { hostOf, RaftWorkerNode, RaftWorkers } from './raftRig.js';
import { newRoot, PARTITION } from './workerRig.js';

const SLOW_WRITE_MS = 4_500;
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
  for (const { data } of rig.nodes) {
    const { counters } = new DiskWork(data.work);
    await rig.until(
      'its figures',
      () => counters.value(DISK_WORK.raftGroups) === 1 && counters.value(DISK_WORK.raftLeaders) > 0,
    );
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

t.test('the workers of a disk wait until the first of them has recovered it', async (t) => {
  const root = newRoot(t);
  const word = new Int32Array(new SharedArrayBuffer(4));
  const shared = { word, members: 2, workers: createDiskTable(2), limits: createLimitTable(2) };
  const life = new DiskTable(shared.workers);
  life.setHeartbeatMs(0, 123);
  const second = new RaftWorkerNode(root, 1, { ...shared, member: 1 });
  await until('the second one waits, and shows the life of the first', () => life.heartbeatMs(1) === 123);
  const loaded = (node: RaftWorkerNode) => (): boolean => {
    node.handle.drainEvents();
    return node.handle.loaded;
  };
  t.equal(loaded(second)(), false);
  const first = new RaftWorkerNode(root, 1, { ...shared, member: 0 });
  await until('both are loaded', () => [first, second].every((node) => loaded(node)()));
  t.equal(Atomics.load(word, 0), RAFT_WORD.recovered);
  t.same(readdirSync(join(root, '.extentd.raft')).sort(), ['0', '1'], 'each has a journal of its own');
  for (const node of [first, second]) node.handle.stop();
  await until('both have stopped', () =>
    [first, second].every((node) => {
      node.handle.drainEvents();
      return node.handle.stopped;
    }),
  );
});

t.test('where the journals cannot be recovered, partitions are served and no group runs', async (t) => {
  const root = newRoot(t);
  // A journal's folder that is a file.
  mkdirSync(join(root, '.extentd.raft'));
  writeFileSync(join(root, '.extentd.raft', '0'), 'no folder');
  const node = new RaftWorkerNode(root, 1);
  const rig = RaftWorkers.of([node]);
  await rig.until('it is loaded', () => node.handle.loaded);
  const partition = { ...PARTITION, members: [{ id: 1, addr: hostOf(1) }], hosts: [hostOf(1)] };
  t.match(await rig.command(node, COMMAND.createPartition, partition), { ok: true });
  t.match(node.lines.join(), /no raft group runs on this disk/);
  await rig.fill(before);
  t.equal((await rig.read(node, OP.streamRead, 4000)).text, before.toString());
  t.equal((await rig.randomWrite(node, 0, after)).text, 'ActionWrite:_RaftNotStarted key=<nil>');
  t.match(node.events, [{ value: { id: 7, reason: /./ } }]);
  node.handle.stop();
  await rig.until('it has stopped', () => node.handle.stopped);
});

t.test('a stream that brings no raft message is told to main by its number', async (t) => {
  const rig = await RaftWorkers.start(t, 1);
  const [node] = rig.nodes;
  node!.in.write(RAFT_IN.message, 42, Buffer.from('this is no message'));
  node!.wake();
  await rig.until('a complaint', () => node!.told.length > 0);
  t.match(node!.told, [{ kind: RAFT_OUT.badStream, a: 42, text: /^raft message: / }]);
});

t.test(
  'what main does not take for a while waits in the worker, in order, and complaints are never dropped',
  async (t) => {
    const rig = await RaftWorkers.start(t, 1);
    const [node] = rig.nodes;
    // Each complaint is longer than what it complains of: together they are several rings and what may wait beside.
    const count = 120_000;
    let sent = 0;
    for (; sent < count; await new Promise(setImmediate)) {
      while (sent < count && node!.in.write(RAFT_IN.message, sent, Buffer.from('no message'))) sent += 1;
      node!.wake();
    }
    await rig.until('all complaints', () => node!.told.length === count);
    t.same(
      node!.told.every(({ kind, a }, index) => kind === RAFT_OUT.badStream && a === index),
      true,
    );
  },
);

t.test(
  'messages to peers that main does not take are dropped beyond a bound, counted and told in the log',
  async (t) => {
    const rig = await RaftWorkers.start(t, 3);
    const [node] = rig.nodes;
    // Each asks for an answer: entries behind some that are not here.
    const message = emptyMessage(RAFT_MESSAGE.appendRequest, PARTITION.partitionId, 2, 1, 7);
    message.index = 500;
    const body = encodeMessage(message).subarray(FRAME_HEAD_BYTES);
    const counters = new DiskWork(node!.data.work).counters;
    const dropped = (): number => counters.value(DISK_WORK.raftDropped);
    await until('some are dropped', () => {
      for (let i = 0; i < 10_000 && node!.in.write(RAFT_IN.message, 1, body); i += 1);
      node!.wake();
      return dropped() > 0;
    });
    await rig.until('a line', () => /takes no raft messages: they are dropped/.test(node!.lines.join()));
  },
);

t.test('a stop whose journal does not become durable is given up', async (t) => {
  const root = newRoot(t);
  const node = new RaftWorkerNode(root, 1);
  const rig = RaftWorkers.of([node]);
  await rig.until('it is loaded', () => node.handle.loaded);
  const partition = { ...PARTITION, members: [{ id: 1, addr: hostOf(1) }], hosts: [hostOf(1)] };
  t.match(await rig.command(node, COMMAND.createPartition, partition), { ok: true });
  await rig.fill(before);
  await rig.serve();
  t.equal((await rig.randomWrite(node, 0, after)).resultCode, RESULT.ok);
  // Longer than until the stop is asked for and given up.
  native.setFault(0, [IO.pwrite], 'delay', SLOW_WRITE_MS, 1);
  t.teardown(() => native.clearFaults(0));
  const write = node.send({ opcode: OP.randomWrite, extentId: 1025, extentOffset: 2000, body: after });
  await rig.until(
    'the write is under way',
    () => new DiskWork(node.data.work).counters.value(DISK_WORK.raftWaiting) > 0,
  );
  node.handle.stop();
  await rig.until('it has stopped', () => node.handle.stopped);
  t.match(write(), { resultCode: RESULT.again, text: 'ActionWrite:_try again' });
  t.equal(node.stopped, false, 'not cleanly');
  t.match(node.lines.join(), /raft did not stop cleanly: its groups did not come to rest/);
});
