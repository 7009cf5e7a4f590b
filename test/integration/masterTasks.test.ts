/**
 * Every task of a master against a real node: volumes are created, loaded, compared and deleted; tasks that are sent twice do no harm; every refusal has the text of the reference.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type ClusterNode, debugData, logOf, startClusterNode } from '../support/clusterNode.js';
import { FakeCluster } from '../support/fakeMaster/cluster.js';
import { NodeConnections } from '../support/fakeMaster/packets.js';
import type { FakeNode } from '../support/fakeMaster/state.js';
import { newTask, OPCODE } from '../support/fakeMaster/tasks.js';
import { until, untilAnswer } from '../support/until.js';

const GiB = 1024 ** 3;
/** A heartbeat each 1.2 s, a round of tasks each 40 ms. */
const MS_PER_SECOND = 20;

/** A cluster of one node that has answered its first heartbeat. */
async function setUp(
  test: Parameters<typeof startClusterNode>[0],
  config: Record<string, unknown> = {},
): Promise<{ cluster: FakeCluster; node: ClusterNode; known: FakeNode }> {
  const cluster = await FakeCluster.start(test, { msPerSecond: MS_PER_SECOND });
  const node = await startClusterNode(test, { masters: cluster.addrs, disks: 2, config });
  await node.process.whenReady();
  const known = cluster.state.nodes.get(node.address)!;
  await until('the first heartbeat', () => known.heartbeats > 0);
  return { cluster, node, known };
}

t.test('a volume is created, loaded, compared and deleted', async (t) => {
  const { cluster, node, known } = await setUp(t);
  t.ok(known.heartbeat!.Total > 0 && known.heartbeat!.Available > 0, 'true numbers in the first heartbeat');
  t.match(known.heartbeat, {
    RackName: 'rack-01',
    CreatedPartitionCnt: 0,
    PartitionReports: [],
    BadDisks: [],
  });
  const partitions = await cluster.createVolume('vol1', 5, 20 * GiB);
  const paths = partitions.map(({ replicas }) => replicas.get(node.address)!);
  t.strictSame([...new Set(paths)].sort(), node.disks, 'both disks, in the spelling of the config');
  const reported = (): number => known.heartbeat!.PartitionReports.length;
  await until('a report of all', () => reported() === 5);
  t.equal(known.heartbeat!.CreatedPartitionCnt, 5);
  for (const partition of partitions) cluster.load(partition);
  await until('loads', () => partitions.every((partition) => cluster.comparison(partition, 0) !== null));
  for (const partition of partitions) {
    t.equal(partition.loads.get(node.address)?.PartitionSnapshot?.length, 64, 'the tiny extents');
    t.strictSame(cluster.comparison(partition, Date.now() / 1000), {
      differing: [],
      missing: [],
      compared: [],
    });
  }
  cluster.deleteVolume('vol1');
  await until('the volume is gone', () => cluster.isGone('vol1'));
  for (const { id } of partitions) {
    const posted = cluster.state.posted.filter((text) => text.includes(`_op[97]_DataPartitionID[${id}]"`));
    t.match((JSON.parse(posted[0] ?? 'null') as { Response: object } | null)?.Response, {
      Status: 1,
      Result: '',
      PartitionId: id,
    });
  }
  await until('reports of none', () => reported() === 0);
  t.strictSame(cluster.state.rejected, []);
  await node.process.terminate();
});

t.test('tasks sent again do no harm', async (t) => {
  const { cluster, node, known } = await setUp(t);
  const [partition] = await cluster.createVolume('vol1', 1, GiB);
  const path = partition!.replicas.get(node.address);
  t.equal(await cluster.create(known, partition!), path, 'a creation that was answered already');
  const twice = await Promise.all([1, 2].map(() => cluster.create(known, { ...partition!, id: 900 })));
  t.equal(twice[0], twice[1], 'two at one time');
  const remove = newTask(cluster.state.clock, OPCODE.delete, node.address, 900, { PartitionId: 900 });
  t.strictSame(await Promise.all([1, 2, 3].map(() => known.tasks.send(remove))), ['', '', '']);
  t.equal(await known.tasks.send(remove), '', 'and once more when it is long gone');
  const { partitions } = (await debugData(node, '/partitions')) as { partitions: { id: number }[] };
  t.strictSame(
    partitions.map(({ id }) => id),
    [partition!.id],
  );
  const before = known.heartbeats;
  const beat = newTask(cluster.state.clock, OPCODE.heartbeat, node.address, null, {});
  await Promise.all([1, 2, 3, 4, 5].map(() => known.tasks.send(beat)));
  await until('their responses', () => known.heartbeats > before);
  const loads = [1, 2, 3].map(() =>
    known.tasks.send(
      newTask(cluster.state.clock, OPCODE.load, node.address, partition!.id, { PartitionId: partition!.id }),
    ),
  );
  t.strictSame(await Promise.all(loads), ['', '', '']);
  await until('a load', () => partition!.loads.has(node.address));
  t.strictSame(cluster.state.rejected, []);
  await node.process.terminate();
});

t.test('refusals have the text and the code of the reference', async (t) => {
  const { cluster, node } = await setUp(t);
  const [partition] = await cluster.createVolume('vol1', 1, GiB);
  const connections = new NodeConnections(node.address);
  t.teardown(() => connections.close());
  const memberId = partition!.peers[0]!.id;
  const task = (OpCode: number, Request: unknown): string => JSON.stringify({ ID: 'x', OpCode, Request });
  const shown = 'ID[x] Status[0] LastSendTime[0]  SendCount[0] Request[';
  const cases: [name: string, opcode: number, body: string, code: number, text: string | RegExp][] = [
    ['create, no JSON', 0x60, '{nope', 0xf3, 'ActionCreateDataPartition_cannnot unmashal adminTask'],
    [
      'create, other opcode',
      0x60,
      task(99, null),
      0xf3,
      `ActionCreateDataPartition_from master Task(${shown}<nil>] Response[<nil>]) failed,error unavali opcode(99)`,
    ],
    [
      'create, Request of another kind',
      0x60,
      task(96, [1]),
      0xf3,
      /^ActionCreateDataPartition_from master Task\(ID\[x\] .*\) cannot unmash CreateDataPartitionRequest struct$/,
    ],
    ['delete, no JSON', 0x61, '{nope', 0xf3, /^ActionDeleteDataPartition_invalid character 'n' looking for/],
    ['delete, other opcode', 0x61, task(96, null), 0xf3, /^ActionDeleteDataPartition_.*illegal opcode /],
    ['load, no JSON', 0x62, '', 0xf3, 'ActionLoadDataPartition_unexpected end of JSON input'],
    [
      'heartbeat, no JSON',
      0x63,
      '{nope',
      0xf3,
      /^ActionCreateDataPartition_invalid character 'n' looking for/,
    ],
    [
      'decommission, unknown',
      0x66,
      task(0x66, { PartitionId: 99 }),
      0xf3,
      'ActionDecommissionPartition_partition 99 not exsit',
    ],
    [
      'add, unknown',
      0x67,
      task(0x67, { PartitionId: 99 }),
      0xfc,
      'ActionAddDataPartitionRaftMember_data partition not exists',
    ],
    [
      'remove, unknown',
      0x68,
      task(0x68, { PartitionId: 99 }),
      0xf3,
      'ActionRemoveDataPartitionRaftMember_partition 99 not exsit',
    ],
    [
      'add, there already',
      0x67,
      task(0x67, { PartitionId: partition!.id, AddPeer: { id: 1, addr: node.address } }),
      0xf0,
      '',
    ],
    [
      'remove, not there',
      0x68,
      task(0x68, { PartitionId: partition!.id, RemovePeer: { id: 1, addr: '10.0.0.9:1' } }),
      0xf0,
      '',
    ],
    [
      'remove the replica',
      0x68,
      task(0x68, { PartitionId: partition!.id, RemovePeer: { id: memberId, addr: node.address } }),
      0xf3,
      `ActionRemoveDataPartitionRaftMember_hasDownReplicasExcludePeer([]) too much,so donnot offline ({${memberId} ${node.address}})`,
    ],
    ['leader, no Request', 0x69, task(0x69, null), 0xf0, ''],
  ];
  for (const [name, opcode, body, code, text] of cases) {
    const reply = await connections.request(opcode, partition!.id, body, 5_000);
    t.equal(reply.resultCode, code, name);
    if (typeof text === 'string') t.equal(reply.body, text, name);
    else t.match(reply.body, text, name);
  }
  const unknown = await connections.request(0x69, 99, task(0x69, null), 5_000);
  t.equal(unknown.body, 'ActionDataPartitionTryToLeader_partition 99 not exsit');
  await connections.request(
    0x63,
    0,
    JSON.stringify({ ID: 'h', OpCode: 96, OperatorAddr: node.address }),
    5_000,
  );
  await connections.request(
    0x62,
    0,
    JSON.stringify({ ID: 'l', OpCode: 98, OperatorAddr: node.address, Request: { PartitionId: 99 } }),
    5_000,
  );
  await until('both responses are rejected', () => cluster.state.rejected.length === 2);
  t.strictSame(cluster.state.rejected.toSorted(), [
    `load of 99 on ${node.address}: DataPartition(99) not found`,
    'unknown operate code 96',
  ]);
  const wrong = cluster.state.posted.find((text) => text.includes('"OpCode":96'))!;
  t.match((JSON.parse(wrong) as { Response: object }).Response, { Status: 2, Result: 'illegal opcode' });
  await node.process.terminate();
});

t.test("the master's list of replicas is shown, and META keeps its own", async (t) => {
  const { cluster, node, known } = await setUp(t);
  const [partition] = await cluster.createVolume('vol1', 1, GiB);
  const replicasOf = async (): Promise<string[]> => {
    const { partitions } = (await debugData(node, '/partitions')) as { partitions: { replicas: string[] }[] };
    return partitions[0]!.replicas;
  };
  t.strictSame(await replicasOf(), [node.address], 'META until the master has been asked');
  partition!.hosts = [node.address, '127.0.0.9:17310'];
  const listed = await untilAnswer('the list', async () => {
    const replicas = await replicasOf();
    return replicas.length === 2 ? replicas : null;
  });
  t.strictSame(listed, partition!.hosts);
  const page = (await debugData(node, `/partition?id=${partition!.id}`)) as { replicas: string[] };
  t.strictSame(page.replicas, partition!.hosts);
  t.match(logOf(node), /replicas changed, as the master lists them/);
  const folder = `datapartition_${partition!.id}_${GiB}`;
  const disk = partition!.replicas.get(node.address)!;
  const meta = JSON.parse(readFileSync(join(disk, folder, 'META'), 'utf8')) as { Hosts: string[] };
  t.strictSame(meta.Hosts, [node.address]);
  const own = { PartitionId: partition!.id, AddPeer: { id: 1, addr: node.address } };
  const again = newTask(cluster.state.clock, OPCODE.addMember, node.address, partition!.id, own);
  t.equal(await known.tasks.send(again), '', 'a member is there already');
  const add = { PartitionId: partition!.id, AddPeer: { id: 9, addr: '127.0.0.9:17310' } };
  const task = newTask(cluster.state.clock, OPCODE.addMember, node.address, partition!.id, add);
  t.equal(await known.tasks.send(task), '', 'who is listed need not be a member: the list may be old');
  const changed = JSON.parse(readFileSync(join(disk, folder, 'META'), 'utf8')) as { Hosts: string[] };
  t.strictSame(changed.Hosts, [node.address, '127.0.0.9:17310'], 'now it is one');
  await node.process.terminate();
});

t.test('cell and zone of later masters', async (t) => {
  const { cluster, known, node } = await setUp(t, { cell: 'cell-1', zoneName: 'zone-1' });
  t.equal(known.zoneName, 'zone-1', 'told at the registration');
  const { Response } = JSON.parse(cluster.state.posted[0]!) as { Response: object };
  t.strictSame(Object.entries(Response).slice(7, 10), [
    ['RackName', 'rack-01'],
    ['CellName', 'cell-1'],
    ['ZoneName', 'zone-1'],
  ]);
  await node.process.terminate();
});
