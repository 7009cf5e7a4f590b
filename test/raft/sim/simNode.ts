/**
 * One node of a simulated cluster: a disk that outlives its processes, and the process that runs now. Everything between the messages and the bytes on the disk is the
 * production code: core, host, journal, folders, recovery, partition, applying.
 *
 * The node does nothing by itself: the cluster lets its disk work, its ticks come, its messages arrive, and takes away its power.
 */
import assert from 'node:assert';
import { native } from '../../../src/native/addon.js';
import { closePartition } from '../../../src/partition/diskLoad.js';
import type { Partition } from '../../../src/partition/partition.js';
import { RaftApply } from '../../../src/partition/raftApply.js';
import type { RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { RaftEntry } from '../../../src/protocol/raftStructs.js';
import { RaftHost } from '../../../src/raft/host.js';
import { Journal } from '../../../src/raft/journal.js';
import { returnVote } from '../../../src/raft/noVote.js';
import type { RaftGroup } from '../../../src/raft/raftGroup.js';
import { recoverDisk } from '../../../src/raft/recovery.js';
import type { SnapshotVerdict, StateMachine } from '../../../src/raft/types.js';
import type { Clock } from '../../../src/storage/io.js';
import { rigRegions, StoreRig } from '../../partition/storeRig.js';
import type { Random } from '../../sim/random.js';
import { SimDisk, type SimDiskOptions } from '../../sim/simDisk.js';
import type { SimFolder } from '../../sim/simFolder.js';

export const GROUP = 7;
export const DISK_ROOT = '/d';
export const JOURNAL_FOLDER = `${DISK_ROOT}/.extentd.raft/0`;
const JOURNAL_BUFFER_BYTES = 256 * 1024;
const SCRATCH_BYTES = 64 * 1024;
/** Small, so that segments are reused and log files rotate within a run. */
const SEGMENT_BYTES = 64 * 1024;
const SEGMENTS_MAX = 6;
const LOG_FILE_BYTES = 16 * 1024;
const TURNS_MAX = 1000;

/** Memory of one node's processes; runs of one process of the test share it. */
export function nodeRegions(): Uint8Array[] {
  return [...rigRegions(), new Uint8Array(new SharedArrayBuffer(JOURNAL_BUFFER_BYTES + SCRATCH_BYTES))];
}

/** What a node tells its cluster. */
export interface NodeEvents {
  /** The state machine goes on behind this index; gets an entry; takes a snapshot. */
  resumed(index: number): void;
  handedOver(entry: RaftEntry): void;
  restored(index: number, term: number): void;
  /** A process runs, and has not had its first turn. */
  started(node: SimNode): void;
  send(message: RaftMessage): void;
  snapshotVerdict(verdict: SnapshotVerdict): void;
  /** The group has ended in this process, for good. */
  groupFailed(reason: string): void;
  /** This node was removed from the group. */
  removed(): void;
  log(message: string): void;
}

export type MakeDisk = (options: SimDiskOptions, root: SimFolder) => SimDisk;

/** What runs between a start and the end of the process. */
interface Process {
  rig: StoreRig;
  partition: Partition;
  apply: RaftApply;
  journal: Journal;
  host: RaftHost;
  /** What the host's stop has ended with. */
  stopProblems: string[] | null;
}

export class SimNode {
  readonly id: number;
  disk: SimDisk;
  readonly clock: Clock;
  private readonly regions: Uint8Array[];
  private readonly random: Random;
  private readonly events: NodeEvents;
  private process: Process | null = null;

  /**
   * @param root what the disk holds at first: a loaded partition `GROUP` below `DISK_ROOT`. The node owns it.
   * @param makeDisk for disks with a planted bug.
   */
  constructor(
    id: number,
    root: SimFolder,
    regions: Uint8Array[],
    clock: Clock,
    random: Random,
    events: NodeEvents,
    makeDisk: MakeDisk = (options, folder) => new SimDisk(options, folder),
  ) {
    this.id = id;
    this.regions = regions;
    this.clock = clock;
    this.random = random;
    this.events = events;
    const seed = random.below(2 ** 31);
    this.disk = makeDisk({ regions, seed, batchCapacity: 64, nowMs: () => clock.nowMs() }, root);
    this.disk.tracing = false;
  }

  get isUp(): boolean {
    return this.process !== null;
  }

  /** The group as the process has it; undefined while the node is down. */
  get group(): RaftGroup | undefined {
    return this.process?.host.group(GROUP);
  }

  get host(): RaftHost {
    assert(this.process !== null, 'the node is up');
    return this.process.host;
  }

  get apply(): RaftApply {
    assert(this.process !== null, 'the node is up');
    return this.process.apply;
  }

  /** The store's worker, for what is asked of a node beside raft. */
  get rig(): StoreRig {
    assert(this.process !== null, 'the node is up');
    return this.process.rig;
  }

  get partition(): Partition {
    assert(this.process !== null, 'the node is up');
    return this.process.partition;
  }

  /** Starts a process on what the disk holds. A text says why the group is out of service; then there is no process. */
  start(): string | null {
    assert(this.process === null, 'one process at a time');
    const { disk, events } = this;
    const recovery = { log: (_level: string, message: string) => events.log(message) };
    const { failures, noVote } = recoverDisk(disk, DISK_ROOT, { ...recovery, fileBytesMax: LOG_FILE_BYTES });
    if (failures.length > 0) return failures.join('; ');
    const rig = new StoreRig(disk, this.clock, this.regions, {
      checksumBytesPerSecond: 0,
      scrubBytesPerSecond: 0,
    });
    const partition = rig.load(DISK_ROOT).find(({ id }) => id === GROUP);
    assert(partition !== undefined, 'the partition is loaded');
    const journal = Journal.open({
      ...{ disk, folder: JOURNAL_FOLDER, regions: this.regions, region: 2, bufferOffset: 0 },
      ...{ bufferBytes: JOURNAL_BUFFER_BYTES, segmentBytes: SEGMENT_BYTES, segmentsMax: SEGMENTS_MAX },
      crc32c: native.crc32c,
      log: (_level, message) => events.log(message),
    });
    if (typeof journal === 'string') return journal;
    const apply = RaftApply.open(rig.stores, partition, this.id, {
      changed: () => undefined,
      removedHere: () => events.removed(),
      halted: () => undefined,
    });
    if (!apply.ok) return apply.message;
    const scratch = { bufferOffset: JOURNAL_BUFFER_BYTES, bufferBytes: SCRATCH_BYTES };
    const host = new RaftHost({
      scratch: { regions: this.regions, region: 2, ...scratch },
      ...{ disk, journal, folder: { fileBytesMax: LOG_FILE_BYTES }, nodeId: this.id },
      random: (below) => this.random.below(below),
      send: (message) => events.send(message),
      snapshotVerdict: (verdict) => events.snapshotVerdict(verdict),
      groupFailed: (_group, reason) => events.groupFailed(reason),
      caughtUp: (group) => returnVote(disk, DISK_ROOT, group, () => undefined),
      log: (_level, message) => events.log(message),
    });
    const problem = host.start({
      ...{ group: GROUP, path: `${partition.path}/wal_${GROUP}`, machine: this.told(apply.value) },
      lost: noVote.some(({ group }) => group === GROUP),
      peers: partition.peers.map(({ id }) => ({ type: 0, priority: 0, nodeId: id })),
    });
    if (problem !== null) return problem;
    this.process = { rig, partition, apply: apply.value, journal, host, stopProblems: null };
    events.started(this);
    this.turn();
    return null;
  }

  /** 300 ms of this node's clock have passed. */
  tick(): void {
    if (this.process === null) return;
    const { host, rig } = this.process;
    host.tick();
    rig.stores.tick();
    rig.health.space.beginLook();
    rig.health.space.endLook(this.disk.freeBytes);
    this.turn();
  }

  /** What the message leads to comes with the turn. */
  receive(message: RaftMessage): void {
    if (this.process === null) return;
    assert(this.process.host.receive(message) === null, 'nodes send what can be read');
  }

  /** Lets one piece of the disk's work end; false when there is none. */
  work(): boolean {
    if (!this.disk.step()) return false;
    this.turn();
    return true;
  }

  /** The worker's loop until nothing moves without the disk, the clock or a message. */
  turn(): void {
    const { process } = this;
    if (process === null) return;
    const { rig, host } = process;
    const { applies } = rig.stores;
    for (let turns = 0; turns < TURNS_MAX; turns += 1) {
      // The store has nothing to do that neither work of the disk nor raft tells it.
      const moved = (applies.woken || rig.hasArrivals || this.disk.pending() > 0) && rig.turn();
      host.turn();
      if (!moved && !applies.woken) return;
    }
    assert.fail('the node does not come to rest');
  }

  /** kill -9: what was written stays, work that is under way may or may not happen. */
  kill(): void {
    this.process = null;
    this.disk = this.disk.processEnd(this.random.below(2 ** 31));
    this.disk.tracing = false;
  }

  /** What was not synced may be lost, torn or there. */
  losePower(): void {
    this.process = null;
    this.disk = this.disk.powerLoss(this.random.below(2 ** 31));
    this.disk.tracing = false;
  }

  /** A step of a clean stop: null while it is under way, then its problems; the process is gone then. */
  stopStep(): string[] | null {
    const { process } = this;
    assert(process !== null, 'the node is up');
    const { rig, partition } = process;
    rig.turn();
    process.stopProblems ??= process.host.stopStep();
    const { stopProblems: problems } = process;
    if (problems === null || !rig.stores.stop() || rig.turn() || this.disk.pending() > 0) return null;
    const closed = closePartition(rig.stores, partition);
    if (!closed.ok) problems.push(closed.message);
    this.process = null;
    return problems;
  }

  /** The state machine, with what it is given told to the cluster. */
  private told(apply: RaftApply): StateMachine {
    const { events } = this;
    return {
      get lacksRoom(): boolean {
        return apply.lacksRoom;
      },
      get durableApplied(): number {
        return apply.durableApplied;
      },
      resumeAt(index) {
        events.resumed(index);
        apply.resumeAt(index);
      },
      apply(entry, done) {
        events.handedOver(entry);
        apply.apply(entry, done);
      },
      keepMembers: (peers) => apply.keepMembers(peers),
      restore(meta, done) {
        events.restored(meta.index, meta.term);
        apply.restore(meta, done);
      },
    };
  }
}
