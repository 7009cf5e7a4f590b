/**
 * Kills a node at random moments under load and starts it again, over and over on the same disks: nothing acknowledged may be lost, no extent id may come twice, and the
 * store must open by itself. Used by the integration test (a few rounds) and by the long run (hundreds).
 *
 * Only the process dies, so the page cache survives and plain acknowledged appends count as well as sync ones.
 */
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from '../sim/random.js';
import {
  type RunningNode,
  restart,
  standaloneArgs,
  startProcess,
  startStandalone,
  type Teardown,
} from './nodeProcess.js';
import { StoreLoad, tailIsSent } from './storeLoad.js';

const DISKS = 2;
const PARTITIONS = [1, 2, 3, 4];
/** Longest time under load before the kill, and longest time of a start before it. */
const LOAD_MS_MAX = 400;
const START_MS_MAX = 400;
/** Extents of earlier rounds that are read again in each round. */
const OLD_EXTENTS = 20;

export interface CrashReport {
  rounds: number;
  killsDuringStart: number;
  appends: number;
  syncs: number;
  extents: number;
  /** What went wrong; empty: nothing. */
  problems: string[];
}

/** Runs `rounds` rounds with `seed`; `onRound` is told how far it is. Stops at the first round with a problem. */
export async function crashRounds(
  t: Teardown,
  rounds: number,
  seed: number,
  onRound: (report: CrashReport) => void = () => {},
): Promise<CrashReport> {
  const random = new Random(seed);
  const load = new StoreLoad(random);
  const options = { disks: DISKS, partitions: PARTITIONS.length };
  const report: CrashReport = {
    rounds: 0,
    killsDuringStart: 0,
    appends: 0,
    syncs: 0,
    extents: 0,
    problems: [],
  };
  let node = await startStandalone(t, options);
  while (report.rounds < rounds && report.problems.length === 0) {
    const before = load.extents.length;
    await loadAndKill(node, load, random);
    if (random.chance(0.3)) {
      await killDuringStart(t, node, random);
      report.killsDuringStart++;
    }
    node = await restart(t, node, options);
    const fresh = load.extents.slice(before);
    const old = Array.from(
      { length: before === 0 ? 0 : OLD_EXTENTS },
      () => load.extents[random.below(before)]!,
    );
    const checked = new Set([
      ...fresh,
      ...old,
      ...load.extents.filter(({ end, ackedBytes }) => end > ackedBytes),
    ]);
    report.problems.push(...load.errors, ...(await load.verify(node.port, [...checked])));
    report.problems.push(...tailProblems(node, load), ...refusals(node));
    report.rounds++;
    report.appends = load.appends;
    report.syncs = load.syncs;
    report.extents = load.extents.length;
    onRound(report);
  }
  report.problems.push(...(await load.verify(node.port, load.extents)));
  const ended = await node.process.terminate();
  if (ended.code !== 0) report.problems.push(`the last SIGTERM ended with ${JSON.stringify(ended)}`);
  return report;
}

async function loadAndKill(node: RunningNode, load: StoreLoad, random: Random): Promise<void> {
  const killAtMs = random.below(LOAD_MS_MAX);
  let armed = false;
  // The clock starts with the first acknowledgement, so that every round has some.
  const running = load.run(node.port, { partitions: PARTITIONS, syncShare: 0.3, connections: 6 }, () => {
    if (!armed) setTimeout(() => node.process.child.kill('SIGKILL'), killAtMs);
    armed = true;
  });
  await running;
  await node.process.ended();
}

async function killDuringStart(t: Teardown, node: RunningNode, random: Random): Promise<void> {
  const masterPort = Number(new URL(node.masterUrl).port);
  const options = { disks: DISKS, partitions: PARTITIONS.length, port: node.port, masterPort };
  const starting = startProcess(t, { args: standaloneArgs(node.folder, options) });
  await new Promise((resolve) => setTimeout(resolve, random.below(START_MS_MAX)));
  await starting.kill();
}

/** Bytes that were sent and not acknowledged may be there or not, but never others in their place. */
function tailProblems(node: RunningNode, load: StoreLoad): string[] {
  const problems: string[] = [];
  for (const extent of load.extents) {
    if (extent.end === extent.ackedBytes) continue;
    const { partitionId, extentId, ackedBytes, end } = extent;
    const path = extentPath(node.folder, partitionId, extentId);
    const size = path === null ? 0 : statSync(path).size;
    const name = `${partitionId}/${extentId}`;
    if (size < ackedBytes || size > end)
      problems.push(`${name}: ${size} bytes, acknowledged ${ackedBytes}, sent ${end}`);
    else if (path !== null && !tailIsSent(extent, bytesFrom(path, ackedBytes, size)))
      problems.push(`${name}: foreign tail`);
    // What is there now stays there: the next appends go behind it.
    extent.ackedBytes = size;
    extent.end = size;
  }
  return problems;
}

function extentPath(folder: string, partitionId: number, extentId: number): string | null {
  for (let disk = 1; disk <= DISKS; disk++) {
    const root = join(folder, `disk${disk}`);
    const name = readdirSync(root).find((one) => one.startsWith(`datapartition_${partitionId}_`));
    if (name !== undefined) return join(root, name, String(extentId));
  }
  return null;
}

function bytesFrom(path: string, from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from);
  const fd = openSync(path, 'r');
  readSync(fd, bytes, 0, bytes.length, from);
  closeSync(fd);
  return bytes;
}

/** Lines of the log that say that something could not be opened, or that something broke. */
function refusals(node: RunningNode): string[] {
  return node.process.logLines.filter((line) => /not loaded|cannot be served|ERROR|FATAL/.test(line));
}
