/**
 * The text format of Prometheus (0.0.4): families with HELP and TYPE, samples with labels, histograms. Pure.
 */
import { countsBelow, type HistogramSnapshot } from '../shm/histogram.js';
import type { MetricRow } from './metricRow.js';

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Bounds of all buckets, µs: powers of two from 32 µs to 8.4 s, which are edges of the buckets in shared memory, so that every count is exact. */
export const BUCKET_BOUNDS_US: readonly number[] = Array.from({ length: 19 }, (_, index) => 2 ** (5 + index));

/** The characters that the reference replaces in names (`admin.md` 11.1), and all others that a name may not have. */
export function cleanName(name: string): string {
  return name.replace(/[^a-zA-Z0-9_:]/g, '_');
}

/** One page under construction. */
export class MetricsText {
  readonly #lines: string[] = [];
  #row: MetricRow | null = null;
  #name = '';

  /** Begins a family; what follows belongs to it. `name`: when it is not the row's own. */
  family(row: MetricRow, name = row.name): this {
    this.#row = row;
    this.#name = name;
    this.#lines.push(`# HELP ${name} ${row.help}`, `# TYPE ${name} ${row.type}`);
    return this;
  }

  /** A sample with the values of the family's labels. */
  sample(value: number, ...labels: string[]): this {
    this.#lines.push(`${this.#name}${this.#labels(labels)} ${numberText(value)}`);
    return this;
  }

  /** A histogram, of µs told in seconds. */
  histogram(snapshot: HistogramSnapshot, ...labels: string[]): this {
    const counts = countsBelow(snapshot, BUCKET_BOUNDS_US);
    for (const [index, count] of counts.entries())
      this.#bucket(labels, `${BUCKET_BOUNDS_US[index]! / 1e6}`, count);
    this.#bucket(labels, '+Inf', snapshot.count);
    const told = this.#labels(labels);
    this.#lines.push(`${this.#name}_sum${told} ${numberText(snapshot.sumUs / 1e6)}`);
    this.#lines.push(`${this.#name}_count${told} ${snapshot.count}`);
    return this;
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`;
  }

  #bucket(labels: readonly string[], bound: string, count: number): void {
    this.#lines.push(`${this.#name}_bucket${this.#labels(labels, `le="${bound}"`)} ${count}`);
  }

  #labels(values: readonly string[], last = ''): string {
    const pairs = values.map((value, index) => `${this.#row!.labels[index]}="${escapeLabel(value)}"`);
    if (last !== '') pairs.push(last);
    return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
  }
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`));
}
