/**
 * CPU time and memory of the node's processes, from /proc: what `--server-pid` adds to the figures.
 */
import { readFileSync } from 'node:fs';

/** Clock ticks in a second in /proc/PID/stat: USER_HZ, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const KiB = 1024;

/** Sum over the processes. */
export interface ProcessUsage {
  /** User and system time of all threads since the start of the processes, seconds. */
  readonly cpuSeconds: number;
  readonly rssBytes: number;
  /** Highest resident size since the start. */
  readonly rssPeakBytes: number;
}

/** Usage of one text pair of /proc; null when the texts do not look like it. */
export function parseUsage(stat: string, status: string): ProcessUsage | null {
  // The command name, in parentheses, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  const kilobytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
  const rssBytes = kilobytes('VmRSS') * KiB;
  const rssPeakBytes = kilobytes('VmHWM') * KiB;
  if (Number.isNaN(ticks) || Number.isNaN(rssBytes) || Number.isNaN(rssPeakBytes)) return null;
  return { cpuSeconds: ticks / TICKS_PER_SECOND, rssBytes, rssPeakBytes };
}

/** Usage of all `pids` together; null when one of them is not there (any more), and for no pids. */
export function readUsage(pids: readonly number[]): ProcessUsage | null {
  const sum = { cpuSeconds: 0, rssBytes: 0, rssPeakBytes: 0 };
  for (const pid of pids) {
    const one = readOne(pid);
    if (one === null) return null;
    sum.cpuSeconds += one.cpuSeconds;
    sum.rssBytes += one.rssBytes;
    sum.rssPeakBytes += one.rssPeakBytes;
  }
  return pids.length === 0 ? null : sum;
}

function readOne(pid: number): ProcessUsage | null {
  try {
    return parseUsage(readFileSync(`/proc/${pid}/stat`, 'utf8'), readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    // The process has ended, or this is not Linux: there is nothing to report.
    return null;
  }
}
