/**
 * Records of the raft log (`raft.md` 6.3): type, length, data, masked CRC-32C. Bytes only; what lies where in a file is the business of `logFile.ts`.
 *
 * The same bytes go into the journal and into the group's folder. They are encoded where they leave from, once for each: a checksum costs less than memory that is kept for both.
 */
import assert from 'node:assert';
import { readUint64, writeInt64 } from '../protocol/header.js';
import { decodeEntry, ENTRY_HEAD_BYTES, type RaftEntry, writeEntry } from '../protocol/raftStructs.js';
import { crc32c } from '../storage/crc32c.js';

export const RECORD_TYPE = { entry: 1, index: 2, footer: 3 } as const;

/** Type and length, in front of the data. */
export const RECORD_HEAD_BYTES = 9;
/** Behind the data. */
export const RECORD_CRC_BYTES = 4;
/** What a record adds to its data. */
export const RECORD_OVERHEAD_BYTES = RECORD_HEAD_BYTES + RECORD_CRC_BYTES;
/** The shortest record of an entry: one without data. */
export const ENTRY_RECORD_BYTES_MIN = RECORD_OVERHEAD_BYTES + ENTRY_HEAD_BYTES;
/** Index, term and offset of one entry in an index record, behind the count. */
export const INDEX_ITEM_BYTES = 20;
export const INDEX_COUNT_BYTES = 4;
export const FOOTER_DATA_BYTES = 16;
export const FOOTER_RECORD_BYTES = RECORD_OVERHEAD_BYTES + FOOTER_DATA_BYTES;

const FOOTER_MAGIC = [0xf9bf3e0a, 0xd3c5cc3f] as const;

/** The form in which the log stores a CRC-32C: rotated and offset. */
export function maskedCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Bytes of the record of an entry with `dataBytes` of data. */
export function entryRecordBytes(dataBytes: number): number {
  return ENTRY_RECORD_BYTES_MIN + dataBytes;
}

/** Bytes of an index record of `count` entries. */
export function indexRecordBytes(count: number): number {
  return RECORD_OVERHEAD_BYTES + INDEX_COUNT_BYTES + count * INDEX_ITEM_BYTES;
}

/** Bytes of the records of entries. */
export function recordsBytes(entries: readonly RaftEntry[]): number {
  let bytes = 0;
  for (const { data } of entries) bytes += entryRecordBytes(data.byteLength);
  return bytes;
}

/** Writes the record of `entry` at `offset` of `into`, which has room for it and which `view` shows; returns the offset behind it. */
export function writeEntryRecord(
  entry: RaftEntry,
  into: Uint8Array,
  offset: number,
  view: DataView = viewOf(into),
): number {
  const dataBytes = ENTRY_HEAD_BYTES + entry.data.byteLength;
  const at = writeHead(view, offset, RECORD_TYPE.entry, dataBytes);
  writeEntry(view, at, entry);
  return writeCrc(into, view, at, dataBytes);
}

/** The record of `entry`, in bytes of its own. */
export function encodeEntryRecord(entry: RaftEntry): Uint8Array {
  const record = new Uint8Array(entryRecordBytes(entry.data.byteLength));
  writeEntryRecord(entry, record, 0);
  return record;
}

/**
 * The entry whose record is `bytes[offset, end)`, checked in every field; its data is a part of `bytes`, not a copy. A text that says what is wrong when the
 * range is no whole record of an entry.
 */
export function decodeEntryRecord(bytes: Uint8Array, offset: number, end: number): RaftEntry | string {
  const dataBytes = end - offset - RECORD_OVERHEAD_BYTES;
  if (dataBytes < ENTRY_HEAD_BYTES || end > bytes.byteLength) return 'too short for an entry';
  const view = viewOf(bytes);
  if (view.getUint8(offset) !== RECORD_TYPE.entry) return `a record of type ${view.getUint8(offset)}`;
  if (readUint64(view, offset + 1) !== dataBytes) return 'another length than that of its place';
  const data = bytes.subarray(offset + RECORD_HEAD_BYTES, offset + RECORD_HEAD_BYTES + dataBytes);
  if (view.getUint32(end - RECORD_CRC_BYTES) !== maskedCrc(crc32c(data))) return 'a wrong checksum';
  const entry = decodeEntry(data);
  return entry.ok ? entry.value : entry.message;
}

/**
 * What seals a file: the index record of the entries from `firstIndex` on, and the footer that tells where it lies. `offsets` are those of the entries'
 * records, `indexAt` that of the index record.
 */
export function encodeSeal(
  firstIndex: number,
  offsets: Uint32Array,
  indexAt: number,
  termOf: (index: number) => number,
): Uint8Array {
  const seal = new Uint8Array(indexRecordBytes(offsets.length) + FOOTER_RECORD_BYTES);
  const view = viewOf(seal);
  const dataBytes = INDEX_COUNT_BYTES + offsets.length * INDEX_ITEM_BYTES;
  let at = writeHead(view, 0, RECORD_TYPE.index, dataBytes);
  view.setUint32(at, offsets.length);
  for (let entry = 0; entry < offsets.length; entry += 1) {
    const item = at + INDEX_COUNT_BYTES + entry * INDEX_ITEM_BYTES;
    writeInt64(view, item, firstIndex + entry);
    writeInt64(view, item + 8, termOf(firstIndex + entry));
    view.setUint32(item + 16, offsets[entry]!);
  }
  at = writeHead(view, writeCrc(seal, view, at, dataBytes), RECORD_TYPE.footer, FOOTER_DATA_BYTES);
  writeInt64(view, at, indexAt);
  view.setUint32(at + 8, FOOTER_MAGIC[0]);
  view.setUint32(at + 12, FOOTER_MAGIC[1]);
  writeCrc(seal, view, at, FOOTER_DATA_BYTES);
  return seal;
}

/** Where the index record of a sealed file lies, from the data of its footer at `offset`; -1 when that is no footer. */
export function decodeFooterData(view: DataView, offset: number): number {
  const marked =
    view.getUint32(offset + 8) === FOOTER_MAGIC[0] && view.getUint32(offset + 12) === FOOTER_MAGIC[1];
  return marked ? readUint64(view, offset) : -1;
}

/** A view of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Returns the offset of the data. */
function writeHead(view: DataView, offset: number, type: number, dataBytes: number): number {
  assert(offset + RECORD_OVERHEAD_BYTES + dataBytes <= view.byteLength, 'a record reaches past its buffer');
  view.setUint8(offset, type);
  writeInt64(view, offset + 1, dataBytes);
  return offset + RECORD_HEAD_BYTES;
}

/** Returns the offset behind the record whose data begins at `dataAt`. */
function writeCrc(bytes: Uint8Array, view: DataView, dataAt: number, dataBytes: number): number {
  const dataEnd = dataAt + dataBytes;
  view.setUint32(dataEnd, maskedCrc(crc32c(bytes.subarray(dataAt, dataEnd))));
  return dataEnd + RECORD_CRC_BYTES;
}
