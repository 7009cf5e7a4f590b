/**
 * `extentd check -c FILE`: what would come of a start with this config file, without a start: the configuration as the node reads it, each disk with its
 * permissions and its lock, and the loader's verdict on each partition folder. Changes nothing (`loadTrial.ts`), asks no master.
 */
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DiskConfig, NodeConfig } from '../config/config.js';
import { checkDiskFolder, type StatFolder } from '../config/diskFolders.js';
import { loadConfig } from '../config/schema.js';
import { DISK_HELD } from '../partition/messages.js';
import { configText, diskText, verdictText } from './checkText.js';
import { type DiskTrial, tryDisk } from './loadTrial.js';
import { EXIT, type ExitCode, JsonStream, shallEnd, type ToolContext } from './toolContext.js';

/** One entry of `disks`. */
export interface DiskCheck extends DiskTrial {
  path: string;
  /** Permission bits in octal, owner and group; null when the folder cannot be looked at. */
  mode: string | null;
  owner: string | null;
  /** Held by another process, or twice in this configuration. */
  held: boolean;
  /** What this user may not do in the folder: `read`, `write`, `search`. */
  denied: string[];
}

/** How long a disk may take to answer its first question. */
const ANSWER_MS = 3_000;

const HUNG = Symbol('no answer');

/** Checks the config file at `path`. 0 all would be served; 1 something would not, or is odd; 2 a signal came. */
export async function check(path: string, json: boolean, context: ToolContext): Promise<ExitCode> {
  const loaded = loadConfig(path);
  const config = loaded.ok ? loaded.config : null;
  const problems = loaded.ok ? logFolderProblems(loaded.config) : [loaded.message];
  const stream = json ? new JsonStream(context, { file: path, config }, 'disks') : null;
  if (config !== null && stream === null) context.out(configText(path, config));
  const locked = new Set<string>();
  const copies = new Map<number, string>();
  let complete = true;
  let refused = 0;
  for (const [index, disk] of (config?.disks ?? []).entries()) {
    if (await shallEnd(context)) {
      complete = false;
      break;
    }
    context.progress(`looking at ${disk.path}`);
    const checked = await checkDisk(disk, index, locked, context);
    if (checked.failure === null) noteCopies(checked, copies);
    // As in a start: a wrong path and a disk in use end it, any other failure takes the disk out of service.
    if (checked.failure !== null) problems.push(checked.failure);
    refused += checked.partitions.filter(
      ({ verdict, warnings }) => verdict === 'refused' || warnings.length > 0,
    ).length;
    if (stream === null) context.out(diskText(checked));
    else stream.item(checked);
  }
  context.progress('');
  const exitCode = !complete ? EXIT.failed : problems.length + refused > 0 ? EXIT.found : EXIT.fine;
  if (stream === null) context.out(verdictText(problems, refused, complete));
  else stream.end({ problems, foldersToLookAt: refused, complete });
  return exitCode;
}

/**
 * Looks at the `index`-th disk. `locked`: shared by all disks of the configuration. A folder that answers nothing within `answerMs` is not asked further, and
 * the call that hangs is abandoned.
 */
export async function checkDisk(
  disk: DiskConfig,
  index: number,
  locked: Set<string>,
  context: ToolContext,
  statFolder?: StatFolder,
  answerMs = ANSWER_MS,
): Promise<DiskCheck> {
  const { path } = disk;
  const giveUp = new AbortController();
  const late = sleep(answerMs, HUNG, { signal: giveUp.signal }).catch((): typeof HUNG => HUNG);
  const answer = await Promise.race([checkDiskFolder(disk, index, statFolder), late]);
  giveUp.abort();
  if (answer !== null) {
    if (answer === HUNG) context.abandon();
    const failure = answer === HUNG ? `disks[${index}]: ${path} does not answer` : answer;
    const unknown = { path, mode: null, owner: null, held: false, denied: [] };
    return { ...unknown, failure, space: null, partitions: [], leftovers: [] };
  }
  const stats = statSync(path);
  const trial = tryDisk(path, locked);
  return {
    ...trial,
    path,
    mode: (stats.mode & 0o7777).toString(8).padStart(4, '0'),
    owner: `${stats.uid}:${stats.gid}`,
    held: trial.failure?.endsWith(DISK_HELD) ?? false,
    denied: [
      ...(isAllowed(path, constants.R_OK) ? [] : ['read']),
      ...(isAllowed(path, constants.W_OK) ? [] : ['write']),
      ...(isAllowed(path, constants.X_OK) ? [] : ['search']),
    ],
  };
}

/** A partition on two disks: the node serves the copy whose disk is loaded first, which is not known beforehand. */
function noteCopies(disk: DiskCheck, copies: Map<number, string>): void {
  for (const { partition, warnings } of disk.partitions) {
    if (partition === null) continue;
    const other = copies.get(partition.id);
    if (other !== undefined)
      warnings.push(`partition ${partition.id} is on ${other} too; one copy is ignored`);
    else copies.set(partition.id, disk.path);
  }
}

/** Whether the node could make its log folder. */
function logFolderProblems({ logDir }: NodeConfig): string[] {
  let folder = resolve(logDir, 'dataNode');
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  if (!statSync(folder).isDirectory()) return [`logDir: ${folder} is not a folder`];
  return isAllowed(folder, constants.W_OK | constants.X_OK)
    ? []
    : [`logDir: nothing can be made in ${folder}`];
}

function isAllowed(path: string, access: number): boolean {
  try {
    accessSync(path, access);
    return true;
  } catch {
    return false;
  }
}
