/**
 * EXTENT_CLEAN at start and at a clean stop, synchronously (`docs/checksums.md`). In between, `extentCheck.ts` adds entries and `dirtyRecord.ts` takes them
 * away.
 */

import {
  beginCleanFile,
  CLEAN_ENTRY_BYTES,
  CLEAN_KIND,
  canHaveEntry,
  cleanOffset,
  encodeCleanEntry,
  healingBlocks,
  isHealing,
  nextStamp,
  readCleanEntries,
} from '../storage/cleanFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import type { Disk } from '../storage/io.js';
import { BLOCK_BYTES, isTinyExtent, parseExtentName } from '../storage/layout.js';
import type { FoundExtent } from '../storage/partitionFolder.js';
import { writeFully } from '../storage/wholeFile.js';
import type { ExtentStore } from './extentStore.js';
import type { StoreHost } from './storeHost.js';

/**
 * Marks the extents of a store that was just loaded, as its EXTENT_CLEAN has them. `extents`: its files as found. An entry of a file with another size or
 * mtime says nothing, unless it says that the extent is broken, or that blocks of it were being healed.
 */
export function loadCleanEntries(disk: Disk, store: ExtentStore, extents: readonly FoundExtent[]): void {
  if (store.cleanStamp === 0) return;
  const { table } = store;
  const mtimes = new Float64Array(table.rowCount);
  const ids = new Float64Array(extents.length);
  for (const [at, { id, mtimeMs }] of extents.entries()) {
    ids[at] = id;
    mtimes[table.find(id)] = Math.floor(mtimeMs);
  }
  readCleanEntries(disk, store.cleanFd, store.cleanStamp, ids.sort(), (id, entry) => {
    const row = table.find(id);
    if (entry.kind === CLEAN_KIND.broken) return table.set(row, EXTENT_FLAG.syncFailed);
    if (isHealing(entry.kind)) {
      const blocks = healingBlocks(entry).filter((block) => block * BLOCK_BYTES < table.sizes[row]!);
      if (blocks.length > 0) store.unhealed.set(id, blocks);
      return;
    }
    if (entry.sizeBytes !== table.sizes[row] || entry.mtimeMs !== mtimes[row]) return;
    table.set(row, EXTENT_FLAG.clean | EXTENT_FLAG.trusted);
    if (entry.kind === CLEAN_KIND.damaged) table.set(row, EXTENT_FLAG.damaged);
  });
}

/**
 * Makes every trusted extent of a store clean: all their files and nothing else have been synced. Durable on return. Result 0 or a negated errno; an entry that
 * could not be written only costs a comparison later.
 */
export function saveCleanEntries(host: StoreHost, store: ExtentStore): number {
  const rows = rowsToSave(store);
  if (rows.size === 0 || store.slotsLost) return 0;
  const { disk, clock } = host;
  let result = disk.fdatasync(store.crcFd);
  if (result < 0) {
    store.slotsLost = true;
    return result;
  }
  const entries = disk.scan(store.path);
  if (typeof entries === 'number') return entries;
  if (store.cleanStamp === 0) {
    result = begin(disk, store, clock.nowMs());
    if (result < 0) return result;
  }
  const bytes = new Uint8Array(CLEAN_ENTRY_BYTES);
  for (const { name, mtimeMs, sizeBytes } of entries) {
    const id = parseExtentName(name);
    const row = id < 0 ? NONE : store.table.find(id);
    if (!rows.has(row) || sizeBytes !== store.table.sizes[row]) continue;
    const damaged = store.table.has(row, EXTENT_FLAG.damaged);
    const kind = damaged ? CLEAN_KIND.damaged : CLEAN_KIND.clean;
    const entry = { kind, sizeBytes, mtimeMs: Math.floor(mtimeMs) };
    encodeCleanEntry(bytes, 0, store.cleanStamp, id, entry);
    result = writeFully(disk, store.cleanFd, bytes, cleanOffset(id));
    if (result < 0) return result;
  }
  return disk.fdatasync(store.cleanFd);
}

/** Extents whose slots can be relied on, and of which EXTENT_CLEAN does not say so. */
function rowsToSave({ table }: ExtentStore): Set<number> {
  const rows = new Set<number>();
  const others = EXTENT_FLAG.deleted | EXTENT_FLAG.creating | EXTENT_FLAG.syncFailed | EXTENT_FLAG.clean;
  for (let row = 0; row < table.rowCount; row += 1) {
    if (!table.has(row, EXTENT_FLAG.trusted) || table.has(row, others)) continue;
    const id = table.ids[row]!;
    if (canHaveEntry(id) && !isTinyExtent(id) && table.sizes[row]! > 0) rows.add(row);
  }
  return rows;
}

/** Begins EXTENT_CLEAN in a folder that has none that counts. */
function begin(disk: Disk, store: ExtentStore, nowMs: number): number {
  const stamp = nextStamp(nowMs, store.lastStamp);
  const fd = beginCleanFile(disk, store.path, store.metaFd, { stamp, ownFrom: store.ownFrom });
  if (fd < 0) return fd;
  if (store.cleanFd >= 0) disk.close(store.cleanFd);
  store.cleanFd = fd;
  store.cleanStamp = stamp;
  store.lastStamp = stamp;
  return 0;
}
