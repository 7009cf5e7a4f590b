/** `extentd -c FILE` beside a running standalone node: against its master with disks of its own, refused on the same disks; and what a bad file says. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import {
  type NodeProcess,
  type RunningNode,
  startProcess,
  startStandalone,
  testFolder,
} from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, createPartition, pattern, read, write } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

type Config = Record<string, unknown>;
const PARTITION_BYTES = 1024 ** 3;
/** The embedded master knows a node by its IP, so the second one has another. */
const OTHER_IP = '127.0.0.2';

/** The config file that the standalone node has written, with changes and free ports of its own, in a folder of its own. */
async function configBeside(node: RunningNode, folder: string, changes: Config): Promise<string> {
  const written = JSON.parse(readFileSync(join(node.folder, 'datanode.json'), 'utf8')) as Config;
  const [port, prof, raftHeartbeat, raftReplica] = await freePorts('127.0.0.1', 4);
  const config = {
    ...written,
    localIP: OTHER_IP,
    extentd: { listenAddress: OTHER_IP },
    ...{ port: String(port), prof: String(prof) },
    ...{ raftHeartbeat: String(raftHeartbeat), raftReplica: String(raftReplica) },
    logDir: join(folder, 'log'),
    ...changes,
  };
  const path = join(folder, 'datanode.json');
  writeFileSync(path, JSON.stringify(config));
  return path;
}

function run(path: string): NodeProcess {
  return startProcess(t, { args: ['-c', path, '-f'] });
}

const master = await startStandalone(t, { disks: 2, partitions: 2 });

t.test('a second node joins the running master with disks of its own', async (t) => {
  const folder = testFolder(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const node = run(await configBeside(master, folder, { disks: [`${disk}:0`], logLevel: 'info' }));
  const addresses = await node.whenReady();
  const address = addresses.get('data')!;
  const status = (await (await fetch(`${master.masterUrl}/status`)).json()) as { nodes: { addr: string }[] };
  t.ok(
    status.nodes.some(({ addr }) => addr === address),
    'the master knows it',
  );
  const client = new PacketClient(Number(address.split(':')[1]), OTHER_IP);
  const made = await client.ask(createPartition(address, 2, 900, PARTITION_BYTES));
  t.equal(made.resultCode, RESULT.ok, made.body.toString());
  t.equal(made.body.toString(), disk, 'the path as configured');
  const { extentId } = await client.ask(create(900));
  const body = pattern(extentId, 0, 5000);
  t.equal((await client.ask(write(900, extentId, 0, body, true))).resultCode, RESULT.ok);
  t.ok((await client.ask(read(900, extentId, 0, 5000))).body.equals(body));
  await client.end();
  const ended = await node.terminate();
  t.equal(ended.code, 0);
  const logs = readdirSync(join(folder, 'log', 'dataNode'));
  for (const name of ['dataNode_info.log', 'dataNode_error.log', 'output.log'])
    t.ok(logs.includes(name), name);
});

t.test('a second node on disks in use is refused by their lock, with a clear line', async (t) => {
  const folder = testFolder(t);
  const disk = join(master.folder, 'disk1');
  const node = run(await configBeside(master, folder, { disks: [`${disk}:0`] }));
  const ended = await node.ended(30_000);
  t.equal(ended.code, 1);
  t.match(node.stderr, new RegExp(`disk ${disk} is in use by another process`));
  const client = new PacketClient(master.port);
  t.equal((await client.ask(create(1))).resultCode, RESULT.ok, 'the first one serves on');
  await client.end();
});

t.test('the file that standalone wrote starts the same node again', async (t) => {
  const standalone = await startStandalone(t, { partitions: 2 });
  const client = new PacketClient(standalone.port);
  const { extentId } = await client.ask(create(2));
  const body = pattern(extentId, 0, 4096);
  await client.ask(write(2, extentId, 0, body, true));
  await client.end();
  const folder = testFolder(t);
  const path = await configBeside(standalone, folder, {});
  const config = JSON.parse(readFileSync(path, 'utf8')) as Config;
  t.equal((await standalone.process.terminate()).code, 0);
  // Its master has gone with it; another one takes its place and knows nothing of partitions there.
  writeFileSync(path, JSON.stringify({ ...config, masterAddr: [new URL(master.masterUrl).host] }));
  const node = run(path);
  const port = Number((await node.whenReady()).get('data')!.split(':')[1]);
  const again = new PacketClient(port, OTHER_IP);
  t.ok((await again.ask(read(2, extentId, 0, 4096))).body.equals(body));
  await again.end();
  t.equal((await node.terminate()).code, 0);
});

t.test('SIGHUP takes over what it can of the file and says what needs a restart', async (t) => {
  const folder = testFolder(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const path = await configBeside(master, folder, { disks: [`${disk}:0`], logLevel: 'info' });
  const config = JSON.parse(readFileSync(path, 'utf8')) as Config & { extentd: Config };
  const node = run(path);
  const http = (await node.whenReady()).get('http')!;
  const dataOf = async (page: string): Promise<unknown> =>
    ((await (await fetch(`http://${http}${page}`)).json()) as { data: unknown }).data;
  const operations = async (): Promise<number> => {
    const data = (await dataOf('/limits')) as {
      disks: { limits: { clients: { writeOpsPerSecond: number } } }[];
    };
    return data.disks[0]!.limits.clients.writeOpsPerSecond;
  };
  const logOf = (level: string): string =>
    readFileSync(join(folder, 'log', 'dataNode', `dataNode_${level}.log`), 'utf8');
  const rewrite = (change: Config, extentd: Config): void => {
    writeFileSync(path, JSON.stringify({ ...config, ...change, extentd: { ...config.extentd, ...extentd } }));
    process.kill(node.pid, 'SIGHUP');
  };
  t.equal(await operations(), 0);
  await fetch(`http://${http}/limits/set?clients.writeOpsPerSecond=9`);
  t.equal(await operations(), 9);
  const extentd = {
    stallMs: 700,
    ioThreads: 9,
    limits: { clients: { writeOpsPerSecond: 77 } },
    scrub: { bytesPerSecond: 1_000, intervalHours: 2 },
    checksums: { bytesPerSecond: 2_000 },
  };
  rewrite({ rack: 'other', port: '1', raftDir: '/elsewhere', logLevel: 'debug' }, extentd);
  await untilAnswer('the new limit', async () => ((await operations()) === 77 ? true : null));
  await until('the log', () =>
    logOf('warn').includes('"needRestart":["extentd.ioThreads","port","raftDir"]'),
  );
  await until('the line about what has changed', () => logOf('info').includes('"changed":['));
  for (const key of ['rack', 'logLevel', 'extentd.stallMs', 'extentd.scrub.intervalHours'])
    t.match(logOf('info'), new RegExp(`"changed":\\[[^\\]]*"${key}"`), key);
  t.match(await dataOf('/disks'), { rack: 'other' });
  t.match(await dataOf('/stats'), { RackName: 'other' });
  await untilAnswer('the paces', async () => {
    const { disks } = (await dataOf('/checksums')) as { disks: { workers: Config[] }[] };
    const text = JSON.stringify(disks[0]!.workers[0]);
    return /"bytesPerSecond":2000.*"bytesPerSecond":1000,"intervalMs":7200000/.test(text) ? true : null;
  });
  rewrite({ rack: 'third' }, { limits: { clients: { writeOpsPerSecond: 'many' } } });
  await until('the complaint', () =>
    /nothing is changed: extentd\.limits\.clients\.writeOpsPerSecond: must be/.test(logOf('error')),
  );
  t.equal(await operations(), 77);
  t.match(await dataOf('/disks'), { rack: 'other' });
  rewrite({ rack: 'third' }, {});
  await untilAnswer('the default', async () => ((await operations()) === 0 ? true : null));
  t.match(await dataOf('/disks'), { rack: 'third' });
  t.equal((await node.terminate()).code, 0);
});

t.test('a configuration that cannot be: one clear line and exit code 1', async (t) => {
  const folder = testFolder(t);
  const bad = join(folder, 'bad.json');
  const expectLine = async (what: string, args: string[], line: RegExp): Promise<void> => {
    const node = startProcess(t, { args });
    const ended = await node.ended();
    t.equal(ended.code, 1, `${what}: exit code`);
    t.match(node.stderr, line, what);
    t.equal(node.logLines.length, 1, `${what}: one line, not ${JSON.stringify(node.stderr)}`);
    t.equal(node.stdout, '', `${what}: nothing on standard output`);
  };
  await expectLine('missing file', ['-c', join(folder, 'none.json'), '-f'], /none\.json/);
  writeFileSync(bad, '{"role": "datanode", ');
  await expectLine('bad JSON', ['-c', bad, '-f'], /bad\.json/);
  writeFileSync(bad, '[]');
  await expectLine('no object', ['-c', bad, '-f'], /object/);
  const good = JSON.parse(readFileSync(join(master.folder, 'datanode.json'), 'utf8')) as Config;
  for (const key of ['role', 'port', 'masterAddr', 'disks', 'raftDir', 'raftHeartbeat', 'prof', 'logLevel']) {
    writeFileSync(bad, JSON.stringify({ ...good, [key]: { of: 'a wrong type' } }));
    await expectLine(key, ['-c', bad, '-f'], new RegExp(key));
  }
  writeFileSync(bad, JSON.stringify({ ...good, extentd: { slab: { slots4k: 'many' } } }));
  await expectLine('setting', ['-c', bad, '-f'], /extentd\.slab\.slots4k/);
  writeFileSync(bad, JSON.stringify({ ...good, disks: [`${join(folder, 'nothing')}:0`], logDir: folder }));
  const node = startProcess(t, { args: ['-c', bad, '-f'] });
  t.equal((await node.ended()).code, 1);
  t.match(node.stderr, /nothing/, 'a disk folder that does not exist');
});

t.test('a data port that is not at the registered address is told in the log', async (t) => {
  const folder = testFolder(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const changes = {
    disks: [`${disk}:0`],
    logLevel: 'info',
    localIP: '127.0.0.3',
    extentd: { listenAddress: '127.0.0.4' },
  };
  const node = run(await configBeside(master, folder, changes));
  await node.whenReady();
  const warnings = (): string => readFileSync(join(folder, 'log', 'dataNode', 'dataNode_warn.log'), 'utf8');
  await until('the warning', () => warnings().includes('does not listen on the registered address'));
  t.match(warnings(), '"registered":"127.0.0.3","listening":"127.0.0.4"');
  t.equal((await node.terminate()).code, 0);
});
