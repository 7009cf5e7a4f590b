/**
 * The raft log of a partition as it lies on disk (`raft.md` 6): hard state, truncation point, files with their first and last entries. Reads only; bounded
 * memory whatever the files claim.
 *
 * Sealed files are told from their index, the last file is read through with every checksum. What is damaged is a line in `problem` of its file, never an
 * error of the tool.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { HARD_STATE_BYTES } from '../protocol/raftStructs.js';
import { FOLDER_META_BYTES, FOLDER_META_NAME } from '../raft/folderMeta.js';
import { parseLogFileName } from '../raft/logFile.js';
import { readSealedIndex, scanRecords, type TakeEntry } from '../raft/logFileScan.js';
import { RecordReader } from '../raft/recordReader.js';
import type { Disk, FolderEntry } from '../storage/io.js';
import { readWholeFile } from '../storage/wholeFile.js';
import { shown, type Uint64, viewOf } from './uint64.js';

/** One `<seq>-<index>.log`. */
export interface RaftLogFile {
  name: string;
  sizeBytes: number;
  /** Has an index and a footer; the last file usually has none. */
  sealed: boolean;
  /** Entries told by the index, or found before the first damage. */
  entries: number;
  firstIndex: Uint64 | null;
  lastIndex: Uint64 | null;
  lastTerm: Uint64 | null;
  /** What is wrong with it, null for nothing. */
  problem: string | null;
}

/** The folder `wal_<id>`. */
export interface RaftLogReport {
  folder: string;
  /** Bytes of its META; 0, 24 or 40 are right. */
  metaBytes: number;
  hardState: { term: Uint64; commit: Uint64; vote: Uint64 };
  truncated: { index: Uint64; term: Uint64 };
  /** By sequence number; the last is the active one. */
  files: RaftLogFile[];
  firstIndex: Uint64;
  /** As far as it can be read. */
  lastIndex: Uint64;
  /** Entries of the folder that are no log files. */
  others: string[];
  problems: string[];
}

const META_BYTES_MAX = 4096;

/** Reads the raft log folder at `folder`. A message when it cannot be listed. */
export function readRaftLog(disk: Disk, folder: string): RaftLogReport | string {
  const entries = disk.scan(folder);
  if (typeof entries === 'number') return `readdir ${folder}: ${disk.errnoText(entries)}`;
  const problems: string[] = [];
  const meta = readLogMeta(disk, join(folder, FOLDER_META_NAME), problems);
  const logs = entries.filter(({ name }) => parseLogFileName(name) !== null);
  // Sequence numbers have all their digits.
  logs.sort((a, b) => (a.name < b.name ? -1 : 1));
  const reader = new RecordReader(disk);
  const files = logs.map((entry, at) => readFile(disk, reader, folder, entry, at === logs.length - 1));
  const active = files.at(-1);
  let lastIndex = meta.truncIndex;
  for (const file of files) if (file.lastIndex !== null) lastIndex = later(lastIndex, BigInt(file.lastIndex));
  const nameIndex = active === undefined ? 0n : BigInt(`0x${active.name.slice(17, 33)}`);
  if (active?.lastIndex === null && files.length > 1) lastIndex = later(lastIndex, nameIndex - 1n);
  if (meta.commit > lastIndex)
    problems.push(`the log ends at ${lastIndex}, before the commit ${meta.commit}`);
  return {
    folder,
    metaBytes: meta.bytes,
    hardState: { term: shown(meta.term), commit: shown(meta.commit), vote: shown(meta.vote) },
    truncated: { index: shown(meta.truncIndex), term: shown(meta.truncTerm) },
    files,
    firstIndex: shown(meta.truncIndex + 1n),
    lastIndex: shown(lastIndex),
    others: entries
      .filter((entry) => entry.name !== FOLDER_META_NAME && !logs.includes(entry))
      .map(({ name }) => name),
    problems,
  };
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

interface LogMeta {
  bytes: number;
  term: bigint;
  commit: bigint;
  vote: bigint;
  truncIndex: bigint;
  truncTerm: bigint;
}

/** META of the log: missing parts are zeros. */
function readLogMeta(disk: Disk, path: string, problems: string[]): LogMeta {
  const bytes = readWholeFile(disk, path, META_BYTES_MAX);
  const found = typeof bytes === 'number' ? new Uint8Array(0) : bytes;
  if (typeof bytes === 'number') problems.push(`read ${path}: ${disk.errnoText(bytes)}`);
  else if (![0, HARD_STATE_BYTES, FOLDER_META_BYTES].includes(bytes.byteLength))
    problems.push(`META of the log has ${bytes.byteLength} bytes: 0, 24 or 40 are right`);
  const full = new Uint8Array(FOLDER_META_BYTES);
  full.set(found.subarray(0, FOLDER_META_BYTES));
  const view = viewOf(full);
  const at = (offset: number): bigint => view.getBigUint64(offset);
  return {
    bytes: found.byteLength,
    ...{ term: at(0), commit: at(8), vote: at(16), truncIndex: at(24), truncTerm: at(32) },
  };
}

/** `active`: records are read from the front; else the index at the end is taken. */
function readFile(
  disk: Disk,
  reader: RecordReader,
  folder: string,
  { name, sizeBytes }: FolderEntry,
  active: boolean,
): RaftLogFile {
  const file: RaftLogFile = {
    ...{ name, sizeBytes, sealed: false, entries: 0, problem: null },
    ...{ firstIndex: null, lastIndex: null, lastTerm: null },
  };
  const fd = disk.open(join(folder, name), constants.O_RDONLY, 0);
  if (fd < 0) return { ...file, problem: `open: ${disk.errnoText(fd)}` };
  reader.use(fd, sizeBytes);
  const end = active ? readRecords(reader, file) : readIndex(reader, file);
  disk.close(fd);
  file.problem =
    end.errno < 0 && end.problem !== null ? `${end.problem}: ${disk.errnoText(end.errno)}` : end.problem;
  return file;
}

/** What ended the reading before the end of the file, or null. */
interface ReadEnd {
  problem: string | null;
  errno: number;
}

/** All records from the front. */
function readRecords(reader: RecordReader, file: RaftLogFile): ReadEnd {
  const { kind, reason, offset, errno } = scanRecords(reader, file.sizeBytes, entryTaker(file));
  file.sealed = kind === 'sealed';
  const whole = kind === 'clean' || kind === 'sealed';
  return { problem: whole ? null : `${reason}, at ${offset}`, errno };
}

/** Footer and index. */
function readIndex(reader: RecordReader, file: RaftLogFile): ReadEnd {
  const index = readSealedIndex(reader, file.sizeBytes, entryTaker(file));
  if ('reason' in index) return { problem: index.reason, errno: index.errno };
  file.sealed = true;
  return { problem: null, errno: 0 };
}

/** Counts entries into the report, as long as one follows the other. */
function entryTaker(file: RaftLogFile): TakeEntry {
  let last = 0;
  return (index, term) => {
    if (index < 1 || term < 0) return 'an entry has no possible index and term';
    if (last > 0 && index !== last + 1) return `entry ${index} follows entry ${last}`;
    last = index;
    file.entries += 1;
    file.firstIndex ??= index;
    file.lastIndex = index;
    file.lastTerm = term;
    return null;
  };
}
