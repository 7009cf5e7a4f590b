/**
 * `extentd recover DIR`: what a start does with the raft journals of a disk, without a node (`docs/raft.md`). The one tool that writes, so it holds the lock of the disk, as a
 * node would; may be killed at any moment and run again.
 */
import { lockDisk } from '../partition/diskLoad.js';
import { type RecoveryReport, recoverDisk, recoveryText } from '../raft/recovery.js';
import type { Disk } from '../storage/io.js';
import { RAFT_FOLDER } from '../storage/layout.js';
import { NativeDisk } from '../storage/nativeDisk.js';
import { findTarget } from './folders.js';
import { ReadOnlyDisk } from './readOnlyDisk.js';
import { counted, printable } from './textTable.js';
import { EXIT, type ExitCode, type ToolContext } from './toolContext.js';

const STOP_MS = 1_000;

/** Completes the log folders of the disk at DIR. 0 complete; 1 complete, and something may be lost or another node has written; 2 not done. */
export async function recover(dir: string, json: boolean, context: ToolContext): Promise<ExitCode> {
  const target = findTarget(new ReadOnlyDisk(), dir);
  const refusal = typeof target === 'string' ? target : refusalOf(target.kind, dir);
  if (refusal !== null || typeof target === 'string') {
    context.complain(`${refusal}\n`);
    return EXIT.failed;
  }
  const disk = syncDisk();
  try {
    return recoverAt(disk, target.path, json, context);
  } finally {
    disk.stop(STOP_MS);
  }
}

function refusalOf(kind: 'disk' | 'partition', dir: string): string | null {
  return kind === 'disk' ? null : `${dir} is a partition folder: the journals are those of its disk`;
}

/** A real disk of which only the synchronous calls are used. */
function syncDisk(): NativeDisk {
  const doorbell = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  return new NativeDisk({ device: 0, regions: [], doorbell, threads: 1, batchCapacity: 1 });
}

function recoverAt(disk: Disk, root: string, json: boolean, context: ToolContext): ExitCode {
  const entries = disk.scan(root);
  // A disk that no extentd has served gets no lock file of it.
  const hasJournals = typeof entries !== 'number' && entries.some(({ name }) => name === RAFT_FOLDER);
  const lock = hasJournals ? lockDisk(disk, root) : null;
  if (lock !== null && !lock.ok) {
    context.complain(`${lock.message}\n`);
    return EXIT.failed;
  }
  const report = recoverDisk(disk, root, { log: () => undefined });
  if (lock !== null) disk.close(lock.value);
  if (json)
    context.out(`${JSON.stringify({ path: root, ...report, complete: report.failures.length === 0 })}\n`);
  else context.out(reportText(root, report));
  for (const failure of report.failures) context.complain(`${printable(failure)}\n`);
  if (report.failures.length > 0) return EXIT.failed;
  return isFine(report) ? EXIT.fine : EXIT.found;
}

function isFine({ groups, journals, noVote }: RecoveryReport): boolean {
  const done = groups.every(({ outcome }) => outcome === 'recovered' || outcome === 'gone');
  return done && noVote.length === 0 && journals.every(({ problems }) => problems.length === 0);
}

function reportText(root: string, { groups, journals, noVote, failures }: RecoveryReport): string {
  const lines = [`disk ${printable(root)}`];
  if (journals.length === 0 && failures.length === 0) lines.push('no journal has anything to recover');
  for (const { folder, frames, problems } of journals) {
    lines.push(`journal ${printable(folder)}: ${counted(frames, 'frame')}`);
    for (const problem of problems) lines.push(`  PROBLEM: ${printable(problem)}`);
  }
  for (const recovery of groups) lines.push(printable(recoveryText(recovery)));
  for (const { group, reason } of noVote)
    lines.push(`NO VOTE until caught up: partition ${group}: ${printable(reason)}`);
  lines.push(failures.length === 0 ? 'complete' : 'NOT COMPLETE: nothing was emptied; run it again');
  return `${lines.join('\n')}\n`;
}
