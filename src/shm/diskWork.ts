/**
 * What one worker has done on its disk since the start: durations of its reads and writes, their bytes, and the rest as counts. Written by the worker, read
 * by anybody without waiting (why that is enough: `counters.ts`).
 */
import { Counters, type CountersMemory, createCounters } from './counters.js';
import { createHistogram, type HistogramMemory, SharedHistogram } from './histogram.js';

/** Memory of one worker: a plain object that may be put into workerData. */
export interface DiskWorkMemory {
  readonly counters: CountersMemory;
  readonly reads: HistogramMemory;
  readonly writes: HistogramMemory;
}

/** Indexes of the counters. `waits`: reads that have waited for a damaged block to be healed, and got it, or an error. */
export const DISK_WORK = {
  ...{ readBytes: 0, writeBytes: 1, otherOps: 2, errors: 3 },
  ...{ waitsServed: 4, waitsGivenUp: 5 },
  /** Not a count since the start: random writes and reads of the leader that are with their groups now. */
  raftWaiting: 6,
  /** Raft messages that the worker has dropped, because main did not take them. */
  raftDropped: 7,
  /** Groups that run now; and times that one of them has got a leader. */
  raftGroups: 8,
  raftLeaders: 9,
} as const;

/** Makes a worker's figures, all zero. */
export function createDiskWork(): DiskWorkMemory {
  return {
    counters: createCounters(Object.keys(DISK_WORK)),
    reads: createHistogram(),
    writes: createHistogram(),
  };
}

/** One worker's figures. */
export class DiskWork {
  readonly counters: Counters;
  readonly reads: SharedHistogram;
  readonly writes: SharedHistogram;

  constructor(memory: DiskWorkMemory) {
    this.counters = new Counters(memory.counters);
    this.reads = new SharedHistogram(memory.reads);
    this.writes = new SharedHistogram(memory.writes);
  }
}
