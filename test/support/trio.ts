/**
 * Real nodes, each a process that a test can kill, stop and bring back, and partitions with three replicas on them: three nodes or more of `standalone`, or nodes under a fake master, which can name other hosts at any time.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { RESULT } from '../../src/protocol/resultCodes.js';
import type { PartitionRepairView, RepairSettings, RepairView } from '../../src/repair/messages.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { AT_ONCE_VARIABLE, CLOCK_VARIABLE } from './clockAhead.js';
import { type ClusterNode, startClusterNode } from './clusterNode.js';
import type { FakeCluster } from './fakeMaster/cluster.js';
import {
  type NodeProcess,
  type RunningNode,
  startProcess,
  startStandalone,
  type Teardown,
} from './nodeProcess.js';
import { PacketClient } from './packetClient.js';
import { createPartition } from './requests.js';
import { until, untilAnswer } from './until.js';

const CLOCK_MODULE = new URL('./clockAhead.js', import.meta.url).href;
/** Further than extents must have been left alone before replicas tell each other of them. */
const QUIET_MS = 70_000;
const ROUNDS_MAX = 24;
const REPLICAS = 3;
const PARTITION_BYTES = 2 ** 33;

/** Where a node is: its addresses, its disk, its config file, its process. */
interface Place {
  readonly host: string;
  readonly http: string;
  readonly disk: string;
  readonly config: string;
  pid: number;
}

export class Trio {
  readonly hosts: readonly string[];
  /** Of the master of `standalone`; else empty. */
  readonly masterUrl: string;
  readonly #t: Teardown;
  readonly #places: readonly Place[];
  /** What ends the nodes that were started together. */
  readonly #standalone: NodeProcess | null;
  /** Nodes with a process of their own. */
  readonly #own = new Map<number, NodeProcess>();
  /** Of each process of a node. */
  readonly #env: Record<string, string>;
  readonly #execArgv: string[];
  readonly #clock: { path: string; aheadMs: number };
  /** Nodes of partitions whose hosts do not rotate, the first host first. */
  readonly #named = new Map<number, readonly number[]>();

  private constructor(
    t: Teardown,
    places: readonly Place[],
    clockPath: string,
    { env, execArgv }: { env: Record<string, string>; execArgv: string[] },
    standalone: NodeProcess | null = null,
    masterUrl = '',
  ) {
    this.masterUrl = masterUrl;
    this.#t = t;
    this.#places = places;
    this.#standalone = standalone;
    this.hosts = places.map(({ host }) => host);
    this.#clock = { path: clockPath, aheadMs: 0 };
    this.#env = env;
    this.#execArgv = execArgv;
  }

  /** Partitions 1..n on the nodes in turn. `modules`: preloaded by each process of a node. */
  static async start(
    t: Teardown,
    folder: string,
    partitions: number,
    nodes = REPLICAS,
    modules: readonly string[] = [],
  ): Promise<Trio> {
    const { path, flags } = clockIn(folder, modules);
    const running = await startStandalone(t, {
      ...{ nodes, partitions, folder: join(folder, 'data') },
      ...flags,
    });
    const places = placesOf(running, await running.process.whenReady());
    return new Trio(t, places, path, flags, running.process, running.masterUrl);
  }

  /** Nodes under a fake master, and partitions 1..n on them: of each its nodes, the first host first. */
  static async under(
    t: Teardown,
    cluster: FakeCluster,
    folder: string,
    lists: readonly (readonly number[])[],
  ): Promise<Trio> {
    const { path, flags } = clockIn(folder);
    const count = 1 + Math.max(...lists.flat());
    const nodes = await startClusterNodes(t, cluster, count, flags);
    const places = nodes.map(({ address, httpUrl, disks, configPath, process }) => ({
      ...{ host: address, http: new URL(httpUrl).host, disk: disks[0]!, config: configPath },
      pid: process.pid,
    }));
    const trio = new Trio(t, places, path, flags);
    for (const [index, { process }] of nodes.entries()) trio.#own.set(index, process);
    cluster.state.volumes.set('made-by-test', { isDeleted: false });
    for (const [at, list] of lists.entries()) await trio.#create(cluster, at + 1, list);
    return trio;
  }

  /** The master and clients go by other hosts from now on; nodes by what they have been told. */
  reorder(cluster: FakeCluster, partitionId: number, list: readonly number[]): void {
    this.#named.set(partitionId, list);
    cluster.state.partitions.get(partitionId)!.hosts = this.hostsOf(partitionId);
  }

  /** Asks the master of `standalone` for a page; its `data`, or the text of its refusal as an error. */
  async askMaster<T>(path: string): Promise<T> {
    const response = await fetch(`${this.masterUrl}${path}`);
    const { code, msg, data } = (await response.json()) as { code: number; msg: string; data: T };
    if (code !== 0) throw new Error(`${code} ${msg}`);
    return data;
  }

  /** Clients go by the hosts that the master of `standalone` names now; they are returned. */
  async learnHosts(partitionId: number): Promise<string[]> {
    const { Hosts } = await this.askMaster<{ Hosts: string[] }>(`/dataPartition/get?id=${partitionId}`);
    this.#named.set(
      partitionId,
      Hosts.map((host) => this.hosts.indexOf(host)),
    );
    return Hosts;
  }

  /** Nodes with a replica of a partition, its first host first. */
  nodesOf(partitionId: number): readonly number[] {
    const count = this.hosts.length;
    const inTurn = (): number[] => Array.from({ length: REPLICAS }, (_, i) => (partitionId - 1 + i) % count);
    return this.#named.get(partitionId) ?? inTurn();
  }

  /** The same as `ip:port`. */
  hostsOf(partitionId: number): string[] {
    return this.nodesOf(partitionId).map((node) => this.hosts[node]!);
  }

  client(host: string): PacketClient {
    const [ip, port] = host.split(':') as [string, string];
    return new PacketClient(Number(port), ip);
  }

  disk(index: number): string {
    return this.#places[index]!.disk;
  }

  folder(index: number, partitionId: number): string {
    const prefix = `datapartition_${partitionId}_`;
    return join(this.disk(index), readdirSync(this.disk(index)).find((name) => name.startsWith(prefix))!);
  }

  /** Extents with data of one replica, by id. */
  extents(index: number, partitionId: number): Map<number, Buffer> {
    const folder = this.folder(index, partitionId);
    const names = readdirSync(folder).filter(
      (name) => /^\d+$/.test(name) && statSync(join(folder, name)).size > 0,
    );
    return new Map(names.map((name) => [Number(name), readFileSync(join(folder, name))]));
  }

  /** Whether all replicas of a partition have the same extents with data, of the same content. */
  areEqual(partitionId: number): boolean {
    const [first, ...others] = this.nodesOf(partitionId).map((node) => this.#sizes(node, partitionId));
    const sizes = JSON.stringify([...first!.values()]);
    if (others.some((other) => JSON.stringify([...other.values()]) !== sizes)) return false;
    return [...first!.keys()].every((path, at) => {
      const bytes = readFileSync(path);
      return others.every((other) => bytes.equals(readFileSync([...other.keys()][at]!)));
    });
  }

  /** Whether a node has compared an extent with its checksums and would know it to be unchanged after any crash (`docs/checksums.md`). */
  isClean(index: number, partitionId: number, extentId: number): boolean {
    const entries = readFileSync(join(this.folder(index, partitionId), 'EXTENT_CLEAN'));
    return (entries[64 + extentId * 16 + 4] ?? 0) >> 4 === 1;
  }

  pid(index: number): number {
    return this.#places[index]!.pid;
  }

  signal(index: number, name: NodeJS.Signals): void {
    process.kill(this.pid(index), name);
  }

  /** Ends a node, by SIGKILL unless told otherwise. */
  async kill(index: number, name: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const pid = this.pid(index);
    process.kill(pid, name);
    await until(`process ${pid} has ended`, () => !isRunning(pid));
  }

  /** Starts a node that has ended as the log says that one does. */
  async bringBack(index: number): Promise<void> {
    const place = this.#places[index]!;
    const node = startProcess(this.#t, {
      ...{ args: ['-c', place.config, '-f'], execArgv: this.#execArgv, env: this.#env },
    });
    await node.whenReady();
    this.#own.set(index, node);
    place.pid = node.pid;
  }

  /** Lines of a node's log files. */
  linesOf(index: number): string[] {
    const folder = join(dirname(this.#places[index]!.config), 'log', 'dataNode');
    return readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'));
  }

  /** The `data` of a page of a node's debug API. */
  async page<T>(index: number, path: string): Promise<T> {
    const response = await fetch(`http://${this.#places[index]!.http}${path}`);
    return ((await response.json()) as { data: T }).data;
  }

  /** What a node tells of a partition's repair. */
  async repairOf(index: number, partitionId: number): Promise<PartitionRepairView> {
    return (await this.page<RepairView>(index, `/repair?id=${partitionId}`)).partitions[0]!;
  }

  /** The wall clocks of all nodes are put ahead: by a little more than a minute, unless told otherwise. */
  passTime(ms = QUIET_MS): void {
    const { path } = this.#clock;
    this.#clock.aheadMs += ms;
    // In one step: threads read it at any time.
    writeFileSync(`${path}.new`, String(this.#clock.aheadMs));
    renameSync(`${path}.new`, path);
  }

  /**
   * Has rounds run until a condition holds. There may be several: an extent must have been left alone for a minute by the clocks of all nodes. Resolves with what the last ones have found.
   */
  async runRoundsUntil(
    what: string,
    partitionId: number,
    isDone: (view: PartitionRepairView) => boolean,
  ): Promise<PartitionRepairView> {
    for (let left = ROUNDS_MAX; left > 0; left -= 1) {
      const view = await this.runRounds(partitionId);
      if (isDone(view)) return view;
    }
    throw new Error(`not after ${ROUNDS_MAX} rounds: ${what}`);
  }

  /** Has the first host of a partition, or another node that is one to its own knowledge, run both rounds now, and resolves with what they have found. */
  async runRounds(
    partitionId: number,
    index = this.nodesOf(partitionId)[0]!,
    timeoutMs = 30_000,
  ): Promise<PartitionRepairView> {
    const isIdle = async (): Promise<PartitionRepairView | null> => {
      const view = await this.repairOf(index, partitionId);
      return view.running === null && view.role === 'primary' ? view : null;
    };
    const before = await untilAnswer('no round runs', isIdle, 20_000);
    await this.beginRounds(index);
    return untilAnswer(
      `rounds of partition ${partitionId}`,
      async () => {
        const view = await isIdle();
        if (view === null) return null;
        const isNew = (kind: 'lastNormal' | 'lastTiny'): boolean =>
          view[kind] !== null && view[kind].endedMs > (before[kind]?.endedMs ?? 0);
        return isNew('lastNormal') && isNew('lastTiny') ? view : null;
      },
      timeoutMs,
    );
  }

  /** Rounds that are switched on again begin with both kinds. */
  async beginRounds(index: number): Promise<void> {
    await this.setRepair(index, { enabled: false });
    await this.setRepair(index, { enabled: true });
  }

  /** Changes settings of a running node's repair as an operator does, and waits until they count. */
  async setRepair(index: number, changes: Partial<RepairSettings>): Promise<void> {
    const path = this.#places[index]!.config;
    const config = JSON.parse(readFileSync(path, 'utf8')) as { extentd?: Record<string, unknown> };
    const repair = { ...(config.extentd?.['repair'] as object | undefined), ...changes };
    writeFileSync(path, JSON.stringify({ ...config, extentd: { ...config.extentd, repair } }));
    this.signal(index, 'SIGHUP');
    await untilAnswer(`settings of repair: ${JSON.stringify(changes)}`, async () => {
      const { settings } = await this.page<RepairView>(index, '/repair');
      const keys = Object.keys(changes) as (keyof RepairSettings)[];
      return keys.every((key) => settings[key] === changes[key]) ? true : null;
    });
  }

  /** A node that has ended serves `/metrics` when it is started again: what reads that page. */
  async serveMetrics(index: number): Promise<() => Promise<string>> {
    const { config: path, http } = this.#places[index]!;
    const { hostname } = new URL(`http://${http}`);
    const [exporterPort] = await freePorts(hostname, 1);
    const config = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...config, exporterPort }));
    return async () => (await fetch(`http://${hostname}:${exporterPort}/metrics`)).text();
  }

  async stop(): Promise<(number | null)[]> {
    const all = this.#standalone === null ? [] : [this.#standalone];
    const ends = await Promise.all([...all, ...this.#own.values()].map((node) => node.terminate()));
    return ends.map(({ code }) => code);
  }

  /** Name and size of each extent with data, by its path, in the order of ids. */
  #sizes(index: number, partitionId: number): Map<string, string> {
    const folder = this.folder(index, partitionId);
    const ids = readdirSync(folder).filter((name) => /^\d+$/.test(name));
    const rows = ids
      .sort((a, b) => Number(a) - Number(b))
      .map((id) => ({ path: join(folder, id), id, bytes: statSync(join(folder, id)).size }));
    return new Map(
      rows.filter(({ bytes }) => bytes > 0).map(({ path, id, bytes }) => [path, `${id} ${bytes}`]),
    );
  }

  async #create(cluster: FakeCluster, id: number, list: readonly number[]): Promise<void> {
    this.#named.set(id, list);
    const hosts = this.hostsOf(id);
    for (const host of hosts) {
      const client = this.client(host);
      const reply = await client.ask(createPartition(host, 0, id, PARTITION_BYTES, hosts));
      if (reply.resultCode !== RESULT.ok) throw new Error(reply.body.toString());
      await client.end();
    }
    const peers = hosts.map((addr, at) => ({ id: at + 1, addr }));
    cluster.state.partitions.set(id, {
      ...{ id, volume: 'made-by-test', sizeBytes: PARTITION_BYTES, hosts, peers },
      ...{ replicas: new Map(), loads: new Map() },
    });
  }
}

/** The file of a clock, and what a node needs to go by it. */
function clockIn(folder: string, modules: readonly string[] = []) {
  const path = join(folder, 'clock');
  writeFileSync(path, '0');
  const env: Record<string, string> = { [CLOCK_VARIABLE]: path, [AT_ONCE_VARIABLE]: '1' };
  return {
    path,
    flags: { execArgv: [CLOCK_MODULE, ...modules].flatMap((module) => ['--import', module]), env },
  };
}

function placesOf({ folder }: RunningNode, ready: Map<string, string>): Place[] {
  const list = (name: string): string[] => ready.get(name)!.split(',');
  const [https, pids] = [list('http'), list('pids')];
  return list('data').map((host, index) => ({
    ...{ host, http: https[index]!, pid: Number(pids[index]) },
    disk: join(folder, `node${index + 1}`, 'disk1'),
    config: join(folder, `node${index + 1}`, 'datanode.json'),
  }));
}

async function startClusterNodes(
  t: Teardown,
  cluster: FakeCluster,
  count: number,
  flags: { execArgv: string[]; env: Record<string, string> },
): Promise<ClusterNode[]> {
  const ips = Array.from({ length: count }, (_, index) => `127.0.0.${index + 1}`);
  const nodes = await Promise.all(
    ips.map((ip) => startClusterNode(t, { masters: cluster.addrs, ip, ...flags })),
  );
  for (const { process } of nodes) await process.whenReady();
  return nodes;
}

/** A name for the content of each extent of a replica. */
export function sums(extents: ReadonlyMap<number, Buffer>): Record<string, string> {
  const rows = [...extents].map(([id, bytes]): [string, string] => [
    String(id),
    `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`,
  ]);
  return Object.fromEntries(rows);
}

function isRunning(pid: number): boolean {
  try {
    // A zombie has ended, and only waits for whoever started it.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
