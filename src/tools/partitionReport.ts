/**
 * Everything a partition's folder holds, as one value for `extentd inspect`: read once, nothing judged, nothing changed.
 *
 * Unlike the loader it does not stop at what is wrong: each part that cannot be read says so, and the others are still told.
 */
import { constants } from 'node:fs';
import { basename, join } from 'node:path';
import { type AppliedIndex, readApply } from '../storage/applyFile.js';
import { SLOT_BYTES, SLOT_TABLE_BYTES, slotOffset } from '../storage/crcFile.js';
import type { Disk, FolderEntry } from '../storage/io.js';
import {
  BLOCK_BYTES,
  BLOCKS_PER_EXTENT,
  FILE,
  isTinyExtent,
  parseExtentName,
  parsePartitionFolderName,
  SECTOR_BYTES,
} from '../storage/layout.js';
import { type PartitionMeta, readMeta } from '../storage/metaFile.js';
import { readWholeFile } from '../storage/wholeFile.js';
import { type ChecksumState, type CleanReport, type CleanView, readCleanView } from './cleanReport.js';
import {
  LISTED_MAX,
  type NormalDeleteReport,
  readNormalDeletes,
  readTinyDeletes,
  type TinyDeleteReport,
} from './deleteRecords.js';
import { type RaftLogReport, readRaftLog } from './raftLog.js';
import { shownUint64, type Uint64, viewOf } from './uint64.js';

/** A range of a file that is data or a hole. */
export interface Segment {
  kind: 'data' | 'hole';
  offset: number;
  bytes: number;
}

/** The block checksums of a normal extent. */
export interface SlotSummary {
  /** Blocks that hold data, the last one perhaps in part. */
  blocks: number;
  /** Slots of these blocks that are not zero. */
  known: number;
  /** Slots that are not zero behind the last block. */
  beyondEnd: number;
  /** What they are worth. */
  state: ChecksumState;
}

export interface ExtentReport {
  id: number;
  kind: 'tiny' | 'normal';
  sizeBytes: number;
  /** Space on the disk. */
  allocatedBytes: number;
  /** ISO 8601, UTC. */
  modified: string;
  /** Tiny extents with data. */
  segments?: Segment[];
  segmentsLeftOut?: number;
  /** Normal extents. */
  slots?: SlotSummary;
  problem?: string;
}

export interface PartitionReport {
  path: string;
  meta: PartitionMeta | null;
  apply: AppliedIndex;
  extentMeta: { bytes: number; base: Uint64; mark: Uint64; problem: string | null };
  extentCrc: { bytes: number; allocatedBytes: number };
  extentClean: CleanReport;
  extents: ExtentReport[];
  tinyDeletes: TinyDeleteReport;
  normalDeletes: NormalDeleteReport;
  raft: RaftLogReport | null;
  /** What else is in the folder: harmless to either node unless the name is all digits. */
  others: { name: string; kind: FolderEntry['kind']; sizeBytes: number }[];
  problems: string[];
}

const EXTENT_META_FILE_MAX = 4096;
const KNOWN_NAMES = new Set<string>(Object.values(FILE));
/** The last moment that a Date can hold; a damaged inode may claim a later one. */
const DATE_MS_MAX = 8.64e15;
const RAFT_FOLDER = /^wal_\d+$/;

/** Reads the partition folder at `path`; a message when it cannot be listed. */
export function reportPartition(disk: Disk, path: string): PartitionReport | string {
  const entries = disk.scan(path);
  if (typeof entries === 'number') return `readdir ${path}: ${disk.errnoText(entries)}`;
  const problems: string[] = [];
  const meta = readMeta(disk, path);
  if (!meta.ok) problems.push(`META: ${meta.message}`);
  const told = parsePartitionFolderName(basename(path));
  if (meta.ok && told !== null) {
    const { partitionId, sizeBytes } = meta.value;
    if (partitionId !== told.id || sizeBytes !== told.sizeBytes)
      problems.push(`META names partition ${partitionId} of ${sizeBytes} bytes, the folder another`);
  }
  const clean = readCleanView(disk, path, entries);
  const extents = reportExtents(disk, path, entries, clean);
  const raft = raftLogOf(disk, path, entries, problems);
  const crc = entries.find(({ name }) => name === FILE.extentCrc);
  const others = entries.filter((entry) => {
    const extent = entry.kind === 'file' && parseExtentName(entry.name) >= 0;
    return (
      !extent && !KNOWN_NAMES.has(entry.name) && !(entry.kind === 'folder' && RAFT_FOLDER.test(entry.name))
    );
  });
  for (const { name } of others)
    if (/^\d+$/.test(name)) problems.push(`${name} is named like an extent but is none`);
  return {
    path,
    meta: meta.ok ? meta.value : null,
    apply: readApply(disk, path),
    extentMeta: reportExtentMeta(disk, path),
    extentCrc: { bytes: crc?.sizeBytes ?? 0, allocatedBytes: (crc?.blocks512 ?? 0) * SECTOR_BYTES },
    extentClean: clean.report,
    extents,
    tinyDeletes: readTinyDeletes(disk, path),
    normalDeletes: readNormalDeletes(disk, path, new Set(extents.map(({ id }) => id))),
    raft,
    others: others.map(({ name, kind, sizeBytes }) => ({ name, kind, sizeBytes })),
    problems,
  };
}

/** Both numbers of EXTENT_META; missing bytes count as zeros. */
function reportExtentMeta(disk: Disk, path: string): PartitionReport['extentMeta'] {
  const bytes = readWholeFile(disk, join(path, FILE.extentMeta), EXTENT_META_FILE_MAX);
  if (typeof bytes === 'number') return { bytes: 0, base: 0, mark: 0, problem: disk.errnoText(bytes) };
  const full = new Uint8Array(16);
  full.set(bytes.subarray(0, 16));
  const view = viewOf(full);
  const problem = bytes.byteLength < 16 ? 'shorter than 16 bytes' : null;
  return { bytes: bytes.byteLength, base: shownUint64(view, 0), mark: shownUint64(view, 8), problem };
}

function raftLogOf(
  disk: Disk,
  path: string,
  entries: FolderEntry[],
  problems: string[],
): RaftLogReport | null {
  const folders = entries.filter(({ name, kind }) => kind === 'folder' && RAFT_FOLDER.test(name));
  if (folders.length > 1) problems.push(`${folders.length} raft log folders; the first is shown`);
  const [first] = folders.map(({ name }) => name).sort();
  if (first === undefined) return null;
  const raft = readRaftLog(disk, join(path, first));
  if (typeof raft !== 'string') return raft;
  problems.push(raft);
  return null;
}

/** The extent files, by id. */
function reportExtents(disk: Disk, path: string, entries: FolderEntry[], clean: CleanView): ExtentReport[] {
  const crcFd = disk.open(join(path, FILE.extentCrc), constants.O_RDONLY, 0);
  const table = new Uint8Array(SLOT_TABLE_BYTES);
  const extents: ExtentReport[] = [];
  for (const entry of entries) {
    const id = parseExtentName(entry.name);
    if (id < 0 || entry.kind !== 'file') continue;
    const kind = isTinyExtent(id) ? 'tiny' : 'normal';
    const extent: ExtentReport = {
      ...{ id, kind, sizeBytes: entry.sizeBytes, allocatedBytes: entry.blocks512 * SECTOR_BYTES },
      modified: new Date(Math.min(entry.mtimeMs, DATE_MS_MAX)).toISOString(),
    };
    if (entry.errno !== 0) extent.problem = `lstat: ${disk.errnoText(entry.errno)}`;
    else if (kind === 'tiny' && entry.sizeBytes > 0) addSegments(disk, path, extent);
    else if (kind === 'normal') addSlots(disk, crcFd, table, extent, clean.stateOf(id));
    extents.push(extent);
  }
  if (crcFd >= 0) disk.close(crcFd);
  return extents.sort((a, b) => a.id - b.id);
}

/** Where the file has data and where holes. */
function addSegments(disk: Disk, path: string, extent: ExtentReport): void {
  const fd = disk.open(join(path, String(extent.id)), constants.O_RDONLY, 0);
  if (fd < 0) {
    extent.problem = `open: ${disk.errnoText(fd)}`;
    return;
  }
  const segments: Segment[] = [];
  let leftOut = 0;
  const add = (kind: Segment['kind'], from: number, to: number): void => {
    if (to <= from) return;
    if (segments.length < LISTED_MAX) segments.push({ kind, offset: from, bytes: to - from });
    else leftOut += 1;
  };
  for (let at = 0; at < extent.sizeBytes; ) {
    // Past the last data there is no more: then the rest is a hole.
    const data = disk.seekData(fd, at);
    const dataAt = data < 0 ? extent.sizeBytes : Math.min(data, extent.sizeBytes);
    add('hole', at, dataAt);
    if (dataAt === extent.sizeBytes) break;
    const hole = disk.seekHole(fd, dataAt);
    const end = hole <= dataAt ? extent.sizeBytes : Math.min(hole, extent.sizeBytes);
    add('data', dataAt, end);
    at = end;
  }
  disk.close(fd);
  extent.segments = segments;
  if (leftOut > 0) extent.segmentsLeftOut = leftOut;
}

/** The extent's slots in EXTENT_CRC. */
function addSlots(
  disk: Disk,
  crcFd: number,
  table: Uint8Array,
  extent: ExtentReport,
  state: ChecksumState,
): void {
  const blocks = Math.ceil(extent.sizeBytes / BLOCK_BYTES);
  extent.slots = { blocks, known: 0, beyondEnd: 0, state };
  const got = crcFd < 0 ? crcFd : disk.read(crcFd, table, slotOffset(extent.id, 0));
  if (got < 0) {
    extent.problem = `${FILE.extentCrc}: ${disk.errnoText(got)}`;
    return;
  }
  table.fill(0, got);
  const view = viewOf(table);
  for (let block = 0; block < BLOCKS_PER_EXTENT; block += 1) {
    if (view.getUint32(block * SLOT_BYTES) === 0) continue;
    if (block < blocks) extent.slots.known += 1;
    else extent.slots.beyondEnd += 1;
  }
}
