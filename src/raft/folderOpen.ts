/**
 * Opening a group's folder, whatever it holds: what is found, and the verdict (`raft.md` 6.5; the table in `docs/raft.md`). The only place that decides about damage.
 *
 * Nothing here throws because of what is on the disk. The folder is changed only as the verdict says: a torn end is cut off, files that a snapshot or a truncation has left over are
 * removed, what an interrupted creation lacks is made. What is changed is told in `notes`; a folder that is refused is left as it was.
 */
import assert from 'node:assert';
import { HARD_STATE_BYTES, type HardState } from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import { FOLDER_MODE } from '../storage/layout.js';
import { type FoundLog, findLog } from './folderLog.js';
import {
  emptyFolderMeta,
  FOLDER_META_BYTES,
  FOLDER_META_NAME,
  type FolderMeta,
  openFolderMeta,
  readFolderMeta,
  writeFolderMeta,
} from './folderMeta.js';
import { FolderSync } from './folderSync.js';
import { GroupFolder } from './groupFolder.js';
import { LogFile, parseLogFileName } from './logFile.js';
import type { Damage } from './logFileScan.js';
import { SharedFd } from './sharedFd.js';
import type { TermRun } from './termRuns.js';

/** A log file of the reference: a larger record gets a file of its own. */
export const LOG_FILE_BYTES_MAX = 32 * 1024 * 1024;
const EEXIST = 17;

export interface FolderOptions {
  /** A file is sealed before it gets longer than this; less than 4 GiB. */
  fileBytesMax?: number;
  /** The folder is to be completed from a journal, after a crash. */
  repair?: FolderRepair;
}

/** What the journal has, for a folder that may have lost what was not durable. */
export interface FolderRepair {
  /** The entries from this index on will be appended from the journal: damage that spares those before it is cut away. Null: the journal has no entries. */
  keepBelow: number | null;
  /** As the journal has it last, in place of META's; null when it has none. */
  hardState: HardState | null;
  /** The last cut or reset of the journal, in place of META's when it is further; null when it has none. */
  cut: { index: number; term: number } | null;
}

/** What an opened folder holds. */
export interface FolderState {
  /** From which the group starts: what META says, with a commit inside the log and a term not below that of the last entry. */
  hardState: HardState;
  /** What META says. */
  stored: HardState;
  cutIndex: number;
  cutTerm: number;
  lastIndex: number;
  /** Terms of the entries behind the cut. */
  runs: TermRun[];
  metaBytes: number;
  /** What was cut off, dropped or clamped, for the log; empty for a healthy folder. */
  notes: string[];
  /** The log ends below the stored commit. */
  shortened: boolean;
}

/** `errno` is a negated one where the disk refused something, 0 where the folder is damaged. */
export type OpenedFolder =
  | { ok: true; folder: GroupFolder; state: FolderState }
  | { ok: false; reason: string; errno: number };

/**
 * Makes the folder of a new group: empty META, empty first file. What an interrupted call has left is completed; a folder that holds a log is refused. Nothing is durable
 * before the folder's `sync`.
 */
export function createGroupFolder(disk: Disk, path: string, options: FolderOptions = {}): OpenedFolder {
  const made = disk.mkdir(path, FOLDER_MODE);
  if (made < 0 && made !== -EEXIST)
    return refused(disk, { reason: 'the folder cannot be made', errno: made });
  const entries = disk.scan(path);
  if (typeof entries === 'number')
    return refused(disk, { reason: 'the folder cannot be listed', errno: entries });
  const used = entries.find(
    ({ name, sizeBytes }) => (name === FOLDER_META_NAME || parseLogFileName(name) !== null) && sizeBytes > 0,
  );
  if (used !== undefined) return refused(disk, { reason: `there is a log already: ${used.name}`, errno: 0 });
  return openGroupFolder(disk, path, options);
}

/** Opens the folder at `path`, which exists. Out of service is a value with its reason, for the operator. */
export function openGroupFolder(disk: Disk, path: string, options: FolderOptions = {}): OpenedFolder {
  const files = listFiles(disk, path);
  if ('reason' in files) return refused(disk, files);
  const notes: string[] = [];
  const meta = knownMeta(disk, path, options.repair ?? null, notes);
  if ('reason' in meta) return refused(disk, meta);
  const log = findLog(disk, files, meta, options.repair?.keepBelow ?? null);
  if ('reason' in log) return refused(disk, log);
  notes.push(...log.notes);
  const found = stateOf(meta, log, [...notes]);
  // What a journal will add may be all that the stored commit is missing: it is not lowered before that, and nothing is said about it.
  const state = options.repair === undefined ? found : { ...found, notes };
  const startMeta = options.repair === undefined ? { ...meta, hardState: state.hardState } : meta;
  const metaFd =
    options.repair === undefined ? openFolderMeta(disk, path) : rewriteMeta(disk, path, startMeta);
  const errno = metaFd < 0 ? metaFd : carryOut(disk, path, log);
  if (errno < 0) {
    if (metaFd >= 0) disk.close(metaFd);
    for (const file of log.kept) file.unload();
    return refused(disk, { reason: 'the folder cannot be put in order', errno });
  }
  const sync = new FolderSync(disk, path);
  const shared = new SharedFd(disk, metaFd);
  // What an earlier process has written, names included, may not be durable either.
  sync.ownNameChanged();
  sync.changed(FOLDER_META_NAME, shared);
  const active = log.kept.at(-1)!;
  sync.changed(active.path, active.shared);
  const fileBytesMax = options.fileBytesMax ?? LOG_FILE_BYTES_MAX;
  assert(fileBytesMax < 2 ** 32, 'offsets in a log file have 32 bits');
  const { kept, runs } = log;
  const folder = new GroupFolder({
    ...{ disk, path, fileBytesMax, runs, sync },
    ...{ meta: startMeta, metaFd: shared, files: kept },
  });
  return { ok: true, folder, state };
}

function refused(disk: Disk, { reason, errno }: Damage): OpenedFolder {
  return { ok: false, reason: errno === 0 ? reason : `${reason}: ${disk.errnoText(errno)}`, errno };
}

/** The log files of the folder in their order. */
function listFiles(disk: Disk, path: string): LogFile[] | Damage {
  const entries = disk.scan(path);
  if (typeof entries === 'number') return { reason: 'the folder cannot be listed', errno: entries };
  const files: LogFile[] = [];
  for (const { name, kind, sizeBytes, errno } of entries) {
    const named = parseLogFileName(name);
    if (named === null) continue;
    const { seq, index } = named;
    if (errno < 0) return { reason: name, errno };
    if (kind !== 'file' || !Number.isSafeInteger(seq) || !Number.isSafeInteger(index))
      return { reason: `${name} is no log file`, errno: 0 };
    files.push(new LogFile(disk, path, seq, index, sizeBytes));
  }
  return files.sort((a, b) => a.seq - b.seq || a.nameIndex - b.nameIndex);
}

/** META as the disk has it, or as the journal has it. */
function knownMeta(
  disk: Disk,
  path: string,
  repair: FolderRepair | null,
  notes: string[],
): FolderMeta | Damage {
  const read = readFolderMeta(disk, path);
  const onDisk = 'reason' in read ? emptyFolderMeta() : read;
  if ('reason' in read) {
    if (read.errno < 0 || repair === null || repair.hardState === null) return read;
    notes.push(`${read.reason}: written again from the journal`);
  }
  const meta = repair === null ? onDisk : repairedMeta(onDisk, repair);
  const { term, commit, vote } = meta.hardState;
  if (meta.cutIndex > commit && (term > 0 || commit > 0 || vote > 0))
    return { reason: `META has its cut at ${meta.cutIndex}, beyond the commit ${commit}`, errno: 0 };
  return meta;
}

/** META's numbers, with those of the journal in their place. */
function repairedMeta(onDisk: FolderMeta, repair: FolderRepair): FolderMeta {
  const hardState = repair.hardState ?? onDisk.hardState;
  const further = repair.cut !== null && repair.cut.index >= onDisk.cutIndex ? repair.cut : null;
  const cutIndex = further?.index ?? onDisk.cutIndex;
  const cutTerm = further?.term ?? onDisk.cutTerm;
  const commit = Math.max(hardState.commit, cutIndex);
  const bytes = cutIndex > 0 ? FOLDER_META_BYTES : Math.max(onDisk.bytes, HARD_STATE_BYTES);
  return { bytes, hardState: { ...hardState, commit }, cutIndex, cutTerm };
}

/** Opens META and writes `meta` over whatever it holds. The fd or a negated errno. */
function rewriteMeta(disk: Disk, path: string, meta: FolderMeta): number {
  const fd = openFolderMeta(disk, path);
  if (fd < 0) return fd;
  const written = writeFolderMeta(disk, fd, meta, meta.bytes);
  const errno = written < 0 ? written : disk.truncate(fd, meta.bytes);
  if (errno < 0) disk.close(fd);
  return errno < 0 ? errno : fd;
}

/** Removes, cuts and makes what was found. 0 or a negated errno. */
function carryOut(disk: Disk, path: string, log: FoundLog): number {
  for (const file of log.dropped) {
    const removed = disk.unlink(file.path);
    if (removed < 0) return removed;
  }
  const active = log.kept.at(-1);
  if (active !== undefined) return active.cutRest();
  const file = new LogFile(disk, path, 1, 1, 0);
  log.kept.push(file);
  return file.create();
}

/** What the group starts from. */
function stateOf(meta: FolderMeta, log: FoundLog, notes: string[]): FolderState {
  const { cutIndex, cutTerm, hardState: stored } = meta;
  const lastIndex = Math.max(cutIndex, log.kept.at(-1)?.lastIndex ?? 0);
  const lastTerm = lastIndex > cutIndex ? log.runs.at(lastIndex) : cutTerm;
  const hardState = { ...stored };
  const shortened = stored.commit > lastIndex;
  if (shortened) {
    hardState.commit = lastIndex;
    notes.push(`the commit ${stored.commit} is behind the end of the log: lowered to ${lastIndex}`);
  }
  if (stored.commit < cutIndex) {
    hardState.commit = cutIndex;
    notes.push(`META has no commit, and its cut is at ${cutIndex}: raised to it`);
  }
  if (stored.term < lastTerm) {
    hardState.term = lastTerm;
    hardState.vote = 0;
    notes.push(`the term ${stored.term} is older than that of the last entry: raised to ${lastTerm}`);
  }
  return {
    ...{ hardState, stored, cutIndex, cutTerm, lastIndex, shortened, notes },
    runs: log.runs.between(cutIndex + 1, lastIndex),
    metaBytes: meta.bytes,
  };
}

/** META says from the start on what the journal will build on: one that is ahead of the journal would count as written by another node. 0 or a negated errno. */
export function storeHardState(folder: GroupFolder, stored: HardState, hardState: HardState): number {
  const { term, vote, commit } = stored;
  if (term === hardState.term && vote === hardState.vote && commit === hardState.commit) return 0;
  const errno = folder.setHardState(hardState);
  return errno < 0 ? errno : folder.syncNow();
}
