/**
 * What is asked about a store: watermark lists and sizes for other replicas (`wire.md` 9.5, 9.7), the file list for the master (`admin.md` 5.6), and the debug
 * API's bodies (`admin.md` 10).
 *
 * From memory, except `/block`, which reads one slot table. Called by the owner of the store only.
 */
import type { ExtentInfo } from '../protocol/extentInfo.js';
import { SnapshotText } from '../protocol/snapshotText.js';
import { SLOT_BYTES, SLOT_TABLE_BYTES, slotOffset } from '../storage/crcFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import {
  BLOCK_BYTES,
  isTinyExtent,
  TINY_EXTENT_FIRST,
  TINY_EXTENT_LAST,
  WATERMARK_QUIET_SECONDS,
} from '../storage/layout.js';
import type { ExtentStore } from './extentStore.js';
import type { StoreHost } from './storeHost.js';

/** Normal extents that are not deleted, not empty, and were last appended to more than 60 s ago. */
export function normalWatermarks(store: ExtentStore, nowMs: number): ExtentInfo[] {
  const before = quietBefore(nowMs);
  return infosWhere(store, (row) => isQuiet(store, row, before));
}

/**
 * What a load task tells the master of this replica: the extents that `normalWatermarks` would list, then all tiny ones, as JSON. Made anew for each task. The
 * reference hands out a list that is up to five minutes old, and none before that; the master compares only what has been left alone for longer.
 */
export function replicaSnapshot(store: ExtentStore, nowMs: number): Uint8Array {
  const { table } = store;
  const before = quietBefore(nowMs);
  const text = new SnapshotText();
  for (let row = 0; row < table.rowCount; row += 1) {
    if (isHidden(store, row) || !isQuiet(store, row, before)) continue;
    text.add(table.ids[row]!, table.crcs[row]!, table.sizes[row]!, table.modTimes[row]!);
  }
  for (let id = TINY_EXTENT_FIRST; id <= TINY_EXTENT_LAST; id += 1) {
    const row = table.find(id);
    if (row !== NONE) text.add(id, 0, table.sizes[row]!, 0);
  }
  return text.finish();
}

/** Exactly the tiny extents that are asked for. */
export function tinyWatermarks(store: ExtentStore, ids: number[]): ExtentInfo[] {
  const wanted = new Set(ids);
  return infosWhere(store, (row) => isTinyExtent(store.table.ids[row]!) && wanted.has(store.table.ids[row]!));
}

/** Every extent that is not deleted. */
export function allExtents(store: ExtentStore): ExtentInfo[] {
  return infosWhere(store, () => true);
}

/** Ids and sizes of those. */
export function* extentsOf(store: ExtentStore): Generator<{ extentId: number; sizeBytes: number }> {
  const { table } = store;
  for (let row = 0; row < table.rowCount; row += 1) {
    if (!isHidden(store, row)) yield { extentId: table.ids[row]!, sizeBytes: table.sizes[row]! };
  }
}

/** One extent, deleted or not; null when there is no record. */
export function extentInfo(store: ExtentStore, id: number): ExtentInfo | null {
  const row = store.table.find(id);
  return row === NONE ? null : infoOf(store, row);
}

/** Sum of sizes of all records with an id up to `idMax`, and the largest id of all. */
export function sizeSum(store: ExtentStore, idMax: number): { sizeBytes: number; extentIdMax: number } {
  const { table } = store;
  let sizeBytes = 0;
  let extentIdMax = 0;
  for (let row = 0; row < table.rowCount; row += 1) {
    if (!table.has(row, EXTENT_FLAG.used)) continue;
    extentIdMax = Math.max(extentIdMax, table.ids[row]!);
    if (table.ids[row]! <= idMax) sizeBytes += table.sizes[row]!;
  }
  return { sizeBytes, extentIdMax };
}

/** Stored checksum of one block, under the names of the debug API. */
export interface BlockCrc {
  BlockNo: number;
  Crc: number;
}

/** Stored checksums of a normal extent's blocks, 0 where unknown; a negated errno when EXTENT_CRC cannot be read, null without a record. */
export function blockCrcs(host: StoreHost, store: ExtentStore, id: number): BlockCrc[] | number | null {
  const row = store.table.find(id);
  if (row === NONE) return null;
  const count = isTinyExtent(id) ? 0 : Math.ceil(store.table.sizes[row]! / BLOCK_BYTES);
  const slots = new Uint8Array(SLOT_TABLE_BYTES);
  const result = host.disk.read(store.crcFd, slots, slotOffset(id, 0));
  if (result < 0) return result;
  const view = new DataView(slots.buffer);
  return Array.from({ length: count }, (_, block) => ({
    BlockNo: block,
    Crc: view.getUint32(block * SLOT_BYTES),
  }));
}

/** Extents that were appended to from this second on are not told to others. */
export function quietBefore(nowMs: number): number {
  return Math.floor(nowMs / 1000) - WATERMARK_QUIET_SECONDS;
}

/** Whether the extent in `row` is told to others, `before` as `quietBefore` gives it. */
export function isQuiet({ table }: ExtentStore, row: number, before: number): boolean {
  return !isTinyExtent(table.ids[row]!) && table.sizes[row]! > 0 && table.modTimes[row]! < before;
}

/** Whether there is nothing in `row` that anybody is told of. */
export function isHidden({ table }: ExtentStore, row: number): boolean {
  return !table.has(row, EXTENT_FLAG.used) || table.has(row, EXTENT_FLAG.deleted);
}

function infosWhere(store: ExtentStore, test: (row: number) => boolean): ExtentInfo[] {
  const { table } = store;
  const infos: ExtentInfo[] = [];
  for (let row = 0; row < table.rowCount; row += 1) {
    if (!isHidden(store, row) && test(row)) infos.push(infoOf(store, row));
  }
  return infos;
}

function infoOf(store: ExtentStore, row: number): ExtentInfo {
  const { table } = store;
  const fileId = table.ids[row]!;
  return {
    fileId,
    size: table.sizes[row]!,
    crc: table.crcs[row]!,
    deleted: table.has(row, EXTENT_FLAG.deleted),
    modTime: isTinyExtent(fileId) ? 0 : table.modTimes[row]!,
    source: '',
  };
}
