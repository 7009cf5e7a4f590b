/**
 * Long run: how fast a lost replica is repaired, and what clients feel of it, with the limits that a node has by default.
 *
 *     node dist/test/long/repairThroughput.js [--mib 1800] [--rate 4000] [--partitions 3]
 *
 * Three standalone nodes are filled; the third loses its replica of partition 1, and is given it anew as by a master (create type 1). While it fills up, and before that, the generator appends 4 KiB to
 * all replicas at a fixed rate (latencies from the intended start), in short runs of which the median of the p99 is told. Needs a quiet machine. The new replica has room for
 * 1 GiB, so a third of the MiB and what the generator writes must be less.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { RunResult } from '../../bench/result.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { RepairView } from '../../src/repair/messages.js';
import { Cleanup } from '../support/cleanup.js';
import { type RunningNode, startStandalone } from '../support/nodeProcess.js';
import { PacketClient } from '../support/packetClient.js';
import { create } from '../support/repairRig.js';
import { deletePartition } from '../support/requests.js';
import { untilAnswer } from '../support/until.js';

const { values } = parseArgs({
  options: {
    mib: { type: 'string', default: '1800' },
    rate: { type: 'string', default: '4000' },
    partitions: { type: 'string', default: '3' },
  },
});
const [mib, rate, partitions] = [values.mib, values.rate, values.partitions].map(Number) as [
  number,
  number,
  number,
];
if (!(mib > 0 && rate > 0 && partitions > 0))
  throw new Error('--mib, --rate and --partitions take numbers above 0');

/** The partition that loses its third replica; its first host is another node. */
const LOST = 1;
const LOAD = fileURLToPath(new URL('../../bench/load.js', import.meta.url));

/** One run of the generator against all partitions through their first hosts. */
async function generate(node: RunningNode, ...args: string[]): Promise<RunResult> {
  const file = join(node.folder, 'load.json');
  const common = ['--replicated', '--master', new URL(node.masterUrl).host, '--json', file, '--quiet'];
  await promisify(execFile)(process.execPath, [LOAD, ...common, ...args]);
  return (JSON.parse(readFileSync(file, 'utf8')) as { results: [RunResult] }).results[0];
}

/** p99 of two seconds of appends of 4 KiB at the rate, ms. */
async function appendP99(node: RunningNode): Promise<number> {
  const run = await generate(
    node,
    '--size',
    '4k',
    '--rate',
    String(rate),
    '--seconds',
    '2',
    '--warmup',
    '0.3',
  );
  return run.total.latencyMs.p99;
}

/** Bytes of the extents of a partition on the node of a page. */
async function usedBytes(page: string, partition: number): Promise<number> {
  const { data } = (await (await fetch(`${page}/partitions`)).json()) as {
    data: { partitions: { id: number; used: number }[] };
  };
  return data.partitions.find(({ id }) => id === partition)!.used;
}

/** When the task that fetched for this partition has ended, unix ms; null: not yet. */
async function endOfTask(page: string, partition: number): Promise<number | null> {
  const { data } = (await (await fetch(`${page}/repair`)).json()) as { data: RepairView };
  const task = data.partitions.find(({ id }) => id === partition)!.lastTask;
  if (task === null || task.fetched === 0) return null;
  if (task.failedCount > 0)
    console.log(`${task.failedCount} fetches have failed: ${JSON.stringify(task.failed)}`);
  return task.endedMs;
}

function expectOk(resultCode: number): void {
  if (resultCode !== RESULT.ok) throw new Error(`a task was answered with ${resultCode}`);
}

/** Median of the p99 of short runs, ms. */
function median(p99: readonly number[]): number {
  return p99.toSorted((a, b) => a - b)[Math.floor(p99.length / 2)]!;
}

const cleanup = new Cleanup();
try {
  const node = await startStandalone(cleanup, { nodes: 3, partitions, disks: 2 });
  const ready = await node.process.whenReady();
  const hosts = ready.get('data')!.split(',');
  const lost = hosts[2]!;
  const page = `http://${ready.get('http')!.split(',')[2]}`;
  const extents = ['--extent-size', '64m', '--extents', '4'];
  const filled = await generate(node, '--size', '128k', '--count', String(mib * 8), ...extents);
  console.log(
    `${mib} MiB in ${partitions} partitions of three replicas; append 128 KiB ${Math.round(filled.total.opsPerSecond)}/s`,
  );

  const before: number[] = [];
  for (let i = 0; i < 7; i++) before.push(await appendP99(node));

  const client = new PacketClient(Number(lost.split(':')[1]), lost.split(':')[0]!);
  expectOk((await client.ask(deletePartition(lost, LOST))).resultCode);
  expectOk((await client.ask(create(LOST, hosts, 1, lost))).resultCode);
  await client.end();
  const lostAtMs = Date.now();
  const fetched = () => usedBytes(page, LOST);
  // Rounds look at extents that have been quiet for a minute, and normal ones are two minutes apart.
  await untilAnswer('repair begins', async () => ((await fetched()) > 0 ? true : null), 300_000);
  const startedMs = Date.now();
  const during: number[] = [];
  let endedMs = 0;
  const watched = untilAnswer('everything is fetched', () => endOfTask(page, LOST), 900_000).then((at) => {
    endedMs = at;
  });
  while (endedMs === 0) during.push(await appendP99(node));
  await watched;
  const seconds = (endedMs - startedMs) / 1000;
  // The task may be the first of several: what was written to within the last minute is left to a later round.
  const bytes = await usedBytes(page, LOST);
  console.log(
    `repair began after ${((startedMs - lostAtMs) / 1000).toFixed(1)} s and took ${seconds.toFixed(1)} s: ${(bytes / seconds / 1e6).toFixed(0)} MB/s of ${(bytes / 1e6).toFixed(0)} MB\n` +
      `append 4 KiB at ${rate}/s to three replicas: p99 ${median(before).toFixed(2)} ms before, ${median(during).toFixed(2)} ms meanwhile (medians of ${before.map(Math.round).join(' ')} and ${during.map(Math.round).join(' ')})`,
  );
  await node.process.terminate();
} finally {
  await cleanup.run();
}
