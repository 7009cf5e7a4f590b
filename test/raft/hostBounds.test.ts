/**
 * The host's bounds: what memory holds, what is too much, what is too long, and what is read back.
 */
import t from 'tap';
import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import { GROUP, HostRig, ListMachine, nodeDisk, RigNode } from './hostRig.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

t.test('entries that a snapshot has replaced are not waited for any more', async (t) => {
  const node = new RigNode(2, [1, 2, 3], nodeDisk(2), { limits: { cacheBytes: 0, applyWindowBytes: 1 } });
  const from1 = (fields: Partial<RaftMessage>): string | null =>
    node.host.receive({
      ...{ type: RAFT_MESSAGE.appendRequest, forceVote: false, reject: false, rejectIndex: 0, group: GROUP },
      ...{ from: 1, to: 2, term: 1, logTerm: 0, index: 0, commit: 0, entries: [], context: bytes('') },
      ...{ snapshot: null, ...fields },
    });
  node.machine.paused = true;
  const entries = [1, 2, 3].map((index) => ({
    type: 0,
    term: 1,
    index,
    data: bytes(`${index}`.padStart(500)),
  }));
  from1({ entries, commit: 3 });
  node.settle();
  node.host.tick();
  node.disk.addFault({ call: 'pread', path: /wal_7/, hang: true, count: 10 });
  node.machine.paused = false;
  node.machine.resume();
  node.settle();
  const { core } = node.host.group(GROUP)!;
  t.match(core.wantsLog, { from: 2 }, 'the second entry has left the memory, and the disk does not read');
  const peers = [1, 2, 3].map((nodeId) => ({ type: 0, priority: 0, nodeId }));
  from1({ type: RAFT_MESSAGE.snapshot, snapshot: { index: 100, term: 1, peers } });
  node.settle();
  t.equal(node.machine.restoredTo, 100);
  t.equal(core.wantsLog, null);
  t.same(node.failures, []);
});

t.test('memory: a state machine that does not go on keeps no entries in it', async (t) => {
  const rig = new HostRig(1, { limits: { cacheBytes: 1000, applyWindowBytes: 1000 } });
  const leader = rig.elect();
  leader.machine.paused = true;
  for (let i = 0; i < 100; i += 1) leader.host.propose(GROUP, bytes(`${i}`.padStart(100)), () => undefined);
  rig.run();
  rig.tick();
  t.ok(leader.host.group(GROUP)!.core.log.cachedBytes < 4000, 'only a little is kept');
  leader.machine.paused = false;
  leader.machine.resume();
  for (let ticks = 0; ticks < 3; ticks += 1) rig.tick();
  t.equal(leader.machine.commands.length, 100, 'and all of it is applied');
  t.equal(leader.machine.commands.at(-1), '99'.padStart(100), 'in order');
});

t.test('memory: entries that are applied and filed leave it, and come back for who needs them', async (t) => {
  const rig = new HostRig(3, { limits: { cacheBytes: 1000 } });
  const leader = rig.elect();
  const away = rig.nodes.find((node) => node !== leader)!;
  rig.passes = ({ to }) => to !== away.id;
  for (let i = 0; i < 100; i += 1) leader.host.propose(GROUP, bytes(`${i}`.padStart(100)), () => undefined);
  rig.run();
  rig.tick();
  t.ok(leader.host.group(GROUP)!.core.log.cachedBytes < 2000, 'only a little is kept');
  t.equal(leader.host.pinnedBytes, 0);
  rig.passes = () => true;
  for (let ticks = 0; ticks < 6; ticks += 1) rig.tick();
  t.equal(away.machine.commands.length, 100);
});

t.test(
  'too much that is not durable yet: proposals are told to try again, appends of others dropped',
  async (t) => {
    const rig = new HostRig(3, { limits: { pinnedBytesMax: 500 } });
    const leader = rig.elect();
    const ends: (string | null)[] = [];
    leader.host.propose(GROUP, bytes('x'.repeat(600)), (error) => ends.push(error));
    leader.host.turn();
    leader.host.propose(GROUP, bytes('y'), (error) => ends.push(error));
    t.same(ends, ['try again']);
    rig.run();
    t.same(ends, ['try again', null], 'what was taken in goes on');
  },
);

t.test(
  'a disk that does not read holds up the follower that needs old entries, and nobody else',
  async (t) => {
    const rig = new HostRig(3, { limits: { cacheBytes: 1000 } });
    const leader = rig.elect();
    const away = rig.nodes.find((node) => node !== leader)!;
    rig.passes = ({ to }) => to !== away.id;
    for (let i = 0; i < 100; i += 1) leader.host.propose(GROUP, bytes(`${i}`.padStart(100)), () => undefined);
    rig.run();
    rig.tick();
    leader.disk.addFault({ call: 'pread', path: /wal_7/, hang: true, count: 1 });
    rig.passes = () => true;
    for (let ticks = 0; ticks < 6; ticks += 1) rig.tick();
    const ends: (string | null)[] = [];
    leader.host.propose(GROUP, bytes('new'), (error) => ends.push(error));
    rig.run();
    t.same(ends, [null]);
    t.equal(leader.host.group(GROUP)!.core.isLeader, true);
    t.equal(away.machine.commands.length, 0, 'its entries are still being read');
  },
);

t.test('an entry that no frame can hold is refused, whoever sends it, and costs nothing else', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  const long = new Uint8Array(leader.journal.logRecordBytesMax);
  const ends: (string | null)[] = [];
  leader.host.propose(GROUP, long, (error) => ends.push(error));
  t.match(ends, [/longer than the journal takes/]);
  const follower = rig.nodes.find((node) => node !== leader)!;
  const { log, term } = follower.host.group(GROUP)!.core;
  const refusal = follower.host.receive({
    ...{ type: RAFT_MESSAGE.appendRequest, forceVote: false, reject: false, rejectIndex: 0, group: GROUP },
    ...{ from: leader.id, to: follower.id, term, logTerm: log.lastTerm, index: log.lastIndex, commit: 0 },
    entries: [{ type: 0, term, index: log.lastIndex + 1, data: long }],
    ...{ context: bytes(''), snapshot: null },
  });
  t.match(refusal, /longer than the journal takes/);
  leader.host.propose(GROUP, bytes('a'), (error) => ends.push(error));
  rig.run();
  t.equal(ends[1], null);
  t.same(
    rig.nodes.flatMap(({ failures }) => failures),
    [],
  );
});

t.test('proposals that wait for a turn count as memory', async (t) => {
  const rig = new HostRig(1, { limits: { pinnedBytesMax: 1000 } });
  const leader = rig.elect();
  const ends: (string | null)[] = [];
  for (let i = 0; i < 3; i += 1) leader.host.propose(GROUP, new Uint8Array(600), (error) => ends.push(error));
  t.same(ends, ['try again'], 'two were over the bound together');
  rig.run();
  t.same(ends, ['try again', null, null]);
  t.equal(leader.host.pinnedBytes, 0);
});

t.test('a folder that takes nothing more keeps no other group from being made durable', async (t) => {
  const rig = new HostRig(1);
  const leader = rig.elect();
  const other = new ListMachine();
  const peers = [{ type: 0, priority: 0, nodeId: 1 }];
  const start = { group: 8, path: '/d/wal_8', peers, machine: other, lost: false };
  t.equal(leader.host.start(start), null);
  for (let ticks = 0; ticks < 20; ticks += 1) rig.tick();
  leader.disk.addFault({ call: 'pwrite', path: /wal_7/, errno: 5, count: 1 });
  leader.host.propose(GROUP, bytes('a'), () => undefined);
  rig.run();
  t.match(leader.failures, [/write of the log folder/]);
  const before = leader.disk.trace.length;
  // Most of the journal is needed now, the oldest segment by the group that has failed.
  const ends: (string | null)[] = [];
  for (let i = 0; i < 40; i += 1) {
    leader.host.propose(8, new Uint8Array(16_000), (error) => ends.push(error));
    rig.run();
  }
  t.ok(ends.filter((error) => error === null).length > 20);
  t.same([...leader.journal.unsettledGroups()].sort(), [GROUP, 8].sort());
  t.ok(leader.disk.trace.includes('fdatasync /d/wal_8/META', before), 'group 8 was made durable meanwhile');
});
