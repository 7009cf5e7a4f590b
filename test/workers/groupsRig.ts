/** The groups of one worker on a simulated disk, with its partitions, journal and host, and a network that takes what is sent and delivers nothing. */
import assert from 'node:assert';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import { native } from '../../src/native/addon.js';
import type { NewPartition, Outcome } from '../../src/partition/diskLoad.js';
import type { Operation } from '../../src/partition/operation.js';
import type { Partition } from '../../src/partition/partition.js';
import type { RaftMessage } from '../../src/protocol/raftMessage.js';
import { RaftHost } from '../../src/raft/host.js';
import { Journal } from '../../src/raft/journal.js';
import { readNoVotes } from '../../src/raft/noVote.js';
import { recoverDisk } from '../../src/raft/recovery.js';
import { ByteRingConsumer } from '../../src/shm/byteRing.js';
import { PartitionTable } from '../../src/shm/tables.js';
import { EventQueue } from '../../src/workers/eventQueue.js';
import { PartitionSet } from '../../src/workers/partitionSet.js';
import { RaftGroups } from '../../src/workers/raftGroups.js';
import { type Sent, StoreRig } from '../partition/storeRig.js';
import { nodeRegions } from '../raft/sim/simNode.js';
import { SimClock } from '../sim/simClock.js';
import { SimDisk } from '../sim/simDisk.js';
import { loneWorkerMemory } from '../support/loneWorker.js';

export const ROOT = '/d';
export const NODE_ID = 2;
const JOURNAL_BUFFER_BYTES = 256 * 1024;
const SCRATCH_BYTES = 64 * 1024;
const SEGMENT_BYTES = 64 * 1024;
const TURNS_MAX = 10_000;

export class GroupsRig {
  readonly disk: SimDisk;
  readonly clock: SimClock;
  readonly store: StoreRig;
  readonly set: PartitionSet;
  readonly groups: RaftGroups;
  readonly table: PartitionTable;
  readonly sent: RaftMessage[] = [];
  readonly addresses = new Map<number, string>();
  host!: RaftHost;
  private readonly regions: Uint8Array[];
  private readonly queue: EventQueue;
  private readonly events: ByteRingConsumer;

  /** A process on an empty disk, or on what another one has left. */
  constructor(left?: { disk: SimDisk; regions: Uint8Array[]; clock: SimClock }) {
    const regions = left?.regions ?? nodeRegions();
    const clock = left?.clock ?? new SimClock();
    this.clock = clock;
    this.regions = regions;
    this.disk =
      left?.disk ?? new SimDisk({ regions, seed: 1, batchCapacity: 64, nowMs: () => clock.nowMs() });
    if (left === undefined) {
      this.disk.mkdir(ROOT, 0o755);
      this.disk.fsyncFolder('/');
    }
    this.store = new StoreRig(this.disk, clock, regions, {
      checksumBytesPerSecond: 0,
      scrubBytesPerSecond: 0,
    });
    const memory = loneWorkerMemory();
    this.events = new ByteRingConsumer(memory.events);
    this.table = new PartitionTable(memory.partitions);
    this.queue = new EventQueue(memory.events);
    this.groups = new RaftGroups(this.store.stores, this.queue, (id) => this.set.get(id));
    const settings = {
      ...{ ioThreads: 1, openExtentsMax: 16, strictAppend: true, spinUs: 0, cores: 1 },
      ...{ durability: 'asked' as const, directReadBytes: 0, writes: 'always' as const },
      ...{ probeIntervalMs: 120_000, requestAgeMsMax: 5_000, repairReadAgeMsMax: 55_000, limits: UNLIMITED },
      ...{ checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 0 },
    };
    const data = { ...memory, root: ROOT, ports: [], settings };
    const raft = { start: () => this.open(), giveUp: () => undefined, groups: this.groups };
    this.set = new PartitionSet(data, this.store.stores, this.queue, raft);
    assert.equal(this.set.load(), null);
    this.adopt();
  }

  /** What the host and the store have to do, until nothing moves without the disk; with `work`, until nothing moves at all. */
  run(work = true): void {
    for (let turns = 0; turns < TURNS_MAX; turns += 1) {
      const moved = this.store.turn();
      this.host.turn();
      this.groups.turn();
      const went = this.set.settleRemovals() + this.readConfirmed();
      this.adopt();
      const stepped = work && this.disk.step();
      if (!moved && went === 0 && !stepped && !this.host.isAwake && !this.store.stores.applies.woken) return;
    }
    assert.fail('the worker does not come to rest');
  }

  create(request: Partial<NewPartition> = {}): Partition {
    const hosts = ['10.0.0.2:17310'];
    const members = [{ id: NODE_ID, addr: hosts[0]! }];
    const whole = {
      partitionId: 7,
      sizeBytes: 1 << 30,
      volume: 'vol',
      createType: 0 as const,
      members,
      hosts,
    };
    const created = this.set.create({ ...whole, ...request });
    assert(created.ok, created.ok ? '' : created.message);
    this.adopt();
    return this.partition;
  }

  get partition(): Partition {
    const partition = this.set.get(7);
    assert(partition !== undefined, 'partition 7 is there');
    return partition;
  }

  /** An answer to a deletion, null as long as there is none. */
  remove(): { outcome: Outcome<null> | null } {
    const answer: { outcome: Outcome<null> | null } = { outcome: null };
    this.set.remove(7, (outcome) => {
      answer.outcome = outcome;
    });
    return answer;
  }

  ask(fields: Partial<Operation>, body?: Uint8Array): Sent {
    const sent = this.store.send(fields, body);
    sent.op.bodyCrc = sent.op.crc;
    this.run();
    return sent;
  }

  /** Events so far, oldest first, without logs. */
  told(): { kind: number; value: unknown }[] {
    this.queue.flush();
    const told: { kind: number; value: unknown }[] = [];
    this.events.read((kind, _a, _b, payload) =>
      told.push({ kind, value: JSON.parse(Buffer.from(payload).toString()) }),
    );
    return told;
  }

  names(path = ROOT): string[] {
    const entries = this.disk.scan(path);
    return typeof entries === 'number' ? [] : entries.map(({ name }) => name).sort();
  }

  /** A new process after a loss of power: what was not synced may be gone. */
  losePower(seed: number): GroupsRig {
    return new GroupsRig({ disk: this.disk.powerLoss(seed), regions: this.regions, clock: this.clock });
  }

  /** Steps of a clean stop of the host until it ends; its problems. */
  stopHost(): string[] {
    this.groups.stop();
    for (let steps = 0; steps < TURNS_MAX; steps += 1) {
      const problems = this.host.stopStep();
      if (problems !== null) return problems;
      this.store.turn();
      this.disk.step();
    }
    assert.fail('the host does not stop');
  }

  /** kill -9 and a new process on the disk. */
  restart(): GroupsRig {
    return new GroupsRig({ disk: this.disk.processEnd(1), regions: this.regions, clock: this.clock });
  }

  private open(): void {
    const { disk } = this;
    const { regions } = this.store;
    const { failures } = recoverDisk(disk, ROOT, { log: () => undefined });
    assert.deepEqual(failures, []);
    const marks = readNoVotes(disk, ROOT);
    assert(typeof marks !== 'number', 'the marks can be read');
    const place = { regions, region: 2 };
    const journal = Journal.open({
      ...{
        ...place,
        disk,
        folder: `${ROOT}/.extentd.raft/0`,
        bufferOffset: 0,
        bufferBytes: JOURNAL_BUFFER_BYTES,
      },
      ...{ segmentBytes: SEGMENT_BYTES, segmentsMax: 4, crc32c: native.crc32c, log: () => undefined },
    });
    assert(typeof journal !== 'string', String(journal));
    this.host = new RaftHost({
      ...{ disk, journal, folder: {}, nodeId: NODE_ID, serving: false, random: () => 0 },
      scratch: { ...place, bufferOffset: JOURNAL_BUFFER_BYTES, bufferBytes: SCRATCH_BYTES },
      send: (message) => void this.sent.push(message),
      snapshotVerdict: () => undefined,
      groupFailed: (group, reason) => this.groups.failed(group, reason),
      caughtUp: (group) => this.groups.caughtUp(group),
      leaderChanged: (group, leader) => this.groups.leaderChanged(group, leader),
      log: (level, message) => this.store.log(level, message),
    });
    this.groups.open({
      ...{ host: this.host, nodeId: NODE_ID, root: ROOT },
      marks: new Map(marks.map(({ group, reason }) => [group, reason])),
      tellAddress: (id, host) => void this.addresses.set(id, host),
    });
  }

  private adopt(): void {
    this.store.partitions.clear();
    const partition = this.set.get(7);
    if (partition !== undefined) this.store.partitions.set(7, partition);
  }

  private readConfirmed(): number {
    const reads = this.groups.confirmedReads;
    this.groups.confirmedReads = [];
    for (const op of reads) this.partition.readConfirmed(op);
    return reads.length;
  }
}
