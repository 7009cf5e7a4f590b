/**
 * A disk worker: the thread that owns a disk's partitions (or its share of them), as a blocking, run-to-completion loop.
 *
 * One turn: completions of submitted I/O → commands → requests that a limit has held up, reads that their group has confirmed → new requests → I/O batch → raft → replies → events →
 * sleep until a ring, a completion, a limit that lets something go, or the next tick. Inside: no promises, no timers, no logger. A turn takes a bounded number of requests; checksums of all
 * their bodies are computed in one native call, then each is executed in order of arrival, all their I/O runs in one native call, and their replies share one wake-up.
 */
import assert from 'node:assert';
import { CONNECTION_LIMITS } from '../config/limits.js';
import { native } from '../native/addon.js';
import { DiskLimits } from '../partition/diskLimits.js';
import { DiskProbe } from '../partition/diskProbe.js';
import { FreeSpace } from '../partition/diskSpace.js';
import { EVENT, RESULT_SKIPPED } from '../partition/messages.js';
import { endsInside, type Operation } from '../partition/operation.js';
import type { Partition } from '../partition/partition.js';
import { StoreGroup } from '../partition/storeGroup.js';
import { type DiskHealth, type StoreHost, type StoreSettings, scratchBytes } from '../partition/storeHost.js';
import { ACTION, ERROR_TEXT, errorBody } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { RESULT, resultCodeFor } from '../protocol/resultCodes.js';
import { DiskWork } from '../shm/diskWork.js';
import { WAIT } from '../shm/doorbell.js';
import { PoisonTable } from '../shm/poison.js';
import { DiskTable, PartitionTable } from '../shm/tables.js';
import { isDiskError } from '../storage/diskErrors.js';
import type { Clock } from '../storage/io.js';
import { NativeDisk } from '../storage/nativeDisk.js';
import { BatchRuns } from './batchRuns.js';
import { CommandReader } from './commands.js';
import { EventQueue } from './eventQueue.js';
import { HealRequests } from './healRequests.js';
import { LimitGate } from './limitGate.js';
import { OperationPool } from './operationPool.js';
import { PartitionSet } from './partitionSet.js';
import { isTooOld } from './patience.js';
import { Port, writeAssigned, writeReply } from './port.js';
import { RAFT_REGION_BYTES, RaftWorker } from './raftWorker.js';
import { REQUESTS_PER_TURN, RequestIntake } from './requestIntake.js';
import { SpinPolicy } from './spin.js';
import { WorkCount } from './workCount.js';
import { type DiskWorkerData, storeSettings } from './workerData.js';

/** Batch entries an operation may add before the worker has to run the batch. */
const ENTRIES_PER_OPERATION = 8;
const TICK_MS = 1000;

export class DiskWorker implements StoreHost {
  readonly disk: NativeDisk;
  readonly clock: Clock = { nowMs: () => Date.now(), monotonicNs: () => native.monotonicNs() };
  readonly settings: StoreSettings;
  readonly health: DiskHealth = { status: 2, space: new FreeSpace() };
  readonly regions: readonly Uint8Array[];
  readonly scratchRegion: number;
  readonly entryOperations: (Operation | null)[];
  readonly stores: StoreGroup;
  readonly events: EventQueue;
  readonly limits: DiskLimits;
  readonly healer: HealRequests;

  readonly #data: DiskWorkerData;
  readonly #ports: Port[];
  /** Connections that main has given up. */
  readonly #poison: PoisonTable;
  /** By connection: the generation that failed here. Requests reach a worker in order, so those that come later stand behind the failure. */
  readonly #failed: Int32Array;
  readonly #pool: OperationPool;
  readonly #commands: CommandReader;
  readonly #partitions: PartitionSet;
  readonly #gate: LimitGate;
  readonly #workerTable: DiskTable;
  readonly #count: WorkCount;
  readonly #probe: DiskProbe;
  readonly #batches: BatchRuns;
  readonly #raft: RaftWorker;
  readonly #spin: SpinPolicy;
  readonly #intake: RequestIntake;
  /** `RESULT_ASSIGNED` stands in a ring and was not shown yet. */
  #hasAssigned = false;
  #readErrors = 0;
  #writeErrors = 0;
  /** By the monotonic clock: a wall clock set back must not stop heartbeats. */
  #nextTickMs = 0;
  #stopping = false;

  constructor(data: DiskWorkerData) {
    this.#data = data;
    const { settings } = data;
    const operations = data.ports.reduce((sum, { requestsMax }) => sum + requestsMax, 0);
    const batchCapacity = operations * 2 + REQUESTS_PER_TURN;
    const scratch = new Uint8Array(new SharedArrayBuffer(scratchBytes(batchCapacity)));
    const raft = new Uint8Array(new SharedArrayBuffer(RAFT_REGION_BYTES));
    this.regions = [...data.ports.map((port) => new Uint8Array(port.slab)), scratch, raft];
    this.scratchRegion = data.ports.length;
    this.disk = new NativeDisk({
      device: data.disk,
      regions: [...this.regions],
      doorbell: data.doorbell,
      threads: settings.ioThreads,
      batchCapacity,
    });
    this.settings = storeSettings(data);
    this.entryOperations = new Array<Operation | null>(batchCapacity).fill(null);
    this.events = new EventQueue(data.events);
    this.limits = new DiskLimits(settings.limits, data.members, this.#monotonicMs());
    this.#gate = new LimitGate(this.limits, data.limits, data.index, {
      nowMs: () => this.#monotonicMs(),
      isOver: (op) => this.#isSkipped(op) || isTooOld(op, Date.now(), settings),
      execute: (op) => this.#start(op, Date.now()),
      heldReads: () => this.stores.waits.parked + this.#raft.groups.waitingForOthers,
    });
    this.healer = new HealRequests(data.healing, this.events, (id) => this.#partitions.get(id));
    this.stores = new StoreGroup(this);
    this.#ports = data.ports.map((port) => new Port(port));
    this.#poison = new PoisonTable(data.poison);
    this.#failed = new Int32Array(data.poison.connections);
    this.#pool = new OperationPool(operations);
    this.#workerTable = new DiskTable(data.workers);
    this.#count = new WorkCount(new PartitionTable(data.partitions), new DiskWork(data.work));
    this.#probe = new DiskProbe(this, data.root, settings.probeIntervalMs);
    this.#batches = new BatchRuns(
      {
        ...{ disk: this.disk, stores: this.stores, entryOperations: this.entryOperations },
        cameBack: () => {
          this.#count.nowMs = performance.now();
        },
        modeChanged: (threaded, ns) => {
          const where = threaded ? 'on its I/O thread' : 'inline';
          this.log('warn', `writes of this disk now run ${where}`, { batchUs: Math.round(ns / 1000) });
        },
      },
      settings.writes,
    );
    this.#spin = new SpinPolicy(settings.spinUs, settings.cores);
    this.#raft = new RaftWorker(data, this.stores, this.events, data.ports.length + 1, (id) =>
      this.#partitions.get(id),
    );
    this.#partitions = new PartitionSet(data, this.stores, this.events, this.#raft);
    this.#intake = new RequestIntake(this.#ports, this.regions, this.#pool, (partitionId, ...settle) =>
      this.#partitions.get(partitionId)?.settleTinyAppend(...settle),
    );
    this.#commands = new CommandReader(data.commands, this.#partitions, this.events, {
      setLimits: (limits) => this.limits.change(limits, this.#monotonicMs()),
      setPaces: (paces) => this.stores.checksums.setPaces(paces),
      serve: () => this.#raft.groups.serve(),
      raftStatus: (id) => this.#raft.groups.status(id),
      changeMembers: (command, answer) => this.#raft.groups.members.ask(command, answer),
      tryToLead: (id) => this.#raft.groups.members.tryToLead(id),
      stop: () => {
        this.#stopping = true;
      },
    });
  }

  /** Loads the disk, serves it, and returns when a stop command was carried out. */
  run(): void {
    const failure = this.#partitions.load();
    if (failure !== null) {
      this.health.status = -1;
      this.events.json(EVENT.failed, 0, { reason: failure });
    }
    this.events.json(EVENT.loaded, 0, {});
    this.#tellMain();
    let idleFromNs = native.monotonicNs();
    let wasIdle = true;
    for (;;) {
      const seen = Atomics.load(this.#data.doorbell, 0);
      const work = this.#turn();
      if (work > 0) {
        if (wasIdle) this.#spin.observe(native.monotonicNs() - idleFromNs);
        wasIdle = false;
        continue;
      }
      if (this.#stopping && this.#isQuiet()) break;
      if (!wasIdle) idleFromNs = native.monotonicNs();
      wasIdle = true;
      const pacedMs = this.#batches.away ? TICK_MS : Math.min(this.#gate.wakeInMs(), this.stores.wakeInMs());
      const dueMs = Math.min(this.#nextTickMs, this.#raft.nextTickMs) - performance.now();
      const timeoutMs = Math.max(1, Math.min(TICK_MS, pacedMs, dueMs));
      // While the node's own thread works it wants the core on which this one would spin.
      const lone = Atomics.load(this.#data.lone, 0) === 1 && !this.#intake.internalSeen;
      const spinNs = this.#spin.spinNs(lone);
      const waitMs = this.events.waiting > 0 || this.#raft.waitsForMain ? 1 : timeoutMs;
      const woken = native.waitDoorbell(this.#data.doorbell, seen, spinNs, waitMs);
      if (spinNs > 0) this.#spin.spun(woken === WAIT.spun);
    }
    this.#end();
  }

  /** One turn of the loop; returns how much there was to do. */
  #turn(): number {
    this.#count.nowMs = performance.now();
    const completed = this.disk.drainCompletions();
    let work = completed;
    if (!this.#batches.away) {
      this.stores.advance();
      this.#batches.run();
    }
    // Commands open, close and remove files: only with an empty batch.
    if (!this.#batches.away) work += this.#commands.read() + this.#partitions.settleRemovals();
    if (!this.#batches.away) {
      work += this.#gate.release(REQUESTS_PER_TURN) + this.#executeConfirmed();
      work += this.#takeRequests();
      this.#gate.publish();
      // Followers are told while this disk writes.
      if (this.#hasAssigned) this.#tellMain();
      this.#batches.run();
    }
    const nowMs = performance.now();
    if (nowMs >= this.#nextTickMs) this.#tick(nowMs);
    work += this.#turnRaft(nowMs, completed > 0);
    this.#gate.publish();
    this.#tellMain();
    return work;
  }

  /** Messages, ticks and what groups have to do; what they have committed begins at once. */
  #turnRaft(nowMs: number, moved: boolean): number {
    const work = this.#raft.turn(nowMs, moved);
    if (!this.stores.applies.woken || this.#batches.away) return work;
    this.stores.advance();
    this.#batches.run();
    return work + 1;
  }

  // Requests.

  /** Reads whose groups have said that this node leads. */
  #executeConfirmed(): number {
    const { groups } = this.#raft;
    const reads = groups.confirmedReads;
    if (reads.length === 0) return 0;
    groups.confirmedReads = [];
    for (const op of reads) {
      this.#makeRoom();
      const partition = this.#partitions.get(op.partitionId);
      if (this.#isSkipped(op)) this.#reply(op, RESULT_SKIPPED, 0);
      else if (partition === undefined) this.fail(op, ACTION.prepare, ERROR_TEXT.partitionNotExists);
      else partition.readConfirmed(op);
    }
    return reads.length;
  }

  #takeRequests(): number {
    const intake = this.#intake;
    const taken = intake.take();
    if (taken > 0) {
      const ops = intake.operations;
      const nowMs = Date.now();
      for (let i = 0; i < taken; i++) this.#count.taken(ops[i]!);
      for (let i = 0; i < taken; i++) if (!this.#gate.holds(ops[i]!)) this.#start(ops[i]!, nowMs);
    }
    // What was settled lets others go on, which the next turn looks after.
    return taken + intake.settles;
  }

  /** Executes a request; runs the batch first when that has no room for it. */
  #start(op: Operation, nowMs: number): void {
    this.#makeRoom();
    this.#execute(op, nowMs);
  }

  #makeRoom(): void {
    if (this.disk.batch.capacity - this.disk.batch.length < ENTRIES_PER_OPERATION) this.#batches.runInline();
  }

  /** Nobody may see it executed: it stands behind a failure, or its connection is gone. */
  #isSkipped(op: Operation): boolean {
    if (op.internal) return false;
    const behindFailure = this.#failed[op.connection] === op.generation;
    return behindFailure || this.#poison.isPoisoned(op.connection, op.generation);
  }

  #execute(op: Operation, nowMs: number): void {
    if (this.#isSkipped(op)) {
      this.#reply(op, RESULT_SKIPPED, 0);
      return;
    }
    const partition: Partition | undefined = this.#partitions.get(op.partitionId);
    op.tableRow = partition?.tableRow ?? -1;
    if (isTooOld(op, nowMs, this.#data.settings)) {
      this.fail(op, actionOf(op.opcode), 'request waited too long for its disk');
      return;
    }
    if (partition === undefined) this.fail(op, ACTION.prepare, ERROR_TEXT.partitionNotExists);
    else partition.execute(op);
  }

  // OperationHost.

  finish(op: Operation): void {
    if (endsInside(op, null)) return;
    if (!op.internal) this.#count.ended(op, true, op.replyBytes);
    this.#reply(op, RESULT.ok, op.replyBytes);
  }

  fail(op: Operation, action: string, message: string): void {
    if (endsInside(op, message)) return;
    if (!op.internal) {
      this.#count.ended(op, false, 0);
      this.#failed[op.connection] = op.generation;
    }
    const text = errorBody(action, message, op.bufferBytes);
    op.replyCrc = op.crc;
    // Sockets may still read the slot of a forwarded packet.
    op.replyBody = op.forwarded ? text : null;
    if (!op.forwarded) this.regions[op.port]!.set(text, op.bufferOffset);
    this.#reply(op, resultCodeFor(action, message), text.length);
  }

  assigned(op: Operation, loan: number): void {
    writeAssigned(this.#ports[op.port]!, op, loan);
    this.#hasAssigned = true;
  }

  diskError(errno: number, writing: boolean): void {
    const row = this.#data.index;
    if (writing) this.#workerTable.setWriteErrors(row, ++this.#writeErrors);
    else this.#workerTable.setReadErrors(row, ++this.#readErrors);
    const { health } = this;
    if (!isDiskError(errno) || health.status === -1) return;
    health.status = -1;
    this.#workerTable.setStatus(row, -1);
    this.log('error', `disk is unavailable: ${native.errnoText(Math.abs(errno))}`, { disk: this.#data.root });
  }

  log(
    level: 'debug' | 'info' | 'warn' | 'error',
    message: string,
    fields?: Record<string, string | number>,
  ): void {
    this.events.log(level, message, fields);
  }

  crc32(region: number, offset: number, length: number): number {
    return native.crc32(this.regions[region]!.subarray(offset, offset + length), 0);
  }

  #reply(op: Operation, resultCode: number, bodyBytes: number): void {
    const port = this.#ports[op.port]!;
    if (op.chargedLane !== 0) this.limits.ended(op);
    const body = op.replyBody;
    const large = body !== null;
    assert(!large || !op.internal, 'an answer to this node itself fits its slot');
    writeReply(port, op, resultCode, large ? body.length : bodyBytes, large, this.#gate.endsUnserved);
    if (large) {
      port.replies.publish();
      this.events.bytes(EVENT.bodyPiece, op.tag, body);
    }
    this.#pool.release(op);
  }

  /** Shows replies and events to the network threads; at most one wake-up each. */
  #tellMain(): void {
    this.events.flush();
    let first = true;
    for (const port of this.#ports) {
      const published = port.replies.publish();
      if (published > 0 || (first && (this.events.dirty || this.#raft.dirty))) port.doorbell.ring();
      first = false;
    }
    this.events.dirty = false;
    this.#raft.dirty = false;
    this.#hasAssigned = false;
  }

  // Periodic work and the end.

  #tick(nowMs: number): void {
    this.#nextTickMs = nowMs + TICK_MS;
    this.#partitions.tick(Date.now(), nowMs);
    this.stores.tick();
    this.#intake.internalSeen = false;
    this.#gate.sweep();
    if (this.#data.member === 0) this.#probe.tick();
    this.#workerTable.setProbeMs(this.#data.index, this.#probe.underWayMs);
    this.#count.waits(this.stores.waits);
    this.#count.raft(this.#raft.groups, this.#raft.tellDropped());
    this.#workerTable.setMode(this.#data.index, this.#batches.threaded ? 1 : 0);
    this.#workerTable.setHeartbeatMs(this.#data.index, this.#monotonicMs());
  }

  #monotonicMs(): number {
    return native.monotonicNs() / 1e6;
  }

  #isQuiet(): boolean {
    // What raft has committed is carried out before the stores come to rest.
    if (this.#raft.groups.hasEndings || this.#batches.away || !this.#raft.stopStep(performance.now()))
      return false;
    return this.stores.stop() && this.#pool.inUse === 0 && !this.#batches.away && this.events.waiting === 0;
  }

  #end(): void {
    const clean = this.#partitions.close() && this.#raft.stopProblems!.length === 0;
    this.disk.stop(CONNECTION_LIMITS.lingerMs);
    this.events.json(EVENT.stopped, 0, { clean });
    this.#tellMain();
  }
}
