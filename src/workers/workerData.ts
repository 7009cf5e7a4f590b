/**
 * What main gives a disk worker at its start. Plain data and shared memory only: it crosses a thread border.
 */

import type { Durability } from '../config/config.js';
import type { Limits } from '../config/diskLimits.js';
import type { StoreSettings } from '../partition/storeHost.js';
import type { ByteRingMemory } from '../shm/byteRing.js';
import type { DiskWorkMemory } from '../shm/diskWork.js';
import type { LimitTableMemory } from '../shm/limitTable.js';
import type { PoisonMemory } from '../shm/poison.js';
import type { RingMemory } from '../shm/ring.js';
import type { TableMemory } from '../shm/tables.js';
import type { WriteMode } from './ioMode.js';

/** What one word of a disk, shared by its workers, says of its raft journals: nothing yet; they were carried into the folders; they could not be. */
export const RAFT_WORD = { none: 0, recovered: 1, failed: 2 } as const;

/** What a worker has for raft (docs/raftNode.md). */
export interface RaftMemory {
  /** This node's id, as the master gave it. */
  nodeId: number;
  /** Message rings (`raft/ports.ts`). */
  toWorker: ByteRingMemory;
  fromWorker: ByteRingMemory;
  /** One word of the disk: RAFT_WORD. */
  word: Int32Array;
  /** Length of the journal's files, whole pages. */
  segmentBytes: number;
}

/** One thread that sends requests: its pair of rings, its slab, and how to wake it. */
export interface RequestPort {
  /** Room for `requestsMax` requests and as many settles, and for two replies to each request. */
  requests: RingMemory;
  replies: RingMemory;
  /** Most requests that are at the worker at a time. */
  requestsMax: number;
  slab: SharedArrayBuffer;
  /** Doorbell of the thread, and one word with the id of its event loop for `native.notifyLoop` (`port.ts`). */
  doorbell: Int32Array;
  loop: Int32Array;
  /** A thread of this node's own work (repair): its requests are internal (`partition/internalOps.ts`), those of others never. Its answers fit their slots. */
  internal: boolean;
}

export interface DiskWorkerData {
  /** Index of the worker in the node, of its disk, and of the worker among those of its disk. */
  index: number;
  disk: number;
  member: number;
  members: number;
  root: string;
  /** The network thread first: it gets the events. */
  ports: RequestPort[];
  doorbell: Int32Array;
  /** One shared word of the node: 1 while at most one request is in flight (`LoneWatch`). */
  lone: Int32Array;
  /** Another one: 1 while the repair thread heals damaged blocks that reads wait for. */
  healing: Int32Array;
  commands: ByteRingMemory;
  events: ByteRingMemory;
  partitions: TableMemory;
  disks: TableMemory;
  /** Table of workers: heartbeat and progress, one row a worker. */
  workers: TableMemory;
  /** What waits for limits, one row a worker. */
  limits: LimitTableMemory;
  /** What the worker has done, for metrics. */
  work: DiskWorkMemory;
  poison: PoisonMemory;
  raft: RaftMemory;
  settings: {
    ioThreads: number;
    openExtentsMax: number;
    /** Of the whole disk, bytes a second; its workers share them. */
    checksumBytesPerSecond: number;
    scrubBytesPerSecond: number;
    scrubIntervalMs: number;
    strictAppend: boolean;
    durability: Durability;
    directReadBytes: number;
    spinUs: number;
    cores: number;
    writes: WriteMode;
    /** Time between two probes of the disk, ms. */
    probeIntervalMs: number;
    /** Age at which a queued request is answered with an error instead of being executed, ms; and of those that repair reads get (`patience.ts`). */
    requestAgeMsMax: number;
    repairReadAgeMsMax: number;
    /** Limits of the disk; the worker takes its share of them. */
    limits: Limits;
  };
}

/** What the stores of a worker are told. Rates are the disk's, divided among its workers. */
export function storeSettings({ settings, members }: DiskWorkerData): StoreSettings {
  return {
    strictAppend: settings.strictAppend,
    syncEverything: settings.durability === 'always',
    directReadBytes: settings.directReadBytes,
    openExtentsMax: settings.openExtentsMax,
    checksumBytesPerSecond: settings.checksumBytesPerSecond / members,
    scrubBytesPerSecond: settings.scrubBytesPerSecond / members,
    scrubIntervalMs: settings.scrubIntervalMs,
  };
}
