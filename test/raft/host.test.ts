/**
 * The host: what leaves when, what a failure ends, what a stop leaves.
 */
import assert from 'node:assert';
import t from 'tap';
import { RAFT_MESSAGE, type RaftMessage } from '../../src/protocol/raftMessage.js';
import { openGroupFolder } from '../../src/raft/folderOpen.js';
import { emptyMessage } from '../../src/raft/outbox.js';
import { GROUP, HostRig, nodeDisk, RigNode } from './hostRig.js';

const bytes = (text: string): Uint8Array => Buffer.from(text);

t.test('three nodes elect, commit and apply alike', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  const ends: (string | null)[] = [];
  for (const text of ['a', 'b', 'c']) leader.host.propose(GROUP, bytes(text), (error) => ends.push(error));
  rig.run();
  t.same(ends, [null, null, null]);
  for (const { machine } of rig.nodes) t.same(machine.commands, ['a', 'b', 'c']);
});

t.test('a follower refuses proposals; an unknown group too', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  const follower = rig.nodes.find((node) => node !== leader)!;
  const ends: (string | null)[] = [];
  follower.host.propose(GROUP, bytes('x'), (error) => ends.push(error));
  follower.host.propose(99, bytes('x'), (error) => ends.push(error));
  rig.run();
  t.same(ends, ['raft not exists.', 'raft is not the leader.']);
});

t.test('nothing that promises durability leaves before the journal is durable', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  const follower = rig.nodes.find((node) => node !== leader)!;
  leader.host.propose(GROUP, bytes('a'), () => undefined);
  leader.host.turn();
  const append = leader.outbox.find(
    ({ type, to }) => type === RAFT_MESSAGE.appendRequest && to === follower.id,
  );
  t.ok(append, 'the leader’s own appends wait for nothing');
  follower.host.receive(append!);
  follower.host.turn();
  t.equal(follower.outbox.length, 0, 'the answer waits');
  while (follower.disk.step()) follower.disk.drainCompletions();
  t.equal(follower.outbox.length, 1, 'and leaves');
  t.equal(follower.outbox[0]!.index, append!.entries[0]!.index);
});

t.test('nothing is promised before what the folder held at the start is durable', async (t) => {
  const voteRequest: RaftMessage = {
    ...{ type: RAFT_MESSAGE.voteRequest, forceVote: false, reject: false, rejectIndex: 0, group: GROUP },
    ...{
      from: 1,
      to: 2,
      term: 1,
      logTerm: 0,
      index: 0,
      commit: 0,
      entries: [],
      context: bytes(''),
      snapshot: null,
    },
  };
  for (const hangs of [true, false]) {
    const disk = nodeDisk(2);
    if (hangs) disk.addFault({ call: 'fdatasync', path: /wal_7/, hang: true, count: 10 });
    const node = new RigNode(2, [1, 2, 3], disk);
    node.host.receive(voteRequest);
    node.settle();
    t.equal(
      node.outbox.length,
      hangs ? 0 : 1,
      hangs ? 'the journal is durable, the folder is not' : 'both are',
    );
  }
});

t.test('a lone leader commits when its own log is durable, not before', async (t) => {
  const rig = new HostRig(1);
  const leader = rig.elect();
  const ends: (string | null)[] = [];
  leader.host.propose(GROUP, bytes('a'), (error) => ends.push(error));
  leader.host.turn();
  t.same(ends, []);
  rig.run();
  t.same(ends, [null]);
});

t.test('a journal that fails ends all groups, with the reason, and answers who waits', async (t) => {
  const rig = new HostRig(1);
  const leader = rig.elect();
  leader.disk.addFault({ call: 'pwrite', path: /extentd\.raft/, errno: 5, count: 1 });
  const ends: (string | null)[] = [];
  leader.host.propose(GROUP, bytes('a'), (error) => ends.push(error));
  rig.run();
  t.match(ends[0], /raft journal: errno 5/);
  t.match(leader.failures, [/raft journal: errno 5/]);
  leader.host.propose(GROUP, bytes('b'), (error) => ends.push(error));
  t.match(ends[1], /raft journal: errno 5/);
});

t.test('a folder that fails ends its group; the journal keeps what it lacks', async (t) => {
  const rig = new HostRig(1);
  const leader = rig.elect();
  leader.disk.addFault({ call: 'pwrite', path: /wal_7/, errno: 5, count: 1 });
  leader.host.propose(GROUP, bytes('a'), () => undefined);
  rig.run();
  t.match(leader.failures, [/write of the log folder: errno 5/]);
  const problems = stop(leader);
  t.match(problems, [/raft log of partition 7 is not complete/]);
});

t.test('a full disk delays the folder and nothing else', async (t) => {
  const rig = new HostRig(1);
  const leader = rig.elect();
  leader.disk.addFault({ call: 'pwrite', path: /wal_7/, errno: 28, count: 3 });
  const ends: (string | null)[] = [];
  leader.host.propose(GROUP, bytes('a'), (error) => ends.push(error));
  rig.run();
  t.same(ends, [null], 'it is durable in the journal');
  for (let ticks = 0; ticks < 5; ticks += 1) rig.tick();
  t.same(stop(leader), []);
  t.same(leader.failures, []);
});

t.test(
  'a clean stop leaves the folder as it would be in Go, and an empty journal; a restart goes on',
  async (t) => {
    const rig = new HostRig(1);
    const leader = rig.elect();
    for (const text of ['a', 'b']) leader.host.propose(GROUP, bytes(text), () => undefined);
    rig.run();
    t.same(stop(leader), []);
    const opened = openGroupFolder(leader.disk, `/d/wal_${GROUP}`);
    assert(opened.ok);
    t.match(opened.state, { lastIndex: 3, hardState: { vote: 1, commit: 3 }, notes: [], shortened: false });
    opened.folder.close();
    const next = new RigNode(1, [1], leader.disk.processEnd(2));
    next.settle();
    t.same(next.machine.commands, ['a', 'b'], 'what is committed is applied anew');
  },
);

t.test('a broken invariant of the core ends its group, not the process', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  const follower = rig.nodes.find((node) => node !== leader)!;
  const { log, term } = follower.host.group(GROUP)!.core;
  follower.host.receive({
    ...{ type: RAFT_MESSAGE.appendRequest, forceVote: false, reject: false, rejectIndex: 0, group: GROUP },
    ...{ from: leader.id, to: follower.id, term: term + 1, logTerm: 0, index: 0, commit: 0 },
    entries: [{ type: 0, term: log.lastTerm + 1, index: 1, data: bytes('other') }],
    ...{ context: bytes(''), snapshot: null },
  });
  t.match(follower.failures, [/conflicts with the committed one/]);
});

t.test('a group that leaves while its folder is being made durable ends nothing else', async (t) => {
  const rig = new HostRig(1);
  const leader = rig.elect();
  const group = leader.host.group(GROUP)!;
  leader.host.propose(GROUP, bytes('a'), () => undefined);
  rig.run();
  group.checkpoint();
  t.equal(group.isBusy, true);
  t.equal(leader.host.remove(GROUP), 0);
  leader.settle();
  t.equal(leader.journal.queuedBytes, 0, 'the end is in the journal, and nothing behind it');
});

t.test(
  'before a group has begun no checkpoint is told: what the journal has is not in its folder',
  async (t) => {
    const disk = nodeDisk(2);
    disk.addFault({ call: 'fdatasync', path: /wal_7/, hang: true, count: 10 });
    const node = new RigNode(1, [1], disk);
    for (let ticks = 0; ticks < 20; ticks += 1) {
      node.host.tick();
      node.settle();
    }
    t.ok(node.journal.durableFrame > 0, 'its vote for itself is in the journal');
    node.host.group(GROUP)!.checkpoint();
    node.settle();
    t.equal(node.host.group(GROUP)!.isBusy, false);
    t.ok(node.journal.unsettledGroups().has(GROUP));
  },
);

t.test('a leader whose disk hangs sends no heartbeats, so that another is elected', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  leader.disk.addFault({ call: 'pwrite', path: /extentd\.raft/, hang: true, count: 1 });
  leader.host.propose(GROUP, bytes('a'), () => undefined);
  for (let ticks = 0; ticks < 20; ticks += 1) rig.tick();
  const now = rig.leader;
  t.ok(now !== undefined && now !== leader);
});

t.test('a leader whose journal has no room gives way, and its groups go on when it has', async (t) => {
  const rig = new HostRig(3);
  const old = rig.elect();
  old.disk.addFault({ call: 'pwrite', path: /extentd\.raft/, errno: 28, count: 25 });
  const ends: (string | null)[] = [];
  old.host.propose(GROUP, bytes('a'), (error) => ends.push(error));
  for (let ticks = 0; ticks < 12; ticks += 1) rig.tick();
  const { leader } = rig;
  assert(leader !== undefined && leader !== old);
  leader.host.propose(GROUP, bytes('b'), (error) => ends.push(error));
  rig.run();
  t.same(ends, ['raft is not the leader.', null]);
  for (let ticks = 0; ticks < 20; ticks += 1) rig.tick();
  t.same(old.failures, []);
  for (const { machine } of rig.nodes) t.same(machine.commands, ['a', 'b']);
});

t.test('what waits for a disk that takes nothing is bounded, and ends when it takes something', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  const node = rig.nodes.find((each) => each !== leader)!;
  rig.passes = ({ from, to }) => from !== node.id && to !== node.id;
  node.disk.addFault({ call: 'pwrite', path: /extentd\.raft/, errno: 28, count: 2000 });
  const { core } = node.host.group(GROUP)!;
  for (let ticks = 0; ticks < 1500; ticks += 1) rig.tick();
  const { term } = core;
  const { queuedBytes } = node.journal;
  t.ok(term > 5 && term < 100, `${term} campaigns`);
  node.host.receive(emptyMessage(RAFT_MESSAGE.voteRequest, GROUP, leader.id, node.id, term + 1));
  t.equal(core.term, term, 'a message is passed over');
  rig.passes = () => true;
  for (let ticks = 0; ticks < 400; ticks += 1) rig.tick();
  t.same([core.term, node.journal.queuedBytes], [term, queuedBytes], 'nothing more comes to it');
  for (let ticks = 0; ticks < 200; ticks += 1) rig.tick();
  rig.leader!.host.propose(GROUP, bytes('a'), () => undefined);
  for (let ticks = 0; ticks < 5; ticks += 1) rig.tick();
  t.same(node.machine.commands, ['a']);
  t.same(node.failures, []);
});

t.test(
  'a leader whose state machine has no room gives its lead away, and says so to who waits',
  async (t) => {
    const rig = new HostRig(3);
    const old = rig.elect();
    rig.tick();
    old.machine.paused = true;
    const ends: (string | null)[] = [];
    old.host.propose(GROUP, bytes('a'), (error) => ends.push(error));
    rig.run();
    old.machine.lacksRoom = true;
    for (let ticks = 0; ticks < 5; ticks += 1) rig.tick();
    t.same(ends, ['raft is not the leader.'], 'the outcome is not known');
    const { leader } = rig;
    assert(leader !== undefined && leader !== old);
    leader.host.propose(GROUP, bytes('b'), (error) => ends.push(error));
    leader.host.confirmRead(GROUP, (error) => ends.push(error));
    rig.run();
    t.same(ends.slice(1), [null, null]);
    for (let ticks = 0; ticks < 30; ticks += 1) rig.tick();
    t.equal(rig.leader, leader, 'it does not take it back');
    old.machine.lacksRoom = false;
    old.machine.paused = false;
    old.machine.resume();
    rig.tick();
    for (const { machine } of rig.nodes) t.same(machine.commands, ['a', 'b']);
  },
);

t.test('a read waits for a majority that says who leads, and for what is committed by then', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  const ends: (string | null)[] = [];
  const read = (): void => leader.host.confirmRead(GROUP, (error) => ends.push(error));
  read();
  leader.host.turn();
  t.same(ends, [], 'not by itself');
  rig.run();
  t.same(ends, [null]);
  rig.nodes.find((node) => node !== leader)!.host.confirmRead(GROUP, (error) => ends.push(error));
  rig.run();
  t.same(ends, [null, 'raft is not the leader.']);
});

t.test('a leader that was deposed without knowing reads nothing', async (t) => {
  const rig = new HostRig(3);
  const old = rig.elect();
  rig.passes = ({ from, to }) => from !== old.id && to !== old.id;
  const ends: (string | null)[] = [];
  old.host.confirmRead(GROUP, (error) => ends.push(error));
  for (let ticks = 0; ticks < 2; ticks += 1) rig.tick();
  t.same(ends, [], 'nobody answers');
  for (let ticks = 0; ticks < 10; ticks += 1) rig.tick();
  t.same(ends, ['raft is not the leader.']);
});

t.test('a question or an answer that is lost is asked again', async (t) => {
  const rig = new HostRig(3);
  const leader = rig.elect();
  rig.passes = ({ type }) => type !== RAFT_MESSAGE.checkQuorumRequest;
  const ends: (string | null)[] = [];
  leader.host.confirmRead(GROUP, (error) => ends.push(error));
  rig.run();
  rig.passes = () => true;
  rig.tick();
  t.same(ends, [null]);
});

/** Stops a node cleanly; the problems. */
function stop(node: RigNode): string[] {
  for (let turns = 0; turns < 100; turns += 1) {
    const problems = node.host.stopStep();
    if (problems !== null) return problems;
    node.disk.step();
    node.disk.drainCompletions();
  }
  throw new Error('the stop does not end');
}

t.test('a node on an empty disk has nothing to say', async (t) => {
  const node = new RigNode(1, [1, 2, 3], nodeDisk(1));
  node.settle();
  t.same([node.outbox, node.lines], [[], []]);
});

t.test(
  'the members of a snapshot are kept before its log is taken; without them it is refused',
  async (t) => {
    const verdicts: boolean[] = [];
    const snapshotVerdict = ({ accepted }: { accepted: boolean }): void => void verdicts.push(accepted);
    const node = new RigNode(1, [1, 2], nodeDisk(1), { snapshotVerdict });
    const peers = [1, 2, 3].map((nodeId) => ({ type: 0, priority: 0, nodeId }));
    const header = {
      ...{ type: RAFT_MESSAGE.snapshot, forceVote: false, reject: false, rejectIndex: 0, group: GROUP },
      ...{ from: 2, to: 1, term: 4, logTerm: 0, index: 0, commit: 0, entries: [], context: bytes('') },
      snapshot: { index: 20, term: 3, peers },
    };
    const { core } = node.host.group(GROUP)!;
    node.machine.keepsNobody = 'no space left on device';
    node.host.receive(header);
    node.settle();
    t.same([verdicts, core.term, core.log.cutIndex, core.members().length], [[false], 0, 0, 2]);
    node.machine.keepsNobody = null;
    node.host.receive({ ...header });
    t.same([node.machine.members, verdicts.length], [[[1, 2, 3]], 1], 'kept, and nothing is durable yet');
    node.settle();
    t.same([verdicts, core.log.cutIndex, core.members().length], [[false, true], 20, 3]);
    node.host.receive({ ...header });
    node.settle();
    t.same(
      [verdicts, node.machine.members.length],
      [[false, true, true], 1],
      'what is known replaces nothing',
    );
  },
);
