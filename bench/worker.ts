/**
 * A worker thread of the generator: owns some connections and takes them through the phases of a run on the main thread's word (`run.ts`).
 * The thread's entry point; nobody imports it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import {
  Connection,
  type ConnectionHost,
  type ConnectionSettings,
  type Place,
  type Task,
} from './connection.js';
import { type BodyCrc, loadBodyCrc } from './crc.js';
import { FailureLog } from './failures.js';
import { findPresent } from './gone.js';
import { hostsOf, nextList } from './hostLists.js';
import { isDelete, isRandomWrite, KIND } from './kinds.js';
import { Leaders } from './leaders.js';
import { MixGate, OpenLoopSchedule } from './pace.js';
import { Payload } from './payload.js';
import { measuredPlan, needsExtents, preparingPlan } from './phasePlans.js';
import { Pieces, PieceVerifyPlan } from './pieces.js';
import { placeOf } from './place.js';
import { Lanes } from './plan.js';
import { VerifyPlan } from './readPlans.js';
import { READ_CHUNK_BYTES } from './reply.js';
import { Stats } from './stats.js';
import { classShares, goesToLeader, lanesOf } from './topology.js';
import type {
  ConnectionPlan,
  FromWorker,
  Phase,
  RunSettings,
  ToWorker,
  VerifiedHost,
  WorkerSpec,
} from './workerMessages.js';

/** Large enough that a reply of 128 KiB rarely comes in pieces, small enough to stay in the second-level cache. */
const RECEIVE_BYTES = 512 * 1024;
const TIMEOUT_CHECK_MS = 100;
const TICK_MS = 1;
const VERIFY_DEPTH_MAX = 8;
/** A replica must have carried out what its leader has acknowledged: after so long, looked at so often. */
const APPLIED_MS_MAX = 10_000;
const LOOK_AGAIN_MS = 200;

interface Member {
  readonly part: ConnectionPlan;
  readonly connection: Connection;
  readonly lanes: Lanes;
  readonly pieces: Pieces;
  /** Number of its host list now, and of the replica that it reads from. */
  list: number;
  replica: number;
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
  readonly #verified: VerifiedHost[] = [];
  readonly #leaders: Leaders;
  #redirections = 0;
  #redirectedPackets = 0;

  constructor(spec: WorkerSpec, crc: BodyCrc) {
    this.#spec = spec;
    this.#settings = spec.settings;
    this.#stats = new Stats(spec.stats);
    this.#payload = new Payload(spec.settings.runNumber, spec.settings.sizeBytes);
    this.#crc = crc;
    this.#leaders = new Leaders(spec.settings.lists);
    const host = this.#makeHost(this.#stats);
    this.#members = spec.connections.map((part) => ({
      part,
      connection: new Connection(this.#connectionSettings(part.index, this.#placeOf(part.list, 0)), host),
      list: part.list,
      replica: part.replica,
      lanes: new Lanes({
        lanePartitions: part.lanePartitions,
        ids: idsOf(spec.settings.ids, part.index),
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
    if (phase === 'connect') await this.#connect(this.#members);
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
      redirections: this.#redirections,
      redirectedPackets: this.#redirectedPackets,
      verified: this.#verified,
    });
  }

  /** Ends the measured run early. */
  stop(): void {
    for (const connection of [...this.#busy]) connection.stop();
  }

  /** Returns the members whose connections are open; the others are counted as failed. */
  async #connect<Some extends Pick<Member, 'connection'>>(
    members: readonly Some[],
    failures = this.#failures,
  ): Promise<Some[]> {
    for (const { connection } of members) this.#busy.add(connection);
    const problems = await Promise.all(members.map(({ connection }) => connection.connect()));
    this.#busy.clear();
    for (const problem of problems) if (problem !== null) failures.failed('connect', problem, 1);
    return members.filter((_, index) => problems[index] === null);
  }

  #prepare(): Promise<void> {
    const { mix } = this.#settings;
    const made = this.#members.filter((member) => needsExtents(mix, member.part));
    return this.#runTasks(made, (member) => ({ ...SETUP_TASK, ...preparingPlan(this.#settings, member) }));
  }

  async #measure(): Promise<{ elapsedMs: number; unsent: number }> {
    const { warmupMs, runMs, verify, replicated, keepGoing } = this.#settings;
    const members = await this.#measuredMembers();
    this.#stats.clear();
    this.#budget.left = this.#spec.count;
    const gate = gateOf(this.#settings, this.#spec.connections);
    this.#gated = gate !== null;
    let fromMs = performance.now();
    const schedules: OpenLoopSchedule[] = [];
    const timers: NodeJS.Timeout[] = [];
    let begun = false;
    const measuring = () => {
      begun = true;
      this.#stats.clear();
      fromMs = performance.now();
      post({ type: 'measuring' });
    };
    if (warmupMs > 0) timers.push(setTimeout(measuring, warmupMs));
    else measuring();
    if (runMs !== null) timers.push(setTimeout(() => this.stop(), warmupMs + runMs));
    const ended = this.#runTasks(members, (member) => {
      const rate = member.part.ratePerSecond;
      // Connections start evenly spread over one interval, or their schedules would come in bursts.
      const spreadMs =
        rate === null ? 0 : ((1000 / rate) * member.part.index) / this.#spec.connections.length;
      const schedule = rate === null ? null : new OpenLoopSchedule(rate, fromMs + (spreadMs % 1000));
      if (schedule !== null) schedules.push(schedule);
      return {
        ...measuredPlan(this.#settings, member),
        checkContent: verify,
        failFast: replicated && !keepGoing,
        ...this.#elsewhere(member),
        schedule,
        gate: gate === null ? null : { gate, side: member.part.class === 'append' ? 0 : 1 },
      };
    });
    if (schedules.length > 0) timers.push(setInterval(() => this.#pumpAll(performance.now()), TICK_MS));
    await ended;
    this.#gated = false;
    for (const timer of timers) clearTimeout(timer);
    // Everything has ended during the warm-up: there are no figures.
    if (!begun) measuring();
    const unsent = schedules.reduce((sum, schedule) => sum + schedule.overdue(), 0);
    return { elapsedMs: performance.now() - fromMs, unsent };
  }

  /** What leaders do goes to them, reads that every replica answers are asked of all of them in turn, over connections of their own; everything else goes to the primaries. */
  async #measuredMembers(): Promise<Member[]> {
    if (!this.#settings.replicated) return this.#members;
    const host = this.#makeHost(this.#stats);
    const at = (member: Member, replica: number, place: Place): Member => {
      const connection = new Connection(this.#connectionSettings(member.part.index, place), host);
      return { ...member, replica, connection };
    };
    const isReader = ({ part, replica }: Member): boolean => part.class === 'read' && replica > 0;
    const others = this.#members.filter((member) => !this.#asksLeader(member));
    const leaderAsked = this.#members.filter((member) => this.#asksLeader(member));
    const readers = others
      .filter(isReader)
      .map((member) => at(member, member.replica, this.#placeOf(member.list, member.replica)));
    return [
      ...others.filter((member) => !isReader(member)),
      ...(await this.#connect(readers)),
      // They connect when they begin, and go on to others by themselves.
      ...leaderAsked.map((member) => {
        const replica = this.#leaders.of(partitionOf(member));
        return at(member, replica, this.#leaderPlace(member, replica));
      }),
    ];
  }

  #asksLeader({ part }: Member): boolean {
    return this.#settings.replicated && goesToLeader(this.#settings.mix, part.class);
  }

  /** A leader knows its followers itself. */
  #leaderPlace({ list }: Member, replica: number): Place {
    return placeOf(this.#settings.lists[list]!.hosts[replica]!, [], 0);
  }

  /** How a client goes on after a failure: writers in new extents of other partitions, readers at the next replica, whoever needs a leader with the next host; a delete has one primary to go to. */
  #elsewhere(member: Member): Pick<Task, 'elsewhere' | 'leader'> {
    const { keepGoing, lists, mix } = this.#settings;
    if (this.#asksLeader(member)) {
      const leader = (): Place => {
        member.replica = this.#leaders.after(partitionOf(member), member.replica);
        return this.#leaderPlace(member, member.replica);
      };
      return keepGoing ? { leader, elsewhere: leader } : { leader };
    }
    if (!keepGoing || mix.some(([kind]) => isDelete(kind))) return {};
    const { part, lanes } = member;
    return {
      elsewhere: () => {
        if (part.class === 'read') {
          member.replica = (member.replica + 1) % lists[member.list]!.hosts.length;
          return this.#placeOf(member.list, member.replica);
        }
        member.list = nextList(lists, member.list);
        lanes.move(lanesOf(lists, member.list, part.index, part.lanePartitions.length));
        return this.#placeOf(member.list, 0);
      },
    };
  }

  /** Reads everything acknowledged back from every host that has it, over connections of their own. */
  async #verify(): Promise<void> {
    this.#budget.left = Number.POSITIVE_INFINITY;
    for (const host of hostsOf(this.#settings.lists)) await this.#verifyHost(host);
  }

  /** What was written by random writes comes to the other replicas later than to the leader: looked at again until it is there, or should be. */
  async #verifyHost(host: string): Promise<void> {
    const deadlineMs = performance.now() + APPLIED_MS_MAX;
    const waits =
      hostsOf(this.#settings.lists).length > 1 && this.#settings.mix.some(([kind]) => isRandomWrite(kind));
    for (;;) {
      const found = new FailureLog();
      const stats = new Stats();
      await this.#readBack(host, stats, found);
      const failed = found.list();
      if (found.mismatches === 0 || failed.length > 0 || !waits || performance.now() > deadlineMs) {
        this.#failures.merge(failed, found.mismatches, found.mismatchTexts);
        const bytes = stats.kinds.reduce((sum, kind) => sum + kind.bytes, 0);
        this.#verified.push({ host, bytes, mismatches: found.mismatches });
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    }
  }

  async #readBack(host: string, stats: Stats, found: FailureLog): Promise<void> {
    const { lists, sizeBytes, depth, mix } = this.#settings;
    const partitions = new Set(lists.flatMap((list) => (list.hosts.includes(host) ? list.partitions : [])));
    const isHere = (partitionId: number): boolean => partitions.has(partitionId);
    const connectionHost = this.#makeHost(stats, found);
    const place = placeOf(host, [], 0);
    const verifyDepth = Math.min(depth, VERIFY_DEPTH_MAX);
    const readers = await this.#connect(
      this.#members.map((member) => {
        const settings = this.#connectionSettings(member.part.index, place);
        return { ...member, connection: new Connection({ ...settings, depth: verifyDepth }, connectionHost) };
      }),
      found,
    );
    const alone = hostsOf(lists).length === 1;
    const kind = alone && mix.some(([one]) => one === KIND.read) ? KIND.read : KIND.followerread;
    const stepBytes = sizeBytes * Math.max(1, Math.floor(READ_CHUNK_BYTES / sizeBytes));
    const task = { ...SETUP_TASK, bodyBytes: null, checkContent: true };
    await this.#runTasks(readers, ({ lanes }) => {
      const extents = lanes.extents.filter(({ partitionId }) => isHere(partitionId));
      return { ...task, plan: new VerifyPlan(extents, kind, stepBytes) };
    });
    await this.#runTasks(readers, ({ pieces }) => ({
      ...task,
      plan: new PieceVerifyPlan(pieces, kind, stepBytes, isHere),
    }));
    for (const reader of readers) reader.connection.close();
    if (readers.length === 0 || !mix.some(([one]) => one === KIND.delete)) return;
    const deleted = this.#members.map(({ pieces }) => pieces);
    const present = await findPresent(deleted, place, isHere, this.#settings.timeoutMs);
    for (const text of present) found.mismatched(this.#named ? `${host}: ${text}` : text);
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

  #makeHost(stats: Stats, failures = this.#failures): ConnectionHost {
    return {
      stats,
      payload: this.#payload,
      crc32: this.#crc.crc32,
      receiveBuffer: this.#receiveBuffer,
      timeoutMs: this.#settings.timeoutMs,
      budget: this.#budget,
      failed: (code, text, count) => failures.failed(code, text, count),
      mismatched: (text) => failures.mismatched(text),
      redirected: (packets) => {
        this.#redirections += 1;
        this.#redirectedPackets += packets;
      },
      idle: (connection) => this.#idle(connection),
      moved: () => {
        if (this.#gated) this.#pumpAll(performance.now());
      },
    };
  }

  #connectionSettings(index: number, place: Place): ConnectionSettings {
    return { index, place, depth: this.#settings.depth, named: this.#named };
  }

  /** Texts name the node where there are several. */
  get #named(): boolean {
    return hostsOf(this.#settings.lists).length > 1;
  }

  /** The host number `replica` of a list; as the primary (0) with its followers. */
  #placeOf(list: number, replica: number): Place {
    const { lists, ids } = this.#settings;
    const [primary, ...followers] = lists[list]!.hosts;
    if (replica > 0) return placeOf(followers[replica - 1]!, [], 0);
    return placeOf(primary!, followers, followers.length || (ids.by === 'server' ? 1 : 0));
  }
}

/** In a closed loop with both classes: what keeps them in proportion. */
function gateOf({ mix, depth }: RunSettings, connections: readonly ConnectionPlan[]): MixGate | null {
  const shares = classShares(mix);
  if (shares.append === 0 || shares.read === 0 || connections[0]?.ratePerSecond !== null) return null;
  return new MixGate([shares.append, shares.read], depth * connections.length);
}

/** Numbers of its own for each connection: shifted by its index. */
function idsOf(ids: RunSettings['ids'], index: number): RunSettings['ids'] {
  if (ids.by === 'server') return ids;
  return { ...ids, first: new Map([...ids.first].map(([partitionId, id]) => [partitionId, id + index])) };
}

/** The partition of a member that asks a leader: it has one. */
function partitionOf({ part }: Member): number {
  return part.lanePartitions[0]!;
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
