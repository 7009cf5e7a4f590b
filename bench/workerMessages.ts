/**
 * What the main thread and the worker threads of the generator say to each other, and the description of a run. Only plain data: it travels by
 * structured clone.
 */

import type { HostList } from './hostLists.js';
import type { KindClass } from './kinds.js';
import type { IdSource } from './plan.js';

/** Everything a worker needs to know of a run. */
export interface RunSettings {
  readonly lists: readonly HostList[];
  /** Of a cluster: a failed connection goes on elsewhere (`keepGoing`) or ends, and reads of replicas go to all of them. */
  readonly replicated: boolean;
  readonly keepGoing: boolean;
  readonly ids: IdSource;
  /** Size of one operation: the payload's unit. */
  readonly sizeBytes: number;
  readonly depth: number;
  /** Kind and its share. */
  readonly mix: readonly (readonly [kind: number, share: number])[];
  readonly extentBytes: number;
  /** How much of each extent is written before reads begin. */
  readonly fillBytes: number;
  /** Deletes: how many extents or ranges of each connection are made to be deleted, and how much of such an extent is written. */
  readonly piecesEach: number;
  readonly pieceBytes: number;
  readonly randomReads: boolean;
  readonly seed: number;
  /** Tells this run's data from that of earlier runs. */
  readonly runNumber: number;
  readonly verify: boolean;
  readonly warmupMs: number;
  /** Length of the measured run; null: by count. */
  readonly runMs: number | null;
  readonly timeoutMs: number;
}

/** One connection's part. */
export interface ConnectionPlan {
  readonly index: number;
  readonly class: KindClass;
  /** Number of the host list it begins with. */
  readonly list: number;
  /** Which host of that list it reads from, where every replica is asked. */
  readonly replica: number;
  /** The partition of each of its extents. */
  readonly lanePartitions: readonly number[];
  /** Open loop: its part of the rate; null: closed loop. */
  readonly ratePerSecond: number | null;
}

/** Start data of a worker thread. */
export interface WorkerSpec {
  readonly settings: RunSettings;
  readonly connections: readonly ConnectionPlan[];
  /** This worker's part of the count; Infinity for a timed run. */
  readonly count: number;
  /** Memory of the worker's `Stats`. */
  readonly stats: SharedArrayBuffer;
}

/** Steps of a run. The main thread starts each in all workers when the one before has ended in all. */
export type Phase = 'connect' | 'prepare' | 'run' | 'verify';

export type ToWorker = { readonly phase: Phase } | { readonly stop: true };

/** Failed operations of one reason. */
export interface FailureCount {
  readonly code: string;
  count: number;
  /** One of the texts. */
  readonly example: string;
}

/** What verification has read from one host. */
export interface VerifiedHost {
  readonly host: string;
  bytes: number;
  mismatches: number;
}

export type FromWorker =
  /** Warm-up is over, counting has begun. */
  | { readonly type: 'measuring' }
  | {
      readonly type: 'phaseDone';
      readonly phase: Phase;
      /** Length of what was measured, from the first operation to the last reply. */
      readonly elapsedMs: number;
      /** Open loop: operations that were due and never sent. */
      readonly unsent: number;
      /** All failures since the start of the worker. */
      readonly failures: readonly FailureCount[];
      /** Wrong content since the start, and the first few descriptions. */
      readonly mismatches: number;
      readonly mismatchTexts: readonly string[];
      /** Since the start: how often a node that does not lead sent a connection elsewhere, and the packets that were given up then. */
      readonly redirections: number;
      readonly redirectedPackets: number;
      /** Verification: what was read back and compared, of each host that was asked. */
      readonly verified: readonly VerifiedHost[];
    };
