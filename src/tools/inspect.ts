/**
 * `extentd inspect DIR`: what the folders hold, for people or as JSON. Reads only; one partition in memory at a time.
 */

import { findTarget } from './folders.js';
import { partitionText, targetText } from './inspectText.js';
import { reportPartition } from './partitionReport.js';
import { journalsText, reportJournals } from './raftJournals.js';
import { ReadOnlyDisk } from './readOnlyDisk.js';
import { EXIT, type ExitCode, JsonStream, shallEnd, type ToolContext } from './toolContext.js';

/** Prints what DIR holds. 0, or 2 when DIR or a partition in it cannot be listed, or a signal came. */
export async function inspect(dir: string, json: boolean, context: ToolContext): Promise<ExitCode> {
  const disk = new ReadOnlyDisk();
  const target = findTarget(disk, dir);
  if (typeof target === 'string') {
    context.complain(`${target}\n`);
    return EXIT.failed;
  }
  const { kind, path, leftovers, others } = target;
  const raft = kind === 'disk' ? reportJournals(disk, path) : null;
  const stream = json ? new JsonStream(context, { path, kind, leftovers, others, raft }, 'partitions') : null;
  if (stream === null) context.out(targetText(target));
  if (stream === null && raft !== null) context.out(journalsText(raft));
  let exitCode: ExitCode = EXIT.fine;
  for (const folder of target.partitions) {
    if (await shallEnd(context)) {
      exitCode = EXIT.failed;
      break;
    }
    const report = reportPartition(disk, folder);
    if (typeof report === 'string') {
      exitCode = EXIT.failed;
      context.complain(`${report}\n`);
    } else if (stream === null) {
      context.out(partitionText(report));
    } else {
      stream.item(report);
    }
  }
  stream?.end({ complete: exitCode === EXIT.fine });
  return exitCode;
}
