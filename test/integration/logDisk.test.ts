/**
 * Nodes whose log disk is full, and whose log disk hangs, from the start on: they start, serve, raise alarms and stop.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { type NodeProcess, startProcess, startStandalone, testFolder } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create, createPartition, pattern, read, write } from '../support/requests.js';
import { until } from '../support/until.js';

const KINDS = ['debug', 'info', 'warn', 'error', 'read', 'write', 'critical'];
const PARTITION_BYTES = 1024 ** 3;

const master = await startStandalone(t);

/** A node of the standalone one's master, with an address, disk and logs of its own; `prepare` gets the folder of its log files before it starts. */
async function startNode(
  t: Test,
  address: string,
  changes: Record<string, unknown>,
  prepare: (logs: string) => void,
): Promise<{ node: NodeProcess; folder: string; logs: string }> {
  const folder = testFolder(t);
  const [disk, logDir, warnLogDir] = ['disk', 'log', 'ump'].map((name) => join(folder, name));
  const logs = join(logDir!, 'dataNode');
  for (const path of [disk!, logs, warnLogDir!]) mkdirSync(path, { recursive: true });
  prepare(logs);
  const written = JSON.parse(readFileSync(join(master.folder, 'datanode.json'), 'utf8')) as object;
  const [port, raftHeartbeat, raftReplica] = await freePorts(address, 3);
  const { prof: _, ...common } = { ...written, prof: '' };
  const config = {
    ...common,
    localIP: address,
    port: String(port),
    ...{ raftHeartbeat: String(raftHeartbeat), raftReplica: String(raftReplica) },
    extentd: { listenAddress: address },
    disks: [`${disk}:0`],
    ...{ logDir, warnLogDir, logLevel: 'info' },
    ...changes,
  };
  const path = join(folder, 'datanode.json');
  writeFileSync(path, JSON.stringify(config));
  const node = startProcess(t, { args: ['-c', path, '-f'] });
  return { node, folder, logs };
}

async function serves(t: Test, node: NodeProcess, address: string, partition: number): Promise<void> {
  const told = (await node.whenReady()).get('data')!;
  const client = new PacketClient(Number(told.split(':')[1]), address);
  const made = await client.ask(createPartition(told, 2, partition, PARTITION_BYTES));
  t.equal(made.resultCode, RESULT.ok, made.body.toString());
  const { extentId } = await client.ask(create(partition));
  const body = pattern(extentId, 0, 5_000);
  t.equal((await client.ask(write(partition, extentId, 0, body, true))).resultCode, RESULT.ok);
  t.ok((await client.ask(read(partition, extentId, 0, 5_000))).body.equals(body));
  // A packet that fails is logged, or would be.
  t.not((await client.ask(read(partition, extentId + 1_000, 0, 1))).resultCode, RESULT.ok);
  await client.end();
}

t.test(
  'pains 19: a node whose log disk is full starts, serves and stops, and says so on standard error',
  { skip: !existsSync('/dev/full') && 'this system has no /dev/full' },
  async (t) => {
    const { node } = await startNode(t, '127.0.0.11', {}, (logs) => {
      for (const kind of KINDS) symlinkSync('/dev/full', join(logs, `dataNode_${kind}.log`));
      symlinkSync('/dev/full', join(logs, 'output.log'));
    });
    await serves(t, node, '127.0.0.11', 911);
    await until('it complains', () => /log file .*dataNode_info.log: ENOSPC/.test(node.stderr));
    const complaints = node.logLines.filter((line) => line.includes('dataNode_info.log'));
    t.equal(complaints.length, 1, 'once a minute');
    t.equal((await node.terminate()).code, 0);
  },
);

t.test('pains 19: a node whose log disk hangs starts, serves and stops', async (t) => {
  const pipes: string[] = [];
  const { node } = await startNode(t, '127.0.0.12', {}, (logs) => {
    for (const kind of KINDS) pipes.push(join(logs, `dataNode_${kind}.log`));
    pipes.push(join(logs, 'output.log'));
    // A pipe without a reader: the call that opens it does not come back.
    execFileSync('mkfifo', pipes);
  });
  await serves(t, node, '127.0.0.12', 912);
  t.match(node.stderr, /log file .*dataNode_info.log: is not open after \d+ ms: the disk hangs/);
  const ended = await node.terminate();
  t.equal(ended.code, 0);
  t.ok(ended.afterMs < 8_000, 'before its deadline');
});

t.test('alarms: a partition that cannot be loaded is in the critical file and in the UMP file', async (t) => {
  const { node, folder, logs } = await startNode(t, '127.0.0.13', { logLevel: 'error' }, (logs) => {
    mkdirSync(join(logs, '../../disk/datapartition_913_1073741824'));
  });
  await node.whenReady();
  const file = join(logs, 'dataNode_critical.log');
  const business = join(folder, 'ump', 'ump_datanode_business.log');
  await until('both have it', () => [file, business].every((path) => readFileSync(path).length > 0));
  const text = /^action\[RestorePartition\] new partition\(913\) err\(.+\)$/;
  t.match(JSON.parse(readFileSync(file, 'utf8')), {
    level: 'critical',
    key: /_dataNode_warning$/,
    msg: text,
  });
  t.match(JSON.parse(readFileSync(business, 'utf8')), { key: /_dataNode_warning$/, type: '0', detail: text });
  t.equal((await node.terminate()).code, 0);
});

t.test('a log folder that was moved away: lines go on at its old place', async (t) => {
  const { node, logs } = await startNode(t, '127.0.0.14', { logLevel: 'info' }, () => {});
  await node.whenReady();
  const info = join(logs, 'dataNode_info.log');
  await until('it logs', () => existsSync(info) && readFileSync(info, 'utf8').includes('ready'));
  execFileSync('mv', [logs, `${logs}.moved`]);
  // At the next look, a second later at the soonest, the folder is made again for the next line.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  t.equal((await node.terminate()).code, 0);
  t.match(readFileSync(info, 'utf8'), /data node stopped/);
});
