/** What the embedded master sends, and in which order, when replicas move (`admin.md` 14.5). */
import t from 'tap';
import type { JsonValue } from '../../src/protocol/jsonText.js';
import { OP } from '../../src/protocol/opcodes.js';
import type { AdminResult } from '../../src/standalone/adminConnection.js';
import {
  createdOn,
  growPartitions,
  type MasterPartition,
  newState,
  pendingOn,
  registerNode,
  replicaCreated,
} from '../../src/standalone/masterState.js';
import { ReplicaMoves } from '../../src/standalone/replicaMoves.js';

const [A, B, C, D] = [1, 2, 3, 4].map((last) => `127.0.0.${last}:1000`) as [string, string, string, string];
const NAMES = new Map<number, string>([
  [OP.createDataPartition, 'create'],
  [OP.deleteDataPartition, 'delete'],
  [OP.addDataPartitionRaftMember, 'add'],
  [OP.removeDataPartitionRaftMember, 'remove'],
  [OP.dataPartitionTryToLeader, 'lead'],
]);

/** Four nodes, partition 1 on the first three, led by `leader`. `refuse`: sendings that are answered with an error. */
function rig(leader = B) {
  const state = newState('demo');
  for (const addr of [A, B, C, D]) registerNode(state, addr);
  growPartitions(state, 1, 1024, state.nodes);
  const partition = state.partitions[0]!;
  for (const addr of [A, B, C]) replicaCreated(partition, addr, '/disk');
  const sent: string[] = [];
  const requests: JsonValue[] = [];
  const rig = { leader, refuse: [] as string[], silent: [] as string[] };
  const moves = new ReplicaMoves({
    state,
    save: async () => void sent.push('save'),
    leaderOf: () => rig.leader,
    isLive: ({ addr }) => !rig.silent.includes(addr),
    send: async (addr, opcode, _id, request): Promise<AdminResult> => {
      const what = `${NAMES.get(opcode)} ${addr.slice(8, 9)}`;
      sent.push(what);
      requests.push(request);
      return rig.refuse.includes(what)
        ? { ok: false, message: `refused: ${what}` }
        : { ok: true, body: '/new' };
    },
    retryPauseMs: 1,
  });
  return { ...rig, rig, state, partition, sent, requests, moves };
}

function lists({ hosts, peers, diskPaths }: MasterPartition): unknown {
  return [hosts, peers.map(({ id }) => id), diskPaths];
}

t.test('a replica is deleted: by its leader, then on its node', async (t) => {
  const { moves, partition, sent, requests } = rig();
  t.strictSame(await moves.delete(partition, C), { ok: true });
  t.same(sent, ['remove 2', 'save', 'delete 3']);
  t.match(requests, [
    { PartitionId: 1, RemovePeer: { id: 3, addr: C } },
    { DataPartitionType: '', PartitionId: 1, PartitionSize: 1024 },
  ]);
  t.same(lists(partition), [
    [A, B],
    [1, 2],
    ['/disk', '/disk'],
  ]);
  t.strictSame(await moves.delete(partition, B), { ok: false, message: 'has one missing replica' });
});

t.test('the replica that leads is deleted: the first host is to lead', async (t) => {
  const led = rig(A);
  t.strictSame(await led.moves.delete(led.partition, A), { ok: true });
  t.same(led.sent, ['remove 1', 'save', 'delete 1', 'lead 2']);
  const unknown = rig('');
  await unknown.moves.delete(unknown.partition, A);
  t.same(unknown.sent, ['remove 2', 'save', 'delete 1'], 'without a known leader another host is asked');
});

t.test('what is refused changes nothing; a node that is away is not waited for', async (t) => {
  const { rig: set, moves, partition, sent, requests } = rig();
  const before = lists(partition);
  set.refuse = ['remove 2'];
  t.strictSame(await moves.delete(partition, C), { ok: false, message: 'refused: remove 2' });
  set.silent = [A, B];
  t.match(await moves.delete(partition, C), { ok: false, message: /too few of its other nodes are live/ });
  t.match(await moves.delete(partition, '127.0.0.9:1'), { ok: false });
  set.silent = [];
  t.strictSame(await moves.delete(partition, '127.0.0.9:1'), {
    ok: false,
    message: 'data node not exists',
    unknownNode: true,
  });
  t.same(lists(partition), before);
  set.refuse = ['delete 3'];
  t.strictSame(await moves.delete(partition, C), { ok: true });
  t.equal(sent.at(-1), 'delete 3');
  t.equal(requests.length, 3);
});

t.test('a replica is added: the leader first, then the others; it is created to join', async (t) => {
  const { rig: set, moves, partition, sent, requests, state } = rig(C);
  set.refuse = ['add 3', 'add 1'];
  t.strictSame(await moves.add(partition, D), { ok: true });
  t.same(sent, ['add 3', 'add 1', 'add 2', 'save', 'create 4', 'save']);
  t.match(requests[0], { PartitionId: 1, AddPeer: { id: 4, addr: D } });
  t.match(requests.at(-1), {
    PartitionId: 1,
    VolumeId: 'demo',
    Hosts: [A, B, C, D],
    Members: [1, 2, 3, 4].map((id) => ({ id, addr: `127.0.0.${id}:1000` })),
    CreateType: 1,
  });
  t.same(lists(partition), [
    [A, B, C, D],
    [1, 2, 3, 4],
    ['/disk', '/disk', '/disk', '/new'],
  ]);
  t.equal(partition.joining, undefined);
  t.same(createdOn(state, D), [1]);
  t.match(await moves.add(partition, D), { ok: false, message: /has contains host/ });
});

t.test('a replica that could not be created yet is still to be, and to join', async (t) => {
  const { rig: set, moves, partition, state } = rig();
  set.refuse = ['create 4'];
  t.strictSame(await moves.add(partition, D), { ok: false, message: 'refused: create 4' });
  t.same(
    pendingOn(state, D).map(({ id }) => id),
    [1],
  );
  t.same(partition.joining, [D]);
  registerNode(state, '127.0.0.4:2000');
  t.same(partition.joining, ['127.0.0.4:2000'], 'on another port too');
  replicaCreated(partition, '127.0.0.4:2000', '/late');
  t.equal(partition.joining, undefined);
  set.refuse = ['add 1', 'add 2', 'add 3'];
  const none = rig();
  none.rig.refuse = set.refuse;
  t.strictSame(await none.moves.add(none.partition, D), { ok: false, message: 'refused: add 3' });
  t.same(none.partition.hosts, [A, B, C]);
});

t.test('a replica is decommissioned: removed first, then added elsewhere', async (t) => {
  const { rig: set, moves, partition, sent } = rig();
  t.strictSame(await moves.decommission(partition, D), { ok: true }, 'none there');
  t.same(sent, []);
  set.silent = [D];
  t.match(await moves.decommission(partition, A), { ok: false, message: /^No enough data nodes/ });
  t.same(sent, []);
  set.silent = [];
  const both = [moves.decommission(partition, A), moves.delete(partition, B)];
  t.strictSame(await Promise.all(both), [{ ok: true }, { ok: true }]);
  const steps = ['remove 2', 'save', 'delete 1', 'add 2', 'save', 'create 4', 'save'];
  t.same(sent, [...steps, 'remove 2', 'save', 'delete 2', 'lead 3'], 'one move after the other');
  t.same(partition.hosts, [C, D]);
});
