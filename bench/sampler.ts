/**
 * Looks at the workers' counters from the main thread while a run goes on, and keeps the history: rates and latencies of each interval.
 */
import { BUCKET_COUNT, percentileOf } from './histogram.js';
import type { Stats } from './stats.js';

const INTERVAL_MS_MIN = 200;
/** Points that the timeline of a run of known length has at most. */
const SAMPLES_WANTED = 240;
/** In runs of unknown length intervals double each time this many points have been kept. */
const SAMPLES_PER_INTERVAL = 400;

/** What happened in one interval. */
export interface Sample {
  /** End of the interval, seconds from the start of measuring. */
  readonly atSeconds: number;
  readonly opsPerSecond: number;
  readonly bytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Failed operations in the interval. */
  readonly errors: number;
}

/** See the file comment. */
export class Sampler {
  readonly timeline: Sample[] = [];
  readonly #stats: readonly Stats[];
  #intervalMs: number;
  #startMs = -1;
  #lastMs = 0;
  #ops = 0;
  #bytes = 0;
  #errors = 0;
  #counts = new Float64Array(BUCKET_COUNT);

  /** `seconds`: expected length, null when unknown. */
  constructor(stats: readonly Stats[], seconds: number | null) {
    this.#stats = stats;
    this.#intervalMs = Math.max(INTERVAL_MS_MIN, ((seconds ?? 0) * 1000) / SAMPLES_WANTED);
  }

  /** How often to call `sample`. */
  get intervalMs(): number {
    return Math.min(this.#intervalMs, 1000);
  }

  get begun(): boolean {
    return this.#startMs >= 0;
  }

  /** Operations counted at the last sample. */
  get ops(): number {
    return this.#ops;
  }

  get elapsedMs(): number {
    return this.#lastMs - this.#startMs;
  }

  /** Measuring starts now, from the counters as they stand. */
  begin(nowMs: number): void {
    this.#startMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** Takes an interval up to now into the timeline; null when too little time has passed since the last. */
  sample(nowMs: number): { opsPerSecond: number; bytesPerSecond: number; errors: number } | null {
    const spanMs = nowMs - this.#lastMs;
    if (!this.begun || spanMs < this.#intervalMs / 2) return null;
    const counts = new Float64Array(BUCKET_COUNT);
    let ops = 0;
    let bytes = 0;
    let errors = 0;
    for (const stats of this.#stats) {
      for (const kind of stats.kinds) {
        ops += kind.ops;
        bytes += kind.bytes;
        errors += kind.errors;
        for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) counts[bucket]! += kind.latency.counts[bucket]!;
      }
    }
    const inInterval = counts.map((count, bucket) => Math.max(0, count - this.#counts[bucket]!));
    const total = inInterval.reduce((sum, count) => sum + count, 0);
    const sample: Sample = {
      atSeconds: (nowMs - this.#startMs) / 1000,
      opsPerSecond: (Math.max(0, ops - this.#ops) / spanMs) * 1000,
      bytesPerSecond: (Math.max(0, bytes - this.#bytes) / spanMs) * 1000,
      p50Ms: percentileOf(inInterval, total, 50),
      p99Ms: percentileOf(inInterval, total, 99),
      errors: Math.max(0, errors - this.#errors),
    };
    this.#lastMs = nowMs;
    this.#ops = ops;
    this.#bytes = bytes;
    this.#errors = errors;
    this.#counts = counts;
    this.timeline.push(sample);
    if (this.timeline.length % SAMPLES_PER_INTERVAL === 0) this.#intervalMs *= 2;
    return { opsPerSecond: sample.opsPerSecond, bytesPerSecond: sample.bytesPerSecond, errors };
  }
}
