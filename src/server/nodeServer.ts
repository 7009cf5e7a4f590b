/**
 * Main's half of the data path: makes the shared memory, starts the workers, wires them to the network thread, watches them, stops them.
 */
import assert from 'node:assert';
import type { Logger } from 'pino';
import type { NodeConfig } from '../config/config.js';
import { limitsOf } from '../config/diskLimits.js';
import { FOLLOWER_LIMITS } from '../config/limits.js';
import type { AdminHandler, NodeView, Outcome } from '../control/nodeView.js';
import type { FaultRequest } from '../http/messages.js';
import type { NodeMetrics } from '../http/metricsSource.js';
import { native } from '../native/addon.js';
import { type AttachedPartition, type BlockPlace, COMMAND, DISK_HELD } from '../partition/messages.js';
import { OP } from '../protocol/opcodes.js';
import type { RepairMemory } from '../repair/messages.js';
import type { CountersMemory } from '../shm/counters.js';
import { createDoorbell, DoorbellSleeper, SEQUENCE } from '../shm/doorbell.js';
import { OperationTable } from '../shm/operationTable.js';
import { PoisonTable } from '../shm/poison.js';
import { DiskTable } from '../shm/tables.js';
import { LOG_RATE, RateLimitedLog } from '../telemetry/rateLimitedLog.js';
import { SpinPolicy } from '../workers/spin.js';
import type { DiskWorkerData } from '../workers/workerData.js';
import { ChecksumControl } from './checksumControl.js';
import { type DiskAlarmSink, DiskAlarms } from './diskAlarms.js';
import { takeGroupEvent } from './groupEvents.js';
import { LimitControl } from './limitControl.js';
import type { ConnectionLimits, NetworkParts, SocketOwner } from './networkParts.js';
import { NetworkThread } from './networkThread.js';
import { NodeFigures } from './nodeFigures.js';
import { layOutMemory, metricsSource, type NodeMemory } from './nodeMemory.js';
import { NodeState } from './nodeState.js';
import { type OperationListener, Operations } from './operations.js';
import { notified, type Repairer } from './repairer.js';
import { WorkerHandle, type WorkerListener } from './workerHandle.js';
import { backgroundShare, createPorts, type WorkerPort } from './workerPort.js';
import { WATCH_MS, WorkerWatch } from './workerWatch.js';

/** Tags beside those of the workers' rings: packets that are answered on this thread. */
const LOCAL_TAGS = 4096;

export interface NodeServerOptions {
  config: NodeConfig;
  log: Logger;
  alarms: DiskAlarmSink;
  /** This node's id, as the master gave it; 0: none, and no raft. */
  nodeId: number;
  connectionsMax: number;
  cores: number;
  limits: ConnectionLimits;
  admin(view: NodeView): AdminHandler;
  sockets(): SocketOwner;
  /** Alarms raised since the start. */
  alarmCount(): number;
  /** Hears of each operation that ends. */
  operationEnded?: OperationListener;
}

/** How long a disk may be silent before it counts as stalled, lost while it is loaded, or hanging. */
export type WatchTimes = Pick<NodeConfig, 'stallMs' | 'loadTimeoutMs' | 'probeTimeoutMs'>;

export class NodeServer implements WorkerListener {
  readonly network: NetworkThread;
  readonly state: NodeState;
  /** Limits per disk. */
  readonly limits: LimitControl;
  readonly checksums: ChecksumControl;
  /** What the metrics are made of, but for what only the control plane knows. */
  readonly metrics: NodeMetrics;
  /** For the repair thread. Held here, because an I/O thread may write into its slab when whoever has used it is gone. */
  readonly repair: RepairMemory;
  readonly repairCounters: CountersMemory;
  /** The workers' ends for raft: rings and doorbells, by index. */
  readonly raft: readonly Pick<DiskWorkerData, 'raft' | 'doorbell'>[];
  readonly #config: NodeConfig;
  readonly #log: Logger;
  readonly #followerLog: RateLimitedLog;
  readonly #alarmSink: DiskAlarmSink;
  readonly #alarms: DiskAlarms;
  readonly #handles: WorkerHandle[] = [];
  readonly #doorbell = createDoorbell();
  readonly #loopId: number;
  readonly #workerWatch: WorkerWatch;
  readonly #watch: NodeJS.Timeout;
  #times: WatchTimes;
  readonly #operations: Operations;
  readonly #figures: NodeFigures;
  readonly #alarmCount: () => number;
  #repairer: Repairer | null = null;
  #changed: () => void = () => {};

  constructor(options: NodeServerOptions) {
    const { config, log } = options;
    this.#config = config;
    this.#times = config;
    this.#log = log;
    this.#followerLog = new RateLimitedLog(log, LOG_RATE, () => performance.now());
    this.#alarmSink = options.alarms;
    this.#alarms = new DiskAlarms(options.alarms);
    this.#loopId = native.registerLoop(() => this.network.called());
    const memory = layOutMemory(
      config,
      options.cores,
      options.connectionsMax,
      this.#doorbell,
      this.#loopId,
      options.nodeId,
    );
    const { workers } = memory;
    this.repair = memory.repair;
    this.repairCounters = memory.repairCounters;
    this.raft = workers;
    const background = backgroundShare(config.slabSlots128k, workers.length);
    const ports = createPorts(workers, background);
    const operationTable = new OperationTable(memory.operations);
    this.#operations = new Operations(operationTable, log, options.operationEnded ?? null);
    this.#figures = new NodeFigures(memory.slabClasses, config.disks.length, workers.length);
    this.#alarmCount = () => options.alarmCount();
    this.metrics = metricsSource(config, memory, this.#figures);
    this.network = new NetworkThread(this.#networkOptions(options, memory, ports, () => admin));
    const disks = config.disks.map(({ path }) => ({ path, handles: [] as WorkerHandle[] }));
    const tables = workers.map(({ partitions }) => partitions);
    const { diskTable, workerTable } = memory;
    this.state = new NodeState(this.network, disks, diskTable, workerTable, tables, () =>
      this.connectionCount(),
    );
    this.limits = new LimitControl(limitsOf(config), disks, memory.limitTable, log);
    this.checksums = new ChecksumControl(disks);
    const admin = options.admin(this.state);
    for (const data of workers) {
      const handle = new WorkerHandle(data, ports[data.index]!, this);
      this.#handles.push(handle);
      disks[data.disk]!.handles.push(handle);
    }
    const { network, limits } = this;
    const parts = { handles: this.#handles, alarms: this.#alarms, network, limits, log };
    this.#workerWatch = new WorkerWatch(new DiskTable(workerTable), parts);
    this.#watch = setInterval(() => this.#watchWorkers(), WATCH_MS);
    this.network.wake();
  }

  /** Once a turn, after the workers' events: whoever carries raft's messages takes them from `raft` and puts others there. */
  drainRaft: () => void = () => {};

  /** Open connections; set by the owner of the listener. */
  connectionCount: () => number = () => 0;

  /** The data port listens: groups may lead from now on. */
  serve(): void {
    for (const handle of this.#handles) void handle.ask(COMMAND.serve, {});
  }

  /** Resolves when every worker has loaded its disk, failed, or made no progress for `loadTimeoutMs`; rejects when aborted, and when another process holds one of the disks. */
  async whenLoaded(signal: AbortSignal): Promise<void> {
    await this.#until(
      () => signal.aborted || this.#handles.every(({ loaded, failure }) => loaded || failure !== ''),
    );
    if (signal.aborted) throw new Error('the start was given up');
    const held = this.#handles.find(({ failure }) => failure.endsWith(DISK_HELD));
    if (held !== undefined) throw new Error(held.failure);
  }

  /** Who carries out notifications, and hears of partitions and of workers that are gone; of the partitions that are here at once. */
  repairWith(repairer: Repairer): void {
    this.#repairer = repairer;
    this.state.watch(repairer);
    for (const { index, failure } of this.#handles) if (failure !== '') repairer.workerGone(index, failure);
  }

  /** Waits, at most `timeoutMs`, until every request taken on was answered. Limits of disks do not hold any more. */
  async drain(timeoutMs: number): Promise<void> {
    this.limits.lift();
    const { network } = this;
    await this.#until(() => network.inFlight === 0 && network.forwarding.open === 0, timeoutMs);
  }

  /** Lets the workers sync and end; true when all did so cleanly within `timeoutMs`. */
  async stopWorkers(timeoutMs: number): Promise<boolean> {
    for (const handle of this.#handles) handle.stop();
    await this.#until(() => this.#handles.every(({ stopped }) => stopped), timeoutMs);
    return this.#handles.every(({ stopped, failure }) => stopped && failure === '');
  }

  close(): void {
    clearInterval(this.#watch);
    this.#operations.close();
    this.#figures.close();
    native.unregisterLoop(this.#loopId);
  }

  /** How long disks may be silent, from now on. */
  setTimes(times: WatchTimes): void {
    this.#times = times;
  }

  /** Makes a disk act up (tests). */
  setFault(fault: FaultRequest): Outcome<null> {
    if (fault.disk >= this.#config.disks.length) return { ok: false, message: `no disk ${fault.disk}` };
    if (fault.kind === 'clear') native.clearFaults(fault.disk);
    else native.setFault(fault.disk, [...fault.codes], fault.kind, fault.value, fault.count);
    this.#log.warn({ fault }, 'fault injected');
    return { ok: true, value: null };
  }

  #networkOptions(
    options: NodeServerOptions,
    memory: NodeMemory,
    ports: WorkerPort[],
    admin: () => AdminHandler,
  ): NetworkParts {
    const { config } = options;
    const { slab, lone, workers } = memory;
    const sleeper = new DoorbellSleeper(this.#doorbell, native.waitDoorbell);
    return {
      slab,
      ports,
      poison: new PoisonTable(memory.poison),
      sleeper,
      lone,
      spin: new SpinPolicy(config.spinMainUs, options.cores),
      limits: options.limits,
      tags: workers.length * config.ringSlots + LOCAL_TAGS,
      operations: this.#operations,
      forwarding: {
        ...FOLLOWER_LIMITS,
        errnoText: (errno) => native.errnoText(errno),
        lost: (follower, _loss, reason) => this.#followerLost(follower, reason),
      },
      admin: {
        handle: (opcode, ...rest) =>
          opcode === OP.notifyReplicasToRepair
            ? notified(this.#repairer, ...rest)
            : admin().handle(opcode, ...rest),
      },
      crc32: (data, seed) => native.crc32(data, seed),
      copyMany: native.copyMany,
      spinForReplies: (seen, ns) => native.spinWhileEqual(this.#doorbell, SEQUENCE, seen, ns),
      monotonicMs: () => performance.now(),
      wallMs: () => Date.now(),
      drainEvents: () => {
        for (const handle of this.#handles) handle.drainEvents();
        this.drainRaft();
      },
      sockets: options.sockets,
    };
  }

  #followerLost(follower: string, reason: string): void {
    this.#followerLog.write('warn', follower, 'connection to a follower lost', { follower, reason });
  }

  // WorkerListener.

  attached(handle: WorkerHandle, payload: unknown): void {
    const partition = payload as AttachedPartition;
    const refused = this.state.attach(handle, partition);
    if (refused !== null) this.#alarms.partitionRefused(partition.path, refused);
  }

  refused(_handle: WorkerHandle, { folder, reason }: { folder: string; reason: string }): void {
    this.#log.warn({ folder, reason }, 'partition not loaded');
    this.#alarms.partitionRefused(folder, reason);
  }

  loaded(handle: WorkerHandle): void {
    // A worker that could not load its disk ends its start in the same way; `failed` has told it.
    if (handle.failure !== '') return this.#changed();
    const disk = this.#config.disks[handle.disk]!.path;
    const partitions = this.state.partitions().filter(({ diskPath }) => diskPath === disk).length;
    this.#log.info({ disk, worker: handle.member, partitions }, 'disk loaded');
    this.#changed();
  }

  failed(handle: WorkerHandle, reason: string): void {
    handle.port.refusal = 'disk has broken';
    this.#log.error({ disk: this.#config.disks[handle.disk]!.path, reason }, 'disk cannot be served');
    this.#repairer?.workerGone(handle.index, reason);
    // A disk that another node has is no bad disk, and ends the start.
    if (!reason.endsWith(DISK_HELD)) this.#alarms.outOfService(handle.port.diskPath, reason);
    this.#changed();
  }

  bodyPiece(handle: WorkerHandle, tag: number, offset: number, piece: Uint8Array): void {
    this.network.drainPort(handle.index);
    this.network.bodyPiece(tag, offset, piece);
  }

  log(
    handle: WorkerHandle,
    record: { level: string; message: string; fields: Record<string, string | number> },
    dropped: number,
  ): void {
    const { level, message, fields } = record;
    assert(level === 'debug' || level === 'info' || level === 'warn' || level === 'error', 'a known level');
    const context = {
      ...fields,
      disk: this.#config.disks[handle.disk]!.path,
      ...(dropped > 0 ? { dropped } : {}),
    };
    this.#log[level](context, message);
  }

  damaged(_handle: WorkerHandle, place: BlockPlace): void {
    this.#repairer?.damaged(place);
  }

  group(handle: WorkerHandle, kind: number, value: unknown): void {
    takeGroupEvent(this.state, this.#alarmSink, handle, kind, value);
  }

  stopped(_handle: WorkerHandle, _clean: boolean): void {
    this.#changed();
  }

  died(handle: WorkerHandle, reason: string): void {
    const disk = this.#config.disks[handle.disk]!.path;
    handle.port.refusal = 'disk has broken';
    this.#repairer?.workerGone(handle.index, handle.port.refusal);
    const connections = this.network.failPort(handle.port, handle.port.refusal);
    this.#log.error(
      { disk, reason, connections },
      'disk worker died: its disk is out of service until a restart',
    );
    this.#alarms.outOfService(disk, reason);
    this.#changed();
  }

  #watchWorkers(): void {
    // What was answered while this thread was busy, or the whole process stood still, must not count as silence.
    this.network.turn();
    this.#workerWatch.look(this.#times);
    this.#followerLog.tick();
    this.#publishFigures();
    this.#changed();
  }

  #publishFigures(): void {
    const { network, state } = this;
    this.#figures.publish({
      connections: this.connectionCount(),
      inFlight: network.inFlight,
      abandoned: this.#operations.abandoned,
      alarms: this.#alarmCount(),
      forwarding: network.forwarding,
      slab: network.slab,
      ports: this.#handles.map(({ port }) => port),
      diskStatus: (disk) => state.diskStatus(disk),
    });
  }

  /** Waits until `condition`, looked at after each event and at least four times a second. */
  async #until(condition: () => boolean, timeoutMs = Number.POSITIVE_INFINITY): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!condition() && performance.now() < deadlineMs) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(WATCH_MS, Math.max(1, deadlineMs - performance.now())));
        const before = this.#changed;
        this.#changed = () => {
          clearTimeout(timer);
          before();
          resolve();
        };
      });
      this.#changed = () => {};
    }
  }
}
