/**
 * The same run against several nodes in turns A B A B …, so that what changes on the machine meanwhile touches all alike; medians of the rounds, and
 * ratios to the first node.
 */
import type { LoadOptions, Target } from './flags.js';
import type { RunResult } from './result.js';
import { alignTable, milliseconds, rate } from './words.js';

/** Median figures of one node. */
export interface Medians {
  readonly opsPerSecond: number;
  readonly megabytesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  /** Null without process ids. */
  readonly serverCpuMicrosPerOp: number | null;
  readonly serverRssPeakBytes: number | null;
}

/** One node of a comparison. `ratios` are its medians divided by those of the first node. */
export interface ComparedTarget {
  readonly name: string;
  readonly address: string;
  readonly rounds: number;
  readonly errorCount: number;
  readonly mismatches: number;
  readonly medians: Medians;
  readonly ratios: Medians;
}

export interface Comparison {
  /** The node the ratios refer to: the first named. */
  readonly baseline: string;
  readonly targets: readonly ComparedTarget[];
}

/** The order in which runs are made: all targets once a round. */
export function turns(options: Pick<LoadOptions, 'targets' | 'rounds'>): Target[] {
  return Array.from({ length: options.rounds }, () => options.targets).flat();
}

/** Medians and ratios from the results of all rounds, in any order. */
export function compareResults(targets: readonly Target[], results: readonly RunResult[]): Comparison {
  const own = targets.map((target) => results.filter((result) => result.name === target.name));
  const medians = own.map((rounds) => mediansOf(rounds));
  return {
    baseline: targets[0]!.name,
    targets: targets.map((target, index) => ({
      name: target.name,
      address: `${target.address.host}:${target.address.port}`,
      rounds: own[index]!.length,
      errorCount: own[index]!.reduce((sum, result) => sum + result.errorCount, 0),
      mismatches: own[index]!.reduce((sum, result) => sum + result.mismatches, 0),
      medians: medians[index]!,
      ratios: ratiosOf(medians[index]!, medians[0]!),
    })),
  };
}

/** The run of a node that stands for it in charts: the one with the median rate. */
export function medianRun(results: readonly RunResult[], name: string): RunResult | undefined {
  const own = results.filter((result) => result.name === name);
  own.sort((left, right) => left.total.opsPerSecond - right.total.opsPerSecond);
  return own[(own.length - 1) >> 1];
}

/** The middle value; the mean of the two middle ones for an even number; 0 for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function mediansOf(rounds: readonly RunResult[]): Medians {
  const of = (figure: (result: RunResult) => number) => median(rounds.map(figure));
  const withServer = rounds.length > 0 && rounds.every((result) => result.server !== null);
  return {
    opsPerSecond: of((result) => result.total.opsPerSecond),
    megabytesPerSecond: of((result) => result.total.megabytesPerSecond),
    p50Ms: of((result) => result.total.latencyMs.p50),
    p99Ms: of((result) => result.total.latencyMs.p99),
    p999Ms: of((result) => result.total.latencyMs.p999),
    serverCpuMicrosPerOp: withServer ? of((result) => result.server!.cpuMicrosPerOp) : null,
    serverRssPeakBytes: withServer ? of((result) => result.server!.rssPeakBytes) : null,
  };
}

function ratiosOf(own: Medians, base: Medians): Medians {
  const ratio = (value: number, reference: number) => (reference > 0 ? value / reference : 0);
  const optional = (value: number | null, reference: number | null) =>
    value === null || reference === null ? null : ratio(value, reference);
  return {
    opsPerSecond: ratio(own.opsPerSecond, base.opsPerSecond),
    megabytesPerSecond: ratio(own.megabytesPerSecond, base.megabytesPerSecond),
    p50Ms: ratio(own.p50Ms, base.p50Ms),
    p99Ms: ratio(own.p99Ms, base.p99Ms),
    p999Ms: ratio(own.p999Ms, base.p999Ms),
    serverCpuMicrosPerOp: optional(own.serverCpuMicrosPerOp, base.serverCpuMicrosPerOp),
    serverRssPeakBytes: optional(own.serverRssPeakBytes, base.serverRssPeakBytes),
  };
}

/** The table of medians, each with its ratio to the first node. */
export function formatComparison(comparison: Comparison): string {
  const head = [
    'medians',
    'ops/s',
    '',
    'MB/s',
    'p50 ms',
    '',
    'p99 ms',
    '',
    'p99.9 ms',
    '',
    'CPU µs/op',
    '',
    'errors',
  ];
  const rows = comparison.targets.map((target) => {
    const { medians, ratios } = target;
    const times = (ratio: number | null) => (ratio === null ? '' : `×${ratio.toFixed(2)}`);
    return [
      target.name,
      rate(medians.opsPerSecond),
      times(ratios.opsPerSecond),
      medians.megabytesPerSecond.toFixed(1),
      milliseconds(medians.p50Ms),
      times(ratios.p50Ms),
      milliseconds(medians.p99Ms),
      times(ratios.p99Ms),
      milliseconds(medians.p999Ms),
      times(ratios.p999Ms),
      medians.serverCpuMicrosPerOp === null ? '-' : medians.serverCpuMicrosPerOp.toFixed(1),
      times(ratios.serverCpuMicrosPerOp),
      String(target.errorCount + target.mismatches),
    ];
  });
  return [...alignTable([head, ...rows]), `× is the ratio to ${comparison.baseline}`].join('\n');
}
