/** Three nodes of `standalone --nodes 3`, each a process that a test can kill, stop and bring back, with a replica of every partition on each. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PartitionRepairView, RepairView } from '../../src/repair/messages.js';
import { CLOCK_VARIABLE } from './clockAhead.js';
import {
  type NodeProcess,
  type RunningNode,
  startProcess,
  startStandalone,
  type Teardown,
} from './nodeProcess.js';
import { PacketClient } from './packetClient.js';
import { until, untilAnswer } from './until.js';

const CLOCK_MODULE = new URL('./clockAhead.js', import.meta.url).href;
/** Further than extents must have been left alone before replicas tell each other of them. */
const QUIET_MS = 70_000;
const ROUNDS_MAX = 24;

export class Trio {
  readonly hosts: readonly string[];
  readonly #t: Teardown;
  readonly #standalone: RunningNode;
  readonly #pids: number[];
  readonly #https: readonly string[];
  readonly #back = new Map<number, NodeProcess>();
  readonly #clock: { path: string; aheadMs: number };

  private constructor(t: Teardown, node: RunningNode, ready: Map<string, string>, clockPath: string) {
    this.#t = t;
    this.#standalone = node;
    this.hosts = ready.get('data')!.split(',');
    this.#pids = ready.get('pids')!.split(',').map(Number);
    this.#https = ready.get('http')!.split(',');
    this.#clock = { path: clockPath, aheadMs: 0 };
  }

  static async start(t: Teardown, folder: string, partitions: number): Promise<Trio> {
    const clockPath = join(folder, 'clock');
    writeFileSync(clockPath, '0');
    const node = await startStandalone(t, {
      ...{ nodes: 3, partitions, folder: join(folder, 'data') },
      ...{ execArgv: ['--import', CLOCK_MODULE], env: { [CLOCK_VARIABLE]: clockPath } },
    });
    return new Trio(t, node, await node.process.whenReady(), clockPath);
  }

  /** Hosts of a partition, its first host first. */
  hostsOf(partitionId: number): string[] {
    return this.hosts.map((_, i) => this.hosts[(partitionId - 1 + i) % this.hosts.length]!);
  }

  client(host: string): PacketClient {
    const [ip, port] = host.split(':') as [string, string];
    return new PacketClient(Number(port), ip);
  }

  disk(index: number): string {
    return join(this.#standalone.folder, `node${index + 1}`, 'disk1');
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

  /** Whether a node has compared an extent with its checksums and would know it to be unchanged after any crash (`docs/checksums.md`). */
  isClean(index: number, partitionId: number, extentId: number): boolean {
    const entries = readFileSync(join(this.folder(index, partitionId), 'EXTENT_CLEAN'));
    return (entries[64 + extentId * 16 + 4] ?? 0) >> 4 === 1;
  }

  signal(index: number, name: NodeJS.Signals): void {
    process.kill(this.#pids[index]!, name);
  }

  async kill(index: number): Promise<void> {
    const pid = this.#pids[index]!;
    process.kill(pid, 'SIGKILL');
    await until(`process ${pid} has ended`, () => !isRunning(pid));
  }

  /** Starts a node that has ended as the log says that one does. */
  async bringBack(index: number): Promise<void> {
    const config = join(this.#standalone.folder, `node${index + 1}`, 'datanode.json');
    const node = startProcess(this.#t, {
      ...{ args: ['-c', config, '-f'], execArgv: ['--import', CLOCK_MODULE] },
      env: { [CLOCK_VARIABLE]: this.#clock.path },
    });
    await node.whenReady();
    this.#back.set(index, node);
    this.#pids[index] = node.pid;
  }

  /** The `data` of a page of a node's debug API. */
  async page<T>(index: number, path: string): Promise<T> {
    const response = await fetch(`http://${this.#https[index]}${path}`);
    return ((await response.json()) as { data: T }).data;
  }

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

  /** Has the first host of a partition run both rounds now, and resolves with what they have found. */
  async runRounds(partitionId: number): Promise<PartitionRepairView> {
    const index = (partitionId - 1) % this.hosts.length;
    const isIdle = async (): Promise<PartitionRepairView | null> => {
      const view = await this.repairOf(index, partitionId);
      return view.running === null && view.role === 'primary' ? view : null;
    };
    const before = await untilAnswer('no round runs', isIdle, 20_000);
    // Rounds that are switched on again begin with both kinds.
    await this.#switchRounds(index, false);
    await this.#switchRounds(index, true);
    return untilAnswer(
      `rounds of partition ${partitionId}`,
      async () => {
        const view = await isIdle();
        if (view === null) return null;
        const isNew = (kind: 'lastNormal' | 'lastTiny'): boolean =>
          view[kind] !== null && view[kind].endedMs > (before[kind]?.endedMs ?? 0);
        return isNew('lastNormal') && isNew('lastTiny') ? view : null;
      },
      30_000,
    );
  }

  async stop(): Promise<(number | null)[]> {
    const ends = [...this.#back.values()].map((node) => node.terminate());
    const all = await Promise.all([this.#standalone.process.terminate(), ...ends]);
    return all.map(({ code }) => code);
  }

  async #switchRounds(index: number, enabled: boolean): Promise<void> {
    const path = join(this.#standalone.folder, `node${index + 1}`, 'datanode.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as { extentd?: Record<string, unknown> };
    const repair = { ...(config.extentd?.['repair'] as object | undefined), enabled };
    writeFileSync(path, JSON.stringify({ ...config, extentd: { ...config.extentd, repair } }));
    this.signal(index, 'SIGHUP');
    await untilAnswer(`rounds are ${enabled ? 'on' : 'off'}`, async () => {
      const { settings } = await this.page<RepairView>(index, '/repair');
      return settings.enabled === enabled ? true : null;
    });
  }
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
