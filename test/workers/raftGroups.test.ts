/** When groups begin and end with their partitions, what main is told of them, and what is cut of their logs; on a simulated disk. */

import { crc32 } from 'node:zlib';
import t from 'tap';
import { INTERNAL_OP } from '../../src/partition/internalOps.js';
import { EVENT } from '../../src/partition/messages.js';
import { encodeMemberChange } from '../../src/protocol/memberChange.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeUint64Body } from '../../src/protocol/queries.js';
import { RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { CHANGE_TYPE, ENTRY_TYPE, encodeConfigurationChange } from '../../src/protocol/raftStructs.js';
import { emptyMessage } from '../../src/raft/outbox.js';
import { PARTITION_FLAG } from '../../src/shm/tables.js';
import { readMeta } from '../../src/storage/metaFile.js';
import { GroupsRig, NODE_ID, ROOT } from './groupsRig.js';

const body = Buffer.alloc(4096, 'random');
const MEMBERS = [1, 2, 3].map((id) => ({ id, addr: `10.0.0.${id}:17310` }));
const HOSTS = MEMBERS.map(({ addr }) => addr);
const NOBODY = { id: 0, addr: '' };
const MINUTE_MS = 60_000;

/** A lone replica that leads and has extent 1025 with two pages. */
function leading(): GroupsRig {
  const rig = new GroupsRig();
  rig.create();
  rig.groups.serve();
  rig.run();
  t.ok(rig.ask({ opcode: OP.createExtent }, new Uint8Array(8)).ok);
  t.ok(rig.ask({ opcode: OP.write, extentId: 1025, crc: crc32(Buffer.alloc(8192)) }, Buffer.alloc(8192)).ok);
  rig.told();
  return rig;
}

function randomWrite(rig: GroupsRig): ReturnType<GroupsRig['ask']> {
  return rig.ask({ opcode: OP.randomWrite, extentId: 1025, crc: crc32(body) }, body);
}

function change(type: number, addPeer: typeof NOBODY, removePeer: typeof NOBODY): Uint8Array {
  const nodeId = addPeer.id + removePeer.id;
  const context = encodeMemberChange({ addPeer, partitionId: 7, removePeer });
  return encodeConfigurationChange({ type, peer: { type: 0, priority: 0, nodeId }, context });
}

t.test(
  'a deletion waits for the end of its group in the journal, and nothing of the partition is left',
  async (t) => {
    const rig = leading();
    t.ok(randomWrite(rig).ok);
    const first = rig.remove();
    const second = rig.remove();
    rig.run(false);
    t.equal(first.outcome, null, 'the record of the end is not durable');
    t.match(rig.names().join(), /datapartition_7_/);
    t.throws(() => rig.create(), /being deleted/);
    rig.run();
    for (const { outcome } of [first, second]) t.same(outcome, { ok: true, value: null });
    t.notMatch(rig.names().join(), /datapartition/);
    const again = rig.restart();
    t.equal(again.set.get(7), undefined);
    again.create();
    again.groups.serve();
    again.run();
    t.equal(again.partition.isLeader, true, 'the id is used again');
  },
);

t.test('the shared table knows at once who leads and what is out of service', async (t) => {
  const rig = new GroupsRig();
  const members = [NODE_ID, 3, 4].map((id) => ({ id, addr: `10.0.0.${id}:17310` }));
  rig.create({ members, hosts: members.map(({ addr }) => addr) });
  rig.groups.serve();
  const flags = (): number => rig.table.flags(rig.table.rowOf(7));
  const hears = (type: number, term: number): void => {
    rig.host.receive(emptyMessage(type, 7, 3, NODE_ID, term));
    rig.run();
  };
  rig.host.campaign(7);
  rig.run();
  hears(RAFT_MESSAGE.voteResponse, 1);
  t.equal(flags(), 0);
  hears(RAFT_MESSAGE.electionAckResponse, 1);
  t.equal(flags(), PARTITION_FLAG.leader);
  hears(RAFT_MESSAGE.appendRequest, 2);
  t.equal(flags(), 0);
  rig.disk.addFault({ call: 'pwrite', path: /\.extentd\.raft/, errno: 5, count: 1 });
  hears(RAFT_MESSAGE.electionAckRequest, 3);
  t.equal(flags(), PARTITION_FLAG.raftOut);
  t.equal(rig.groups.leadersSeen, 3, 'itself, and two others');
});

t.test('a journal that has failed ends the groups and holds up no deletion', async (t) => {
  const rig = leading();
  rig.disk.addFault({ call: 'pwrite', path: /\.extentd\.raft/, errno: 5, count: 1 });
  const failed = randomWrite(rig);
  t.match(failed.error, /ActionWrite:_write of the raft journal: errno 5/);
  t.match(rig.told(), [{ kind: EVENT.raft, value: { id: 7, reason: /journal/ } }]);
  t.equal(randomWrite(rig).error, 'ActionWrite:_RaftNotStarted key=<nil>');
  t.ok(rig.ask({ opcode: OP.streamRead, extentId: 1025, size: 4096 }).ok, 'the partition is served');
  const removal = rig.remove();
  rig.run();
  t.same(removal.outcome, { ok: true, value: null });
});

t.test('a replica that its group has removed goes, and main is told', async (t) => {
  const rig = leading();
  rig.host.propose(
    7,
    change(CHANGE_TYPE.remove, NOBODY, MEMBERS[1]!),
    () => undefined,
    ENTRY_TYPE.configurationChange,
  );
  rig.run();
  t.same(
    rig.told().filter(({ kind }) => kind !== EVENT.log),
    [{ kind: EVENT.detached, value: { id: 7 } }],
  );
  t.notMatch(rig.names().join(), /datapartition/);
  t.equal(rig.set.get(7), undefined);
});

t.test('other members are told to main, with where they are', async (t) => {
  const rig = leading();
  rig.host.propose(
    7,
    change(CHANGE_TYPE.add, MEMBERS[2]!, NOBODY),
    () => undefined,
    ENTRY_TYPE.configurationChange,
  );
  rig.run();
  const [, own, other] = MEMBERS;
  t.match(rig.told(), [
    { kind: EVENT.members, value: { id: 7, hosts: [own!.addr, other!.addr], peers: [own, other] } },
  ]);
  t.same(
    [...rig.addresses],
    [
      [2, '10.0.0.2'],
      [3, '10.0.0.3'],
    ],
  );
  const read = rig.store.send({ opcode: OP.streamRead, extentId: 1025, size: 4096 });
  rig.run();
  t.equal(read.ended, false, 'a read waits for the other member now');
  t.equal(rig.groups.waitingForOthers, 1);
  rig.groups.end(7, () => undefined);
  t.equal(read.error, 'ActionStreamRead_data partition not exists');
  t.equal(rig.groups.waitingForOthers, 0);
});

t.test(
  'a group that cannot begin is out of service with its reason, and its partition is served',
  async (t) => {
    const rig = new GroupsRig();
    rig.create({ members: [MEMBERS[0]!, MEMBERS[2]!], hosts: [HOSTS[0]!, HOSTS[2]!] });
    t.equal(rig.groups.reasonOf(7), `node ${NODE_ID} is no member of its group`);
    t.match(rig.told(), [
      { kind: EVENT.attached, value: { id: 7 } },
      { kind: EVENT.raft, value: { id: 7, reason: /is no member/ } },
    ]);
    t.equal(randomWrite(rig).error, 'ActionWrite:_raft is not the leader.');
    const removal = rig.remove();
    t.same(removal.outcome, { ok: true, value: null }, 'it has nothing to wait for');
  },
);

t.test('a replica that was added is known as such until it has caught up, after a restart too', async (t) => {
  const rig = new GroupsRig();
  rig.create({ members: MEMBERS, hosts: HOSTS, createType: 1 });
  t.equal(rig.host.group(7), undefined, 'it has to join first');
  t.equal(rig.ask({ opcode: INTERNAL_OP.raftState, internal: true }).extentOffset, -1);
  t.ok(rig.ask({ opcode: INTERNAL_OP.endJoining, internal: true }).ok);
  t.same(rig.names(`${ROOT}/.extentd.raft`), ['0', 'no-vote.7']);
  t.equal(rig.ask({ opcode: INTERNAL_OP.raftState, internal: true }).extentOffset, 0);
  for (const process of [rig, rig.restart()]) {
    const { core } = process.host.group(7)!;
    t.same([core.mayVote, core.mayCampaign], [true, false], 'it grants its vote and does not campaign');
    process.groups.serve();
    for (let tick = 0; tick < 20; tick++) process.host.tick();
    process.run();
    t.equal(core.state, 'follower');
    if (process === rig) continue;
    process.groups.caughtUp(7);
    process.groups.tick();
    process.run();
    t.same(process.names(`${ROOT}/.extentd.raft`), ['0']);
  }
});

/** A replica that was added, as another one of before was, and gets the whole log from node 1: the changes, of this replica, and what ends the catching up. */
function addedAgain(...changes: Uint8Array[]): GroupsRig {
  const rig = new GroupsRig();
  rig.create({ members: MEMBERS, hosts: HOSTS, createType: 1 });
  t.ok(rig.ask({ opcode: INTERNAL_OP.endJoining, internal: true }).ok);
  rig.told();
  const entry = (data: Uint8Array, at: number) => ({ type: 1, term: 2, index: at + 1, data });
  const entries = [...changes.map(entry), { ...entry(new Uint8Array(0), changes.length), type: 0 }];
  const append = emptyMessage(RAFT_MESSAGE.appendRequest, 7, 1, NODE_ID, 2);
  t.equal(rig.host.receive({ ...append, commit: entries.length, entries }), null);
  rig.run();
  return rig;
}

function isHere(rig: GroupsRig): boolean {
  return rig.set.get(7) !== undefined;
}

/** APPLY is saved, and the group looks at it. */
function savesApply(rig: GroupsRig): void {
  rig.clock.advance(20_000);
  rig.store.stores.tick();
  rig.run();
  rig.groups.tick();
  rig.run();
}

const AWAY = change(CHANGE_TYPE.remove, NOBODY, MEMBERS[1]!);
const BACK = change(CHANGE_TYPE.add, MEMBERS[1]!, NOBODY);

t.test('a replica that is back does not take its removal of before for one of now', async (t) => {
  const rig = addedAgain(AWAY, BACK);
  const { core } = rig.host.group(7)!;
  t.equal(core.log.applied, 3);
  rig.groups.tick();
  rig.run();
  t.equal(core.mayCampaign, true, 'it has caught up');
  t.same(rig.names(`${ROOT}/.extentd.raft`), ['0', 'no-vote.7'], 'a restart would go through it again');
  const again = rig.restart();
  t.equal(again.host.group(7)!.core.mayCampaign, false);
  savesApply(rig);
  t.same(rig.names(`${ROOT}/.extentd.raft`), ['0']);
  t.ok(isHere(rig), 'it stays');
  t.same(
    rig.told().filter(({ kind }) => kind === EVENT.detached),
    [],
  );
  const append = emptyMessage(RAFT_MESSAGE.appendRequest, 7, 1, NODE_ID, 2);
  const entries = [{ type: 1, term: 2, index: 4, data: AWAY }];
  rig.host.receive({ ...append, index: 3, logTerm: 2, commit: 4, entries });
  rig.run();
  t.notOk(isHere(rig), 'one of now counts');
});

t.test('a replica that was removed while it caught up goes when it has', async (t) => {
  const rig = addedAgain(AWAY, BACK, AWAY);
  t.ok(isHere(rig), 'until it is known that nothing follows');
  savesApply(rig);
  t.notOk(isHere(rig));
  t.ok(rig.told().some(({ kind }) => kind === EVENT.detached));
});

t.test(
  'the log is cut at what all replicas have, ten minutes after the start and then each minute, never beyond APPLY',
  async (t) => {
    const rig = leading();
    const cut = (): [number, number] => {
      const meta = readMeta(rig.disk, rig.partition.path);
      return [rig.host.group(7)!.core.log.cutIndex, meta.ok ? meta.value.lastTruncateId : -1];
    };
    const passes = (ms: number): void => {
      rig.clock.advance(ms);
      rig.groups.tick();
      rig.store.stores.tick();
      rig.run();
    };
    for (let i = 0; i < 30; i++) t.ok(randomWrite(rig).ok);
    passes(MINUTE_MS);
    const durable = rig.partition.durableAppliedId;
    t.ok(durable > 30);
    const tell = (id: number): void => {
      t.ok(rig.ask({ opcode: OP.broadcastMinAppliedId, crc: 0 }, encodeUint64Body(id)).ok);
    };
    tell(7);
    tell(0);
    passes(8 * MINUTE_MS);
    t.same(cut(), [0, 0], 'it is not time');
    passes(MINUTE_MS);
    t.same(cut(), [7, 7]);
    tell(1_000_000);
    passes(MINUTE_MS / 2);
    t.same(cut(), [7, 7], 'once a minute');
    passes(MINUTE_MS);
    t.same(
      cut(),
      [rig.host.group(7)!.core.log.lastIndex - 10, durable],
      'ten entries stay, and APPLY is not passed',
    );
    const again = rig.restart();
    t.equal(again.groups.reasonOf(7), null);
    t.equal(again.partition.lastTruncateId, durable);
  },
);

t.test('one log is cut at a time, each group in its turn', async (t) => {
  const rig = new GroupsRig();
  for (const partitionId of [7, 8, 9]) rig.create({ partitionId });
  const turns: number[] = [];
  for (const group of rig.groups.all())
    group.truncate = () => {
      turns.push(group.id);
      return true;
    };
  for (let tick = 0; tick < 6; tick += 1) rig.groups.tick();
  t.same(turns, [7, 8, 9, 7, 8, 9]);
});

t.test('applying that has stopped is an alarm', async (t) => {
  const rig = leading();
  rig.disk.addFault({ call: 'pwrite', path: /1025$/, errno: 5, count: 1 });
  t.match(randomWrite(rig).error, /ActionWrite:_/);
  t.match(
    rig.told().filter(({ kind }) => kind === EVENT.alarm),
    [
      {
        value: {
          kind: 'apply',
          text: /^\[ApplyRandomWrite\] ApplyID\(\d+\) Partition\(7\)_Extent\(1025\)_.*retry\[20\]$/,
        },
      },
    ],
  );
});

t.test('a read of a lone replica waits until what an earlier process acknowledged is applied', async (t) => {
  for (const seed of [1, 2, 3, 4]) {
    const rig = leading();
    t.ok(rig.ask({ opcode: OP.syncWrite, extentId: 1025, extentOffset: 8192, crc: crc32(body) }, body).ok);
    t.ok(randomWrite(rig).ok);
    const again = rig.losePower(seed);
    const read = again.store.send({ opcode: OP.streamRead, extentId: 1025, size: body.length });
    again.run();
    t.equal(read.ended, false, 'the entry is in the log, and perhaps not in the extent');
    t.equal(again.partition.raft!.readsAtOnce, false);
    again.groups.serve();
    again.run();
    t.ok(read.ok, read.error);
    t.ok(body.equals(read.body), 'it reads what was acknowledged');
    t.equal(again.partition.raft!.readsAtOnce, true, 'from then on it reads at once');
  }
});

t.test(
  'a replica that has stopped applying does not hold up a stop, and its journal is recovered',
  async (t) => {
    const rig = leading();
    rig.disk.addFault({ call: 'pwrite', path: /1025$/, errno: 5, count: 1 });
    t.match(randomWrite(rig).error, /ActionWrite:_/);
    const waiting = rig.store.send({ opcode: OP.randomWrite, extentId: 1025, crc: crc32(body) }, body);
    rig.store.turn();
    t.equal(waiting.error, 'ActionWrite:_RaftNotStarted key=<nil>');
    t.same(rig.stopHost(), [], 'its folder is complete all the same');
    const again = rig.restart();
    again.groups.serve();
    again.run();
    const read = again.ask({ opcode: OP.streamRead, extentId: 1025, size: body.length });
    t.ok(read.ok, read.error);
    t.ok(body.equals(read.body), 'the entry that failed is carried out by the next process');
  },
);

t.test('how a group stands is told to the node’s own threads, and to operators', async (t) => {
  const rig = leading();
  t.ok(randomWrite(rig).ok);
  const { op } = rig.ask({ opcode: INTERNAL_OP.raftState, internal: true });
  const { appliedIndex } = rig.partition.raftApply!;
  t.same([op.extentOffset, op.remainingBytes, op.holeBytes], [0, appliedIndex, 1], 'nothing is saved yet');
  t.match(rig.groups.status(7), {
    ...{
      ID: 7,
      NodeID: NODE_ID,
      Leader: NODE_ID,
      Vote: NODE_ID,
      Commit: appliedIndex,
      Applied: appliedIndex,
    },
    ...{ PendQueue: 0, AppQueue: 0, Stopped: false, State: 'StateLeader' },
    Replicas: { [NODE_ID]: { Match: appliedIndex, Next: appliedIndex + 1, Inflight: 0 } },
  });
  t.equal(rig.groups.status(8), null);
});
