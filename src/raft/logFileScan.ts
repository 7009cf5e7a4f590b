/**
 * What a log file holds, found out when its folder is opened: by its records from the front, or by its index at the end (`raft.md` 6.3, 6.5). Reads only; what
 * follows from it is decided in `folderOpen.ts`.
 */
import { readUint64 } from '../protocol/header.js';
import { ENTRY_HEAD_BYTES, ENTRY_TYPE } from '../protocol/raftStructs.js';
import type { RecordReader } from './recordReader.js';
import {
  decodeFooterData,
  ENTRY_RECORD_BYTES_MIN,
  FOOTER_DATA_BYTES,
  FOOTER_RECORD_BYTES,
  INDEX_COUNT_BYTES,
  INDEX_ITEM_BYTES,
  RECORD_HEAD_BYTES,
  RECORD_TYPE,
} from './records.js';

/** Why something cannot be used; `errno` (negated) where the disk said so, else 0. */
export interface Damage {
  reason: string;
  errno: number;
}

/** Takes one entry after the other; a text when it does not fit behind the one before. */
export type TakeEntry = (index: number, term: number, offset: number) => string | null;

/** How far the records of a file go. */
export interface ScanEnd {
  /** Bytes of whole records of entries. */
  offset: number;
  /**
   * `clean`: that is the end of the file. `sealed`: index and at most a footer follow. `torn`: something that is no record of an entry follows. `misfit`: a whole record that does not belong here.
   */
  kind: 'clean' | 'sealed' | 'torn' | 'misfit' | 'unreadable';
  /** Of everything but a clean end. */
  reason: string;
  errno: number;
}

/** Candidates are checksummed up to this many times the size of the file; then it is assumed that one is whole. */
const SEARCH_FACTOR_MAX = 16;
/** Index items looked at in one step. */
const ITEMS_STEP = 4096;

/** Reads the records of entries from the front of the file that `reader` uses. */
export function scanRecords(reader: RecordReader, sizeBytes: number, take: TakeEntry): ScanEnd {
  const end = (offset: number, kind: ScanEnd['kind'], reason: string, errno = 0): ScanEnd => ({
    ...{ offset, kind, reason, errno },
  });
  let offset = 0;
  while (offset < sizeBytes) {
    const found = reader.read(offset);
    if (found === 'unreadable') return end(offset, found, 'the file cannot be read', reader.errno);
    if (found === 'cutOff') return end(offset, 'torn', 'a record is cut off by the end of the file');
    if (found === 'wrongChecksum') return end(offset, 'torn', 'a record has a wrong checksum');
    const next = reader.endOf(offset);
    if (reader.type === RECORD_TYPE.index && sizeBytes <= next + FOOTER_RECORD_BYTES)
      return end(offset, 'sealed', 'index of a sealed file');
    if (reader.type !== RECORD_TYPE.entry || reader.dataBytes < ENTRY_HEAD_BYTES)
      return end(offset, 'torn', `a record of type ${reader.type} with ${reader.dataBytes} bytes`);
    const at = reader.load(offset + RECORD_HEAD_BYTES, ENTRY_HEAD_BYTES);
    if (at < 0) return end(offset, 'unreadable', 'the file cannot be read', reader.errno);
    const type = reader.view.getUint8(at);
    if (type > ENTRY_TYPE.configurationChange) return end(offset, 'misfit', `an entry of type ${type}`);
    const misfit = take(readUint64(reader.view, at + 9), readUint64(reader.view, at + 1), offset);
    if (misfit !== null) return end(offset, 'misfit', misfit);
    offset = next;
  }
  return end(offset, 'clean', '');
}

/**
 * Whether a whole record of an entry lies somewhere behind `damagedAt`: then the damage is none of a write that was interrupted. Bytes that only look like a record, such as a log that
 * a client has stored in an entry, are told by their index: one behind `lastIndex`, and no further than entries can lie between. `lastIndex` 0: any.
 */
export function wholeEntryBehind(
  reader: RecordReader,
  sizeBytes: number,
  damagedAt: number,
  lastIndex: number,
): boolean {
  let checkedBytes = 0;
  for (let offset = damagedAt + 1; offset + ENTRY_RECORD_BYTES_MIN <= sizeBytes; offset += 1) {
    const at = reader.load(offset, RECORD_HEAD_BYTES + ENTRY_HEAD_BYTES);
    if (at < 0) return true;
    if (reader.view.getUint8(at) !== RECORD_TYPE.entry) continue;
    const dataBytes = readUint64(reader.view, at + 1);
    if (dataBytes < ENTRY_HEAD_BYTES || offset + dataBytes > sizeBytes) continue;
    const index = readUint64(reader.view, at + RECORD_HEAD_BYTES + 9);
    const indexMax = lastIndex + 1 + Math.floor((offset - damagedAt) / ENTRY_RECORD_BYTES_MIN);
    if (index <= lastIndex || (lastIndex > 0 && index > indexMax)) continue;
    checkedBytes += dataBytes;
    if (checkedBytes > sizeBytes * SEARCH_FACTOR_MAX || reader.read(offset) === 'whole') return true;
  }
  return false;
}

/** What the index of a sealed file tells. */
export interface SealedIndex {
  /** Offsets of the records, in the order of their entries. */
  offsets: Uint32Array;
  /** Where the index record lies: the end of the entries. */
  endBytes: number;
}

/** Reads footer and index of the sealed file that `reader` uses, and checks every item. */
export function readSealedIndex(
  reader: RecordReader,
  sizeBytes: number,
  take: TakeEntry,
): SealedIndex | Damage {
  const damage = (reason: string): Damage => ({ reason, errno: 0 });
  const unreadable = (): Damage => ({ reason: 'the file cannot be read', errno: reader.errno });
  const footerAt = sizeBytes - FOOTER_RECORD_BYTES;
  if (footerAt < 0) return damage('a sealed file without a footer');
  const footer = reader.read(footerAt);
  if (footer === 'unreadable') return unreadable();
  if (footer !== 'whole' || !isRecord(reader, RECORD_TYPE.footer) || reader.dataBytes !== FOOTER_DATA_BYTES)
    return damage('a sealed file without a footer');
  const dataAt = reader.load(footerAt + RECORD_HEAD_BYTES, FOOTER_DATA_BYTES);
  if (dataAt < 0) return unreadable();
  const endBytes = decodeFooterData(reader.view, dataAt);
  if (endBytes < 0 || endBytes >= footerAt) return damage('the footer names no index');
  const index = reader.read(endBytes);
  if (index === 'unreadable') return unreadable();
  if (index !== 'whole' || !isRecord(reader, RECORD_TYPE.index) || reader.endOf(endBytes) !== footerAt)
    return damage('the index is damaged');
  const countAt = reader.load(endBytes + RECORD_HEAD_BYTES, INDEX_COUNT_BYTES);
  if (countAt < 0) return unreadable();
  const count = reader.view.getUint32(countAt);
  if (reader.dataBytes !== INDEX_COUNT_BYTES + count * INDEX_ITEM_BYTES)
    return damage('the index has another count than items');
  const offsets = new Uint32Array(count);
  const misfit = readItems(reader, endBytes, offsets, take);
  return misfit ?? { offsets, endBytes };
}

function isRecord(reader: RecordReader, type: number): boolean {
  return reader.type === type;
}

/** Items of the index record at `indexAt`: entry behind entry, record behind record. */
function readItems(
  reader: RecordReader,
  indexAt: number,
  offsets: Uint32Array,
  take: TakeEntry,
): Damage | null {
  const itemsAt = indexAt + RECORD_HEAD_BYTES + INDEX_COUNT_BYTES;
  let earliest = 0;
  for (let item = 0; item < offsets.length; item += 1) {
    const inStep = item % ITEMS_STEP;
    const step = Math.min(ITEMS_STEP, offsets.length - (item - inStep)) * INDEX_ITEM_BYTES;
    const stepAt = reader.load(itemsAt + (item - inStep) * INDEX_ITEM_BYTES, step);
    if (stepAt < 0) return { reason: 'the file cannot be read', errno: reader.errno };
    const at = stepAt + inStep * INDEX_ITEM_BYTES;
    const offset = reader.view.getUint32(at + 16);
    const first = item === 0;
    if (offset < earliest || (first && offset !== 0) || offset + ENTRY_RECORD_BYTES_MIN > indexAt)
      return { reason: `the index puts entry ${item} at ${offset}`, errno: 0 };
    const misfit = take(readUint64(reader.view, at), readUint64(reader.view, at + 8), offset);
    if (misfit !== null) return { reason: misfit, errno: 0 };
    offsets[item] = offset;
    earliest = offset + ENTRY_RECORD_BYTES_MIN;
  }
  return null;
}
