/**
 * One partition as the repair thread serves it: its rounds, its tasks, its joining, and what is told of them. Owned by `repairNode.ts`, which says when.
 */
import { decodeRepairTask } from '../protocol/repairTask.js';
import { HostList } from './hostList.js';
import { Joining } from './joining.js';
import type { LocalReplica } from './localReplica.js';
import { runMemberTask } from './memberTask.js';
import {
  type PartitionRepairView,
  REPAIR_COUNTER,
  type RepairEvent,
  type RepairPartition,
  type RepairRole,
  type RoundView,
  type TaskView,
  type TinyFigures,
} from './messages.js';
import type { OwnReplica } from './ownReplica.js';
import type { PeerReplicas } from './peerReplica.js';
import { type RoundReport, runRound } from './round.js';
import { type RoundEnd, type RoundKind, roundEnd } from './schedule.js';

export type Log = (
  level: (RepairEvent & { type: 'log' })['level'],
  key: string,
  message: string,
  fields: Record<string, string | number>,
) => void;

/** What a partition uses of the thread. */
export interface PartitionParts {
  readonly ownAddress: string;
  readonly peers: PeerReplicas;
  readonly replica: LocalReplica;
  fetchesMax(): number;
  count(counter: number, by: number): void;
  log: Log;
  nowMs(): number;
  wallMs(): number;
}

export class ServedPartition {
  readonly id: number;
  readonly worker: number;
  readonly disk: number;
  readonly hostList: HostList;
  /** Detached: nothing of it is begun any more. */
  gone = false;
  running: RoundKind | null = null;
  /** Beginning of its last round, or of its service, monotonic ms. */
  lastRoundMs: number;
  tiny: TinyFigures = { available: 0, broken: 0 };
  /** Hosts that took no part in its last round. */
  absent: ReadonlySet<string> = new Set();
  readonly #parts: PartitionParts;
  readonly #joining: Joining;
  #createType: number;
  #lastRounds: { normal: RoundView | null; tiny: RoundView | null } = { normal: null, tiny: null };
  #lastTask: TaskView | null = null;
  #joinText = '';

  constructor({ id, worker, disk, hosts, createType }: RepairPartition, parts: PartitionParts) {
    this.id = id;
    this.worker = worker;
    this.disk = disk;
    this.hostList = new HostList(hosts);
    this.#createType = createType;
    this.#parts = parts;
    this.lastRoundMs = parts.nowMs();
    const { replica, peers } = parts;
    this.#joining = new Joining({ partitionId: id, replica, peers, nowMs: parts.nowMs });
    if (createType === 1) this.#joinText = 'the first host was not asked yet';
  }

  /** This node's replica of it. */
  get own(): OwnReplica {
    return this.#parts.replica.own;
  }

  get isJoining(): boolean {
    return this.#createType === 1;
  }

  get role(): RepairRole {
    return this.hostList.role(this.#parts.ownAddress, this.isJoining, this.#parts.nowMs());
  }

  /** Runs a round. Never rejects. */
  async runRound(kind: RoundKind): Promise<RoundEnd> {
    const { replica, wallMs, nowMs, count } = this.#parts;
    const hosts = [...this.hostList.hosts];
    const startedMs = wallMs();
    this.running = kind;
    this.lastRoundMs = nowMs();
    let report: RoundReport | null = null;
    let failure = '';
    try {
      report = await this.#round(kind, hosts);
      const { tinyAvailable, tinyBroken } = await replica.own.describe();
      this.tiny = { available: tinyAvailable, broken: tinyBroken };
    } catch (error) {
      failure = (error as Error).message;
    }
    this.running = null;
    this.#lastRounds[kind] = { kind, startedMs, endedMs: wallMs(), report, failure };
    count(kind === 'normal' ? REPAIR_COUNTER.normalRounds : REPAIR_COUNTER.tinyRounds, 1);
    this.#tell(kind, report, failure);
    // Nobody was asked.
    if (report === null) return 'done';
    const absentBefore = this.absent;
    this.absent = new Set(report.absent.map(({ address }) => address));
    return roundEnd(report.leftOut, hosts, absentBefore, this.absent);
  }

  /** Null: there was no tiny extent to look at. */
  async #round(kind: RoundKind, hosts: readonly string[]): Promise<RoundReport | null> {
    const { replica, peers, fetchesMax } = this.#parts;
    const { id } = this;
    await replica.learnDeleted();
    const tinyIds = kind === 'tiny' ? await replica.own.takeTiny() : null;
    if (tinyIds?.length === 0) return null;
    return runRound({ partitionId: id, hosts, tinyIds, fetchesMax: fetchesMax() }, replica, {
      list: (address, ids) => peers.list(address, id, ids),
      notify: (address, task) => peers.notify(address, id, task),
    });
  }

  #tell(kind: RoundKind, report: RoundReport | null, failure: string): void {
    const { log, count } = this.#parts;
    const about = { partition: this.id, kind };
    if (failure !== '') {
      count(REPAIR_COUNTER.failedRounds, 1);
      log('warn', 'round failed', 'round of repair failed', { ...about, reason: failure });
    }
    if (report === null) return;
    const { absent, failedTasks, failedFetches, failedFetchCount, entries, leftOut, nonsense } = report;
    count(REPAIR_COUNTER.failedNotifications, failedTasks.length);
    count(REPAIR_COUNTER.failedFetches, failedFetchCount);
    for (const { address, reason } of absent)
      log('warn', `absent ${address}`, 'a replica takes no part in repair', { ...about, address, reason });
    for (const { address, reason } of failedTasks)
      log('warn', `task ${address}`, 'a replica did not carry out its repair', { ...about, address, reason });
    for (const { reason } of failedFetches) log('warn', 'fetch', 'extent not repaired', { ...about, reason });
    if (nonsense > 0)
      log('warn', 'nonsense', 'lists of replicas have records that make no sense', { ...about, nonsense });
    const level = entries > 0 || leftOut > 0 ? 'info' : 'debug';
    log(level, 'round', 'round of repair ended', {
      ...about,
      ...{ entries, leftOut, good: report.good, bad: report.bad, absent: absent.length },
    });
  }

  /** Carries out the task in `body`. Null when its work is done, well or not; else why it is none. Never rejects. */
  async runTask(body: Uint8Array): Promise<string | null> {
    const { replica, fetchesMax, count, log, wallMs } = this.#parts;
    const task = decodeRepairTask(body);
    if (!task.ok) return task.message;
    const leader = task.value.leaderAddr;
    try {
      await replica.learnDeleted();
    } catch (error) {
      return (error as Error).message;
    }
    const { fetched, failed, failedCount, deletesFailed } = await runMemberTask(
      task.value,
      replica,
      fetchesMax(),
    );
    this.#lastTask = { leader, endedMs: wallMs(), fetched, failed, failedCount, deletesFailed };
    count(REPAIR_COUNTER.tasks, 1);
    count(REPAIR_COUNTER.failedFetches, failedCount);
    const about = { partition: this.id, leader };
    for (const { reason } of failed) log('warn', 'fetch', 'extent not repaired', { ...about, reason });
    if (deletesFailed !== null) {
      count(REPAIR_COUNTER.failedDeletes, 1);
      log('warn', `deletes ${leader}`, 'tiny deletes not brought', { ...about, reason: deletesFailed });
    }
    log(fetched > 0 ? 'info' : 'debug', 'task', 'task of repair ended', {
      ...about,
      fetched,
      failed: failedCount,
    });
    return null;
  }

  /** One look whether a partition that joins is complete; ms until the next, null when there is none. Never rejects. */
  async join(): Promise<number | null> {
    const { replica, log } = this.#parts;
    const { hosts } = this.hostList;
    const first = hosts[0];
    // As in the reference the first host is complete by definition, and META stays as it is.
    if (first === this.#parts.ownAddress) return null;
    try {
      if (first === undefined) throw new Error('no hosts are known');
      const { missing, pauseMs } = await this.#joining.look(first);
      this.#joinText = missing;
      if (missing !== '') return pauseMs;
      await replica.own.endJoining();
      this.#createType = 0;
      log('info', 'joined', 'the new replica has all that it lacked', { partition: this.id, first });
      return null;
    } catch (error) {
      this.#joinText = (error as Error).message;
      log('warn', 'join', 'the new replica cannot be compared with the first host', {
        ...{ partition: this.id, reason: this.#joinText },
      });
      return JOIN_RETRY_MS;
    }
  }

  /** All but what is kept elsewhere of its group. */
  view(): Omit<PartitionRepairView, 'exchange' | 'missing'> {
    return {
      id: this.id,
      role: this.role,
      hosts: this.hostList.hosts,
      running: this.running,
      lastNormal: this.#lastRounds.normal,
      lastTiny: this.#lastRounds.tiny,
      tiny: this.tiny,
      lastTask: this.#lastTask,
      joining: this.isJoining ? this.#joinText : '',
      fetches: this.#parts.replica.fetches.map((progress) => ({ ...progress })),
    };
  }
}

const JOIN_RETRY_MS = 5_000;
