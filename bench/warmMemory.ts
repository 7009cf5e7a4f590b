/**
 * Touches most of the machine's free memory and gives it back: a virtual machine gets its pages from the host at the first touch, and a run that pays
 * for that measures the host. Runs as a process of its own, because only its end gives the memory back for certain.
 *
 *     node dist/bench/warmMemory.js BYTES
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';

const CHUNK_BYTES = 256 * 1024 * 1024;
/** Part of the available memory that is touched: the rest keeps the machine from swapping or killing. */
const SHARE = 0.8;

/** Bytes that can be touched without harm, from the text of /proc/meminfo and the limit of the control group (0: none). */
export function bytesToWarm(meminfo: string, groupLimitBytes: number): number {
  const available = Number(/^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1]) * 1024;
  const bounded = groupLimitBytes > 0 ? Math.min(available, groupLimitBytes) : available;
  return Number.isNaN(bounded) ? 0 : Math.floor(bounded * SHARE);
}

/** Warms the machine's memory; returns the number of bytes touched. */
export async function warmMemory(bytes: number = availableBytes()): Promise<number> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), String(bytes)], { stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  return code === 0 ? bytes : 0;
}

function availableBytes(): number {
  try {
    return bytesToWarm(readFileSync('/proc/meminfo', 'utf8'), groupLimitBytes());
  } catch {
    return Math.floor(freemem() * SHARE);
  }
}

function groupLimitBytes(): number {
  try {
    const limit = Number(readFileSync('/sys/fs/cgroup/memory.max', 'utf8'));
    const used = Number(readFileSync('/sys/fs/cgroup/memory.current', 'utf8'));
    return Number.isNaN(limit) ? 0 : Math.max(0, limit - used);
  } catch {
    // No control group in the way.
    return 0;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const held: Uint8Array[] = [];
  for (let left = Number(process.argv[2]); left > 0; left -= CHUNK_BYTES) {
    held.push(Buffer.allocUnsafeSlow(Math.min(left, CHUNK_BYTES)).fill(1));
  }
  process.exit(held.length > 0 ? 0 : 1);
}
