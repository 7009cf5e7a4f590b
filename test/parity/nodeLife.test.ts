/**
 * The states of the server that the Go API names: Standby, Start, Running, Shutdown, Stopped; over a real node and a master of three answers.
 * A node object exists from its start on, so "back to Standby" means here that a failed start has given back everything and can be made again.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { NodeConfig } from '../../src/config/config.js';
import { parseConfig } from '../../src/config/schema.js';
import { type DataNode, startDataNode } from '../../src/dataNode.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type Ask, PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';

const log = pino({ level: 'silent' });

/** A master that registers nodes and expects these partitions on each. */
class SmallMaster {
  partitions: number[] = [];
  /** While false every request is refused. */
  up = true;
  calls = 0;
  readonly server = http.createServer((request, response) => {
    this.calls += 1;
    const path = request.url?.split('?')[0];
    const data = {
      '/admin/getIp': { Cluster: 'parity', Ip: '127.0.0.1' },
      '/dataNode/add': 4,
      '/dataNode/get': { PersistenceDataPartitions: this.partitions },
    }[path ?? ''];
    const code = this.up && data !== undefined ? 0 : 1;
    response.end(JSON.stringify({ code, msg: code === 0 ? 'success' : 'not now', data: data ?? null }));
  });
}

async function setUp(t: Test): Promise<{ master: SmallMaster; config: NodeConfig }> {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-life-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const master = new SmallMaster();
  await new Promise<void>((resolve) => master.server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => master.server.close());
  const [port = 0, prof = 0, heartbeat = 0, replica = 0] = await freePorts('127.0.0.1', 4);
  const parsed = parseConfig(
    JSON.stringify({
      role: 'datanode',
      port: String(port),
      localIP: '127.0.0.1',
      prof: String(prof),
      raftHeartbeat: String(heartbeat),
      raftReplica: String(replica),
      raftDir: join(folder, 'raft'),
      logDir: folder,
      disks: [`${folder}:0`],
      masterAddr: [`127.0.0.1:${(master.server.address() as AddressInfo).port}`],
    }),
  );
  if (!parsed.ok) throw new Error(parsed.message);
  return { master, config: parsed.config };
}

async function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

t.test('Standby: a start that fails gives everything back and can be made again', async (t) => {
  const { master, config } = await setUp(t);
  master.partitions = [7];
  await t.rejects(startDataNode({ config, log }), /LackPartitions \[7\]/);
  t.notOk(await accepts(config.port));
  master.partitions = [];
  const node = await startDataNode({ config, log });
  t.equal(node.life, 'Running');
  await node.stop();
});

t.test(
  'Start: the node is silent until the master has registered it, and gives up when told to',
  async (t) => {
    const { master, config } = await setUp(t);
    master.up = false;
    const abort = new AbortController();
    const starting = startDataNode({ config, log, signal: abort.signal });
    const outcome = t.rejects(starting, /given up/);
    await new Promise<void>((resolve) => master.server.once('request', () => resolve()));
    t.notOk(await accepts(config.port));
    abort.abort();
    await outcome;
  },
);

t.test('Running: the node serves', async (t) => {
  const { config } = await setUp(t);
  const node = await startDataNode({ config, log });
  t.equal(node.life, 'Running');
  t.ok(await accepts(config.port));
  t.match(node.registration, { cluster: 'parity', nodeId: 4, address: `127.0.0.1:${config.port}` });
  await node.stop();
});

t.test('Running: other access lists are taken over', async (t) => {
  const { config } = await setUp(t);
  const node = await startDataNode({ config, log });
  const heartbeat: Ask = { opcode: OP.dataNodeHeartbeat, body: Buffer.from('{}') };
  const open = new PacketClient(config.port);
  await until('a connection', () => !open.socket.connecting);
  const elsewhere = ['10.9.9.9'];
  await node.reload({ ...config, accessMasters: elsewhere });
  const refused = new PacketClient(config.port);
  t.equal((await refused.ask(heartbeat)).resultCode, RESULT.notPerm);
  t.notOk(open.closed, 'the other lists admit it');
  const nobody = { accessClients: elsewhere, accessPeers: elsewhere, accessMasters: elsewhere };
  await node.reload({ ...config, ...nobody });
  await until('who is in none is closed', () => open.closed);
  await node.reload(config);
  const again = new PacketClient(config.port);
  t.not((await again.ask(heartbeat)).resultCode, RESULT.notPerm);
  for (const client of [refused, again]) await client.end();
  await node.stop();
});

t.test('Shutdown and Stopped: the first stop ends the node, a second one waits for it', async (t) => {
  const { config } = await setUp(t);
  const node: DataNode = await startDataNode({ config, log });
  const first = node.stop();
  t.equal(node.life, 'Shutdown');
  const second = node.stop();
  t.equal(await first, true, 'every worker ended cleanly');
  t.equal(await second, true);
  t.equal(node.life, 'Stopped');
  t.notOk(await accepts(config.port));
});
