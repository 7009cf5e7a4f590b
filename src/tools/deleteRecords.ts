/**
 * What the two delete lists of a partition hold (`storage.md` 8 and 9): read in steps, listed up to a bound, counted to the end.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { TINY_DELETE_RECORD_BYTES } from '../protocol/tinyDelete.js';
import type { Disk } from '../storage/io.js';
import { FILE, TINY_EXTENT_FIRST, TINY_EXTENT_LAST } from '../storage/layout.js';
import { shownUint64, type Uint64, viewOf } from './uint64.js';

/** Records, ids and segments listed of one file; the rest is counted. */
export const LISTED_MAX = 1000;

const NORMAL_RECORD_BYTES = 8;
/** A multiple of both record sizes. */
const STEP_BYTES = 24 * 4096;

/** One slot of TINYEXTENT_DELETE that is not empty. */
export interface TinyDelete {
  /** Offset of the slot in the file. */
  at: number;
  extentId: Uint64;
  offset: Uint64;
  /** As requested, not rounded to pages. */
  sizeBytes: Uint64;
}

export interface TinyDeleteReport {
  bytes: number;
  /** Slots of 24 bytes, empty ones included. */
  slots: number;
  zeroSlots: number;
  /** Slots that are not empty and name no tiny extent. */
  foreignSlots: number;
  /** Bytes behind the last whole slot: they misalign what is appended (W19). */
  tailBytes: number;
  records: TinyDelete[];
  recordsLeftOut: number;
  problem: string | null;
}

export interface NormalDeleteReport {
  bytes: number;
  /** Records of 8 bytes; an id may come several times. */
  records: number;
  tailBytes: number;
  ids: Uint64[];
  idsLeftOut: number;
  /** Ids among all records for which the folder has an extent file: `LISTED_MAX` at most. */
  present: number[];
  problem: string | null;
}

/** TINYEXTENT_DELETE of the partition folder; a missing file is an empty one with the problem told. */
export function readTinyDeletes(disk: Disk, folder: string): TinyDeleteReport {
  const report: TinyDeleteReport = {
    ...{ bytes: 0, slots: 0, zeroSlots: 0, foreignSlots: 0, tailBytes: 0 },
    ...{ records: [], recordsLeftOut: 0, problem: null },
  };
  const path = join(folder, FILE.tinyDelete);
  const { bytes, problem } = eachRecord(disk, path, TINY_DELETE_RECORD_BYTES, (view, offset, at) => {
    const extentId = shownUint64(view, offset);
    if (extentId === 0) {
      report.zeroSlots += 1;
      return;
    }
    const tiny =
      typeof extentId === 'number' && extentId >= TINY_EXTENT_FIRST && extentId <= TINY_EXTENT_LAST;
    if (!tiny) report.foreignSlots += 1;
    if (report.records.length === LISTED_MAX) report.recordsLeftOut += 1;
    else
      report.records.push({
        ...{ at, extentId },
        ...{ offset: shownUint64(view, offset + 8), sizeBytes: shownUint64(view, offset + 16) },
      });
  });
  report.bytes = bytes;
  report.slots = Math.floor(bytes / TINY_DELETE_RECORD_BYTES);
  report.tailBytes = bytes % TINY_DELETE_RECORD_BYTES;
  report.problem = problem;
  return report;
}

/** NORMALEXTENT_DELETE of the partition folder. `extents`: ids that have a file. */
export function readNormalDeletes(
  disk: Disk,
  folder: string,
  extents: ReadonlySet<number>,
): NormalDeleteReport {
  const ids: Uint64[] = [];
  const present = new Set<number>();
  let records = 0;
  const path = join(folder, FILE.normalDelete);
  const { bytes, problem } = eachRecord(disk, path, NORMAL_RECORD_BYTES, (view, offset) => {
    const id = shownUint64(view, offset);
    records += 1;
    if (ids.length < LISTED_MAX) ids.push(id);
    if (typeof id === 'number' && extents.has(id) && present.size < LISTED_MAX) present.add(id);
  });
  return {
    ...{ bytes, records, tailBytes: bytes % NORMAL_RECORD_BYTES },
    ...{ ids, idsLeftOut: records - ids.length, present: [...present], problem },
  };
}

/** Calls `take` for each whole record of the file, with its place in `view` and in the file. Gives the bytes of the file that were read. */
function eachRecord(
  disk: Disk,
  path: string,
  recordBytes: number,
  take: (view: DataView, offset: number, at: number) => void,
): { bytes: number; problem: string | null } {
  const fd = disk.open(path, constants.O_RDONLY, 0);
  if (fd < 0) return { bytes: 0, problem: `open: ${disk.errnoText(fd)}` };
  const buffer = new Uint8Array(STEP_BYTES);
  const view = viewOf(buffer);
  let bytes = 0;
  let count = 0;
  do {
    count = disk.read(fd, buffer, bytes);
    for (let at = 0; at + recordBytes <= count; at += recordBytes) take(view, at, bytes + at);
    bytes += Math.max(0, count);
  } while (count === STEP_BYTES);
  disk.close(fd);
  return { bytes, problem: count < 0 ? `read: ${disk.errnoText(count)}` : null };
}
