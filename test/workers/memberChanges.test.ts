/** Changes of members by command to the workers of three nodes: on the leader, on a follower, of the leader itself, two at a time, and a forced election. */
import { readdirSync } from 'node:fs';
import t, { type Test } from 'tap';
import { COMMAND, type CommandAnswer, EVENT } from '../../src/partition/messages.js';
import type { MemberChangeKind } from '../../src/protocol/memberChange.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { hostOf, type RaftWorkerNode, RaftWorkers } from './raftRig.js';

const content = Buffer.alloc(4000, 'content');
const NOBODY = { id: 0, addr: '' };
const peer = (id: number) => ({ id, addr: hostOf(id) });
const done = { ok: true, value: { leader: '' } };

async function led(t: Test, count = 3): Promise<{ rig: RaftWorkers; leader: RaftWorkerNode }> {
  const rig = await RaftWorkers.start(t, count);
  await rig.serve();
  const leader = await rig.leader();
  await rig.fill(content);
  return { rig, leader };
}

function change(
  rig: RaftWorkers,
  node: RaftWorkerNode,
  kind: MemberChangeKind,
  add = NOBODY,
  remove = NOBODY,
): Promise<CommandAnswer> {
  const command = { kind, change: { partitionId: 7, addPeer: add, removePeer: remove } };
  return rig.command(node, COMMAND.changeMembers, command);
}

/** Ids of the members as a node has told main last; null: it has told nothing. */
function membersOf({ events }: RaftWorkerNode): number[] | null {
  const last = events.filter(({ kind }) => kind === EVENT.members).at(-1);
  return last === undefined ? null : (last.value as { peers: { id: number }[] }).peers.map(({ id }) => id);
}

function isGone({ data, events }: RaftWorkerNode): boolean {
  const told = events.some(
    ({ kind, value }) => kind === EVENT.detached && (value as { id: number }).id === 7,
  );
  return told && !readdirSync(data.root).some((name) => name.startsWith('datapartition_'));
}

t.test('a follower tells who leads; the leader carries it out, and all have it', async (t) => {
  const { rig, leader } = await led(t);
  const [follower, other] = rig.nodes.filter((node) => node !== leader) as [RaftWorkerNode, RaftWorkerNode];
  await rig.until('the follower knows its leader', () => true);
  const refused = await change(rig, follower, 'remove', NOBODY, peer(other.nodeId));
  t.strictSame(refused, { ok: true, value: { leader: hostOf(leader.nodeId) } });
  t.strictSame(await change(rig, leader, 'remove', NOBODY, peer(other.nodeId)), done);
  const stay = [leader.nodeId, follower.nodeId].sort();
  t.same(membersOf(leader), stay, 'applied when it is answered');
  await rig.until('the follower has it', () => membersOf(follower)?.length === 2);
  await rig.until('the replica is gone, and main was told', () => isGone(other));
  t.strictSame(await change(rig, leader, 'remove', NOBODY, peer(other.nodeId)), done, 'again');
  t.equal((await rig.randomWrite(leader, 0, content)).resultCode, RESULT.ok, 'two go on');
  t.strictSame(await change(rig, leader, 'add', peer(9)), done, 'with a node that is not there yet');
  t.same(membersOf(leader), [...stay, 9]);
  await rig.until('the follower has it too', () => membersOf(follower)?.length === 3);
  t.strictSame(await change(rig, leader, 'add', peer(9)), done, 'again');
  const silent = await change(rig, leader, 'remove', NOBODY, peer(follower.nodeId));
  t.match(silent, {
    ok: false,
    message:
      /^hasDownReplicasExcludePeer\(\[\{9 \d+\}\]\) too much,so donnot offline \(\{\d 10\.0\.0\.\d:17310\}\)$/,
  });
});

t.test('the leader removes itself: answered as done, its replica goes, another leads', async (t) => {
  const { rig, leader } = await led(t);
  t.strictSame(await change(rig, leader, 'remove', NOBODY, peer(leader.nodeId)), done);
  await rig.until('the replica is gone', () => isGone(leader));
  const others = rig.nodes.filter((node) => node !== leader);
  const next = await rig.leader(others);
  t.same(
    membersOf(next),
    others.map(({ nodeId }) => nodeId),
  );
  t.equal((await rig.randomWrite(next, 0, content)).resultCode, RESULT.ok);
});

t.test(
  'one for another, and changes that come together: each is decided on what the last has made',
  async (t) => {
    const { rig, leader } = await led(t);
    const [gone, stays] = rig.nodes.filter((node) => node !== leader) as [RaftWorkerNode, RaftWorkerNode];
    const together = [
      change(rig, leader, 'decommission', peer(9), peer(gone.nodeId)),
      change(rig, leader, 'add', peer(9)),
      change(rig, leader, 'remove', NOBODY, peer(9)),
      change(rig, leader, 'add', peer(8)),
    ];
    t.strictSame(await Promise.all(together), [done, done, done, done]);
    t.same(membersOf(leader), [...[leader.nodeId, stays.nodeId].sort(), 8]);
    await rig.until('the replica is gone', () => isGone(gone));
  },
);

t.test('told to lead, a follower does; a group that is not here cannot', async (t) => {
  const { rig, leader } = await led(t);
  const follower = rig.nodes.find((node) => node !== leader)!;
  const lead = (node: RaftWorkerNode, id = 7): Promise<CommandAnswer> =>
    rig.command(node, COMMAND.tryToLead, { id });
  t.strictSame(await lead(leader), { ok: true, value: null }, 'it leads already');
  t.ok(leader.leads);
  while (!follower.leads) {
    t.strictSame(await lead(follower), { ok: true, value: null });
    await rig.until('an election', () => rig.nodes.filter(({ leads }) => leads).length === 1);
  }
  t.equal((await rig.randomWrite(follower, 0, content)).resultCode, RESULT.ok);
  t.strictSame(await lead(follower, 8), { ok: false, message: 'raft not exists.' });
});

t.test('nobody leads, no group runs, or the node has just become the only one', async (t) => {
  const rig = await RaftWorkers.start(t, 3);
  const refused = { ok: false, message: 'no raft leader' };
  t.strictSame(await change(rig, rig.nodes[0]!, 'remove', NOBODY, peer(3)), refused);
  await rig.command(rig.nodes[0]!, COMMAND.deletePartition, { id: 7 });
  t.strictSame(await change(rig, rig.nodes[0]!, 'remove', NOBODY, peer(3)), refused);
  const lone = await RaftWorkers.start(t, 1);
  const early = change(lone, lone.nodes[0]!, 'remove', NOBODY, peer(1));
  await lone.serve();
  t.match(await early, { ok: false, message: /^hasDownReplicasExcludePeer\(\[\]\) too much/ });
  t.strictSame(await change(lone, lone.nodes[0]!, 'add', peer(2)), done);
});
