/**
 * Lists of a store in pages for the node's own threads (`internalOps.ts`): as many records as fit a slot, and where to go on. From memory; each page costs a bounded time however large the partition is.
 */
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { isTinyExtent } from '../storage/layout.js';
import type { Finding } from './checksumFindings.js';
import type { ExtentStore } from './extentStore.js';
import { LIST } from './internalOps.js';
import {
  EXTENT_RECORD_BYTES,
  FINDING_BYTES,
  ID_BYTES,
  MISSING_PART_BYTES,
  writeExtentRecord,
  writeFinding,
  writeId,
  writeMissingPart,
} from './internalRecords.js';
import { type MissingRanges, RANGES_PER_EXTENT_MAX } from './missingRanges.js';
import { isHidden, isQuiet, quietBefore } from './queries.js';

/** Rows, or ids, that one page looks at: some tens of µs. */
export const PAGE_ROWS = 8192;
/** Instead of a cursor: there is no more. */
export const PAGE_END = -1;

/** A page as it was written to a slot. */
export interface Page {
  readonly bytes: number;
  readonly next: number;
}

/** Extents from row `from` on into `view`, `room` bytes of it. `list`: quiet ones, or all. */
export function pageOfExtents(
  store: ExtentStore,
  list: number,
  from: number,
  nowMs: number,
  view: DataView,
  room: number,
): Page {
  const { table } = store;
  const before = quietBefore(nowMs);
  const until = Math.min(table.rowCount, from + PAGE_ROWS);
  let at = 0;
  let row = from;
  for (; row < until && at + EXTENT_RECORD_BYTES <= room; row += 1) {
    if (isHidden(store, row) || (list === LIST.quiet && !isQuiet(store, row, before))) continue;
    writeRow(store, row, view, at);
    at += EXTENT_RECORD_BYTES;
  }
  return { bytes: at, next: row < table.rowCount ? row : PAGE_END };
}

/** The tiny extents among `ids`, each once. Answers as many as fit, which for 64 is any slot of 2 KiB. */
export function pageOfTiny(store: ExtentStore, ids: Uint8Array, view: DataView, room: number): Page {
  let at = 0;
  for (const id of new Set(ids)) {
    const row = isTinyExtent(id) ? store.table.find(id) : NONE;
    if (row === NONE || at + EXTENT_RECORD_BYTES > room) continue;
    writeRow(store, row, view, at);
    at += EXTENT_RECORD_BYTES;
  }
  return { bytes: at, next: PAGE_END };
}

/** `findings`, ascending by extent, as many as fit. */
export function pageOfFindings(findings: readonly Finding[], view: DataView): Page {
  const count = Math.min(findings.length, Math.floor(view.byteLength / FINDING_BYTES));
  for (let i = 0; i < count; i += 1) writeFinding(view, i * FINDING_BYTES, findings[i]!);
  const next = findings[count]?.extentId ?? PAGE_END;
  return { bytes: count * FINDING_BYTES, next };
}

/** Ids that were deleted for good, behind the first `from` of the list. */
export function pageOfDeleted(store: ExtentStore, from: number, view: DataView, room: number): Page {
  let at = 0;
  let index = 0;
  let looked = 0;
  for (const id of store.deletedIds) {
    index += 1;
    if (index <= from) continue;
    if (looked === PAGE_ROWS || at + ID_BYTES > room) return { bytes: at, next: index - 1 };
    looked += 1;
    if (!store.isDeletedForGood(id)) continue;
    writeId(view, at, id);
    at += ID_BYTES;
  }
  return { bytes: at, next: PAGE_END };
}

/** Missing ranges, behind the first `from` extents of the list. All of an extent are in one page. */
export function pageOfMissing(ranges: MissingRanges, from: number, view: DataView): Page {
  const roomMin = RANGES_PER_EXTENT_MAX * MISSING_PART_BYTES;
  let at = 0;
  let passed = 0;
  for (const extentId of ranges.listedFrom(from)) {
    if (at + roomMin > view.byteLength) return { bytes: at, next: from + passed };
    for (const range of ranges.of(extentId)) {
      writeMissingPart(view, at, { extentId, ...range });
      at += MISSING_PART_BYTES;
    }
    passed += 1;
  }
  return { bytes: at, next: PAGE_END };
}

function writeRow({ table }: ExtentStore, row: number, view: DataView, at: number): void {
  const id = table.ids[row]!;
  writeExtentRecord(
    view,
    at,
    id,
    table.sizes[row]!,
    table.crcs[row]!,
    isTinyExtent(id) ? 0 : table.modTimes[row]!,
  );
}

/** Size of an extent that is there; -1 of another. */
export function sizeOf({ table }: ExtentStore, id: number): number {
  const row = table.find(id);
  return row === NONE || table.has(row, EXTENT_FLAG.deleted) ? -1 : table.sizes[row]!;
}
