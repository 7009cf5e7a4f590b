/**
 * The words and numbers of the on-disk layout (`storage.md` 1-6, 12): names, sizes, limits. Knows nothing of files or operations.
 */

/** -1 unavailable, 1 read-only, 2 read-write. */
export type Status = -1 | 1 | 2;

export const KiB = 1024;
export const MiB = 1024 * KiB;

/** Bytes of a block: the unit of checksums and of read replies. */
export const BLOCK_BYTES = 128 * KiB;
export const BLOCKS_PER_EXTENT = 1024;
export const EXTENT_BYTES_MAX = BLOCK_BYTES * BLOCKS_PER_EXTENT;
/** A write body larger than one block is handled as pieces of one block (`wire.md` 9.2). */
export const WRITE_BYTES_MAX = 2 * MiB;
export const PAGE_BYTES = 4 * KiB;

export const TINY_EXTENT_FIRST = 1;
export const TINY_EXTENT_LAST = 64;
/** A tiny append whose last byte would end here or later is refused. */
export const TINY_END_LIMIT = 2 ** 32 - 1;
/** Largest watermark that a primary gives a tiny extent: 2^32 would not fit the 32-bit fields of other nodes (W22). */
export const TINY_WATERMARK_MAX = 2 ** 32 - PAGE_BYTES;
/** The first allocated normal id is one more. */
export const EXTENT_ID_BASE_MIN = 1024;
/** Ids above are refused: id × 4096 must stay an exact file offset. No node comes near (2^40 extents of 128 MiB). */
export const EXTENT_ID_MAX = 2 ** 40;

/** Extent records from which a partition is read-only, and from which its primary refuses to create. */
export const EXTENTS_READ_ONLY = 20_000;
export const EXTENTS_MAX = 60_000;
/** Quiet seconds before a normal extent is listed in watermarks. */
export const WATERMARK_QUIET_SECONDS = 60;

/** Quiet seconds before a normal extent's checksums are computed and shown, as in the reference. */
export const CHECKSUM_QUIET_SECONDS = 600;

/** A deleted normal extent keeps its record so long: its id exists for creates. */
export const DELETED_RECORD_MS = 600_000;

export const SECTOR_BYTES = 512;
export const FOLDER_MODE = 0o755;
export const FILE_MODE = 0o666;

export const FILE = {
  meta: 'META',
  apply: 'APPLY',
  extentMeta: 'EXTENT_META',
  extentCrc: 'EXTENT_CRC',
  tinyDelete: 'TINYEXTENT_DELETE',
  normalDelete: 'NORMALEXTENT_DELETE',
  /** extentd's own (`docs/checksums.md`); the reference ignores it. */
  extentClean: 'EXTENT_CLEAN',
  /** As well: what raft has committed and could not be written here (`docs/raft.md`, Applying). */
  raftMissing: 'RAFT_MISSING',
} as const;

/** Held with flock by the process that serves the disk. The reference ignores it. */
export const LOCK_FILE = '.extentd.lock';
/** At the root of a disk: how far the scrub of a worker has come, with the worker's number behind it. */
export const SCRUB_FILE_PREFIX = '.extentd.scrub.';

/** At the root of a disk: the raft journals of its workers, a folder each, and marks of groups (`docs/raft.md`). The reference ignores it. */
export const RAFT_FOLDER = '.extentd.raft';

const PARTITION_FOLDER = /^datapartition_(\d+)_(\d+)$/;
const DELETED_FOLDER = /^deleted_datapartition_\d+_\d+_\d+$/;
const EXTENT_NAME = /^\d+$/;

/** Name of the folder of a partition. */
export function partitionFolderName(id: number, sizeBytes: number): string {
  return `datapartition_${id}_${sizeBytes}`;
}

/** Id and size (bytes) told by a partition folder's name; null when the name is of another kind or out of range. */
export function parsePartitionFolderName(name: string): { id: number; sizeBytes: number } | null {
  const match = PARTITION_FOLDER.exec(name);
  if (match === null) return null;
  const id = Number(match[1]);
  const sizeBytes = Number(match[2]);
  return Number.isSafeInteger(id) && Number.isSafeInteger(sizeBytes) ? { id, sizeBytes } : null;
}

/** Whether a name was meant for a partition's folder, although it is none that `parsePartitionFolderName` knows. */
export function resemblesPartitionFolder(name: string): boolean {
  return name.startsWith('datapartition_') && parsePartitionFolderName(name) === null;
}

/** The name under which a partition's folder waits for its removal: matches nothing that a node loads (W24). */
export function deletedFolderName(folderName: string, nowMs: number): string {
  return `deleted_${folderName}_${nowMs}`;
}

/** Whether a folder of this name waits for its removal. */
export function isDeletedFolderName(name: string): boolean {
  return DELETED_FOLDER.test(name);
}

/** Extent id of a file name in canonical decimal form, -1 for every other name (`storage.md` 4.1). */
export function parseExtentName(name: string): number {
  // A folder has tens of thousands of names: the first character decides about most of the others.
  const first = name.charCodeAt(0);
  if (first < 0x30 || first > 0x39 || !EXTENT_NAME.test(name)) return -1;
  const id = Number(name);
  return id <= EXTENT_ID_MAX && String(id) === name ? id : -1;
}

/** Ids 1..64. */
export function isTinyExtent(id: number): boolean {
  return id >= TINY_EXTENT_FIRST && id <= TINY_EXTENT_LAST;
}

/** Watermark of a tiny extent whose last byte ends at `end` (`storage.md` 4.3). */
export function roundUpToPage(end: number): number {
  return Math.ceil(end / PAGE_BYTES) * PAGE_BYTES;
}
