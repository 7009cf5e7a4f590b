/** Three standalone nodes under the packet generator: what it writes through each primary is read back, byte for byte, from every replica. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { RunResult } from '../../bench/result.js';
import type { RepairView } from '../../src/repair/messages.js';
import { load } from '../bench/driver.js';
import { type RunningNode, startProcess, startStandalone } from '../support/nodeProcess.js';
import { until, untilAnswer } from '../support/until.js';

t.test('one node: its partitions have one host, and a master names it', async (t) => {
  const node = await startStandalone(t, { partitions: 2 });
  const result = await run(new URL(node.masterUrl).host, node.folder, '--count', '400', '--conns', '2');
  t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 400 }, verifiedBytes: 400 * 4096 });
  t.strictSame(
    result.replicas.map(({ address, primaryOf }) => [address, primaryOf]),
    [[node.address, 2]],
  );
});

/** What the end of a node looks like to clients: lost connections, and what a first host says of a lost follower (`wire.md` 7.4, 10.2). */
const SENT_AGAIN_ELSEWHERE = ['connect', 'closed', 'timeout', 'unanswered', '0xF3 OpIntraGroupNetErr'];

type Work = readonly [kind: string, ...args: string[]];

t.test('three nodes: every kind of work, and the same bytes on all of them', async (t) => {
  const node = await startStandalone(t, { nodes: 3, partitions: 6 });
  await everyReplica(t, node, [
    ['create'],
    ['write'],
    ['write', '--size', '128k', '--depth', '4'],
    ['syncwrite', '--depth', '4'],
    ['followerread', '--fill', '256k'],
    ['randwrite', '--fill', '256k'],
    ['syncrandwrite', '--fill', '256k', '--extents', '2'],
    ['read', '--fill', '256k'],
    ['delete'],
  ]);
  // The first round of each partition finds them equal on all replicas.
  for (const http of (await node.process.whenReady()).get('http')!.split(',')) {
    await untilAnswer(`tiny extents of ${http}`, async () => {
      const { data } = (await (await fetch(`http://${http}/repair`)).json()) as { data: RepairView };
      const own = data.partitions.filter(({ role }) => role === 'primary');
      return own.length === 2 && own.every(({ lastTiny }) => lastTiny?.report?.good === 64) ? true : null;
    });
  }
  await everyReplica(t, node, [['tinywrite', '--size', '5000'], ['tinydelete']]);
  t.equal((await node.process.terminate()).code, 0);
});

t.test(
  'a node is killed under load and brought back: what was acknowledged is on every replica',
  async (t) => {
    const node = await startStandalone(t, { nodes: 3, partitions: 6 });
    const pids = (await node.process.whenReady()).get('pids')!.split(',');
    const running = run(new URL(node.masterUrl).host, node.folder, '--keep-going', '--seconds', '8');
    const page = `http://${(await node.process.whenReady()).get('http')!.split(',')[1]}/partitions`;
    await untilAnswer('node 2 has written', async () => {
      const { data } = (await (await fetch(page)).json()) as { data: { partitions: { used: number }[] } };
      return data.partitions.some(({ used }) => used > 0) || null;
    });
    process.kill(Number(pids[1]), 'SIGKILL');
    await until('its end is told', () => node.process.stderr.includes('node2 (127.0.0.2:'));
    const back = startProcess(t, { args: ['-c', join(node.folder, 'node2', 'datanode.json'), '-f'] });
    await back.whenReady();
    const result = await running;
    t.ok(result.failures.length > 0, 'what failed is told');
    t.equal(result.mismatches, 0);
    t.notMatch(result.failures, [{ code: 'connect', example: /EADDR/ }]);
    const strange = result.failures.filter(({ code }) => !SENT_AGAIN_ELSEWHERE.includes(code));
    t.strictSame(strange, [], 'of the kinds after which clients send again elsewhere');
    const sizes = result.replicas.map(({ verifiedBytes }) => verifiedBytes);
    t.ok(sizes[0]! > 0 && new Set(sizes).size === 1, `the same of each replica: ${sizes}`);
    t.equal((await back.terminate()).code, 0);
  },
);

/** Does each kind of work, and expects no failure, every node as a primary, and the same bytes on all. */
async function everyReplica(t: Test, node: RunningNode, work: readonly Work[]): Promise<void> {
  const hosts = node.address.split(',');
  t.equal(hosts.length, 3);
  for (const [kind, ...args] of work) {
    const name = [kind, ...args].join(' ');
    const counted = ['--op', kind, '--count', '300', ...args];
    const result = await run(new URL(node.masterUrl).host, node.folder, ...counted);
    t.strictSame(result.failures, [], name);
    t.match(result, { errorCount: 0, mismatches: 0, total: { ops: 300 } }, name);
    t.strictSame(
      result.replicas.map(({ address, primaryOf }) => [address, primaryOf]),
      hosts.map((host) => [host, 2]),
      `${name}: every node is a primary`,
    );
    if (kind === 'create') continue;
    const sizes = result.replicas.map(({ verifiedBytes }) => verifiedBytes);
    t.ok(sizes[0]! > 0 && new Set(sizes).size === 1, `${name}: the same of each replica: ${sizes}`);
  }
}

/** A verified run of the generator. */
async function run(master: string, folder: string, ...args: string[]): Promise<RunResult> {
  const file = join(folder, 'load.json');
  const common = ['--replicated', '--master', master, '--json', file, '--quiet', '--verify'];
  const { err } = await load(...common, ...args);
  if (err !== '') throw new Error(err);
  return (JSON.parse(readFileSync(file, 'utf8')) as { results: [RunResult] }).results[0];
}
