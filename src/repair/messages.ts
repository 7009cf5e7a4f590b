/**
 * What the main thread and the repair thread say to each other, and the memory that both know. Plain data and shared memory only: it crosses a thread border. Imported by both
 * sides of `src/repair`, by `src/server`, which lays the memory out, and by the pages that show repair.
 */
import type { BlockPlace } from '../partition/messages.js';
import type { CountersMemory } from '../shm/counters.js';
import type { RingMemory } from '../shm/ring.js';
import type { SlabMemory } from '../shm/slab.js';
import type { RoundReport } from './round.js';

/** What the repair thread gets: a slab of its own, and a pair of rings to each worker. */
export interface RepairMemory {
  slab: SlabMemory;
  /** Its doorbell, and the word for the id of its event loop: it puts it there before it arms the doorbell for the first time (`workers/port.ts`). */
  doorbell: Int32Array;
  loop: Int32Array;
  /** One word: 1 while damaged blocks that reads wait for are healed (`workers/healRequests.ts`). Written by main alone, which knows when the thread is gone. */
  healing: Int32Array;
  /** One a worker, in order of index. `doorbell`: the worker's. */
  ports: {
    index: number;
    disk: number;
    requests: RingMemory;
    replies: RingMemory;
    requestsMax: number;
    doorbell: Int32Array;
  }[];
}

/** What may change while the thread runs. */
export interface RepairSettings {
  /** Rounds of this node's own partitions; tasks of others are carried out in any case. */
  readonly enabled: boolean;
  /** Rounds at one time, on one disk and in all. Tasks of other nodes have as many places again on each disk. */
  readonly roundsPerDisk: number;
  readonly rounds: number;
  /** Extents that one round or task fetches at one time. */
  readonly fetchesPerRound: number;
  /** Bytes that the whole node fetches a second; 0: no limit beside those of the disks. */
  readonly bytesPerSecond: number;
}

export interface RepairThreadData {
  readonly memory: RepairMemory;
  readonly counters: CountersMemory;
  readonly diskPaths: readonly string[];
  /** `ip:port` under which the master knows this node. */
  readonly address: string;
  readonly settings: RepairSettings;
}

/** A partition as it comes into service. */
export interface RepairPartition {
  readonly id: number;
  readonly worker: number;
  readonly disk: number;
  /** By META. */
  readonly hosts: readonly string[];
  /** 1: it joins a group that has data (`repair.md` 10). */
  readonly createType: number;
}

export type RepairCommand =
  | { readonly type: 'attached'; readonly partition: RepairPartition }
  | { readonly type: 'detached'; readonly id: number }
  /** The master has just told this list. */
  | { readonly type: 'hosts'; readonly id: number; readonly hosts: readonly string[] }
  /** The body of an OpNotifyReplicasToRepair, unparsed. An answer with this number must follow. */
  | { readonly type: 'task'; readonly number: number; readonly id: number; readonly body: Uint8Array }
  /** Reads wait for a block to be healed. `INTERNAL_OP.blockJudged` must follow. */
  | { readonly type: 'damaged'; readonly place: BlockPlace }
  | { readonly type: 'settings'; readonly settings: RepairSettings }
  /** A worker is gone, and what is at it never comes back. */
  | { readonly type: 'workerGone'; readonly index: number; readonly reason: string }
  /** A view is wanted: of one partition, or of all. */
  | { readonly type: 'view'; readonly number: number; readonly id: number | null }
  /** Nothing more may be asked of workers once `stopped` is answered. */
  | { readonly type: 'stop' };

export type RepairEvent =
  /** Of a task: null when its work is done, else the message of its error. */
  | { readonly type: 'answer'; readonly number: number; readonly failure: string | null }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn';
      /** Lines of one key are bounded together. */
      readonly key: string;
      readonly message: string;
      readonly fields: Readonly<Record<string, string | number>>;
    }
  | { readonly type: 'view'; readonly number: number; readonly view: RepairView }
  /** For an operator. */
  | { readonly type: 'alarm'; readonly text: string }
  | { readonly type: 'stopped' };

/** What a partition is to this node, as far as repair goes. `unknown`: the master has not told its hosts lately. */
export type RepairRole = 'primary' | 'member' | 'alone' | 'joining' | 'unknown';

/** A fetch that runs. */
export interface FetchView {
  readonly extentId: number;
  readonly source: string;
  readonly bytes: number;
  readonly targetBytes: number;
}

/** A round that has ended. Times: unix ms. */
export interface RoundView {
  readonly kind: 'normal' | 'tiny';
  readonly startedMs: number;
  readonly endedMs: number;
  /** Null: this node's own lists could not be had, for the reason beside it. */
  readonly report: RoundReport | null;
  readonly failure: string;
}

/** Tiny extents of a partition whose rounds run here, as of the end of the last one. */
export interface TinyFigures {
  readonly available: number;
  readonly broken: number;
}

/** The last task of another node. */
export interface TaskView {
  readonly leader: string;
  readonly endedMs: number;
  readonly fetched: number;
  readonly failed: readonly { readonly extentId: number; readonly reason: string }[];
  readonly failedCount: number;
  readonly deletesFailed: string | null;
}

/** The last exchange of applied indexes of a partition whose group is led here. */
export interface ExchangeView {
  readonly endedMs: number;
  /** What all replicas had applied durably, and what the farthest had; 0: nothing was told. */
  readonly leastId: number;
  readonly mostId: number;
  /** Why not all have answered, or were told; empty: they were. */
  readonly failure: string;
}

/** What raft has committed and is missing here, while something is. */
export interface MissingView {
  readonly ranges: number;
  /** Bytes that were compared with another replica, and those of them that were written, since something has been missing. */
  readonly comparedBytes: number;
  readonly writtenBytes: number;
  /** What went wrong last; empty: nothing did. */
  readonly failure: string;
}

export interface PartitionRepairView {
  readonly id: number;
  readonly role: RepairRole;
  readonly hosts: readonly string[];
  readonly running: 'normal' | 'tiny' | null;
  readonly lastNormal: RoundView | null;
  readonly lastTiny: RoundView | null;
  readonly tiny: TinyFigures;
  readonly lastTask: TaskView | null;
  /** Why a partition that joins is not complete yet; empty for others. */
  readonly joining: string;
  readonly fetches: readonly FetchView[];
  readonly exchange: ExchangeView | null;
  readonly missing: MissingView | null;
}

/** `/repair`. */
export interface RepairView {
  readonly settings: RepairSettings;
  readonly roundsRunning: number;
  readonly tasksRunning: number;
  readonly tasksWaiting: number;
  readonly disks: readonly { readonly path: string; readonly full: boolean }[];
  readonly partitionCount: number;
  /** Those with something to tell first, then the others by id; bounded. */
  readonly partitions: readonly PartitionRepairView[];
}

/** Counters by index; those of disks follow. */
export const REPAIR_COUNTER = {
  normalRounds: 0,
  tinyRounds: 1,
  tasks: 2,
  extents: 3,
  bytes: 4,
  failedRounds: 5,
  failedNotifications: 6,
  failedFetches: 7,
  failedDeletes: 8,
  /** Gauges, of the partitions of which this node is the first host, as of their last rounds. */
  absentMembers: 9,
  tinyAvailable: 10,
  tinyBroken: 11,
  joining: 12,
  /** Blocks that got what most replicas have, stored checksums that were the wrong part, and blocks of which nobody can say what is right. */
  healedBlocks: 13,
  correctedChecksums: 14,
  undecidedBlocks: 15,
  /** Gauge: seconds since all hosts told what they have applied, of the partition led here that has waited longest. */
  oldestExchangeSeconds: 16,
  /** What was fetched of random writes that are missing here: bytes that were compared, and written; and a gauge, ranges that are missing. */
  missingComparedBytes: 17,
  missingWrittenBytes: 18,
  missingRanges: 19,
} as const;

/** Index of a disk's gauge: seconds since the beginning of the oldest last round of its partitions. */
export function oldestRoundAt(disk: number): number {
  return Object.keys(REPAIR_COUNTER).length + disk;
}

/** Names for `createCounters`. */
export function repairCounterNames(disks: number): string[] {
  return [
    ...Object.keys(REPAIR_COUNTER),
    ...Array.from({ length: disks }, (_, disk) => `oldestRoundSeconds${disk}`),
  ];
}
