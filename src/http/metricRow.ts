/** One row of the table of metrics (`metricTable.ts`). */

/** A metric, and what `docs/metrics.md` says of it. */
export interface MetricRow {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
}

/** A row. */
export function row(
  name: string,
  type: MetricRow['type'],
  labels: readonly string[],
  help: string,
): MetricRow {
  return { name, type, labels, help };
}
