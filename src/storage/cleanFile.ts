/**
 * EXTENT_CLEAN: whose checksums hold after any crash (`docs/checksums.md`). Its bytes, and the synchronous calls of start, creation and stop; while a
 * partition serves, entries are written by `src/partition` as entries of the I/O batch.
 */
import assert from 'node:assert';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { native } from '../native/addon.js';
import { BASE_BYTES, EXTENT_META_BYTES } from './extentMeta.js';
import type { Disk } from './io.js';
import { FILE, FILE_MODE } from './layout.js';
import { writeFully } from './wholeFile.js';

export const CLEAN_HEADER_BYTES = 32;
export const CLEAN_ENTRY_BYTES = 16;
/** Entries begin here. */
const ENTRIES_AT = 64;
/** Extents with larger ids have no entry: the table would grow past 1 GiB. */
export const CLEAN_ID_MAX = 2 ** 26;

/** What an entry says of its extent. */
export const CLEAN_KIND = { clean: 1, damaged: 2, broken: 3, healing: 4, healingSeveral: 5 } as const;
export type CleanKind = (typeof CLEAN_KIND)[keyof typeof CLEAN_KIND];

const MAGIC = new TextEncoder().encode('EXTENTDC');
const VERSION = 1;
/** High half of a stamp's eight bytes: no mark of the reference, a small multiple of 1000, looks like it. The low 48 bits are a time in ms. */
const STAMP_PREFIX = 0xe87d;
const STAMP_MAX = 2 ** 48;
const SIZE_BITS = 28;
/** Entries are read this many bytes at a time. */
const WINDOW_BYTES = 64 * 1024;

/** Header of a file that is not void. */
export interface CleanHeader {
  /** Unix ms, the number in the low 48 bits. */
  stamp: number;
  /** Extents from this id on were created by extentd. */
  ownFrom: number;
}

/** Byte offset of an extent's entry. */
export function cleanOffset(extentId: number): number {
  return ENTRIES_AT + extentId * CLEAN_ENTRY_BYTES;
}

/** Whether the extent can have an entry. */
export function canHaveEntry(extentId: number): boolean {
  return extentId <= CLEAN_ID_MAX;
}

/** The stamp to use now: the time, or one more than the last that the folder had. */
export function nextStamp(nowMs: number, lastStamp: number): number {
  const stamp = Math.max(Math.floor(nowMs), lastStamp + 1);
  assert(stamp > 0 && stamp < STAMP_MAX, 'a stamp is a time of this era');
  return stamp;
}

/** The eight bytes of a stamp, as they stand in the header and in EXTENT_META. */
export function encodeStamp(bytes: Uint8Array, offset: number, stamp: number): void {
  putStamp(viewOf(bytes), offset, stamp);
}

function putStamp(view: DataView, offset: number, stamp: number): void {
  view.setUint16(offset, STAMP_PREFIX);
  view.setUint16(offset + 2, Math.floor(stamp / 2 ** 32));
  view.setUint32(offset + 4, stamp >>> 0);
}

/** The stamp at `offset`; 0 when none is there. */
export function decodeStamp(bytes: Uint8Array, offset: number): number {
  if (bytes.byteLength < offset + 8) return 0;
  const view = viewOf(bytes);
  if (view.getUint16(offset) !== STAMP_PREFIX) return 0;
  return view.getUint16(offset + 2) * 2 ** 32 + view.getUint32(offset + 4);
}

/** The header's bytes. */
export function encodeCleanHeader({ stamp, ownFrom }: CleanHeader): Uint8Array {
  const bytes = new Uint8Array(CLEAN_HEADER_BYTES);
  bytes.set(MAGIC);
  const view = viewOf(bytes);
  view.setUint32(8, VERSION);
  encodeStamp(bytes, 16, stamp);
  view.setUint32(24, Math.floor(ownFrom / 2 ** 32));
  view.setUint32(28, ownFrom >>> 0);
  view.setUint32(12, headerCheck(bytes));
  return bytes;
}

/** The header; null when it is torn, of another version, or none. */
export function decodeCleanHeader(bytes: Uint8Array): CleanHeader | null {
  if (bytes.byteLength < CLEAN_HEADER_BYTES || MAGIC.some((byte, at) => bytes[at] !== byte)) return null;
  const view = viewOf(bytes);
  if (view.getUint32(8) !== VERSION || view.getUint32(12) !== headerCheck(bytes)) return null;
  const ownFrom = view.getUint32(24) * 2 ** 32 + view.getUint32(28);
  return { stamp: decodeStamp(bytes, 16), ownFrom };
}

function headerCheck(bytes: Uint8Array): number {
  const first = native.crc32(bytes.subarray(0, 12), 0);
  return native.crc32(bytes.subarray(16, CLEAN_HEADER_BYTES), first);
}

/** Blocks that one entry can name: ten bits each and a count, in a number that is exact. */
export const HEALING_BLOCKS_MAX = 5;
const BLOCK_NUMBERS = 1024;
const COUNT_AT = BLOCK_NUMBERS ** HEALING_BLOCKS_MAX;

/** One entry. Sizes in bytes, `mtimeMs` whole ms; of kind `healing` a `healingMark` stands in its place, of kind `healingSeveral` a `severalMark`. */
export interface CleanEntry {
  kind: CleanKind;
  sizeBytes: number;
  mtimeMs: number;
}

/** Stands for mtime in an entry of kind `healing`: which block is written over, and the checksum of what belongs there. */
export function healingMark(block: number, crc: number): number {
  return block * 2 ** 32 + crc;
}

/** Stands for mtime in an entry of kind `healingSeveral`: the blocks, at most `HEALING_BLOCKS_MAX`. */
export function severalMark(blocks: readonly number[]): number {
  assert(blocks.length > 0 && blocks.length <= HEALING_BLOCKS_MAX, 'an entry names up to five blocks');
  assert(
    blocks.every((block) => block >= 0 && block < BLOCK_NUMBERS),
    'an extent has at most 1024 blocks',
  );
  return blocks.reduceRight((mark, block) => mark * BLOCK_NUMBERS + block, 0) + blocks.length * COUNT_AT;
}

/** The blocks that an entry of a kind of healing names. */
export function healingBlocks({ kind, mtimeMs }: CleanEntry): readonly number[] {
  if (kind === CLEAN_KIND.healing) return [Math.floor(mtimeMs / 2 ** 32)];
  const count = Math.min(HEALING_BLOCKS_MAX, Math.floor(mtimeMs / COUNT_AT));
  return Array.from({ length: count }, (_, i) => Math.floor(mtimeMs / BLOCK_NUMBERS ** i) % BLOCK_NUMBERS);
}

/** Whether an entry names blocks that are or were being healed. */
export function isHealing(kind: CleanKind): boolean {
  return kind === CLEAN_KIND.healing || kind === CLEAN_KIND.healingSeveral;
}

/** Writes the entry of an extent at `offset` of `bytes`. */
export function encodeCleanEntry(
  bytes: Uint8Array,
  offset: number,
  stamp: number,
  extentId: number,
  { kind, sizeBytes, mtimeMs }: CleanEntry,
): void {
  assert(sizeBytes >= 0 && sizeBytes < 2 ** SIZE_BITS, 'an extent with an entry has at most 128 MiB');
  const view = viewOf(bytes);
  view.setUint32(offset + 4, kind * 2 ** SIZE_BITS + sizeBytes);
  view.setUint32(offset + 8, Math.floor(mtimeMs / 2 ** 32));
  view.setUint32(offset + 12, mtimeMs >>> 0);
  view.setUint32(offset, entryCheck(bytes, offset, stamp, extentId));
}

/** The entry of an extent; null when there is none, or it is torn, of another stamp or of another extent. */
export function decodeCleanEntry(
  bytes: Uint8Array,
  offset: number,
  stamp: number,
  extentId: number,
): CleanEntry | null {
  const view = viewOf(bytes);
  const word = view.getUint32(offset + 4);
  const kind = word >>> SIZE_BITS;
  if (kind < CLEAN_KIND.clean || kind > CLEAN_KIND.healingSeveral) return null;
  if (view.getUint32(offset) !== entryCheck(bytes, offset, stamp, extentId)) return null;
  const mtimeMs = view.getUint32(offset + 8) * 2 ** 32 + view.getUint32(offset + 12);
  return { kind: kind as CleanKind, sizeBytes: word % 2 ** SIZE_BITS, mtimeMs };
}

/** What the check of an entry is over. Kept, with its view: a start checks a million entries. */
const checked = new Uint8Array(28);
const checkedView = viewOf(checked);

function entryCheck(bytes: Uint8Array, offset: number, stamp: number, extentId: number): number {
  putStamp(checkedView, 0, stamp);
  checkedView.setUint32(8, Math.floor(extentId / 2 ** 32));
  checkedView.setUint32(12, extentId >>> 0);
  for (let at = 4; at < CLEAN_ENTRY_BYTES; at += 1) checked[12 + at] = bytes[offset + at]!;
  return native.crc32(checked, 0);
}

/** What a folder's EXTENT_CLEAN says at a start. */
export interface FoundClean {
  /** Fd of the file, which the caller closes; -1 when there is none. */
  fd: number;
  /** Null when the file is missing or void: nothing in it counts. */
  header: CleanHeader | null;
  /** Highest stamp that the folder has had, 0 for none. */
  lastStamp: number;
}

/**
 * Opens EXTENT_CLEAN of the folder at `path`. `mark`: the stamp in EXTENT_META, which must be the same. Nothing is created. A file that cannot be opened or
 * read counts as void: what it says is never needed.
 */
export function openCleanFile(
  disk: Disk,
  path: string,
  mark: number,
  flags: number = constants.O_RDWR,
): FoundClean {
  const fd = disk.open(join(path, FILE.extentClean), flags, FILE_MODE);
  if (fd < 0) return { fd: -1, header: null, lastStamp: mark };
  const bytes = new Uint8Array(CLEAN_HEADER_BYTES);
  const got = disk.read(fd, bytes, 0);
  const header = got === CLEAN_HEADER_BYTES ? decodeCleanHeader(bytes) : null;
  const lastStamp = Math.max(mark, header?.stamp ?? 0);
  return { fd, header: header !== null && header.stamp === mark ? header : null, lastStamp };
}

/**
 * Calls `found` for each extent that has an entry. `ids` must ascend. Reads only what lies around them.
 */
export function readCleanEntries(
  disk: Disk,
  fd: number,
  stamp: number,
  ids: Float64Array,
  found: (extentId: number, entry: CleanEntry) => void,
): void {
  const window = new Uint8Array(WINDOW_BYTES);
  let windowAt = -1;
  let windowBytes = 0;
  for (const id of ids) {
    if (!canHaveEntry(id)) continue;
    const at = cleanOffset(id);
    if (windowAt < 0 || at + CLEAN_ENTRY_BYTES > windowAt + WINDOW_BYTES) {
      windowAt = at;
      windowBytes = Math.max(0, disk.read(fd, window, at));
    }
    if (at + CLEAN_ENTRY_BYTES > windowAt + windowBytes) continue;
    const entry = decodeCleanEntry(window, at - windowAt, stamp, id);
    if (entry !== null) found(id, entry);
  }
}

/**
 * Makes EXTENT_CLEAN of the folder at `path` say nothing, under a new stamp, and puts that into EXTENT_META: whatever was in it is void. Durable on
 * return. `metaFd`: EXTENT_META. Result: the fd of EXTENT_CLEAN, or a negated errno.
 */
export function beginCleanFile(disk: Disk, path: string, metaFd: number, header: CleanHeader): number {
  const file = join(path, FILE.extentClean);
  const fd = disk.open(file, constants.O_RDWR | constants.O_CREAT, FILE_MODE);
  if (fd < 0) return fd;
  const stamp = new Uint8Array(EXTENT_META_BYTES - BASE_BYTES);
  encodeStamp(stamp, 0, header.stamp);
  let result = writeFully(disk, fd, encodeCleanHeader(header), 0);
  if (result >= 0) result = disk.fdatasync(fd);
  if (result >= 0) result = writeFully(disk, metaFd, stamp, BASE_BYTES);
  if (result >= 0) result = disk.fdatasync(metaFd);
  if (result >= 0) return fd;
  disk.close(fd);
  return result;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
