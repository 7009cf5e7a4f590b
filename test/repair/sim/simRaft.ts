/**
 * Raft in a process of a simulated node: what `raftWorker.ts` does in a worker, with a function call and the simulated network in place of its rings. Recovery of the disk, journal, host and groups are the production's.
 *
 * Owned by the process (`life.ts`), which calls `turn` whenever something may have moved, and `pump`s its worker while `turn` says so.
 */
import { native } from '../../../src/native/addon.js';
import { deletePartition } from '../../../src/partition/diskLoad.js';
import { type CommandAnswer, EVENT, type MemberCommand } from '../../../src/partition/messages.js';
import type { Partition } from '../../../src/partition/partition.js';
import type { RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { RaftCore } from '../../../src/raft/core.js';
import { RaftHost } from '../../../src/raft/host.js';
import { Journal } from '../../../src/raft/journal.js';
import { readNoVotes } from '../../../src/raft/noVote.js';
import { recoverDisk } from '../../../src/raft/recovery.js';
import { createByteRing } from '../../../src/shm/byteRing.js';
import { EventQueue } from '../../../src/workers/eventQueue.js';
import { RaftGroups } from '../../../src/workers/raftGroups.js';
import type { SimDisk } from '../../sim/simDisk.js';
import type { Life } from './life.js';
import { PARTITION, ROOT } from './place.js';
import { Broken, type World } from './world.js';

export const JOURNAL_FOLDER = `${ROOT}/.extentd.raft/0`;
const JOURNAL_BUFFER_BYTES = 256 * 1024;
const SCRATCH_BYTES = 64 * 1024;
/** Small, so that segments are used again and log files rotate within a run. */
const SEGMENT_BYTES = 64 * 1024;
const SEGMENTS_MAX = 6;
const LOG_FILE_BYTES = 16 * 1024;
/** Between two ticks. When all is calm the time of raft is ten times as long, as most ticks see nothing. */
const TICK_MS = { stormy: 300, calm: 3_000 };
/** What is cut of a log after ten minutes, and then each minute, is cut that much sooner. */
const TRUNCATIONS_SOONER = 60;
/** How long an operator watches a group that does not run before the process is ended. */
const OUT_OF_SERVICE_MS = { min: 2_000, max: 15_000 };

/** What the groups tell main, without a ring to it. */
class ToldEvents extends EventQueue {
  readonly #tell: (kind: number, value: unknown) => void;

  constructor(tell: (kind: number, value: unknown) => void) {
    super(createByteRing(4096));
    this.#tell = tell;
  }

  override json(kind: number, _a: number, value: unknown): void {
    this.#tell(kind, value);
  }
}

/** The groups, with a clock by which logs are cut that a run lives to see. */
class SimGroups extends RaftGroups {
  protected override get nowMs(): number {
    return super.nowMs * TRUNCATIONS_SOONER;
  }
}

export class SimRaft {
  readonly groups: RaftGroups;
  readonly #world: World;
  readonly #life: Life;
  #host: RaftHost | null = null;
  #wasLeader = false;
  #missing = 0;
  #cutAt = 0;
  #endingMs = Number.POSITIVE_INFINITY;

  /** Before anything is loaded from the disk. */
  constructor(world: World, life: Life, disk: SimDisk, regions: readonly Uint8Array[]) {
    this.#world = world;
    this.#life = life;
    const events = new ToldEvents((kind, value) => this.#told(kind, value));
    this.groups = new SimGroups(life.worker.stores, events, (id) => life.worker.partitions.get(id));
    const problem = this.#open(disk, regions);
    if (problem !== null) {
      this.groups.open(problem);
      world.note(`${life.node.name}: ${problem}`);
    }
    this.#tickLater();
  }

  /** The partition is loaded or created; clients reach the node. */
  begin(partition: Partition): void {
    this.#cutAt = partition.lastTruncateId;
    this.groups.begin(partition);
    this.groups.serve();
  }

  get isLeader(): boolean {
    return this.#group?.isLeader === true;
  }

  /** Why the group does not run; null: it does, or is not to yet. */
  get reason(): string | null {
    return this.groups.reasonOf(PARTITION);
  }

  /** The core of the group; null where none runs. */
  get core(): RaftCore | null {
    return this.#host?.group(PARTITION)?.core ?? null;
  }

  /** The log has entries that are not applied here. */
  get isBehindItsLog(): boolean {
    const { core } = this;
    return core !== null && core.log.lastIndex > (this.#life.partition.raftApply?.appliedIndex ?? 0);
  }

  receive(message: RaftMessage): void {
    const problem = this.#host?.receive(message) ?? null;
    if (problem !== null) throw new Error(`${this.#life.node.name} does not take a message: ${problem}`);
    this.moved();
  }

  snapshotSent(to: number, ok: boolean): void {
    this.#host?.snapshotSent(PARTITION, to, ok);
    this.moved();
  }

  /** A connection to a node was made anew. */
  reconnected(to: number): void {
    this.groups.reconnected(to);
    this.moved();
  }

  changeMembers(command: MemberCommand, answer: (answer: CommandAnswer) => void): void {
    this.groups.members.ask(command, answer);
    this.moved();
  }

  tryToLead(): void {
    this.groups.members.tryToLead(PARTITION);
    this.moved();
  }

  /** What was told from outside is carried out, as far as it goes without the disk. */
  moved(): void {
    const { worker } = this.#life;
    if (this.turn() || worker.disk.pending() > 0 || worker.hasArrivals) this.#life.wake();
  }

  /** The raft part of a worker's turn; true when there is more to do at once. */
  turn(): boolean {
    const host = this.#host;
    if (host === null) return false;
    host.turn();
    this.groups.turn();
    this.#settleRemovals();
    this.#count();
    const { applies } = this.#life.worker.stores;
    return host.isAwake || applies.woken || this.hasConfirmed;
  }

  /** Reads wait to be executed. */
  get hasConfirmed(): boolean {
    return this.groups.confirmedReads.length > 0;
  }

  /** Executes reads that their group has confirmed; the batch is empty. */
  executeConfirmed(): boolean {
    const reads = this.groups.confirmedReads;
    if (reads.length === 0) return false;
    this.groups.confirmedReads = [];
    for (const op of reads) this.#life.partition.readConfirmed(op);
    return true;
  }

  get #group(): Partition['raft'] {
    return this.#life.worker.partitions.get(PARTITION)?.raft ?? null;
  }

  #open(disk: SimDisk, regions: readonly Uint8Array[]): string | null {
    const world = this.#world;
    const { node } = this.#life;
    const log = (_level: string, message: string): void => world.note(`${node.name} ${message}`);
    const report = recoverDisk(disk, ROOT, { log, fileBytesMax: LOG_FILE_BYTES });
    if (report.failures.length > 0) return report.failures.join('; ');
    const marks = readNoVotes(disk, ROOT);
    if (typeof marks === 'number') return `the marks of groups cannot be read: errno ${-marks}`;
    const place = { regions, region: 2 };
    const journal = Journal.open({
      ...{ ...place, disk, folder: JOURNAL_FOLDER, bufferOffset: 0, bufferBytes: JOURNAL_BUFFER_BYTES },
      ...{ segmentBytes: SEGMENT_BYTES, segmentsMax: SEGMENTS_MAX, crc32c: native.crc32c, log },
    });
    if (typeof journal === 'string') return journal;
    const { nodeId } = node;
    const host = new RaftHost({
      ...{ disk, journal, folder: { fileBytesMax: LOG_FILE_BYTES }, nodeId, serving: false },
      scratch: { ...place, bufferOffset: JOURNAL_BUFFER_BYTES, bufferBytes: SCRATCH_BYTES },
      random: (below) => world.random.below(below),
      send: (message) => world.raft.send(this.#life, message),
      snapshotVerdict: (verdict) => {
        if (verdict.accepted) world.hits.snapshots += 1;
        world.raft.verdict(verdict);
      },
      groupFailed: (group, reason) => this.groups.failed(group, reason),
      caughtUp: (group) => this.groups.caughtUp(group),
      log,
    });
    this.#host = host;
    this.groups.open({
      ...{ host, nodeId, root: ROOT, marks: new Map(marks.map(({ group, reason }) => [group, reason])) },
      tellAddress: () => {},
    });
    return null;
  }

  #tickLater(): void {
    const world = this.#world;
    const { node } = this.#life;
    const pauseMs = Math.max(0, node.pausedUntilMs - world.nowMs);
    world.after(pauseMs + (world.stormy ? TICK_MS.stormy : TICK_MS.calm), () => {
      if (!this.#life.alive) return;
      if (node.pausedUntilMs <= world.nowMs) this.#tick();
      this.#tickLater();
    });
  }

  #tick(): void {
    const world = this.#world;
    const { node } = this.#life;
    if (this.reason !== null) {
      if (this.#endingMs === Number.POSITIVE_INFINITY)
        this.#endingMs = world.nowMs + world.between(OUT_OF_SERVICE_MS.min, OUT_OF_SERVICE_MS.max);
      if (world.nowMs >= this.#endingMs)
        return node.killed(this.#life, `since raft does not run: ${this.reason}`);
    }
    if (this.groups.size === 0) return;
    this.#host!.tick();
    this.groups.tick();
    this.moved();
  }

  #settleRemovals(): void {
    const { groups } = this;
    const { removed } = groups;
    if (removed.length > 0) {
      groups.removed = [];
      groups.end(PARTITION, () => this.#delete());
    }
    groups.settleEndings();
  }

  /** The group has removed this replica, and that is durable. */
  #delete(): void {
    const world = this.#world;
    const { node, worker, partition } = this.#life;
    const outcome = deletePartition(worker.stores, partition);
    world.note(`${node.name}: its group has removed this replica${outcome.ok ? '' : `, ${outcome.message}`}`);
    world.hits.removedReplicas += 1;
    worker.partitions.delete(PARTITION);
    world.after(0, () => {
      if (node.life === this.#life) node.leaves();
    });
  }

  #told(kind: number, value: unknown): void {
    if (kind === EVENT.log) return;
    this.#world.note(`${this.#life.node.name} tells ${kind}: ${JSON.stringify(value)}`);
  }

  #count(): void {
    const { hits } = this.#world;
    const { isLeader } = this;
    if (isLeader && !this.#wasLeader) {
      hits.elections += 1;
      this.#world.note(`${this.#life.node.name} leads in term ${this.core?.term}`);
    }
    this.#wasLeader = isLeader;
    const { raftApply, lastTruncateId, createType, raft } = this.#life.partition;
    if (createType === 1 && raft !== null)
      throw new Broken(`${this.#life.node.name} takes part in its group, and is not complete`);
    const missing = raftApply?.missing.ranges.count ?? 0;
    if (missing > this.#missing) hits.missingRecorded += missing - this.#missing;
    else hits.missingFilled += this.#missing - missing;
    this.#missing = missing;
    if (lastTruncateId === this.#cutAt) return;
    this.#cutAt = lastTruncateId;
    hits.truncations += 1;
    this.#world.truncated(this.#life.node, lastTruncateId);
  }
}
