/**
 * What one worker thread counts, in memory that the main thread reads while the run goes on: for each kind of operation its number, bytes,
 * errors, content mismatches and latencies. Written by the worker alone.
 */
import { HISTOGRAM_BYTES, Histogram } from './histogram.js';
import { KIND_COUNT } from './kinds.js';

const COUNTERS = 4;
const KIND_BYTES = COUNTERS * 8 + HISTOGRAM_BYTES;

/** Bytes of the shared memory of one worker's statistics. */
export const STATS_BYTES = KIND_COUNT * KIND_BYTES;

/** Counters of one kind of operation. */
export class KindStats {
  readonly latency: Histogram;
  readonly #counters: Float64Array;

  constructor(buffer: ArrayBufferLike, byteOffset: number) {
    this.#counters = new Float64Array(buffer, byteOffset, COUNTERS);
    this.latency = new Histogram(buffer, byteOffset + COUNTERS * 8);
  }

  /** Operations answered with OK. */
  get ops(): number {
    return this.#counters[0]!;
  }
  /** User bytes they moved. */
  get bytes(): number {
    return this.#counters[1]!;
  }
  /** Operations that failed, whatever the reason. */
  get errors(): number {
    return this.#counters[2]!;
  }
  /** Reads whose content was not what had been written (`ops` counts them too). */
  get mismatches(): number {
    return this.#counters[3]!;
  }

  /** One operation ended well. */
  done(latencyMs: number, bytes: number): void {
    this.#counters[0]!++;
    this.#counters[1]! += bytes;
    this.latency.record(latencyMs);
  }

  failed(): void {
    this.#counters[2]!++;
  }

  mismatched(): void {
    this.#counters[3]!++;
  }

  merge(other: KindStats): void {
    for (let index = 0; index < COUNTERS; index++) this.#counters[index]! += other.#counters[index]!;
    this.latency.merge(other.latency);
  }

  clear(): void {
    this.#counters.fill(0);
    this.latency.clear();
  }
}

/** Statistics of all kinds, indexed by `KIND`. */
export class Stats {
  readonly kinds: readonly KindStats[];

  /** Over shared memory of `STATS_BYTES`, or over memory of its own (for sums). */
  constructor(buffer: ArrayBufferLike = new ArrayBuffer(STATS_BYTES)) {
    this.kinds = Array.from({ length: KIND_COUNT }, (_, kind) => new KindStats(buffer, kind * KIND_BYTES));
  }

  merge(other: Stats): void {
    for (const [kind, stats] of this.kinds.entries()) stats.merge(other.kinds[kind]!);
  }

  clear(): void {
    for (const stats of this.kinds) stats.clear();
  }
}

/** The sum over several workers, in memory of its own. */
export function sumOf(parts: readonly Stats[]): Stats {
  const sum = new Stats();
  for (const part of parts) sum.merge(part);
  return sum;
}
