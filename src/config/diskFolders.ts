/**
 * Looks at the configured disk folders before the node starts, so that a wrong path is one clear line and not a half-started node (`admin.md` 2).
 *
 * Called by the entry point. A folder whose file system does not answer in time is left to its worker, which knows how to live with a hung disk.
 */
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DiskConfig } from './config.js';

/** Asks the file system about a path; rejects where it does not exist. */
export type StatFolder = (path: string) => Promise<{ isDirectory(): boolean }>;

/** Null when all folders that answered are folders; else one line with the reference's text. Waits `timeoutMs` at most. */
export async function checkDiskFolders(
  disks: readonly DiskConfig[],
  timeoutMs: number,
  statFolder: StatFolder = stat,
): Promise<string | null> {
  const giveUp = new AbortController();
  const timedOut = sleep(timeoutMs, null, { signal: giveUp.signal }).catch(() => null);
  const checks = disks.map((disk, index) =>
    Promise.race([checkDiskFolder(disk, index, statFolder), timedOut]),
  );
  const failures = await Promise.all(checks);
  giveUp.abort();
  return failures.find((failure) => failure !== null) ?? null;
}

/** The same for one disk, the `index`-th in the configuration; waits as long as its file system does. */
export async function checkDiskFolder(
  disk: DiskConfig,
  index: number,
  statFolder: StatFolder = stat,
): Promise<string | null> {
  try {
    const stats = await statFolder(disk.path);
    return stats.isDirectory() ? null : `disks[${index}]: Disk path is not dir: ${disk.path}`;
  } catch (error) {
    return `disks[${index}]: Stat disk path error: ${(error as Error).message}`;
  }
}
