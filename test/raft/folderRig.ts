/**
 * What the tests of a group's folder share: a simulated disk with a folder on it, entries and their records, recorded folders.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HardState, RaftEntry } from '../../src/protocol/raftStructs.js';
import { type FolderOptions, type FolderState, openGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { EntryRecords } from '../../src/raft/recordSource.js';
import { entryRecordBytes } from '../../src/raft/records.js';
import type { Disk } from '../../src/storage/io.js';
import { packageRoot } from '../packageRoot.js';
import { SimDisk } from '../sim/simDisk.js';

export const FOLDER = '/wal_7';

/** A file of a folder: name, and bytes in hex. */
export interface RecordedFile {
  file: string;
  size: number;
  hex: string;
}

export interface RecordedState {
  firstIndex: string;
  lastIndex: string;
  term: string;
  vote: string;
  commit: string;
  termAtFirstMinus1: string;
  entries: { index: string; term: string; type: number; dataHex: string }[] | null;
}

export interface RecordedFolder {
  name: string;
  fileSize: number;
  files: RecordedFile[];
  stateAfterOpen?: RecordedState;
  filesAfterOpen?: RecordedFile[];
  referenceOpenError?: string;
  referenceStateAfterOpen?: RecordedState | null;
  referenceFilesAfterOpen?: RecordedFile[];
}

export function recordedFolders(file: 'wal.json' | 'wal_recovery.json'): RecordedFolder[] {
  return JSON.parse(readFileSync(join(packageRoot, 'test/vectors/raft', file), 'utf8')) as RecordedFolder[];
}

export function newDisk(seed = 1): SimDisk {
  return new SimDisk({ regions: [], seed });
}

/** A disk with a folder that holds `files`. */
export function diskWith(files: readonly RecordedFile[], folder = FOLDER): SimDisk {
  const disk = newDisk();
  disk.mkdir(folder, 0o755);
  for (const { file, hex } of files) putFile(disk, `${folder}/${file}`, Buffer.from(hex, 'hex'));
  return disk;
}

export function putFile(disk: SimDisk, path: string, bytes: Uint8Array): void {
  const fd = disk.open(path, 0o102, 0o600);
  disk.truncate(fd, 0);
  disk.write(fd, bytes, 0);
  disk.close(fd);
}

/** Names and bytes of the files in the folder, by name. */
export function filesOf(disk: SimDisk, folder = FOLDER): RecordedFile[] {
  const entries = disk.scan(folder);
  if (typeof entries === 'number') throw new Error(`scan: ${entries}`);
  return entries
    .map(({ name, sizeBytes }) => {
      const hex = Buffer.from(disk.content(`${folder}/${name}`)).toString('hex');
      return { file: name, hex, size: sizeBytes };
    })
    .sort((a, b) => (a.file < b.file ? -1 : 1));
}

/** The folder, which must open. */
export function mustOpen(
  disk: Disk,
  options: FolderOptions = {},
  path = FOLDER,
): { folder: GroupFolder; state: FolderState } {
  const opened = openGroupFolder(disk, path, options);
  if (!opened.ok) throw new Error(opened.reason);
  return opened;
}

export function entry(index: number, term: number, data: Uint8Array | string = '', type = 0): RaftEntry {
  return { type, term, index, data: typeof data === 'string' ? Buffer.from(data, 'hex') : data };
}

/** Appends entries as the host does. */
export function append(folder: GroupFolder, entries: readonly RaftEntry[]): number {
  const told = entries.map(({ index, term, data }) => ({
    ...{ index, term },
    recordBytes: entryRecordBytes(data.byteLength),
  }));
  return folder.append(entries[0]!.index, told, new EntryRecords(entries));
}

/** All entries behind the cut. */
export function allEntries(folder: GroupFolder): RaftEntry[] {
  if (folder.lastIndex === folder.cutIndex) return [];
  const entries = folder.read(folder.cutIndex + 1, folder.lastIndex + 1, Number.MAX_SAFE_INTEGER);
  if (typeof entries === 'number') throw new Error(`read: ${entries}`);
  return entries;
}

/** An entry as it can be compared. */
export function plain({ type, term, index, data }: RaftEntry): {
  type: number;
  term: number;
  index: number;
  data: string;
} {
  return { type, term, index, data: Buffer.from(data).toString('hex') };
}

export function recordedEntries(state: RecordedState): ReturnType<typeof plain>[] {
  return (state.entries ?? []).map(({ index, term, type, dataHex }) => ({
    ...{ type, term: Number(term), index: Number(index), data: dataHex },
  }));
}

export function hardState(term: number, vote: number, commit: number): HardState {
  return { term, vote, commit };
}
