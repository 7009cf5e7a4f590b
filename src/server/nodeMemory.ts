/**
 * The node's shared memory, laid out once at start: the slabs, and rings, tables and doorbells for each worker.
 */
import type { NodeConfig } from '../config/config.js';
import { limitsOf } from '../config/diskLimits.js';
import type { NodeMetrics } from '../http/metricsSource.js';
import { OPERATION_NAMES } from '../protocol/operationNames.js';
import { RAFT_RING_BYTES } from '../raft/ports.js';
import { type RepairMemory, repairCounterNames } from '../repair/messages.js';
import { createByteRing } from '../shm/byteRing.js';
import { type CountersMemory, createCounters } from '../shm/counters.js';
import { createDiskWork } from '../shm/diskWork.js';
import { createDoorbell, createLoopWord } from '../shm/doorbell.js';
import { createLimitTable, type LimitTableMemory } from '../shm/limitTable.js';
import { createOperationTable, type OperationTableMemory } from '../shm/operationTable.js';
import { createPoisonTable, type PoisonMemory } from '../shm/poison.js';
import { createRing, type RingMemory } from '../shm/ring.js';
import { createSlab, Slab, type SlabClass } from '../shm/slab.js';
import { createDiskTable, createPartitionTable, type TableMemory } from '../shm/tables.js';
import type { DiskWorkerData, RaftMemory, RequestPort } from '../workers/workerData.js';
import type { NodeFigures } from './nodeFigures.js';

const KiB = 1024;
/** The journal writes whole pages. */
const PAGE_BYTES = 4 * KiB;
/** A worker needs some files open at once, however small the budget. */
const OPEN_EXTENTS_MIN = 16;
const CONTROL_RING_BYTES = 1024 * KiB;
const EVENT_RING_BYTES = 4 * 1024 * KiB;
/** Rows of a worker's partition table: five times what operators report (`pains.md` 15). */
const PARTITIONS_PER_WORKER_MAX = 5_000;
/** Clients wait 5 s for a write; executing it later would only surprise them. */
const REQUEST_AGE_MS_MAX = 5_000;
const MS_PER_HOUR = 3_600_000;
/** Peers wait 60 s for each packet of a repair read (`repair.md` 12); the answer needs some time to get there. */
const REPAIR_READ_AGE_MS_MAX = 55_000;

/** Requests of the repair thread that are at one worker at a time: more than fetches of one disk run at a time. */
const REPAIR_REQUESTS_MAX = 256;
/** Slots of the repair thread: small questions, and pieces of fetches or pages of lists. */
const REPAIR_SLOTS = 64;

/** What main keeps of it; the workers get theirs as `DiskWorkerData`. */
export interface NodeMemory {
  slab: Slab;
  slabClasses: readonly SlabClass[];
  poison: PoisonMemory;
  diskTable: TableMemory;
  workerTable: TableMemory;
  limitTable: LimitTableMemory;
  /** What the network thread counts. */
  operations: OperationTableMemory;
  /** Word that tells the workers whether one request at a time is all there is (`LoneWatch`). */
  lone: Int32Array;
  /** One a worker, in order of index. */
  workers: DiskWorkerData[];
  repair: RepairMemory;
  /** What the repair thread counts. */
  repairCounters: CountersMemory;
}

/** Lays out memory for one network thread, woken through `doorbell` and `loopId`, for the repair thread, and for the workers of all disks. `nodeId`: as the master gave it. */
export function layOutMemory(
  config: NodeConfig,
  cores: number,
  connectionsMax: number,
  doorbell: Int32Array,
  loopId: number,
  nodeId: number,
): NodeMemory {
  const slabMemory = createSlab({
    classes: [
      { bytes: 4 * KiB, slots: config.slabSlots4k },
      { bytes: 32 * KiB, slots: config.slabSlots32k },
      { bytes: 128 * KiB, slots: config.slabSlots128k },
      { bytes: 2048 * KiB, slots: config.slabSlots2m },
    ],
    prefault: true,
  });
  const slab = new Slab(slabMemory);
  for (const disk of config.disks.keys()) slab.setDiskQuota(disk, config.inFlightBytesPerDisk);
  const repair = createRepairMemory();
  const workerCount = config.disks.length * config.workersPerDisk;
  const poison = createPoisonTable(connectionsMax);
  const diskTable = createDiskTable(config.disks.length);
  const workerTable = createDiskTable(workerCount);
  const limitTable = createLimitTable(workerCount);
  const lone = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const words = config.disks.map(() => new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)));
  const workers = Array.from({ length: workerCount }, (_, index): DiskWorkerData => {
    const disk = Math.floor(index / config.workersPerDisk);
    const network: RequestPort = {
      ...createRings(config.ringSlots),
      ...{ slab: slabMemory.sab, doorbell, loop: createLoopWord(loopId), internal: false },
    };
    const own: RequestPort = {
      ...createRings(REPAIR_REQUESTS_MAX),
      ...{ slab: repair.slab.sab, doorbell: repair.doorbell, loop: repair.loop, internal: true },
    };
    return {
      index,
      disk,
      member: index % config.workersPerDisk,
      members: config.workersPerDisk,
      root: config.disks[disk]!.path,
      ports: [network, own],
      doorbell: createDoorbell(),
      lone,
      healing: repair.healing,
      commands: createByteRing(CONTROL_RING_BYTES),
      events: createByteRing(EVENT_RING_BYTES),
      partitions: createPartitionTable(PARTITIONS_PER_WORKER_MAX),
      disks: diskTable,
      workers: workerTable,
      limits: limitTable,
      work: createDiskWork(),
      poison,
      raft: createRaftMemory(config, nodeId, words[disk]!),
      settings: workerSettings(config, cores, workerCount),
    };
  });
  repair.ports = workers.map(({ index, disk, ports: [, own], doorbell: bell }) => {
    const { requests, replies, requestsMax } = own!;
    return { index, disk, requests, replies, requestsMax, doorbell: bell };
  });
  return {
    ...{ slab, slabClasses: slabMemory.classes, poison, diskTable, workerTable, limitTable, lone },
    operations: createOperationTable(OPERATION_NAMES.length),
    ...{ workers, repair },
    repairCounters: createCounters(repairCounterNames(config.disks.length)),
  };
}

/** The repair thread's own part, without its rings. */
function createRepairMemory(): RepairMemory {
  return {
    slab: createSlab({
      classes: [
        { bytes: 4 * KiB, slots: REPAIR_SLOTS },
        { bytes: 128 * KiB, slots: REPAIR_SLOTS },
      ],
    }),
    ...{ doorbell: createDoorbell(), loop: createLoopWord(-1), ports: [] },
    healing: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
  };
}

/** A worker's part for raft; `word` is its disk's. */
function createRaftMemory(config: NodeConfig, nodeId: number, word: Int32Array): RaftMemory {
  return {
    ...{
      nodeId,
      word,
      toWorker: createByteRing(RAFT_RING_BYTES),
      fromWorker: createByteRing(RAFT_RING_BYTES),
    },
    segmentBytes: Math.floor(config.raftJournalSegmentBytes / PAGE_BYTES) * PAGE_BYTES,
  };
}

/** Settings of each of `workerCount` workers. */
function workerSettings(config: NodeConfig, cores: number, workerCount: number): DiskWorkerData['settings'] {
  return {
    ioThreads: Math.max(1, Math.floor(config.ioThreads / config.workersPerDisk)),
    openExtentsMax: Math.max(OPEN_EXTENTS_MIN, Math.floor(config.maxOpenFiles / workerCount)),
    checksumBytesPerSecond: config.checksumBytesPerSecond,
    scrubBytesPerSecond: config.scrubBytesPerSecond,
    scrubIntervalMs: config.scrubIntervalHours * MS_PER_HOUR,
    strictAppend: config.strictAppend,
    durability: config.durability,
    directReadBytes: config.directReadBytes,
    spinUs: config.spinWorkerUs,
    cores,
    writes: config.inlineWrites,
    probeIntervalMs: config.probeIntervalMs,
    requestAgeMsMax: REQUEST_AGE_MS_MAX,
    repairReadAgeMsMax: REPAIR_READ_AGE_MS_MAX,
    limits: limitsOf(config),
  };
}

/** What of it the metrics are made of, with main's `figures`; what only the control plane knows is left out. */
export function metricsSource(config: NodeConfig, memory: NodeMemory, figures: NodeFigures): NodeMetrics {
  const { operations, slabClasses, diskTable, workerTable, limitTable, workers, repairCounters } = memory;
  return {
    ...{ operations, slabClasses, diskTable, workerTable, limitTable },
    figures: figures.memory,
    loopLag: figures.loopLag,
    repair: repairCounters,
    diskPaths: config.disks.map(({ path }) => path),
    workers: workers.map(({ disk, partitions, work, ports: [port] }) => {
      const { requests, replies } = port!;
      return { disk, partitions, work, requests, replies };
    }),
  };
}

/** Rings for so many requests: each may be followed by a settle, and be answered twice (`REQUEST_KIND`, `RESULT_ASSIGNED`). */
function createRings(requestsMax: number): {
  requests: RingMemory;
  replies: RingMemory;
  requestsMax: number;
} {
  return { requests: createRing(requestsMax * 2), replies: createRing(requestsMax * 2), requestsMax };
}
