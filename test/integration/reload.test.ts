/** Every key that SIGHUP takes over acts on the running node. Limits, rack and paces are in configFile.test.ts. */
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { NodeConfig } from '../../src/config/config.js';
import { parseConfig } from '../../src/config/schema.js';
import { startDataNode } from '../../src/dataNode.js';
import { IO } from '../../src/native/addon.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type NodeFiles, nodeFiles, nodePorts, startMaster } from '../support/nodeFiles.js';
import { startProcess } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, createPartition } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

/** An HTTP server that takes requests down and says yes to all: a consul agent, or another master. */
async function listener(t: Test): Promise<{ host: string; calls: string[] }> {
  const calls: string[] = [];
  const server = createServer((request, response) => {
    calls.push(`${request.method} ${request.url}`);
    request.resume();
    response.end('{"code":0,"msg":"success","data":"200"}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, calls };
}

interface Node {
  files: NodeFiles;
  /** Rewrites the file with these changes (to the one it was started with) and sends SIGHUP; resolves when the node has taken it over. */
  reload(change: Record<string, unknown>): Promise<void>;
  /** The file becomes this text, and the node is told. */
  hup(text: string): void;
  http: string;
  pid: number;
  stop(): Promise<void>;
}

const EXTENTD = {
  listenAddress: '127.0.0.1',
  faultInjection: true,
  stallMs: 60_000,
  probe: { intervalMs: 1_000, timeoutMs: 600_000 },
};

async function startNode(t: Test, changes: Record<string, unknown> = {}): Promise<Node> {
  const master = await startMaster(t);
  const files = nodeFiles(t, master.address, nodePorts(await freePorts('127.0.0.1', 4)), {
    localIP: '127.0.0.1',
    extentd: EXTENTD,
    ...changes,
  });
  const node = startProcess(t, { args: ['-c', files.path, '-f'] });
  await node.whenReady();
  const reloads = (): number => files.log('dataNode_info.log').split('the config file is in force').length;
  const hup = (text: string): void => {
    writeFileSync(files.path, text);
    process.kill(node.pid, 'SIGHUP');
  };
  return {
    files,
    hup,
    pid: node.pid,
    http: `http://127.0.0.1:${files.config['prof']}`,
    async reload(change) {
      const before = reloads();
      hup(JSON.stringify({ ...files.config, ...change }));
      await until('the reload', () => reloads() > before);
    },
    async stop() {
      t.equal((await node.terminate()).code, 0);
    },
  };
}

async function fault(node: Node, query: string): Promise<void> {
  const response = await fetch(`${node.http}/debug/fault?disk=0&${query}`, { method: 'POST' });
  if (response.status !== 200) throw new Error(await response.text());
}

t.test('logLevel: up and down', async (t) => {
  const node = await startNode(t, { logLevel: 'error' });
  t.equal(node.files.log('dataNode_info.log'), '', 'nothing at this level');
  await node.reload({ logLevel: 'info' });
  t.match(node.files.log('dataNode_info.log'), /"changed":\["logLevel"\]/);
  node.hup(JSON.stringify({ ...node.files.config, rack: 'quiet' }));
  await untilAnswer('the reload', async () => {
    const page = await (await fetch(`${node.http}/disks`)).text();
    return page.includes('"rack":"quiet"') ? true : null;
  });
  const before = node.files.log('dataNode_info.log');
  await node.stop();
  t.equal(node.files.log('dataNode_info.log'), before, 'not even the stop is told at this level');
});

t.test('masterAddr: what the node posts goes to the new master', async (t) => {
  const node = await startNode(t);
  const other = await listener(t);
  await node.reload({ masterAddr: [other.host] });
  // The old master goes on asking for heartbeats; the answers go where the file says.
  await until('a heartbeat', () => other.calls.includes('POST /dataNode/response'));
  await node.stop();
});

t.test('consulAddr: another agent, then none', async (t) => {
  const [first, second] = [await listener(t), await listener(t)];
  const node = await startNode(t, { exporterPort: 9500, consulAddr: `http://${first.host}` });
  const line = 'PUT /v1/agent/service/register';
  await until('the first agent', () => first.calls.length === 1);
  await node.reload({ consulAddr: second.host });
  await until('the second agent', () => second.calls.length === 1);
  t.strictSame([first.calls, second.calls], [[line], [line]]);
  await node.reload({ consulAddr: '' });
  await node.stop();
});

t.test('stallMs: requests of a disk that hangs are answered sooner', async (t) => {
  const node = await startNode(t);
  const port = Number(node.files.config['port']);
  const client = new PacketClient(port);
  const made = await client.ask(createPartition(`127.0.0.1:${port}`, 1, 1, 1024 ** 3));
  t.equal(made.resultCode, RESULT.ok);
  await fault(node, `kind=hang&codes=${IO.open}`);
  let answered = false;
  const asked = client.ask(create(1)).then((reply) => {
    answered = true;
    return reply;
  });
  // As long as it takes to read the file again: the time in force is a minute.
  await node.reload({});
  t.notOk(answered);
  await node.reload({ extentd: { ...EXTENTD, stallMs: 100 } });
  await until('the answer', () => answered);
  t.match((await asked).body.toString(), /does not answer/);
  await fault(node, 'kind=clear');
  await client.end();
  await node.stop();
});

t.test('probe.timeoutMs: a disk that hangs is reported sooner', async (t) => {
  const node = await startNode(t);
  const status = async (): Promise<number> => {
    const body = (await (await fetch(`${node.http}/disks`)).json()) as {
      data: { disks: { status: number }[] };
    };
    return body.data.disks[0]!.status;
  };
  await fault(node, `kind=hang&codes=${IO.fdatasync}`);
  t.not(await status(), -1);
  await node.reload({ extentd: { ...EXTENTD, probe: { intervalMs: 1_000, timeoutMs: 1_000 } } });
  await untilAnswer('the hang is seen', async () => ((await status()) === -1 ? true : null), 30_000);
  await node.reload({});
  await untilAnswer('it is forgiven', async () => ((await status()) === -1 ? null : true), 30_000);
  await fault(node, 'kind=clear');
  await node.stop();
});

t.test('the file may be wrong in any way: one line, and the node serves on as it did', async (t) => {
  const node = await startNode(t);
  const complaints = (): string[] =>
    node.files
      .log('dataNode_error.log')
      .split('\n')
      .filter((line) => line.includes('SIGHUP: nothing is changed'));
  const wrong = ['', '{', '[]', 'null', JSON.stringify({ ...node.files.config, rack: 'other', port: 17 })];
  for (const [index, text] of wrong.entries()) {
    node.hup(text);
    await until('the complaint', () => complaints().length === index + 1);
  }
  t.match(await (await fetch(`${node.http}/disks`)).json(), { data: { rack: 'cfs_rack1' } });
  rmSync(node.files.path);
  process.kill(node.pid, 'SIGHUP');
  await until('the last complaint', () => /cannot be read: ENOENT/.test(complaints().at(-1) ?? ''));
  await node.reload({ rack: 'other' });
  t.match(await (await fetch(`${node.http}/disks`)).json(), { data: { rack: 'other' } });
  await node.stop();
});

t.test('a node that stops takes nothing over', async (t) => {
  const master = await startMaster(t);
  const agent = await listener(t);
  const files = nodeFiles(t, master.address, nodePorts(await freePorts('127.0.0.1', 4)), {
    localIP: '127.0.0.1',
    exporterPort: 9500,
    extentd: EXTENTD,
  });
  const configOf = (change: object): NodeConfig => {
    const result = parseConfig(JSON.stringify({ ...files.config, ...change }));
    if (!result.ok) throw new Error(result.message);
    return result.config;
  };
  const node = await startDataNode({ config: configOf({}), log: pino({ level: 'silent' }) });
  t.match(await node.reload(configOf({ rack: 'r2' })), { ok: true, value: { changed: ['rack'] } });
  t.match(await node.reload(configOf({ logLevel: 'debug' })), {
    ok: true,
    value: { changed: ['rack'], needRestart: ['logLevel'] },
  });
  const stopped = node.stop();
  const consul = configOf({ consulAddr: agent.host });
  const refusal = { ok: false, message: 'reload: the node is stopping' };
  t.strictSame(await node.reload(consul), refusal);
  t.equal(await stopped, true);
  t.strictSame(await node.reload(consul), refusal);
  t.strictSame(agent.calls, []);
});
