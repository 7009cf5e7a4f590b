/**
 * A worker thread of the generator: owns some connections and takes them through the phases of a run on the main thread's word (`run.ts`).
 * The thread's entry point; nobody imports it.
 */
import assert from 'node:assert';
import { parentPort, workerData } from 'node:worker_threads';
import { formatFollowers } from '../src/protocol/followers.js';
import { type Address, parseAddress } from './address.js';
import { Connection, type ConnectionHost, type ConnectionSettings, type Task } from './connection.js';
import { type BodyCrc, loadBodyCrc } from './crc.js';
import { FailureLog } from './failures.js';
import { isDelete, KIND, KINDS } from './kinds.js';
import { MixGate, OpenLoopSchedule } from './pace.js';
import { Payload } from './payload.js';
import { DeletePlan, ExtentFillPlan, PIECE, Pieces, PieceVerifyPlan, TinyWritePlan } from './pieces.js';
import { AppendPlan, KindMix, Lanes, Random, ReadPlan, VerifyPlan } from './plan.js';
import { presence } from './query.js';
import { READ_CHUNK_BYTES } from './reply.js';
import { CREATE_BODY_BYTES, DELETE_BODY_BYTES_MAX } from './slots.js';
import { Stats } from './stats.js';
import { classShares } from './topology.js';
import type {
  ConnectionPlan,
  FromWorker,
  Phase,
  RunSettings,
  ToWorker,
  WorkerSpec,
} from './workerMessages.js';

/** Large enough that a reply of 128 KiB rarely comes in pieces, small enough to stay in the second-level cache. */
const RECEIVE_BYTES = 512 * 1024;
const TIMEOUT_CHECK_MS = 100;
const TICK_MS = 1;
const VERIFY_DEPTH_MAX = 8;
/** Deleted extents of a connection that are asked for when verifying, about. */
const GONE_ASKED_MAX = 200;

interface Member {
  readonly part: ConnectionPlan;
  readonly connection: Connection;
  readonly lanes: Lanes;
  readonly pieces: Pieces;
}

class LoadWorker {
  readonly #spec: WorkerSpec;
  readonly #settings: RunSettings;
  readonly #stats: Stats;
  readonly #failures = new FailureLog();
  readonly #payload: Payload;
  readonly #crc: BodyCrc;
  readonly #receiveBuffer = Buffer.alloc(RECEIVE_BYTES);
  readonly #members: Member[];
  readonly #budget = { left: Number.POSITIVE_INFINITY };
  /** Connections with a task that has not ended. */
  readonly #busy = new Set<Connection>();
  #onAllIdle: () => void = () => {};
  #gated = false;
  #verifiedBytes = 0;

  constructor(spec: WorkerSpec, crc: BodyCrc) {
    this.#spec = spec;
    this.#settings = spec.settings;
    this.#stats = new Stats(spec.stats);
    this.#payload = new Payload(spec.settings.runNumber, spec.settings.sizeBytes);
    this.#crc = crc;
    const host = this.#makeHost(this.#stats);
    this.#members = spec.connections.map((part) => ({
      part,
      connection: new Connection(this.#connectionSettings(part.index), host),
      lanes: new Lanes({
        lanePartitions: part.lanePartitions,
        ids: this.#idsOf(part.index),
        extentBytesMax: spec.settings.extentBytes,
      }),
      pieces: new Pieces(part.index, spec.settings.verify),
    }));
    setInterval(() => {
      const nowMs = performance.now();
      for (const connection of this.#busy) connection.checkTimeout(nowMs);
    }, TIMEOUT_CHECK_MS).unref();
  }

  async run(phase: Phase): Promise<void> {
    let elapsedMs = 0;
    let unsent = 0;
    if (phase === 'connect') await this.#connect(this.#members.map((member) => member.connection));
    if (phase === 'prepare') await this.#prepare();
    if (phase === 'run') ({ elapsedMs, unsent } = await this.#measure());
    if (phase === 'verify') await this.#verify();
    post({
      type: 'phaseDone',
      phase,
      elapsedMs,
      unsent,
      failures: this.#failures.list(),
      mismatches: this.#failures.mismatches,
      mismatchTexts: this.#failures.mismatchTexts,
      verifiedBytes: this.#verifiedBytes,
    });
  }

  /** Ends the measured run early. */
  stop(): void {
    for (const connection of [...this.#busy]) connection.stop();
  }

  async #connect(connections: readonly Connection[]): Promise<void> {
    for (const connection of connections) this.#busy.add(connection);
    const problems = await Promise.all(connections.map((connection) => connection.connect()));
    this.#busy.clear();
    for (const problem of problems) if (problem !== null) this.#failures.failed('connect', problem, 1);
  }

  /** Creates the extents that will be written, fills those that will be read, and makes what will be deleted. */
  #prepare(): Promise<void> {
    const { sizeBytes, extentBytes, fillBytes, mix } = this.#settings;
    const deletes = mix.find(([kind]) => isDelete(kind));
    if (deletes !== undefined) return this.#prepareDeletes(deletes[0]);
    const packetsOf128K = Math.floor(Math.min(READ_CHUNK_BYTES, extentBytes) / sizeBytes);
    const packetBytes = sizeBytes * Math.max(1, packetsOf128K);
    const laneBytes = Math.max(packetBytes, Math.floor(fillBytes / packetBytes) * packetBytes);
    const writes = mix.some(([kind]) => kind === KIND.write || kind === KIND.syncwrite);
    const onlyWrites = new KindMix(new Map([[KIND.write, 1]]));
    return this.#runTasks(
      this.#members.filter((member) => member.part.class === 'read' || writes),
      (member) => ({
        ...SETUP_TASK,
        plan: new AppendPlan(
          member.lanes,
          onlyWrites,
          packetBytes,
          member.part.class === 'read' ? laneBytes : 0,
        ),
        bodyBytes: member.part.class === 'read' ? packetBytes : CREATE_BODY_BYTES,
      }),
    );
  }

  /** Tiny ranges, or filled extents: so many of each connection that may be deleted. */
  #prepareDeletes(kind: number): Promise<void> {
    const { sizeBytes, pieceBytes, piecesEach } = this.#settings;
    const fillBytes = Math.ceil(pieceBytes / sizeBytes) * sizeBytes;
    return this.#runTasks(this.#members, ({ part, lanes, pieces }) => ({
      ...SETUP_TASK,
      plan:
        kind === KIND.tinydelete
          ? new TinyWritePlan(part.lanePartitions, sizeBytes, pieces, true, piecesEach)
          : new ExtentFillPlan(lanes, pieces, sizeBytes, fillBytes, piecesEach),
      bodyBytes: sizeBytes,
    }));
  }

  async #measure(): Promise<{ elapsedMs: number; unsent: number }> {
    const { warmupMs, runMs, verify } = this.#settings;
    this.#stats.clear();
    this.#budget.left = this.#spec.count;
    const gate = this.#makeGate();
    this.#gated = gate !== null;
    let fromMs = performance.now();
    const schedules: OpenLoopSchedule[] = [];
    const timers: NodeJS.Timeout[] = [];
    const measuring = () => {
      this.#stats.clear();
      fromMs = performance.now();
      post({ type: 'measuring' });
    };
    if (warmupMs > 0) timers.push(setTimeout(measuring, warmupMs));
    else measuring();
    if (runMs !== null) {
      timers.push(setTimeout(() => this.stop(), warmupMs + runMs));
    }
    const ended = this.#runTasks(this.#members, (member) => {
      const rate = member.part.ratePerSecond;
      // Connections start evenly spread over one interval, or their schedules would come in bursts.
      const spreadMs =
        rate === null ? 0 : ((1000 / rate) * member.part.index) / this.#spec.connections.length;
      const schedule = rate === null ? null : new OpenLoopSchedule(rate, fromMs + (spreadMs % 1000));
      if (schedule !== null) schedules.push(schedule);
      return {
        ...this.#measuredPlan(member),
        checkContent: verify,
        failFast: false,
        schedule,
        gate: gate === null ? null : { gate, side: member.part.class === 'append' ? 0 : 1 },
      };
    });
    if (schedules.length > 0) timers.push(setInterval(() => this.#pumpAll(performance.now()), TICK_MS));
    await ended;
    this.#gated = false;
    for (const timer of timers) clearTimeout(timer);
    const unsent = schedules.reduce((sum, schedule) => sum + schedule.overdue(), 0);
    return { elapsedMs: performance.now() - fromMs, unsent };
  }

  #measuredPlan(member: Member): Pick<Task, 'plan' | 'bodyBytes'> {
    const { sizeBytes, mix, randomReads, seed, verify } = this.#settings;
    const { part, pieces } = member;
    const own = mix.filter(([kind]) => KINDS[kind]!.class === part.class);
    if (isDelete(own[0]![0])) {
      return { plan: new DeletePlan(pieces, own[0]![0]), bodyBytes: DELETE_BODY_BYTES_MAX };
    }
    const kinds = new KindMix(new Map(own));
    if (part.class === 'append') {
      const onlyCreates = own.every(([kind]) => kind === KIND.create);
      const endless = Number.POSITIVE_INFINITY;
      const tiny = new TinyWritePlan(part.lanePartitions, sizeBytes, pieces, verify, endless);
      const plan = new AppendPlan(member.lanes, kinds, sizeBytes, endless, tiny);
      return { plan, bodyBytes: onlyCreates ? CREATE_BODY_BYTES : sizeBytes };
    }
    const random = randomReads ? new Random(seed + member.part.index) : null;
    return { plan: new ReadPlan(member.lanes.extents, kinds, sizeBytes, random), bodyBytes: null };
  }

  /** In a closed loop with both classes: what keeps them in proportion. */
  #makeGate(): MixGate | null {
    const shares = classShares(this.#settings.mix);
    if (shares.append === 0 || shares.read === 0 || this.#spec.connections[0]?.ratePerSecond !== null)
      return null;
    return new MixGate([shares.append, shares.read], this.#settings.depth * this.#members.length);
  }

  /** Reads everything acknowledged back from the node and its followers, over connections of their own. */
  async #verify(): Promise<void> {
    const { host, port, followers, sizeBytes, depth, mix } = this.#settings;
    this.#budget.left = Number.POSITIVE_INFINITY;
    const onlyLeaderReads = mix.some(([kind]) => kind === KIND.read) && followers.length === 0;
    const stats = new Stats();
    const stepBytes = sizeBytes * Math.max(1, Math.floor(READ_CHUNK_BYTES / sizeBytes));
    for (const address of [{ host, port }, ...followers.map(parseAddress)]) {
      assert(address !== null, 'addresses were checked with the flags');
      const readers = this.#members.map((member) => {
        const settings = this.#connectionSettings(member.part.index);
        const verifyDepth = Math.min(depth, VERIFY_DEPTH_MAX);
        const connection = new Connection(
          { ...settings, ...address, depth: verifyDepth },
          this.#makeHost(stats),
        );
        return { ...member, connection };
      });
      await this.#connect(readers.map((reader) => reader.connection));
      await this.#runTasks(readers, (reader) => ({
        ...SETUP_TASK,
        plan: new VerifyPlan(
          reader.lanes.extents,
          onlyLeaderReads ? KIND.read : KIND.followerread,
          stepBytes,
        ),
        bodyBytes: null,
        checkContent: true,
      }));
      await this.#runTasks(readers, (reader) => ({
        ...SETUP_TASK,
        plan: new PieceVerifyPlan(reader.pieces, onlyLeaderReads ? KIND.read : KIND.followerread, stepBytes),
        bodyBytes: null,
        checkContent: true,
      }));
      for (const reader of readers) reader.connection.close();
      await this.#verifyGone(address);
    }
    this.#verifiedBytes = stats.kinds.reduce((sum, kind) => sum + kind.bytes, 0);
  }

  /** Asks for some of the normal extents that were deleted: they must not be there. A node ends a connection at each refusal, so not for all. */
  async #verifyGone(address: Address): Promise<void> {
    if (!this.#settings.mix.some(([kind]) => kind === KIND.delete)) return;
    for (const { pieces } of this.#members) {
      const deleted = pieces.list.filter((piece) => piece.state === PIECE.deleted);
      const step = Math.max(1, Math.floor(deleted.length / GONE_ASKED_MAX));
      for (let index = 0; index < deleted.length; index += step) {
        const { partitionId, extentId } = deleted[index]!;
        const problem = await presence(address, partitionId, extentId, this.#settings.timeoutMs);
        if (problem !== null)
          this.#failures.mismatched(`partition ${partitionId} extent ${extentId}: ${problem}`);
      }
    }
  }

  #runTasks(members: readonly Member[], makeTask: (member: Member) => Task): Promise<void> {
    return new Promise((resolve) => {
      if (members.length === 0) return resolve();
      this.#onAllIdle = resolve;
      for (const member of members) this.#busy.add(member.connection);
      for (const member of members) member.connection.begin(makeTask(member));
    });
  }

  #pumpAll(nowMs: number): void {
    for (const connection of this.#busy) connection.pump(nowMs);
  }

  #idle(connection: Connection): void {
    if (!this.#busy.delete(connection)) return;
    if (this.#busy.size === 0) return this.#onAllIdle();
    // A class that has given up would hold the other one back for ever.
    if (this.#gated) this.stop();
  }

  #makeHost(stats: Stats): ConnectionHost {
    return {
      stats,
      payload: this.#payload,
      crc32: this.#crc.crc32,
      receiveBuffer: this.#receiveBuffer,
      timeoutMs: this.#settings.timeoutMs,
      budget: this.#budget,
      failed: (code, text, count) => this.#failures.failed(code, text, count),
      mismatched: (text) => this.#failures.mismatched(text),
      idle: (connection) => this.#idle(connection),
      moved: () => {
        if (this.#gated) this.#pumpAll(performance.now());
      },
    };
  }

  #connectionSettings(index: number): ConnectionSettings {
    const { host, port, depth, followers, remainingFollowers } = this.#settings;
    return { host, port, depth, index, remainingFollowers, arg: formatFollowers(followers) };
  }

  /** Numbers of its own for each connection: shifted by its index. */
  #idsOf(index: number): RunSettings['ids'] {
    const { ids } = this.#settings;
    if (ids.by === 'server') return ids;
    return { ...ids, first: new Map([...ids.first].map(([partitionId, id]) => [partitionId, id + index])) };
  }
}

/** What all tasks before and after the measured run have in common. */
const SETUP_TASK = { checkContent: false, failFast: true, schedule: null, gate: null } as const;

function post(message: FromWorker): void {
  parentPort!.postMessage(message);
}

const worker = new LoadWorker(workerData as WorkerSpec, await loadBodyCrc());
parentPort!.on('message', (message: ToWorker) => {
  if ('stop' in message) worker.stop();
  else void worker.run(message.phase);
});
