/**
 * One SIGTERM in each stage of a start (`admin.md` 3 and 13, pains.md 17): the node ends with exit code 0 within seconds, and was never ready. The master is a small server that
 * answers or keeps silent as the stage wants; the reference swallows the signal until it has started.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { mainPath, type NodeProcess, startProcess, testFolder } from '../support/nodeProcess.js';
import { until } from '../support/until.js';

/** Eight seconds is the node's own deadline; one more for a busy machine. */
const END_MS_MAX = 9_000;

/** A master that answers the calls of a start, but for those to `silentPath`; paths asked for, in order. */
async function master(t: Test, silentPath: string): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = [];
  const answers: Record<string, unknown> = {
    '/admin/getIp': { Cluster: 'c', Ip: '127.0.0.1' },
    '/dataNode/add': 5,
    '/dataNode/get': { PersistenceDataPartitions: [] },
  };
  const server = createServer((request, response) => {
    const path = request.url!.split('?')[0]!;
    asked.push(path);
    if (path === silentPath) return;
    response.end(JSON.stringify({ code: 0, msg: 'success', data: answers[path] ?? null }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

interface Prepared {
  folder: string;
  disk: string;
  configPath: string;
}

async function prepare(t: Test, masterAddress: string): Promise<Prepared> {
  const folder = testFolder(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const [port, raftHeartbeat, raftReplica] = await freePorts('127.0.0.1', 3);
  const configPath = join(folder, 'datanode.json');
  const config = {
    ...{ role: 'datanode', port: String(port), localIP: '127.0.0.1', masterAddr: [masterAddress] },
    ...{ disks: [`${disk}:0`], raftDir: folder, logDir: folder, logLevel: 'info' },
    ...{ raftHeartbeat: String(raftHeartbeat), raftReplica: String(raftReplica) },
  };
  writeFileSync(configPath, JSON.stringify(config));
  return { folder, disk, configPath };
}

async function endsAtOnce(t: Test, node: NodeProcess): Promise<void> {
  const ended = await node.terminate();
  t.equal(ended.code, 0, node.stderr);
  t.ok(ended.afterMs < END_MS_MAX, `${Math.round(ended.afterMs)} ms`);
  t.equal(node.stdout, '', 'it never was ready');
}

for (const path of ['/admin/getIp', '/dataNode/add', '/dataNode/get']) {
  t.test(`pains 17: while the master does not answer ${path}`, async (t) => {
    const { address, asked } = await master(t, path);
    const { configPath } = await prepare(t, address);
    const node = startProcess(t, { args: ['-c', configPath, '-f'] });
    await until('the node asks', () => asked.at(-1) === path, 30_000);
    await endsAtOnce(t, node);
  });
}

t.test('pains 17: while a disk that hangs is loaded', async (t) => {
  const { address } = await master(t, '');
  const { folder, disk, configPath } = await prepare(t, address);
  const bad = join(disk, 'datapartition_7_1073741824');
  mkdirSync(bad);
  // A META that is a pipe: its open waits for a writer, for ever, as a call to a lost disk does.
  execFileSync('mkfifo', [join(bad, 'META')]);
  const node = startProcess(t, { args: ['-c', configPath, '-f'] });
  const log = join(folder, 'dataNode', 'dataNode_info.log');
  await until('the disk is being loaded', () => readText(log).includes('disk is being loaded'), 30_000);
  await endsAtOnce(t, node);
});

t.test('pains 17: in the first moments, again and again', async (t) => {
  const { address } = await master(t, '/admin/getIp');
  const { configPath } = await prepare(t, address);
  for (const afterMs of [60, 120, 200, 300, 450]) {
    const node = startProcess(t, { args: ['-c', configPath, '-f'] });
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    const { code, signal } = await node.terminate();
    // Before the first line of the program has run the system's default holds; later the program's word does.
    t.ok(code === 0 || signal === 'SIGTERM', `after ${afterMs} ms: ${code} ${signal}\n${node.stderr}`);
  }
});

t.test('pains 17: a start in the background is given up when its launcher is told to end', async (t) => {
  const { address, asked } = await master(t, '/admin/getIp');
  const { configPath, folder } = await prepare(t, address);
  const launcher = startProcess(t, { args: ['-c', configPath] });
  await until('the node asks', () => asked.length > 0, 30_000);
  const { code, afterMs } = await launcher.terminate();
  t.equal(code, 1, 'the start did not succeed');
  t.ok(afterMs < END_MS_MAX, `${Math.round(afterMs)} ms`);
  t.equal(nodesOf(configPath).length, 0, 'the node in the background has ended too');
  t.match(readText(join(folder, 'dataNode', 'output.log')), /SIGTERM: stopping/);
});

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** Processes that run the node of this config file. */
function nodesOf(configPath: string): string[] {
  return execFileSync('ps', ['-eo', 'pid=,args='], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(mainPath) && line.includes(configPath) && line.includes(' -f '));
}
