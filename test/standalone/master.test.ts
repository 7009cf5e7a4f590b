/** The embedded master end to end over real sockets, with a fake node at the other end. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { OP } from '../../src/protocol/opcodes.js';
import { EmbeddedMaster, PARTITION_BYTES } from '../../src/standalone/master.js';
import { removeHost } from '../../src/standalone/masterState.js';
import { recordedHttpBody, recordedHttpHead, recordedPackets, shapeOf } from '../control/recorded.js';
import { untilAnswer } from '../support/until.js';
import { FakeNode } from './fakeNode.js';

const log = { info() {}, warn() {}, error() {} };
const never = new AbortController().signal;

async function folderOf(test: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-master-'));
  test.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function startMaster(test: Test, folder: string, partitionCount = 3): Promise<EmbeddedMaster> {
  const master = await EmbeddedMaster.start({
    address: '127.0.0.1',
    port: 0,
    folder,
    volume: 'demo',
    partitionCount,
    heartbeatIntervalMs: 100,
    log,
  });
  test.teardown(() => master.stop());
  return master;
}

/** A fake node that knows the master, with the address it registers under. */
async function startNode(test: Test, master: EmbeddedMaster): Promise<{ node: FakeNode; addr: string }> {
  const node = new FakeNode();
  node.masterAddress = master.address;
  const addr = await node.listen();
  test.teardown(() => node.close());
  return { node, addr };
}

t.test('registration, heartbeat, creation, list of partitions', async (t) => {
  const master = await startMaster(t, await folderOf(t));
  const { node, addr } = await startNode(t, master);
  const ip = await node.http('GET', '/admin/getIp');
  t.strictSame(ip, {
    status: 200,
    contentType: 'application/json',
    text: '{"code":0,"msg":"success","data":{"Cluster":"standalone","Ip":"127.0.0.1"}}',
  });
  t.equal(
    (await node.http('POST', `/dataNode/add?addr=${addr}`)).text,
    '{"code":0,"msg":"success","data":1}',
  );
  t.equal(await master.waitServing(10_000, never), null);
  t.equal(node.packets[0]!.opcode, OP.dataNodeHeartbeat, 'the heartbeat comes first');
  const created = node.packets.filter((packet) => packet.opcode === OP.createDataPartition);
  t.strictSame(
    created.map(({ partitionId }) => partitionId),
    [1, 2, 3],
  );
  t.match(created[0], { extentType: 0, crc: 0 });
  t.match(created[0]!.task, {
    ID: `addr[${addr}]_op[96]_DataPartitionID[1]`,
    PartitionID: 1,
    OpCode: 96,
    OperatorAddr: addr,
    Request: {
      PartitionId: 1,
      PartitionSize: 128849018880,
      VolumeId: 'demo',
      Members: [{ id: 1, addr }],
      Hosts: [addr],
      CreateType: 0,
    },
  });
  const list = JSON.parse((await node.http('GET', `/dataNode/get?addr=${addr}`)).text);
  t.strictSame(list.data.PersistenceDataPartitions, [1, 2, 3]);
});

t.test('packets and replies have the keys of the recorded ones, in order', async (t) => {
  const master = await startMaster(t, await folderOf(t));
  const { node, addr } = await startNode(t, master);
  await node.http('POST', `/dataNode/add?addr=${addr}`);
  t.equal(await master.waitServing(10_000, never), null);
  const recorded = recordedPackets('heartbeat-create', 'request').map(({ body }) =>
    shapeOf(JSON.parse(body)),
  );
  const heartbeat = node.packets.find(({ opcode }) => opcode === OP.dataNodeHeartbeat);
  const create = node.packets.find(({ opcode }) => opcode === OP.createDataPartition);
  t.strictSame(shapeOf(heartbeat!.task), recorded[0]);
  t.strictSame(shapeOf(create!.task), recorded[1]);
  t.equal(create!.task['Response'], null);
  for (const [path, file] of [
    [`/dataNode/get?addr=${addr}`, 'http-dataNode-get.s2c.bin'],
    ['/dataPartition/get?id=1&name=demo', 'http-dataPartition-get.s2c.bin'],
    ['/admin/getIp', 'http-getIp.s2c.bin'],
    [`/dataNode/add?addr=${addr}`, 'http-dataNode-add.s2c.bin'],
  ] as const) {
    const reply = await node.http('GET', path);
    const expected = JSON.parse(recordedHttpBody(file));
    t.strictSame(Object.keys(JSON.parse(reply.text)), ['code', 'msg', 'data'], path);
    t.strictSame(Object.keys(JSON.parse(reply.text).data), Object.keys(expected.data), path);
    t.ok(recordedHttpHead(file).includes(`Content-Type: ${reply.contentType}`), path);
  }
  const response = { ...heartbeat!.task, Response: { Status: 1 } };
  const posted = await node.http('POST', '/dataNode/response', JSON.stringify(response));
  t.equal(posted.text, recordedHttpBody('http-response.s2c.bin'));
});

t.test('a node that does not listen yet gets its heartbeat as soon as it does', async (t) => {
  const master = await startMaster(t, await folderOf(t), 1);
  const { node, addr } = await startNode(t, master);
  const port = Number(addr.split(':')[1]);
  await node.close();
  const late = new FakeNode();
  late.masterAddress = master.address;
  await late.http('POST', `/dataNode/add?addr=${addr}`);
  await late.listen(port);
  t.teardown(() => late.close());
  t.equal(await master.waitServing(10_000, never), null);
});

t.test('heartbeats go on over one connection, and over a new one when it was cut', async (t) => {
  const master = await startMaster(t, await folderOf(t), 1);
  const { node, addr } = await startNode(t, master);
  await node.http('POST', `/dataNode/add?addr=${addr}`);
  await node.until(() => node.count(OP.dataNodeHeartbeat) >= 3, 'three heartbeats');
  t.equal(node.connections, 1);
  node.dropConnections();
  const before = node.count(OP.dataNodeHeartbeat);
  await node.until(() => node.count(OP.dataNodeHeartbeat) >= before + 2, 'two more heartbeats');
  t.equal(node.connections, 2);
});

t.test(
  'a replica is added by the master’s path; one that could not be created is created later, to join',
  async (t) => {
    const master = await startMaster(t, await folderOf(t), 1);
    const first = await startNode(t, master);
    await first.node.http('POST', `/dataNode/add?addr=${first.addr}`);
    t.equal(await master.waitServing(10_000, never), null);
    const second = new FakeNode();
    second.masterAddress = master.address;
    const addr = await second.listen(0, '127.0.0.2');
    t.teardown(() => second.close());
    await second.http('POST', `/dataNode/add?addr=${addr}`);
    second.answer = ({ opcode }) =>
      opcode === OP.createDataPartition ? { ok: false, body: 'not now' } : { ok: true, body: '' };
    const path = `/dataReplica/add?id=1&addr=${addr}`;
    const refused = JSON.parse((await second.http('GET', path)).text);
    t.match(refused, { code: 1, msg: /not now/ });
    t.match(
      first.node.packets.find(({ opcode }) => opcode === OP.addDataPartitionRaftMember),
      {
        partitionId: 1,
        task: { OperatorAddr: first.addr, Request: { PartitionId: 1, AddPeer: { id: 2, addr } } },
      },
    );
    second.packets.length = 0;
    second.answer = () => ({ ok: true, body: '/late' });
    await second.until(() => second.count(OP.createDataPartition) > 0, 'a creation');
    const created = second.packets.find(({ opcode }) => opcode === OP.createDataPartition);
    t.match(created!.task.Request, { CreateType: 1, Hosts: [first.addr, addr] });
    const view = async () => JSON.parse((await second.http('GET', '/dataPartition/get?id=1')).text).data;
    await untilAnswer('the replica', async () => (await view()).Replicas[1].DiskPath === '/late' || null);
  },
);

t.test('a replica that was removed is deleted where it is reported, again and again', async (t) => {
  const master = await startMaster(t, await folderOf(t));
  const { node, addr } = await startNode(t, master);
  await node.http('POST', `/dataNode/add?addr=${addr}`);
  t.equal(await master.waitServing(10_000, never), null);
  removeHost(master.state.partitions[1]!, addr);
  node.answer = ({ opcode }) => ({ ok: opcode !== OP.deleteDataPartition, body: '' });
  // One that this master does not know is none of its business.
  node.reports = [1, 2, 77];
  await node.until(() => node.count(OP.deleteDataPartition) >= 2, 'it is asked at each heartbeat');
  node.reports = [1, 77];
  const asked = node.packets.filter(({ opcode }) => opcode === OP.deleteDataPartition);
  t.ok(asked.every(({ partitionId }) => partitionId === 2));
  t.match(asked[0]!.task.Request, { PartitionId: 2, PartitionSize: PARTITION_BYTES });
});

t.test('a refused creation is repeated until it succeeds; the reason is told meanwhile', async (t) => {
  const master = await startMaster(t, await folderOf(t), 2);
  const { node, addr } = await startNode(t, master);
  let refusals = 0;
  node.answer = (packet) => {
    if (packet.opcode === OP.createDataPartition && packet.partitionId === 2 && refusals++ < 2)
      return { ok: false, body: 'ActionCreateDataPartition_No disk space to create a data partition' };
    return { ok: true, body: '/fake/disk1' };
  };
  await node.http('POST', `/dataNode/add?addr=${addr}`);
  await node.until(() => refusals > 0, 'the first refusal');
  t.match(await master.waitServing(0, never), /^1 of 2 partitions are not created/);
  t.equal(await master.waitServing(20_000, never), null);
  t.equal(refusals, 3);
});

t.test(
  'a restart finds nodes and partitions, creates nothing again, and goes on from where it was',
  async (t) => {
    const folder = await folderOf(t);
    const first = await startMaster(t, folder, 2);
    const { node, addr } = await startNode(t, first);
    await node.http('POST', `/dataNode/add?addr=${addr}`);
    t.equal(await first.waitServing(10_000, never), null);
    await first.stop();
    const creations = node.count(OP.createDataPartition);

    const second = await startMaster(t, folder, 3);
    node.masterAddress = second.address;
    const list = JSON.parse((await node.http('GET', `/dataNode/get?addr=${addr}`)).text);
    t.strictSame(list.data.PersistenceDataPartitions, [1, 2], 'known before the node registers');
    t.equal(
      (await node.http('POST', `/dataNode/add?addr=${addr}`)).text,
      '{"code":0,"msg":"success","data":1}',
    );
    t.equal(await second.waitServing(10_000, never), null);
    t.equal(node.count(OP.createDataPartition), creations + 1);
  },
);

t.test(
  'three nodes: partitions on all of them, tasks for each, and the view that clients ask for',
  async (t) => {
    const nodes = [new FakeNode(), new FakeNode(), new FakeNode()];
    const addrs: string[] = [];
    for (const [index, node] of nodes.entries()) {
      t.teardown(() => node.close());
      addrs.push(await node.listen(0, `127.0.0.${index + 1}`));
    }
    const options = { address: '127.0.0.1', port: 0, folder: await folderOf(t), volume: 'demo', log };
    const master = await EmbeddedMaster.start({
      ...{ ...options, partitionCount: 2, nodes: addrs, heartbeatIntervalMs: 100 },
    });
    t.teardown(() => master.stop());
    for (const node of nodes) node.masterAddress = master.address;
    const view = async (): Promise<{ PartitionID: number; Status: number; Hosts: string[] }[]> =>
      JSON.parse((await nodes[0]!.http('GET', '/client/partitions?name=demo')).text).data.DataPartitions;
    t.strictSame(
      (await view()).map(({ Status }) => Status),
      [1, 1],
      'no replica exists yet',
    );
    // The ids follow the order in which the nodes were named, not the one in which they come.
    const ids = [];
    for (const index of [2, 0, 1]) {
      t.match(await master.waitServing(0, never), /^2 of 2 partitions are not created/);
      ids.push(
        JSON.parse((await nodes[index]!.http('POST', `/dataNode/add?addr=${addrs[index]}`)).text).data,
      );
    }
    t.strictSame(ids, [3, 1, 2]);
    t.equal(await master.waitServing(10_000, never), null);
    const [a, b, c] = addrs as [string, string, string];
    for (const node of nodes) {
      const created = node.packets.filter(({ opcode }) => opcode === OP.createDataPartition);
      t.match(
        created.map(({ task }) => task.Request),
        [
          { PartitionId: 1, Hosts: [a, b, c], Members: [{ id: 1 }, { id: 2 }, { id: 3 }] },
          { PartitionId: 2, Hosts: [b, c, a], Members: [{ id: 2 }, { id: 3 }, { id: 1 }] },
        ],
      );
      t.ok(node.packets.every(({ task }) => task['OperatorAddr'] === addrs[nodes.indexOf(node)]));
    }
    const rest = { Status: 2, ReplicaNum: 3, LeaderAddr: '', Epoch: 0 };
    t.strictSame(await view(), [
      { PartitionID: 1, Hosts: [a, b, c], ...rest },
      { PartitionID: 2, Hosts: [b, c, a], ...rest },
    ]);
    const { data } = JSON.parse((await nodes[0]!.http('GET', '/dataPartition/get?id=2&name=demo')).text);
    t.match(data, { ReplicaNum: 3, Hosts: [b, c, a], Peers: [{ id: 2, addr: b }, { id: 3 }, { id: 1 }] });
    t.strictSame(
      data.Replicas.map(({ Addr }: { Addr: string }) => Addr),
      [b, c, a],
      'replicas in the order of the hosts',
    );
    const unknown = JSON.parse((await nodes[0]!.http('GET', '/client/partitions?name=other')).text);
    t.strictSame(unknown, { code: 7, msg: 'vol not exists', data: null });

    // One goes away and comes back.
    await nodes[1]!.close();
    await untilAnswer(
      'its partitions are read-only',
      async () => (await view()).every(({ Status }) => Status === 1) || null,
    );
    const back = new FakeNode();
    t.teardown(() => back.close());
    back.masterAddress = master.address;
    await back.listen(Number(b.split(':')[1]), '127.0.0.2');
    t.equal(JSON.parse((await back.http('POST', `/dataNode/add?addr=${b}`)).text).data, 2);
    await untilAnswer(
      'they are read-write again',
      async () => (await view()).every(({ Status }) => Status === 2) || null,
    );
    t.equal(back.count(OP.createDataPartition), 0, 'nothing is created again');
  },
);

t.test('waiting ends when it is aborted, or says after its time what is missing', async (t) => {
  const master = await startMaster(t, await folderOf(t));
  t.equal(await master.waitServing(10, never), 'no node has registered');
  const stop = new AbortController();
  const waiting = master.waitServing(60_000, stop.signal);
  stop.abort();
  t.equal(await waiting, 'aborted');
});

t.test('unknown nodes, partitions, paths and bad parameters are refused as by the real master', async (t) => {
  const master = await startMaster(t, await folderOf(t));
  const { node } = await startNode(t, master);
  const cases: [string, string, string, object][] = [
    ['GET', '/dataNode/get?addr=127.0.0.1:9', '', { code: 10, msg: 'data node not exists', data: null }],
    ['GET', '/dataPartition/get?id=99', '', { code: 9, msg: 'data partition not exists', data: null }],
    ['GET', '/dataPartition/get?id=x', '', { code: 2 }],
    ['POST', '/dataNode/add', '', { code: 2 }],
    ['POST', '/dataNode/add?addr=127.0.0.1:0', '', { code: 2 }],
    ['POST', '/dataNode/add?addr=nonsense', '', { code: 2 }],
    ['POST', '/dataNode/response', '{', { code: 2 }],
    ['POST', '/dataNode/response', '{"OpCode":99,"OperatorAddr":"127.0.0.1:9"}', { code: 10 }],
  ];
  for (const [method, path, body, expected] of cases) {
    const reply = await node.http(method, path, body);
    t.equal(reply.status, 200, path);
    t.match(JSON.parse(reply.text), expected, path);
  }
  t.equal((await node.http('GET', '/nowhere')).status, 404);
});

t.test('/status shows nodes with their last heartbeat', async (t) => {
  const master = await startMaster(t, await folderOf(t), 1);
  const { node, addr } = await startNode(t, master);
  await node.http('POST', `/dataNode/add?addr=${addr}`);
  t.equal(await master.waitServing(10_000, never), null);
  t.match(JSON.parse((await node.http('GET', '/status')).text), {
    cluster: 'standalone',
    volume: 'demo',
    nodes: [{ id: 1, addr, heartbeat: { Total: 100, Status: 1 } }],
    partitions: [{ id: 1, hosts: [addr], diskPaths: ['/fake/disk1'] }],
  });
});
