/**
 * Latency histograms in shared memory, written by the thread that owns them, read by anybody; the same memory rules as `counters.ts`.
 *
 * Buckets are logarithmic with a linear inside: every power of two is cut into 32 equal buckets, so a bucket is at most 1/32 of its value wide and
 * its middle is off by 1.6 % at most. Values are taken in 1/32 µs; the lowest 64 steps (below 2 µs) are a bucket each, so that the error
 * there is 1/64 µs: within 3 % from 0.53 µs up. The bounds are fixed, so histograms of different threads and moments can be added and
 * subtracted. Finding the bucket is a count of leading zeros, a shift and an addition. Values of 2^26 µs (67 s) and more go to the last bucket.
 */
import assert from 'node:assert';
import { LINE_BYTES } from './layout.js';

const STEPS_PER_US = 32;
const SUB_BUCKETS_LOG2 = 5;
const SUB_BUCKETS = 1 << SUB_BUCKETS_LOG2;
const STEPS_MAX = 2 ** 31 - 1;
/** 64 linear buckets, then 32 for each power of two from 2^6 to 2^30 steps. */
export const HISTOGRAM_BUCKETS = 2 * SUB_BUCKETS + (31 - 6) * SUB_BUCKETS;

const BUCKETS_AT = 2;
const SUM_AT = 0;
const MAX_AT = 1;

/** A histogram's memory: a plain object that may be posted to a thread or put into workerData. */
export interface HistogramMemory {
  readonly sab: SharedArrayBuffer;
}

/** Makes an empty histogram. */
export function createHistogram(): HistogramMemory {
  return {
    sab: new SharedArrayBuffer(
      2 * LINE_BYTES + (BUCKETS_AT + HISTOGRAM_BUCKETS) * Float64Array.BYTES_PER_ELEMENT,
    ),
  };
}

/** Bucket of a value, µs. */
function bucketOf(valueUs: number): number {
  const steps = valueUs <= 0 ? 0 : Math.min(Math.floor(valueUs * STEPS_PER_US), STEPS_MAX);
  if (steps < 2 * SUB_BUCKETS) return steps;
  const shift = 31 - Math.clz32(steps) - SUB_BUCKETS_LOG2;
  return (shift << SUB_BUCKETS_LOG2) + (steps >>> shift);
}

/** Lowest value of a bucket, µs; for HISTOGRAM_BUCKETS the end of the last one. */
export function bucketStartUs(bucket: number): number {
  assert(bucket >= 0 && bucket <= HISTOGRAM_BUCKETS, 'histogram: bucket out of range');
  if (bucket < 2 * SUB_BUCKETS) return bucket / STEPS_PER_US;
  const shift = (bucket >>> SUB_BUCKETS_LOG2) - 1;
  return ((bucket - (shift << SUB_BUCKETS_LOG2)) * 2 ** shift) / STEPS_PER_US;
}

/** A copy of a histogram at one moment; plain data. */
export interface HistogramSnapshot {
  readonly count: number;
  readonly sumUs: number;
  /** Exact. */
  readonly maxUs: number;
  readonly buckets: Float64Array;
}

/** One histogram. `record` on the owner's thread only. */
export class SharedHistogram {
  private readonly values: Float64Array;

  constructor(memory: HistogramMemory) {
    this.values = new Float64Array(memory.sab, LINE_BYTES, BUCKETS_AT + HISTOGRAM_BUCKETS);
  }

  /** Counts one value, µs. Below zero (a clock that was set back) counts as zero; NaN is a broken invariant. */
  record(valueUs: number): void {
    assert(!Number.isNaN(valueUs), 'histogram: NaN');
    const value = Math.max(valueUs, 0);
    this.values[BUCKETS_AT + bucketOf(value)]! += 1;
    this.values[SUM_AT]! += value;
    if (value > this.values[MAX_AT]!) this.values[MAX_AT] = value;
  }

  /** Copies the histogram. `count` is the sum of the copied buckets; sum and maximum may be a few records ahead of it. */
  snapshot(): HistogramSnapshot {
    const buckets = this.values.slice(BUCKETS_AT);
    let count = 0;
    for (const inBucket of buckets) count += inBucket;
    return { count, sumUs: this.values[SUM_AT]!, maxUs: this.values[MAX_AT]!, buckets };
  }
}

/** The value below which the share `q` (0..1) of the records lies, µs: the middle of the bucket of the ceil(q × count)-th; 0 without records. */
export function quantileUs(snapshot: HistogramSnapshot, q: number): number {
  assert(q >= 0 && q <= 1, `histogram: quantile ${q}`);
  const rank = Math.max(1, Math.ceil(q * snapshot.count));
  let seen = 0;
  for (const [bucket, inBucket] of snapshot.buckets.entries()) {
    seen += inBucket;
    if (inBucket > 0 && seen >= rank) {
      return Math.min((bucketStartUs(bucket) + bucketStartUs(bucket + 1)) / 2, snapshot.maxUs);
    }
  }
  return snapshot.maxUs;
}

/**
 * Records below each of `boundsUs` (rising, each a power of two, so that it is the edge of a bucket and the counts are exact), for the cumulative buckets of a
 * metrics page: one pass over the histogram.
 */
export function countsBelow(snapshot: HistogramSnapshot, boundsUs: readonly number[]): number[] {
  const counts: number[] = [];
  let seen = 0;
  let bucket = 0;
  for (const boundUs of boundsUs) {
    for (; bucket < HISTOGRAM_BUCKETS && bucketStartUs(bucket + 1) <= boundUs; bucket++) {
      seen += snapshot.buckets[bucket]!;
    }
    counts.push(seen);
  }
  return counts;
}

/** What was recorded between two snapshots of one histogram. The maximum is the later one's. */
export function subtractSnapshot(later: HistogramSnapshot, earlier: HistogramSnapshot): HistogramSnapshot {
  return {
    count: later.count - earlier.count,
    sumUs: later.sumUs - earlier.sumUs,
    maxUs: later.maxUs,
    buckets: later.buckets.map((inBucket, bucket) => inBucket - earlier.buckets[bucket]!),
  };
}

/** Adds histograms of several owners. */
export function addSnapshots(snapshots: readonly HistogramSnapshot[]): HistogramSnapshot {
  const buckets = new Float64Array(HISTOGRAM_BUCKETS);
  let count = 0;
  let sumUs = 0;
  let maxUs = 0;
  for (const one of snapshots) {
    count += one.count;
    sumUs += one.sumUs;
    maxUs = Math.max(maxUs, one.maxUs);
    for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) buckets[bucket]! += one.buckets[bucket]!;
  }
  return { count, sumUs, maxUs, buckets };
}
