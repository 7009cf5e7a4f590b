/**
 * Three real nodes of `standalone` for tests of raft: each a process that a test can kill, stop, cut off and start again, with partitions that all of them have a replica of.
 */
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CLOCK_VARIABLE } from './clockAhead.js';
import { type NodeProcess, startProcess, startStandalone, type Teardown, testFolder } from './nodeProcess.js';
import { PacketClient } from './packetClient.js';
import { until, untilAnswer } from './until.js';

const COUNT = 3;
const CLOCK_MODULE = new URL('clockAhead.js', import.meta.url).href;
/** An election is due after 3 s at most, and may be repeated. */
const LEADER_MS_MAX = 30_000;

/** What `/raftStatus` says of a group. */
export interface RaftStatusPage {
  Leader: number;
  Term: number;
  Applied: number;
  State: string;
  Stopped: boolean;
  /** Of a leader: by node id. The moments are by its wall clock. */
  Replicas: Record<string, { LastActive: string }> | null;
}

export class RaftTrio {
  /** `ip:port` of the data ports, in the order of the nodes. */
  readonly hosts: readonly string[];
  readonly #t: Teardown;
  readonly #folder: string;
  readonly #https: readonly string[];
  readonly #pids: number[];
  readonly #own = new Map<number, NodeProcess>();
  /** The folder with the clocks of processes. */
  readonly #clocks: string;

  private constructor(t: Teardown, folder: string, ready: Map<string, string>, clocks: string) {
    this.#clocks = clocks;
    const list = (name: string): string[] => ready.get(name)!.split(',');
    this.#t = t;
    this.#folder = folder;
    this.hosts = list('data');
    this.#https = list('http');
    this.#pids = list('pids').map(Number);
  }

  /** Partitions 1..n; `settings` as those of a standalone node. `clocks`: the wall clocks of the nodes may be set. */
  static async start(
    t: Teardown,
    partitions: number,
    settings: string[] = [],
    clocks = false,
  ): Promise<RaftTrio> {
    const folder = testFolder(t);
    const clock = { execArgv: ['--import', CLOCK_MODULE], env: { [CLOCK_VARIABLE]: `${folder}/` } };
    const node = await startStandalone(t, {
      ...{ nodes: COUNT, partitions, settings },
      ...(clocks ? clock : {}),
    });
    const trio = new RaftTrio(t, node.folder, await node.process.whenReady(), folder);
    // A stopped process would not end with the others.
    t.teardown(() => {
      for (const pid of trio.#pids) if (isRunning(pid)) process.kill(pid, 'SIGCONT');
    });
    return trio;
  }

  /** A connection to a node's data port. */
  client(node: number): PacketClient {
    const [ip, port] = this.hosts[node]!.split(':') as [string, string];
    return new PacketClient(Number(port), ip);
  }

  signal(node: number, name: NodeJS.Signals): void {
    process.kill(this.#pids[node]!, name);
  }

  /** The wall clock of a node is so far ahead of the true time from now on, or behind. Its process is of those that `start` has started. */
  setClock(node: number, aheadMs: number): void {
    const path = join(this.#clocks, String(this.#pids[node]));
    // Whole or not at all: it is read all the time.
    writeFileSync(`${path}.new`, String(aheadMs));
    renameSync(`${path}.new`, path);
  }

  /** SIGKILL to some nodes, all at once. */
  async kill(...nodes: number[]): Promise<void> {
    for (const node of nodes) this.signal(node, 'SIGKILL');
    for (const node of nodes) await until(`node ${node} has ended`, () => !isRunning(this.#pids[node]!));
  }

  /** Starts a node that has ended on its disks and ports. */
  async bringBack(node: number): Promise<void> {
    const own = startProcess(this.#t, { args: ['-c', this.#config(node), '-f'] });
    this.#own.set(node, own);
    this.#pids[node] = own.pid;
    await own.whenReady();
  }

  /** A disk of a node begins to fail, or ends to: the parameters of `/debug/fault`. */
  async fault(node: number, query: string): Promise<void> {
    const url = `http://${this.#https[node]}/debug/fault?disk=0&${query}`;
    const response = await fetch(url, { method: 'POST' });
    if (response.status !== 200) throw new Error(await response.text());
  }

  /** From now on a node takes connections of no peer, or of all again, by its `access.peers`. It can still speak to them: it is deaf. */
  async deafen(node: number, deaf: boolean): Promise<void> {
    const path = this.#config(node);
    const config = JSON.parse(readFileSync(path, 'utf8')) as { extentd?: Record<string, unknown> };
    const access = { ...(config.extentd?.['access'] as object | undefined), peers: deaf ? [NOBODY] : [] };
    writeFileSync(path, JSON.stringify({ ...config, extentd: { ...config.extentd, access } }));
    const before = this.#reloads(node);
    this.signal(node, 'SIGHUP');
    await until('the lists are taken over', () => this.#reloads(node) > before);
  }

  /** The `data` of `/raftStatus`. */
  async status(node: number, partitionId: number): Promise<RaftStatusPage> {
    const signal = AbortSignal.timeout(1000);
    const answer = await fetch(`http://${this.#https[node]}/raftStatus?raftID=${partitionId}`, { signal });
    return ((await answer.json()) as { data: RaftStatusPage }).data;
  }

  /** The node that leads a partition among `nodes`, once one does. */
  leader(partitionId: number, nodes: readonly number[] = [0, 1, 2]): Promise<number> {
    return untilAnswer(
      `partition ${partitionId} has a leader`,
      async () => {
        for (const node of nodes) {
          const status = await this.status(node, partitionId).catch(() => null);
          if (status?.State === 'StateLeader') return node;
        }
        return null;
      },
      LEADER_MS_MAX,
    );
  }

  /** Waits until a node's group of a partition is out of service. */
  async stopped(node: number, partitionId: number): Promise<void> {
    const isStopped = async (): Promise<true | null> =>
      (await this.status(node, partitionId)).Stopped || null;
    await untilAnswer(`the group of node ${node} ends`, isStopped);
  }

  /** Waits until a node that has come back carries out what the others have carried out by now. */
  async appliesWith(partitionId: number, node: number): Promise<void> {
    const leader = await this.leader(partitionId);
    const { Applied: wanted } = await this.status(leader, partitionId);
    const isThere = async (): Promise<true | null> =>
      (await this.status(node, partitionId)).Applied >= wanted || null;
    await untilAnswer(`node ${node} has caught up`, isThere, LEADER_MS_MAX);
  }

  /** Waits until all replicas of a partition have carried out the same entries, then says in which extents they differ. */
  async differences(partitionId: number): Promise<string[]> {
    const nodes = [0, 1, 2];
    await untilAnswer(
      `all replicas of partition ${partitionId} have applied the same`,
      async () => {
        const pages = await Promise.all(nodes.map((node) => this.status(node, partitionId)));
        const same = pages.every(({ Applied, Leader }) => Applied === pages[0]!.Applied && Leader > 0);
        return same || null;
      },
      LEADER_MS_MAX,
    );
    const extents = nodes.map((node) => this.#extents(node, partitionId));
    const ids = [...new Set(extents.flatMap((one) => [...one.keys()]))].sort();
    return ids.filter((id) =>
      extents.some((one) => one.get(id)?.equals(extents[0]!.get(id) ?? NONE) !== true),
    );
  }

  #config(node: number): string {
    return join(this.#folder, `node${node + 1}`, 'datanode.json');
  }

  /** Configurations that a node says it has taken over. */
  #reloads(node: number): number {
    const folder = join(this.#folder, `node${node + 1}`, 'log', 'dataNode');
    const lines = readdirSync(folder).map((name) => readFileSync(join(folder, name), 'utf8'));
    return lines.join('\n').split('the config file is in force').length - 1;
  }

  /** Content of each extent with data, by its name. */
  #extents(node: number, partitionId: number): Map<string, Buffer> {
    const root = join(this.#folder, `node${node + 1}`);
    const disk = readdirSync(root).find((name) => name.startsWith('disk'))!;
    const name = readdirSync(join(root, disk)).find((one) =>
      one.startsWith(`datapartition_${partitionId}_`),
    )!;
    const folder = join(root, disk, name);
    const ids = readdirSync(folder).filter(
      (one) => /^\d+$/.test(one) && statSync(join(folder, one)).size > 0,
    );
    return new Map(ids.map((id) => [id, readFileSync(join(folder, id))]));
  }
}

/** An address of which no node is. */
const NOBODY = '127.0.0.99';
const NONE = Buffer.alloc(0);

function isRunning(pid: number): boolean {
  try {
    // A zombie has ended, and only waits for whoever started it.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
