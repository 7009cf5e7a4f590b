/**
 * The repair thread as a whole: which partitions there are, whose round is next, tasks of other nodes, what joins, and what is told to main. Its sockets, rings and clocks come from outside, so tests run it on their
 * own thread; `thread.ts` runs it in the node.
 */
import type { BlockPlace } from '../partition/messages.js';
import type { Counters } from '../shm/counters.js';
import { AppliedPeers } from './appliedPeers.js';
import { DiskRoom } from './diskRoom.js';
import { ExchangeJob } from './exchangeJob.js';
import { Gate } from './gate.js';
import { HealJob } from './healJob.js';
import { LocalReplica, type LocalReplicaParts } from './localReplica.js';
import {
  oldestRoundAt,
  type PartitionRepairView,
  REPAIR_COUNTER,
  type RepairCommand,
  type RepairEvent,
  type RepairPartition,
  type RepairSettings,
  type RepairView,
} from './messages.js';
import { MissingJob } from './missingJob.js';
import { OwnReplica } from './ownReplica.js';
import { Pace } from './pace.js';
import { PEER_LIMITS, type PeerLimits } from './peerConnection.js';
import { PeerReplicas } from './peerReplica.js';
import { type DueRound, RepairSchedule } from './schedule.js';
import { type Log, ServedPartition } from './servedPartition.js';
import { Sources } from './sources.js';
import type { WorkerPorts } from './workerPorts.js';

/** Gauges are renewed, and roles looked at, this often. */
const LOOK_MS = 1_000;
/** How long a stop waits for what is at workers. */
const STOP_MS = 2_000;
/** Partitions in one view. */
const VIEW_PARTITIONS_MAX = 1_000;

export interface RepairNodeParts {
  readonly ports: WorkerPorts;
  readonly counters: Counters;
  readonly diskPaths: readonly string[];
  readonly address: string;
  readonly settings: RepairSettings;
  readonly peerLimits?: PeerLimits;
  crc32(data: Uint8Array): number;
  nowMs(): number;
  wallMs(): number;
  post(event: RepairEvent): void;
}

export class RepairNode {
  readonly #parts: RepairNodeParts;
  readonly #stopping = new AbortController();
  readonly #peers: PeerReplicas;
  readonly #sources: Sources;
  readonly #pace: Pace;
  readonly #rooms: readonly DiskRoom[];
  readonly #taskGates: readonly Gate[];
  readonly #partitions = new Map<number, ServedPartition>();
  readonly #schedule: RepairSchedule;
  readonly #looks: NodeJS.Timeout;
  #settings: RepairSettings;
  #wakeTimer: NodeJS.Timeout | null = null;
  readonly #heals: HealJob;
  readonly #exchanges: ExchangeJob;
  readonly #missing: MissingJob;
  readonly #joinTimers = new Map<ServedPartition, NodeJS.Timeout>();

  constructor(parts: RepairNodeParts) {
    const { settings, nowMs, diskPaths, peerLimits } = parts;
    this.#parts = parts;
    this.#settings = settings;
    this.#peers = new PeerReplicas(this.#stopping.signal, peerLimits ?? PEER_LIMITS);
    this.#sources = new Sources((address) => this.#peers.dial(address));
    this.#pace = new Pace(settings.bytesPerSecond, nowMs, this.#stopping.signal);
    this.#rooms = diskPaths.map(() => new DiskRoom());
    this.#taskGates = diskPaths.map(() => new Gate(settings.roundsPerDisk));
    this.#schedule = new RepairSchedule(limitsOf(settings));
    this.#heals = new HealJob({
      ...{ ownAddress: parts.address, peers: this.#peers, disks: diskPaths.length, nowMs, log: this.#log },
      partitions: () => this.#partitions.values(),
      isEnabled: () => this.#settings.enabled,
      crc32: (data) => parts.crc32(data),
      count: (counter, by) => parts.counters.add(counter, by),
      alarm: (text) => parts.post({ type: 'alarm', text }),
    });
    const applied = new AppliedPeers({
      ...{ sources: this.#sources, nowMs },
      nextReqId: () => this.#peers.nextReqId(),
    });
    this.#exchanges = new ExchangeJob({
      ...{ ownAddress: parts.address, nowMs, wallMs: parts.wallMs, log: this.#log, peers: applied },
    });
    this.#missing = new MissingJob({
      ...{ ownAddress: parts.address, peers: this.#peers, applied, disks: diskPaths.length, nowMs },
      log: this.#log,
      partitions: () => this.#partitions.values(),
      isEnabled: () => this.#settings.enabled,
      pace: (bytes) => this.#pace.take(bytes),
      crc32: (data) => parts.crc32(data),
      count: (counter, by) => parts.counters.add(counter, by),
    });
    this.#looks = setInterval(() => this.#look(), LOOK_MS);
  }

  /** Carries out a command of main. */
  take(command: RepairCommand): void {
    switch (command.type) {
      case 'attached':
        return this.#attach(command.partition);
      case 'detached':
        return this.#detach(command.id);
      case 'hosts':
        return this.#hosts(command.id, command.hosts);
      case 'task':
        return void this.#task(command.number, command.id, command.body);
      case 'damaged':
        return this.#damaged(command.place);
      case 'settings':
        return this.#change(command.settings);
      case 'workerGone':
        return this.#parts.ports.gone(command.index, command.reason);
      case 'view':
        return this.#parts.post({ type: 'view', number: command.number, view: this.#view(command.id) });
      case 'stop':
        return void this.#stop();
    }
  }

  #attach(partition: RepairPartition): void {
    this.#detach(partition.id);
    const replica = new LocalReplica(
      new OwnReplica(this.#parts.ports, partition.worker, partition.id),
      this.#rooms[partition.disk]!,
      this.#replicaParts(),
    );
    const { address, nowMs, wallMs } = this.#parts;
    const served = new ServedPartition(partition, {
      ...{ ownAddress: address, peers: this.#peers, replica, nowMs, wallMs, log: this.#log },
      fetchesMax: () => this.#settings.fetchesPerRound,
      count: (counter, by) => this.#parts.counters.add(counter, by),
    });
    this.#partitions.set(partition.id, served);
    this.#exchanges.attached(served);
    // Whoever ran rounds before this thread is gone.
    replica.own.forgetRounds().catch(() => {});
    if (served.isJoining) this.#joinIn(served, 0);
  }

  #detach(id: number): void {
    const served = this.#partitions.get(id);
    if (served === undefined) return;
    served.gone = true;
    this.#partitions.delete(id);
    this.#schedule.remove(id);
    this.#exchanges.detached(id);
    clearTimeout(this.#joinTimers.get(served));
    this.#joinTimers.delete(served);
  }

  #hosts(id: number, hosts: readonly string[]): void {
    const served = this.#partitions.get(id);
    if (served === undefined) return;
    const { nowMs } = this.#parts;
    const changed = served.hostList.hosts.join(' ') !== hosts.join(' ');
    served.hostList.told(hosts, nowMs());
    this.#place(served);
    if (changed) this.#schedule.hasten(id, nowMs());
    this.#runDue();
  }

  /** Of a partition that is going nobody waits for long: its worker ends what it has of it. */
  #damaged({ partitionId, extentId, block }: BlockPlace): void {
    const served = this.#partitions.get(partitionId);
    if (served !== undefined) this.#heals.ask(served, extentId, block);
  }

  /** Puts a partition into the schedule, or takes it out, by its role. */
  #place(served: ServedPartition): void {
    if (this.#settings.enabled && served.role === 'primary')
      this.#schedule.add(served.id, served.disk, this.#parts.nowMs());
    else this.#schedule.remove(served.id);
  }

  #change(settings: RepairSettings): void {
    this.#settings = settings;
    this.#pace.change(settings.bytesPerSecond);
    this.#schedule.setLimits(limitsOf(settings));
    for (const gate of this.#taskGates) gate.change(settings.roundsPerDisk);
    for (const served of this.#partitions.values()) this.#place(served);
    this.#runDue();
  }

  // Rounds.

  #runDue(): void {
    if (this.#stopping.signal.aborted) return;
    for (;;) {
      const due = this.#schedule.next(this.#parts.nowMs());
      if (due === null) break;
      void this.#round(due);
    }
    if (this.#wakeTimer !== null) clearTimeout(this.#wakeTimer);
    const waitMs = this.#schedule.wakeInMs(this.#parts.nowMs());
    // Bounds that are reached are looked at again when a round ends.
    this.#wakeTimer = Number.isFinite(waitMs) && waitMs > 0 ? setTimeout(() => this.#runDue(), waitMs) : null;
  }

  async #round({ partitionId, kind }: DueRound): Promise<void> {
    const served = this.#partitions.get(partitionId);
    const end = served === undefined ? 'done' : await served.runRound(kind);
    this.#schedule.ended(partitionId, end, this.#parts.nowMs());
    this.#runDue();
  }

  // Tasks of other nodes.

  async #task(number: number, id: number, body: Uint8Array): Promise<void> {
    const answer = (failure: string | null): void => this.#parts.post({ type: 'answer', number, failure });
    const served = this.#partitions.get(id);
    if (served === undefined) return answer('data partition not exists');
    const gate = this.#taskGates[served.disk]!;
    await gate.enter();
    try {
      if (this.#stopping.signal.aborted) answer('the node is stopping');
      else answer(await served.runTask(body));
    } finally {
      gate.leave();
    }
  }

  // What joins.

  #joinIn(served: ServedPartition, ms: number): void {
    if (this.#stopping.signal.aborted || served.gone) return;
    const timer = setTimeout(async () => {
      this.#joinTimers.delete(served);
      const pauseMs = await served.join();
      if (pauseMs !== null) this.#joinIn(served, pauseMs);
    }, ms);
    this.#joinTimers.set(served, timer);
  }

  // What is told.

  readonly #log: Log = (level, key, message, fields) =>
    this.#parts.post({ type: 'log', level, key, message, fields });

  #replicaParts(): LocalReplicaParts {
    const { address, crc32, nowMs, counters } = this.#parts;
    return {
      ...{ ownAddress: address, sources: this.#sources, pace: this.#pace, crc32, nowMs },
      dial: (peer) => this.#peers.dial(peer),
      nextReqId: () => this.#peers.nextReqId(),
      fetched: (bytes) => counters.add(REPAIR_COUNTER.bytes, bytes),
      fetchedExtent: () => counters.add(REPAIR_COUNTER.extents, 1),
    };
  }

  #look(): void {
    const { counters, nowMs, diskPaths } = this.#parts;
    const now = nowMs();
    const oldest = diskPaths.map(() => 0);
    const sums = { absent: 0, available: 0, broken: 0, joining: 0 };
    for (const served of this.#partitions.values()) {
      if (served.isJoining) sums.joining += 1;
      // A list that has grown old ends its rounds.
      this.#place(served);
      if (served.role !== 'primary') continue;
      oldest[served.disk] = Math.max(oldest[served.disk]!, (now - served.lastRoundMs) / 1000);
      sums.absent += served.absent.size;
      sums.available += served.tiny.available;
      sums.broken += served.tiny.broken;
    }
    counters.set(REPAIR_COUNTER.absentMembers, sums.absent);
    counters.set(REPAIR_COUNTER.tinyAvailable, sums.available);
    counters.set(REPAIR_COUNTER.tinyBroken, sums.broken);
    counters.set(REPAIR_COUNTER.joining, sums.joining);
    for (const [disk, seconds] of oldest.entries()) counters.set(oldestRoundAt(disk), seconds);
    this.#exchanges.look();
    counters.set(REPAIR_COUNTER.oldestExchangeSeconds, this.#exchanges.oldestSeconds());
    this.#missing.look();
    counters.set(REPAIR_COUNTER.missingRanges, this.#missing.missingRanges);
    this.#heals.look();
    this.#runDue();
  }

  #view(id: number | null): RepairView {
    const { diskPaths } = this.#parts;
    const wanted =
      id === null
        ? [...this.#partitions.values()]
        : [this.#partitions.get(id)].filter((one) => one !== undefined);
    const views = wanted.map((served) => ({
      ...served.view(),
      exchange: this.#exchanges.viewOf(served.id),
      missing: this.#missing.viewOf(served),
    }));
    views.sort((a, b) => interest(b) - interest(a) || a.id - b.id);
    const sum = (value: (gate: Gate) => number): number =>
      this.#taskGates.reduce((all, gate) => all + value(gate), 0);
    return {
      settings: this.#settings,
      roundsRunning: this.#schedule.running,
      tasksRunning: sum(({ running }) => running),
      tasksWaiting: sum(({ waiting }) => waiting),
      disks: diskPaths.map((path, disk) => ({ path, full: this.#rooms[disk]!.isFull })),
      partitionCount: this.#partitions.size,
      partitions: views.slice(0, VIEW_PARTITIONS_MAX),
    };
  }

  /** Ends sockets, waits for what is at workers, and says so. */
  async #stop(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    const { ports, post, nowMs } = this.#parts;
    if (this.#wakeTimer !== null) clearTimeout(this.#wakeTimer);
    clearInterval(this.#looks);
    for (const timer of this.#joinTimers.values()) clearTimeout(timer);
    this.#sources.close();
    this.#heals.stop();
    this.#exchanges.stop();
    this.#missing.stop();
    ports.close();
    const untilMs = nowMs() + STOP_MS;
    while (ports.open > 0 && nowMs() < untilMs) await new Promise((resolve) => setTimeout(resolve, 5));
    post({ type: 'stopped' });
  }
}

/** Partitions with something to tell come first in a view. */
function interest({
  running,
  fetches,
  joining,
  lastNormal,
  lastTiny,
  lastTask,
  missing,
}: PartitionRepairView): number {
  if (running !== null || fetches.length > 0 || joining !== '' || missing !== null) return 2;
  const failed = [lastNormal, lastTiny].some(
    (round) => round !== null && (round.failure !== '' || (round.report?.absent.length ?? 0) > 0),
  );
  return failed || (lastTask !== null && lastTask.failedCount > 0) ? 1 : 0;
}

function limitsOf({ roundsPerDisk, rounds }: RepairSettings): { perDiskMax: number; inAllMax: number } {
  return { perDiskMax: roundsPerDisk, inAllMax: rounds };
}
