/**
 * A disk worker's storage side on a disk with failpoints: a `StoreRig` with the production's set of partitions, its looks at the disk's space, and its probe.
 */
import { UNLIMITED } from '../../src/config/diskLimits.js';
import type { NewPartition } from '../../src/partition/diskLoad.js';
import { DiskProbe } from '../../src/partition/diskProbe.js';
import { EVENT } from '../../src/partition/messages.js';
import { RaftApply } from '../../src/partition/raftApply.js';
import { ByteRingConsumer } from '../../src/shm/byteRing.js';
import { isDiskError } from '../../src/storage/diskErrors.js';
import type { Disk } from '../../src/storage/io.js';
import { EventQueue } from '../../src/workers/eventQueue.js';
import { type PartitionRaft, PartitionSet } from '../../src/workers/partitionSet.js';
import type { DiskWorkerData } from '../../src/workers/workerData.js';
import { StoreRig } from '../partition/storeRig.js';
import type { SimClock } from '../sim/simClock.js';
import { loneWorkerMemory } from '../support/loneWorker.js';
import { FailpointDisk } from './failpointDisk.js';

/** Few, so that files are closed to make room. */
const OPEN_EXTENTS_MAX = 3;
const PROBE_INTERVAL_MS = 120_000;
/** Longer than any life: a scrub begins when it is asked for. */
const SCRUB_INTERVAL_MS = 1e12;
/** After so long an extent is quiet. */
const QUIET_MS = 601_000;

const MEMBERS = [
  { id: 2, addr: '10.0.0.1:17310' },
  { id: 3, addr: '10.0.0.3:17310' },
];

export interface FaultRigOptions {
  root: string;
  clock: SimClock;
  regions: readonly Uint8Array[];
  /** Lets submitted work of the disk go on; false when there is none to go on with. */
  step: () => boolean;
  onSyncFailed: (fd: number) => void;
  threaded: boolean;
}

export class FaultRig extends StoreRig {
  readonly root: string;
  readonly failpoints: FailpointDisk;
  readonly simClock: SimClock;
  private readonly set: PartitionSet;
  private readonly probe: DiskProbe;
  private readonly events: ByteRingConsumer;
  private readonly queue: EventQueue;
  private readonly step: () => boolean;
  /** Folders that were refused, and what an unclean stop said. */
  readonly told: string[] = [];

  private constructor(failpoints: FailpointDisk, options: FaultRigOptions) {
    const { clock, regions } = options;
    super(failpoints, clock, regions, {
      openExtentsMax: OPEN_EXTENTS_MAX,
      scrubIntervalMs: SCRUB_INTERVAL_MS,
    });
    this.failpoints = failpoints;
    this.simClock = clock;
    this.root = options.root;
    this.step = options.step;
    this.threaded = options.threaded;
    const data = workerData(options.root);
    this.events = new ByteRingConsumer(data.events);
    this.queue = new EventQueue(data.events);
    this.set = new PartitionSet(data, this.stores, this.queue, NO_RAFT);
    this.probe = new DiskProbe(this, options.root, PROBE_INTERVAL_MS);
  }

  static on(disk: Disk, options: FaultRigOptions): FaultRig {
    return new FaultRig(new FailpointDisk(disk, options), options);
  }

  /** Everything that can end, ends. */
  run(): void {
    this.settle(this.step);
  }

  /** Locks and loads the disk: why it cannot be served, or null. */
  start(): string | null {
    const failure = this.during('load', () => this.set.load());
    this.failpoints.occasion = 'load';
    this.openApply();
    this.failpoints.occasion = 'apply';
    return failure;
  }

  /** Partition 7 has a group. */
  private openApply(): void {
    const partition = this.partitions.get(7);
    if (partition === undefined) return;
    const ignored = { changed: () => undefined, removedHere: () => undefined, halted: () => undefined };
    const opened = RaftApply.open(this.stores, partition, 2, ignored);
    if (!opened.ok) this.told.push(opened.message);
  }

  /** A second passes. */
  second(): void {
    this.simClock.advance(1000);
    this.stores.tick();
    this.run();
  }

  /** OpCreateDataPartition: what is wrong, or null. */
  createPartition(partitionId: number): string | null {
    const request: NewPartition = {
      ...{ partitionId, sizeBytes: 1 << 30, volume: 'vol', createType: 0 },
      // The second member is no host: its removal changes META and not who serves.
      ...{ members: MEMBERS, hosts: ['10.0.0.1:17310'] },
    };
    const outcome = this.during('create', () => this.set.create(request));
    return outcome.ok ? null : outcome.message;
  }

  /** OpDeleteDataPartition: what is wrong, or null. */
  deletePartition(partitionId: number): string | null {
    let problem: string | null = 'no answer';
    this.during('delete', () =>
      this.set.remove(partitionId, (outcome) => {
        problem = outcome.ok ? null : outcome.message;
      }),
    );
    return problem;
  }

  /** Two minutes later: the probe and a look at the space are due. */
  tick(): void {
    this.simClock.advance(PROBE_INTERVAL_MS + 1000);
    this.probe.tick();
    this.set.tick(this.simClock.nowMs(), this.simClock.monotonicNs() / 1e6);
  }

  /** Ten minutes pass, and the checksum job does what is due. */
  rest(): void {
    this.simClock.advance(QUIET_MS);
    this.look();
  }

  /** The checksum job compares every extent. */
  scrub(): void {
    this.set.checksums(true);
    this.look();
  }

  private look(): void {
    for (let tick = 0; tick < 3; tick += 1) {
      this.stores.tick();
      this.run();
    }
  }

  /** Syncs and closes everything: whether that went well. */
  stop(): boolean {
    while (!this.stores.stop()) this.run();
    return this.during('stop', () => this.set.close());
  }

  /** As a worker does. */
  override diskError(errno: number, writing: boolean): void {
    super.diskError(errno, writing);
    if (isDiskError(errno)) this.health.status = -1;
  }

  private during<T>(occasion: string, call: () => T): T {
    this.failpoints.occasion = occasion;
    const result = call();
    this.failpoints.occasion = 'apply';
    this.readEvents();
    return result;
  }

  /** What a worker would tell main: partitions that came up, and complaints. */
  private readEvents(): void {
    do {
      this.queue.flush();
      this.events.read((kind, _a, _b, payload) => {
        const event = JSON.parse(Buffer.from(payload).toString()) as Record<string, string>;
        if (kind === EVENT.refused) this.told.push(`${event['folder']}: ${event['reason']}`);
        if (kind === EVENT.log) this.told.push(event['message']!);
      }, Number.MAX_SAFE_INTEGER);
    } while (this.queue.waiting > 0);
    this.partitions.clear();
    for (const id of [6, 7, 8, 9]) {
      const partition = this.set.get(id);
      if (partition !== undefined) this.partitions.set(id, partition);
    }
  }
}

/** Groups are not what fails here. */
const NO_RAFT: PartitionRaft = {
  start: () => undefined,
  giveUp: () => undefined,
  groups: {
    begin: () => undefined,
    end: (_id, done) => done(),
    forget: () => undefined,
    settleEndings: () => 0,
    reasonOf: () => null,
    removed: [],
    flagsChanged: () => undefined,
  },
};

function workerData(root: string): DiskWorkerData {
  return {
    ...loneWorkerMemory(),
    ...{ root, ports: [] },
    settings: {
      ...{ ioThreads: 2, openExtentsMax: OPEN_EXTENTS_MAX, strictAppend: true },
      ...{ durability: 'asked', spinUs: 0, cores: 1, writes: 'auto' },
      ...{ probeIntervalMs: PROBE_INTERVAL_MS, requestAgeMsMax: 5_000 },
      ...{ repairReadAgeMsMax: 55_000, limits: UNLIMITED, directReadBytes: 0 },
      ...{ checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 0 },
    },
  };
}
