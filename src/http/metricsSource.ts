/**
 * What the metrics are made of: memory that main and the workers write and the HTTP thread reads (plain data for workerData), and the names of main's own figures.
 * Imported by `src/server`, which lays it out, and by the metrics page.
 */
import type { CountersMemory } from '../shm/counters.js';
import type { DiskWorkMemory } from '../shm/diskWork.js';
import type { HistogramMemory } from '../shm/histogram.js';
import type { LimitTableMemory } from '../shm/limitTable.js';
import type { OperationTableMemory } from '../shm/operationTable.js';
import type { RingMemory } from '../shm/ring.js';
import type { SlabClass } from '../shm/slab.js';
import type { TableMemory } from '../shm/tables.js';

/** One worker's memory. Its row in the tables of workers and of limits is its index. */
export interface WorkerSource {
  readonly disk: number;
  readonly partitions: TableMemory;
  readonly work: DiskWorkMemory;
  readonly requests: RingMemory;
  readonly replies: RingMemory;
}

/** All of it. */
export interface MetricsSource {
  readonly cluster: string;
  /** Wall clock, ms. */
  readonly startedAtMs: number;
  readonly operations: OperationTableMemory;
  readonly figures: CountersMemory;
  readonly loopLag: HistogramMemory;
  /** What the repair thread counts (`repair/messages.ts`). */
  readonly repair: CountersMemory;
  /** What the transport of raft counts (`transport/figures.ts`), shown four times a second. */
  readonly raft: CountersMemory;
  readonly slabClasses: readonly SlabClass[];
  /** As configured, in order of the disk table's rows. */
  readonly diskPaths: readonly string[];
  readonly diskTable: TableMemory;
  readonly workerTable: TableMemory;
  readonly limitTable: LimitTableMemory;
  readonly workers: readonly WorkerSource[];
}

/** What of it the node's own server lays out. */
export type NodeMetrics = Omit<MetricsSource, 'cluster' | 'startedAtMs' | 'raft'>;

/** Figures that main writes four times a second, by index; those of slab classes, disks and workers follow in this order. */
export const FIGURE = {
  connections: 0,
  inFlight: 1,
  abandoned: 2,
  alarms: 3,
  followerLinks: 4,
  replicating: 5,
  /** Links lost, by reason, and packets that followers have failed. */
  followerDial: 6,
  followerClosed: 7,
  followerTimeout: 8,
  followerMismatch: 9,
  followerError: 10,
} as const;

/** Reasons of `extentd_follower_failures_total`, with their figures. */
export const FOLLOWER_FAILURES = [
  ['dial', FIGURE.followerDial],
  ['closed', FIGURE.followerClosed],
  ['timeout', FIGURE.followerTimeout],
  ['mismatch', FIGURE.followerMismatch],
  ['error', FIGURE.followerError],
] as const;

/** Indexes of the figures that there are several of. */
export interface FigureIndexes {
  /** Slots in use, by slab class. */
  readonly slabUsed: (slabClass: number) => number;
  /** Status as in `/disks`, by disk. */
  readonly diskStatus: (disk: number) => number;
  /** By worker: it and its disk's probe are silent; its requests wait for longer than `stallMs` or are refused. */
  readonly hung: (worker: number) => number;
  readonly refusing: (worker: number) => number;
}

/** Where the figures of a node with so many classes, disks and workers are. */
export function figureIndexes(classes: number, disks: number): FigureIndexes {
  const slabAt = Object.keys(FIGURE).length;
  const diskAt = slabAt + classes;
  const workerAt = diskAt + disks;
  return {
    slabUsed: (slabClass) => slabAt + slabClass,
    diskStatus: (disk) => diskAt + disk,
    hung: (worker) => workerAt + 2 * worker,
    refusing: (worker) => workerAt + 2 * worker + 1,
  };
}

/** Names of those figures, for `createCounters`. */
export function figureNames(classes: number, disks: number, workers: number): string[] {
  return [
    ...Object.keys(FIGURE),
    ...Array.from({ length: classes }, (_, index) => `slabUsed${index}`),
    ...Array.from({ length: disks }, (_, index) => `diskStatus${index}`),
    ...Array.from({ length: workers }, (_, index) => [`hung${index}`, `refusing${index}`]).flat(),
  ];
}
