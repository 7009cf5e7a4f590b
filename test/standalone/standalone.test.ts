/** Standalone mode around a fake node: folders, config file, ready line, failures, restart. The real node has its own end-to-end tests. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { parseConfig } from '../../src/config/schema.js';
import { parseStandaloneFlags, type StandaloneFlags } from '../../src/config/standaloneFlags.js';
import type { DataNodeOptions } from '../../src/dataNode.js';
import { type StandaloneOptions, startStandalone } from '../../src/standalone/standalone.js';
import { configText, freePorts } from '../../src/standalone/standaloneConfig.js';
import { FakeNode } from './fakeNode.js';

const log = pino({ level: 'silent' });
const GiB = 1024 ** 3;
/** 100 GiB of which 50 are free. */
const statFolder = async () => ({ blocks: 100, bavail: 50, bsize: GiB });

/** Standalone mode on disks that are large enough. */
function start(options: Omit<StandaloneOptions, 'log'>) {
  return startStandalone({ statFolder, ...options, log });
}

async function flagsOf(test: Test, ...more: string[]): Promise<StandaloneFlags> {
  const folder = await mkdtemp(join(tmpdir(), 'extentd-standalone-'));
  test.teardown(() => rm(folder, { recursive: true, force: true }));
  const ports = ['port', 'http', 'raft-heartbeat', 'raft-replica', 'master'].flatMap((name) => [
    `--${name}`,
    '0',
  ]);
  const request = parseStandaloneFlags(['--data', join(folder, 'data'), ...ports, ...more]);
  if (request.kind !== 'run') throw new Error('bad flags in a test');
  return request.flags;
}

/** Starts a fake node as `startDataNode` would start the real one: registers, then listens. */
function fakeStart(nodes: FakeNode[], configs: DataNodeOptions['config'][]) {
  return async ({ config }: DataNodeOptions) => {
    configs.push(config);
    const node = new FakeNode();
    nodes.push(node);
    node.masterAddress = config.masterAddrs[0]!;
    const data = `${config.localIP}:${config.port}`;
    await node.http('POST', `/dataNode/add?addr=${data}`);
    await node.listen(config.port);
    const addresses = {
      data,
      http: `127.0.0.1:${config.profPort}`,
      exporter: null,
      raftHeartbeat: `127.0.0.1:${config.raftHeartbeatPort}`,
      raftReplica: `127.0.0.1:${config.raftReplicaPort}`,
    };
    return { addresses, stop: () => node.close().then(() => true) };
  };
}

t.test('folders, config file and ready line', async (t) => {
  const flags = await flagsOf(t, '--disks', '3', '--partitions', '2', '--set', 'extentd.slab.slots4k=128');
  const configs: DataNodeOptions['config'][] = [];
  const standalone = await start({ flags, startNode: fakeStart([], configs) });
  t.teardown(() => standalone.stop());
  t.strictSame((await readdir(flags.dataFolder)).sort(), [
    'datanode.json',
    'disk1',
    'disk2',
    'disk3',
    'log',
    'master',
    'raft',
  ]);
  const { http, master } = standalone.addresses;
  t.match(standalone.addresses, {
    console: `http://${http}/`,
    volume: 'demo',
    partitions: '1..2',
    folder: flags.dataFolder,
  });
  const file = await readFile(join(flags.dataFolder, 'datanode.json'), 'utf8');
  const parsed = parseConfig(file);
  t.ok(parsed.ok);
  t.strictSame(parsed.ok && parsed.config, configs[0], 'the node was started with what the file says');
  t.match(configs[0], {
    localIP: '127.0.0.1',
    masterAddrs: [master],
    slabSlots4k: 128,
    listenAddress: '127.0.0.1',
  });
});

t.test('a restart on other ports finds the same partitions and creates none', async (t) => {
  const flags = await flagsOf(t, '--partitions', '3');
  const nodes: FakeNode[] = [];
  const startNode = fakeStart(nodes, []);
  const first = await start({ flags, startNode });
  await Promise.all([first.stop(), first.stop()]);
  const second = await start({ flags, startNode });
  t.teardown(() => second.stop());
  t.equal(nodes[0]!.count(0x60), 3);
  t.equal(nodes[1]!.count(0x60), 0);
  t.equal(second.addresses.partitions, '1..3');
  const list = JSON.parse((await nodes[1]!.http('GET', `/dataNode/get?addr=${second.addresses.data}`)).text);
  t.strictSame(list.data.PersistenceDataPartitions, [1, 2, 3]);
});

t.test('a node that does not start takes its master down with it', async (t) => {
  const flags = { ...(await flagsOf(t)), masterPort: (await freePorts('127.0.0.1', 1))[0]! };
  const startNode = async (): Promise<never> => {
    throw new Error('disks[0]: is locked');
  };
  await t.rejects(start({ flags, startNode }), { message: 'disks[0]: is locked' });
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(flags.masterPort, '127.0.0.1', resolve));
  t.ok(server.listening, 'the port of the master is free again');
  await new Promise((resolve) => server.close(resolve));
});

t.test('disks without room are said before anything is started, unless all partitions exist', async (t) => {
  const flags = await flagsOf(t, '--partitions', '1');
  const startNode = fakeStart([], []);
  // The reserve of 5 GiB leaves exactly 5 GiB.
  const full = async () => ({ blocks: 100, bavail: 10, bsize: GiB });
  await t.rejects(start({ flags, startNode, statFolder: full }), {
    message: /^no disk folder has room for a partition: 5\.0 GiB available at .*disk1 after the reserve/,
  });
  await (await start({ flags, startNode })).stop();
  await (await start({ flags, startNode, statFolder: full })).stop();
});

t.test('an abort during the wait for partitions ends the start', async (t) => {
  const flags = await flagsOf(t);
  const abort = new AbortController();
  const nodes: FakeNode[] = [];
  const startFake = fakeStart(nodes, []);
  const startNode = async (options: DataNodeOptions) => {
    const started = await startFake(options);
    nodes[0]!.answer = () => {
      setImmediate(() => abort.abort());
      return null;
    };
    return started;
  };
  await t.rejects(start({ flags, signal: abort.signal, startNode }), { message: 'aborted' });
});

t.test("a master port that is taken is said by the system's words", async (t) => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const masterPort = typeof address === 'object' && address !== null ? address.port : 0;
  const flags = { ...(await flagsOf(t)), masterPort };
  await t.rejects(start({ flags, startNode: fakeStart([], []) }), { message: /EADDRINUSE/ });
});

t.test('the config file of default flags is what an operator would write', async (t) => {
  const request = parseStandaloneFlags(['--data', '/srv/x']);
  t.equal(request.kind, 'run');
  if (request.kind !== 'run') return;
  t.strictSame(JSON.parse(configText(request.flags, '127.0.0.1:17010')), {
    role: 'datanode',
    port: '17310',
    localIP: '127.0.0.1',
    masterAddr: ['127.0.0.1:17010'],
    disks: ['/srv/x/disk1:0', '/srv/x/disk2:0'],
    prof: '17320',
    raftDir: '/srv/x/raft',
    raftHeartbeat: '17330',
    raftReplica: '17340',
    logDir: '/srv/x/log',
    logLevel: 'info',
    extentd: { listenAddress: '127.0.0.1' },
  });
});

t.test('free ports are different and free', async (t) => {
  const ports = await freePorts('127.0.0.1', 4);
  t.equal(new Set(ports).size, 4);
  for (const port of ports) t.ok(port > 0);
});
