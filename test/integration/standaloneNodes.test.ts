/** `npm start -- --nodes 3` as people run it: one process with the master, one for each node; started, stopped, killed in every way, started again. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import {
  type NodeProcess,
  restart,
  standaloneArgs,
  startProcess,
  startStandalone,
  testFolder,
} from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create } from '../support/requests.js';
import { until, untilAnswer } from '../support/until.js';

const ADDRESSES = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];

interface View {
  PartitionID: number;
  Status: number;
  Hosts: string[];
}

async function viewOf(masterUrl: string): Promise<View[]> {
  const response = await fetch(`${masterUrl}/client/partitions?name=demo`);
  return ((await response.json()) as { data: { DataPartitions: View[] } }).data.DataPartitions;
}

/** Process ids of the nodes, as the ready line names them. */
async function pidsOf(process: NodeProcess): Promise<number[]> {
  const pids = (await process.whenReady()).get('pids')!.split(',').map(Number);
  t.teardown(() => {
    for (const pid of pids) if (isRunning(pid)) globalThis.process.kill(pid, 'SIGKILL');
  });
  return pids;
}

function isRunning(pid: number): boolean {
  try {
    // A zombie has ended, and only waits for whoever started it.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

function allEnded(pids: readonly number[]): Promise<void> {
  return until('the processes of the nodes have ended', () => !pids.some(isRunning), 20_000);
}

t.test(
  'three nodes: ready line, folders, a node killed and brought back, a stop, a second start',
  async (t) => {
    const first = await startStandalone(t, { nodes: 3, partitions: 3 });
    const ready = await first.process.whenReady();
    const pids = await pidsOf(first.process);
    const port = ready.get('data')!.split(',')[0]!.split(':')[1]!;
    const hosts = ADDRESSES.map((address) => `${address}:${port}`);
    t.equal(ready.get('nodes'), '3');
    t.equal(ready.get('replicas'), '3');
    t.strictSame(ready.get('data')!.split(','), hosts);
    t.strictSame(readdirSync(first.folder).sort(), ['master', 'node1', 'node2', 'node3']);
    t.equal(first.process.stdout.split('\n').length, 2, 'one line on standard output');

    const [a, b, c] = hosts as [string, string, string];
    const rotated = [
      [a, b, c],
      [b, c, a],
      [c, a, b],
    ];
    const expected = rotated.map((Hosts, index) => ({ PartitionID: index + 1, Status: 2, Hosts }));
    t.match(await viewOf(first.masterUrl), expected);
    for (const [index, http] of ready.get('http')!.split(',').entries()) {
      const folder = join(first.folder, `node${index + 1}`);
      t.strictSame(readdirSync(folder).sort(), ['datanode.json', 'disk1', 'log', 'raft']);
      t.match(readFileSync(join(folder, 'log', 'dataNode', 'dataNode_info.log'), 'utf8'), hosts[index]!);
      t.match(first.process.stderr, new RegExp(`^node${index + 1} \\| .*ready data=${hosts[index]}`, 'm'));
      const page = (await (await fetch(`http://${http}/partitions`)).json()) as {
        data: { partitions: { id: number }[] };
      };
      t.strictSame(page.data.partitions.map(({ id }) => id).sort(), [1, 2, 3], 'on its own address');
      const client = new PacketClient(Number(port), ADDRESSES[index]!);
      const forwarded = { ...create(1), extentId: 2000 };
      t.equal((await client.ask(forwarded)).resultCode, RESULT.ok, 'it serves what a primary forwards');
      await client.end();
    }

    process.kill(pids[1]!, 'SIGKILL');
    const config = join(first.folder, 'node2', 'datanode.json');
    await until('the end of node 2 is told', () => first.process.stderr.includes('this brings it back'));
    t.match(
      first.process.stderr,
      `node2 (${b}) has ended by SIGKILL; this brings it back: ${process.execPath} ${first.process.child.spawnargs[1]} -c ${config} -f`,
    );
    t.ok(isRunning(pids[0]!) && isRunning(pids[2]!), 'the others go on');
    const back = startProcess(t, { args: ['-c', config, '-f'] });
    t.equal((await back.whenReady()).get('data'), b);
    await untilAnswer(
      'the master has heard of it',
      async () => (await viewOf(first.masterUrl)).every(({ Status }) => Status === 2) || null,
    );

    t.equal((await first.process.terminate()).code, 0);
    await allEnded([pids[0]!, pids[2]!]);
    t.equal(
      first.process.stderr.match(/this brings it back/g)?.length,
      1,
      'a node that was stopped is no news',
    );
    t.notOk(back.hasEnded, 'what was started by hand is ended by hand');
    t.equal((await back.terminate()).code, 0);

    const options = {
      nodes: 3,
      partitions: 3,
      httpPort: Number(new URL(first.httpUrl.split(',')[0]!).port),
    };
    const second = await restart(t, { ...first, port: Number(port) }, options);
    const morePids = await pidsOf(second.process);
    t.match(await viewOf(second.masterUrl), expected, 'the same partitions on the same hosts');
    t.notMatch(second.process.stderr, 'partition created');
    t.match(second.process.stderr, /registered with the master .*address=127\.0\.0\.3:\d+ nodeId=3/);

    const wrong = startProcess(t, { args: standaloneArgs(first.folder, { nodes: 1 }) });
    t.equal((await wrong.ended(30_000)).code, 1);
    t.match(
      wrong.stderr,
      'is of a cluster of 3 nodes: start it with --nodes 3, or choose another folder with --data',
    );
    t.notOk(existsSync(join(first.folder, 'disk1')), 'nothing was made');

    await second.process.kill();
    await allEnded(morePids);
    t.pass('nodes end when the process that started them is killed');
  },
);

t.test(
  'a port that is taken on one of the addresses: one clear line, and nothing stays behind',
  async (t) => {
    const [port = 0] = await freePorts('0.0.0.0', 1);
    const server = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.2', resolve));
    t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())));
    const folder = testFolder(t);
    const node = startProcess(t, { args: standaloneArgs(folder, { nodes: 2, port }) });
    t.equal((await node.ended(30_000)).code, 1);
    t.match(node.stderr, `Fatal: failed to start the ChubaoFS datanode daemon err node2: listen EADDRINUSE`);
    t.match(node.stderr, `127.0.0.2:${port}`);
    t.equal(node.stdout, '', 'no ready line');
    t.strictSame(processesOf(folder), []);
  },
);

t.test('a stop signal and a kill while the nodes start', async (t) => {
  for (const [signal, code] of [
    ['SIGTERM', 0],
    ['SIGKILL', null],
  ] as const) {
    const folder = testFolder(t);
    const node = startProcess(t, { args: standaloneArgs(folder, { nodes: 2 }) });
    await until('the nodes have begun', () => processesOf(folder).length === 3);
    t.equal((await (signal === 'SIGTERM' ? node.terminate() : node.kill())).code, code, signal);
    await until('everything has ended', () => processesOf(folder).length === 0, 20_000);
    t.equal(node.stdout, '', 'no ready line');
    t.notMatch(node.stderr, 'this brings it back');
  }
});

/** Processes whose command line names the folder. */
function processesOf(folder: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandOf(pid).includes(folder));
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
