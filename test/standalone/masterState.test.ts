/** The embedded master's memory: registration, partitions, and its file. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import {
  addHost,
  createdOn,
  growPartitions,
  isComplete,
  loadState,
  type MasterPartition,
  type MasterState,
  misfit,
  newState,
  pendingOn,
  registerNode,
  removeHost,
  replicaCreated,
  saveState,
  surplusOn,
} from '../../src/standalone/masterState.js';

t.test('node ids are stable for an address and differ between nodes', async (t) => {
  const state = newState('demo');
  t.strictSame(registerNode(state, '127.0.0.1:17310'), { id: 1, addr: '127.0.0.1:17310' });
  t.strictSame(registerNode(state, '127.0.0.2:17310'), { id: 2, addr: '127.0.0.2:17310' });
  t.strictSame(registerNode(state, '127.0.0.1:17310'), { id: 1, addr: '127.0.0.1:17310' });
});

t.test('a node on another port has moved, with its partitions', async (t) => {
  const state = newState('demo');
  growPartitions(state, 2, 1024, [registerNode(state, '127.0.0.1:1000')]);
  t.strictSame(registerNode(state, '127.0.0.1:2000'), { id: 1, addr: '127.0.0.1:2000' });
  t.strictSame(
    state.partitions.map(({ hosts, peers }) => ({ hosts, peers })),
    Array(2).fill({ hosts: ['127.0.0.1:2000'], peers: [{ id: 1, addr: '127.0.0.1:2000' }] }),
  );
});

t.test('partitions grow and never shrink; what is created is what the node must have', async (t) => {
  const state = newState('demo');
  const node = registerNode(state, '127.0.0.1:1000');
  growPartitions(state, 3, 1024, [node]);
  replicaCreated(state.partitions[1]!, node.addr, '/d1');
  growPartitions(state, 2, 2048, [node]);
  growPartitions(state, 4, 2048, [node]);
  t.strictSame(
    state.partitions.map(({ id, sizeBytes }) => [id, sizeBytes]),
    [
      [1, 1024],
      [2, 1024],
      [3, 1024],
      [4, 2048],
    ],
  );
  t.strictSame(createdOn(state, node.addr), [2]);
  t.strictSame(
    pendingOn(state, node.addr).map(({ id }) => id),
    [1, 3, 4],
  );
  t.strictSame(createdOn(state, '127.0.0.9:1'), []);
});

/** A state with nodes 1, 2, ... on 127.0.0.1, .2, ... and partitions. */
function stateOf(nodeCount: number, partitionCount: number): MasterState {
  const state = newState('demo');
  for (let last = 1; last <= nodeCount; last++) registerNode(state, `127.0.0.${last}:1000`);
  state.nodeCount = nodeCount;
  growPartitions(state, partitionCount, 1024, state.nodes);
  return state;
}

t.test(
  'a replica that was removed is to be deleted where it is reported, until the node has one again',
  async (t) => {
    const state = newState('demo');
    const nodes = [1, 2].map((n) => registerNode(state, `127.0.0.${n}:1000`));
    growPartitions(state, 2, 1024, nodes);
    const [one, two] = state.partitions as [MasterPartition, MasterPartition];
    const surplus = (addr: string, ...reported: number[]): number[] =>
      surplusOn(state, addr, reported).map(({ id }) => id);
    t.strictSame(surplus('127.0.0.9:1000', 1, 2), [], 'nothing that was not removed');
    removeHost(one, '127.0.0.2:1000');
    t.strictSame(surplus('127.0.0.2:1000', 1, 2, 77), [1]);
    t.strictSame(surplus('127.0.0.2:1000', 2), [], 'it does not report it');
    t.strictSame(surplus('127.0.0.1:1000', 1, 2), []);
    registerNode(state, '127.0.0.2:2000');
    t.strictSame(surplus('127.0.0.2:2000', 1), [1], 'on another port too');
    addHost(one, { id: 2, addr: '127.0.0.2:2000' });
    t.strictSame(surplus('127.0.0.2:2000', 1, 2), []);
    t.strictSame([one.removed, two.removed], [undefined, undefined]);
  },
);

t.test('hosts rotate, with their ids, and there are never more than three', async (t) => {
  const ids = (nodeCount: number): number[][] =>
    stateOf(nodeCount, 5).partitions.map(({ peers }) => peers.map(({ id }) => id));
  t.strictSame(ids(1), [[1], [1], [1], [1], [1]]);
  t.strictSame(ids(2), [
    [1, 2],
    [2, 1],
    [1, 2],
    [2, 1],
    [1, 2],
  ]);
  t.strictSame(ids(3), [
    [1, 2, 3],
    [2, 3, 1],
    [3, 1, 2],
    [1, 2, 3],
    [2, 3, 1],
  ]);
  t.strictSame(ids(4), [
    [1, 2, 3],
    [2, 3, 4],
    [3, 4, 1],
    [4, 1, 2],
    [1, 2, 3],
  ]);
  for (const { hosts, peers, diskPaths } of stateOf(3, 5).partitions) {
    t.strictSame(
      hosts,
      peers.map(({ addr }) => addr),
    );
    t.strictSame(diskPaths, ['', '', '']);
  }
});

t.test('each replica is created for itself; a partition exists when all are', async (t) => {
  const state = stateOf(3, 2);
  const [first, second] = state.partitions;
  replicaCreated(first!, '127.0.0.2:1000', '/d2');
  t.strictSame(createdOn(state, '127.0.0.2:1000'), [1]);
  t.strictSame(createdOn(state, '127.0.0.1:1000'), []);
  t.strictSame(
    pendingOn(state, '127.0.0.2:1000').map(({ id }) => id),
    [2],
  );
  t.equal(isComplete(first!), false);
  replicaCreated(first!, '127.0.0.1:1000', '/d1');
  replicaCreated(first!, '127.0.0.3:1000', '/d3');
  replicaCreated(first!, '127.0.0.9:1000', '/d9');
  t.equal(isComplete(first!), true);
  t.strictSame(first!.diskPaths, ['/d1', '/d2', '/d3']);
  t.equal(isComplete(second!), false);
  registerNode(state, '127.0.0.2:2000');
  t.strictSame(createdOn(state, '127.0.0.2:2000'), [1], 'on another port it has what it had');
});

t.test('a folder of other nodes is refused once a replica exists', async (t) => {
  const addrs = (...lasts: number[]) => lasts.map((last) => `127.0.0.${last}:2000`);
  const state = stateOf(3, 1);
  t.equal(misfit(state, addrs(1)), null, 'a start that came to nothing');
  replicaCreated(state.partitions[0]!, '127.0.0.2:1000', '/d2');
  t.equal(misfit(state, addrs(1, 2, 3)), null);
  t.equal(misfit(state, addrs(1)), 'is of a cluster of 3 nodes: start it with --nodes 3');
  t.equal(
    misfit(state, addrs(2, 3, 4)),
    'is of nodes at 127.0.0.1, 127.0.0.2, 127.0.0.3, not at 127.0.0.4: start it with --address 127.0.0.1',
  );
  const one = stateOf(1, 1);
  replicaCreated(one.partitions[0]!, '127.0.0.1:1000', '/d1');
  t.equal(misfit(one, addrs(1, 2, 3)), 'is of a cluster of one node: start it with --nodes 1');
});

t.test('a file of the first version, with one disk a partition, is read', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-master-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const addr = '127.0.0.1:1000';
  const partition = { id: 1, sizeBytes: 1024, hosts: [addr], peers: [{ id: 1, addr }] };
  const nodes = [{ id: 1, addr }];
  const partitions = [
    { ...partition, diskPath: '/d1' },
    { ...partition, id: 2, diskPath: '' },
  ];
  const file = { version: 1, volume: 'demo', nextNodeId: 2, nodes, partitions };
  await writeFile(join(folder, 'state.json'), JSON.stringify(file));
  t.strictSame(await loadState(folder), {
    ...{ version: 2, volume: 'demo', nodeCount: 1, nextNodeId: 2, nodes },
    partitions: [
      { ...partition, diskPaths: ['/d1'] },
      { ...partition, id: 2, diskPaths: [''] },
    ],
  });
});

t.test('the file brings everything back, and nothing temporary stays', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-master-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const inner = join(folder, 'master');
  t.equal(await loadState(inner), null);
  const state = newState('demo');
  growPartitions(state, 2, 1024, [registerNode(state, '127.0.0.1:1000')]);
  await saveState(inner, state);
  replicaCreated(state.partitions[0]!, '127.0.0.1:1000', '/d1');
  await saveState(inner, state);
  t.strictSame(await loadState(inner), state);
  t.strictSame(await readdir(inner), ['state.json']);
});

t.test('a file that is not ours is refused by name', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-master-'));
  t.teardown(() => rm(folder, { recursive: true }));
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"version":3}',
    '{"version":2}',
    '{"version":1,"volume":"x"}',
  ]) {
    await writeFile(join(folder, 'state.json'), text);
    await t.rejects(loadState(folder), { message: /state\.json/ }, text);
  }
});
