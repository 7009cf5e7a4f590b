/**
 * The results as text: the table on the terminal, and the JSON file. Pure.
 */
import type { Comparison } from './compare.js';
import { type LoadOptions, onlyCreates } from './flags.js';
import { KINDS } from './kinds.js';
import type { KindResult, RunResult } from './result.js';
import { alignTable, bytes, counted, megabytes, milliseconds, rate, whole } from './words.js';

/** Raised when the meaning of a field of the JSON file changes. */
export const JSON_VERSION = 1;
const HEAD = ['', 'ops/s', 'MB/s', 'p50', 'p90', 'p99', 'p99.9', 'max', 'errors'];

/** One line that says what is run: `write 4 KiB, 4 connections × 16 in flight, 10 s`. */
export function describeRun(options: LoadOptions): string {
  const { mix, op, conns, depth, count, seconds, sizeBytes, extents, followers, volume } = options;
  const name =
    op === 'mixed' ? mix.map(([kind, share]) => `${KINDS[kind]!.name} ${share} %`).join(' + ') : op;
  const parts = [
    onlyCreates(mix) ? name : `${name}${mix.length > 1 ? ',' : ''} ${bytes(sizeBytes)}`,
    `${counted(conns, 'connection')} × ${depth} in flight`,
    count === null ? `${seconds} s` : counted(count, 'operation'),
  ];
  if (options.rate !== null) parts.push(`open loop ${whole(options.rate)}/s`);
  if (extents > 1) parts.push(`${extents} extents each`);
  if (followers.length > 0) parts.push(counted(followers.length, 'follower'));
  if (volume !== null) parts.push(`replicated, volume ${volume}`);
  return parts.join(', ');
}

/** The table and the lines below it. */
export function formatResult(result: RunResult): string {
  const rows = result.kinds.length > 1 ? [...result.kinds, result.total] : result.kinds;
  const lines = result.kinds.length === 0 ? [] : alignTable([HEAD, ...rows.map((row) => tableRow(row))]);
  if (lines.length > 0) lines[0] += '   (latencies in ms)';
  return [...lines, ...notes(result)].join('\n');
}

function tableRow(row: KindResult): string[] {
  const { p50, p90, p99, p999, max } = row.latencyMs;
  return [
    row.name,
    rate(row.opsPerSecond),
    row.bytes > 0 ? row.megabytesPerSecond.toFixed(1) : '-',
    ...[p50, p90, p99, p999, max].map(milliseconds),
    whole(row.errors),
  ];
}

/** What is said below the table. */
function notes(result: RunResult): string[] {
  const { server, generator, failures, mismatches } = result;
  const lines: string[] = [];
  for (const { code, count, example } of failures)
    lines.push(`error      ${whole(count)} × ${code}: ${example}`);
  if (result.total.ops + result.total.errors === 0) lines.push('nothing was measured');
  if (mismatches > 0) lines.push(`mismatch   ${counted(mismatches, 'packet')} with wrong content`);
  for (const text of result.mismatchTexts) lines.push(`           ${text}`);
  if (result.verifiedBytes !== null && mismatches === 0) {
    lines.push(`verified   ${bytes(result.verifiedBytes)} read back, all as written`);
  }
  for (const line of replicaLines(result)) lines.push(`replica    ${line}`);
  if (result.redirections > 0) {
    const packets = counted(result.redirectedPackets, 'packet');
    lines.push(
      `redirected ${counted(result.redirections, 'time')} by nodes that do not lead, ${packets} given up`,
    );
  }
  if (result.unsent > 0) {
    lines.push(
      `behind     ${counted(result.unsent, 'operation')} of the schedule still held back at the end`,
    );
  }
  if (server !== null) {
    const cores = result.elapsedSeconds > 0 ? server.cpuSeconds / result.elapsedSeconds : 0;
    lines.push(
      `server     ${server.cpuMicrosPerOp.toFixed(1)} µs CPU an operation (${cores.toFixed(2)} cores), memory ` +
        `${megabytes(server.rssBeforeBytes)} → ${megabytes(server.rssAfterBytes)}, peak ${megabytes(server.rssPeakBytes)}`,
    );
  }
  if (result.total.ops > 0) {
    lines.push(
      `generator  ${generator.cpuMicrosPerOp.toFixed(1)} µs CPU an operation, ${counted(generator.threads, 'thread')}`,
    );
  }
  return lines;
}

/** What is known of each node, where there are several. */
export function replicaLines({ replicas }: RunResult): string[] {
  if (replicas.length < 2) return [];
  return replicas.map(({ address, primaryOf, verifiedBytes, mismatches }) => {
    const parts = [primaryOf === 0 ? 'follower only' : `primary of ${counted(primaryOf, 'connection')}`];
    if (verifiedBytes !== null) {
      const outcome = mismatches === 0 ? '' : `, ${counted(mismatches, 'packet')} wrong`;
      parts.push(`${bytes(verifiedBytes)} read back${outcome}`);
    }
    return `${address}: ${parts.join(', ')}`;
  });
}

/** The whole outcome as it goes into the JSON file; `docs/load.md` describes the fields. */
export function toJson(
  options: LoadOptions,
  results: readonly RunResult[],
  comparison: Comparison | null,
): string {
  const { targets, mix, ...rest } = options;
  const document = {
    version: JSON_VERSION,
    title: describeRun(options),
    options: {
      ...rest,
      mix: Object.fromEntries(mix.map(([kind, share]) => [KINDS[kind]!.name, share])),
      targets: targets.map(({ name, address, pids }) => ({
        name,
        address: `${address.host}:${address.port}`,
        pids,
      })),
    },
    results,
    comparison,
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
