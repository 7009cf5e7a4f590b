/**
 * The result of one run as plain numbers, and how it is put together from the workers' counters. Tables, JSON, pages and comparisons are made from it.
 */
import type { FailureLog } from './failures.js';
import type { Target } from './flags.js';
import { BUCKET_COUNT, bucketFloorMs, type Histogram } from './histogram.js';
import { KINDS } from './kinds.js';
import type { Sample } from './sampler.js';
import { type KindStats, Stats, sumOf } from './stats.js';
import type { FailureCount } from './workerMessages.js';

/** Latencies in milliseconds. */
export interface Latency {
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Figures of one kind of operation, or of all together. */
export interface KindResult {
  readonly name: string;
  readonly ops: number;
  readonly bytes: number;
  readonly errors: number;
  readonly mismatches: number;
  readonly opsPerSecond: number;
  /** Decimal megabytes of user data. */
  readonly megabytesPerSecond: number;
  readonly latencyMs: Latency;
  /** The histogram: (lowest latency of the bucket in ms, operations), buckets that are not empty, ascending. */
  readonly buckets: readonly (readonly [floorMs: number, count: number])[];
}

/** What the node's processes used during the measured run. */
export interface ServerUsage {
  readonly cpuSeconds: number;
  readonly rssBeforeBytes: number;
  readonly rssAfterBytes: number;
  /** Highest of the samples taken during the run. */
  readonly rssPeakBytes: number;
}

/** One of the nodes of a run. */
export interface ReplicaResult {
  readonly address: string;
  /** Connections whose packets go to it first; at the begin of the run. */
  readonly primaryOf: number;
  /** Bytes read back from it after the run, and packets with wrong content in that; null when nothing was. */
  readonly verifiedBytes: number | null;
  readonly mismatches: number;
}

/** Everything known of one run. */
export interface RunResult {
  readonly name: string;
  readonly address: string;
  readonly startedAt: string;
  readonly elapsedSeconds: number;
  readonly total: KindResult;
  /** One row a kind that occurred. */
  readonly kinds: readonly KindResult[];
  readonly failures: readonly FailureCount[];
  /** Failed operations, of setting up and verifying too. */
  readonly errorCount: number;
  readonly mismatches: number;
  readonly mismatchTexts: readonly string[];
  /** How often a node that does not lead sent a connection elsewhere, and the packets that were given up then (no errors: a client sends them again). */
  readonly redirections: number;
  readonly redirectedPackets: number;
  /** Bytes read back after the run, from all nodes; null when nothing was. */
  readonly verifiedBytes: number | null;
  /** The node and its followers, or the nodes of a cluster. */
  readonly replicas: readonly ReplicaResult[];
  /** Open loop: operations that were due and never sent. */
  readonly unsent: number;
  readonly timeline: readonly Sample[];
  /** With `cpuMicrosPerOp`; null without `--server-pid`. */
  readonly server: (ServerUsage & { readonly cpuMicrosPerOp: number }) | null;
  readonly generator: {
    readonly threads: number;
    readonly cpuSeconds: number;
    readonly cpuMicrosPerOp: number;
  };
}

export interface ResultParts {
  readonly target: Target;
  readonly stats: readonly { readonly stats: Stats; readonly elapsedMs: number }[];
  readonly timeline: readonly Sample[];
  readonly threads: number;
  readonly log: FailureLog;
  readonly server: ServerUsage | null;
  readonly generatorCpuSeconds: number;
  readonly unsent: number;
  readonly redirections: number;
  readonly redirectedPackets: number;
  readonly verified: boolean;
  readonly replicas: readonly ReplicaResult[];
}

/** Whether everything went as it should: the exit code follows from it. */
export function isGood(result: RunResult): boolean {
  return result.errorCount === 0 && result.mismatches === 0;
}

/** Puts a result together. */
export function makeResult(parts: ResultParts): RunResult {
  const { target, log, server } = parts;
  const elapsedMs = Math.max(0, ...parts.stats.map((part) => part.elapsedMs));
  // Not measured at all: the counters hold what preparing did.
  const stats = elapsedMs > 0 ? sumOf(parts.stats.map((part) => part.stats)) : new Stats();
  const kinds = stats.kinds
    .map((kind, index) => kindResult(KINDS[index]!.name, kind, elapsedMs))
    .filter((kind) => kind.ops + kind.errors > 0);
  const all = new Stats().kinds[0]!;
  for (const kind of stats.kinds) all.merge(kind);
  const total = kindResult('total', all, elapsedMs);
  const perOp = (seconds: number) => (total.ops > 0 ? (seconds * 1e6) / total.ops : 0);
  return {
    name: target.name,
    address: `${target.address.host}:${target.address.port}`,
    startedAt: new Date(Date.now() - elapsedMs).toISOString(),
    elapsedSeconds: elapsedMs / 1000,
    total,
    kinds,
    failures: log.list(),
    errorCount: log.total,
    mismatches: log.mismatches,
    mismatchTexts: log.mismatchTexts,
    redirections: parts.redirections,
    redirectedPackets: parts.redirectedPackets,
    verifiedBytes: parts.verified
      ? parts.replicas.reduce((sum, { verifiedBytes }) => sum + (verifiedBytes ?? 0), 0)
      : null,
    replicas: parts.replicas,
    unsent: parts.unsent,
    timeline: parts.timeline,
    server: server === null ? null : { ...server, cpuMicrosPerOp: perOp(server.cpuSeconds) },
    generator: {
      threads: parts.threads,
      cpuSeconds: parts.generatorCpuSeconds,
      cpuMicrosPerOp: perOp(parts.generatorCpuSeconds),
    },
  };
}

function kindResult(name: string, kind: KindStats, elapsedMs: number): KindResult {
  const perSecond = (value: number) => (elapsedMs > 0 ? (value / elapsedMs) * 1000 : 0);
  return {
    name,
    ops: kind.ops,
    bytes: kind.bytes,
    errors: kind.errors,
    mismatches: kind.mismatches,
    opsPerSecond: perSecond(kind.ops),
    megabytesPerSecond: perSecond(kind.bytes) / 1e6,
    latencyMs: latencyOf(kind.latency),
    buckets: bucketsOf(kind.latency),
  };
}

function latencyOf(histogram: Histogram): Latency {
  return {
    mean: histogram.meanMs,
    p50: histogram.percentile(50),
    p90: histogram.percentile(90),
    p99: histogram.percentile(99),
    p999: histogram.percentile(99.9),
    max: histogram.maxMs,
  };
}

function bucketsOf(histogram: Histogram): [number, number][] {
  const buckets: [number, number][] = [];
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    const count = histogram.counts[bucket]!;
    if (count > 0) buckets.push([bucketFloorMs(bucket), count]);
  }
  return buckets;
}
