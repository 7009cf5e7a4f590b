/**
 * Deletes inside tiny extents: the 24-byte record on disk and on the wire (`storage.md` 8.1), and the JSON body of a mark delete (`wire.md` 9.4).
 */
import assert from 'node:assert';
import { readUint64, writeInt64 } from './header.js';
import { decodeBody, encodeBody, i64, struct, u32, u64 } from './jsonCodec.js';
import type { Decoded } from './jsonText.js';

/** Bytes of a record: extent id, offset, size, each 8 bytes big endian. */
export const TINY_DELETE_RECORD_BYTES = 24;
/** Largest body of one reply to OpReadTinyDeleteRecord: 100,000 records. */
export const TINY_DELETE_REPLY_BYTES_MAX = 2_400_000;
/** A replica takes all records anew, instead of the missing ones, after this long (`repair.md` 9). */
export const TINY_DELETE_FULL_SYNC_SECONDS = 24 * 3600;

export interface TinyDeleteRecord {
  /** 1..64; 0 is an empty slot, to be skipped. */
  extentId: number;
  extentOffset: number;
  /** As requested, not rounded to pages. */
  sizeBytes: number;
}

/** Writes a record at `offset` of `view`. */
export function writeTinyDeleteRecord(view: DataView, offset: number, record: TinyDeleteRecord): void {
  writeInt64(view, offset, record.extentId);
  writeInt64(view, offset + 8, record.extentOffset);
  writeInt64(view, offset + 16, record.sizeBytes);
}

/** Reads the record at `offset`; null where one of its numbers is larger than 2^53 - 1, which no store writes. */
export function readTinyDeleteRecord(view: DataView, offset: number): TinyDeleteRecord | null {
  const extentId = readUint64(view, offset);
  const extentOffset = readUint64(view, offset + 8);
  const sizeBytes = readUint64(view, offset + 16);
  return extentId < 0 || extentOffset < 0 || sizeBytes < 0 ? null : { extentId, extentOffset, sizeBytes };
}

/** Body of a mark delete on a tiny extent. The extent is named by the packet's header; `extentId` here is for the record only. */
export interface TinyMarkDelete {
  fileOffset: number;
  partitionId: number;
  extentId: number;
  extentOffset: number;
  size: number;
  crc: number;
  /** Where the record goes; filled by the primary, 0 in what the meta node sends. */
  tinyDeleteFileOffset: number;
}

const markDelete = struct<TinyMarkDelete>({
  fileOffset: ['FileOffset', u64],
  partitionId: ['PartitionId', u64],
  extentId: ['ExtentId', u64],
  extentOffset: ['ExtentOffset', u64],
  size: ['Size', u32],
  crc: ['CRC', u32],
  tinyDeleteFileOffset: ['TinyDeleteFileOffset', i64],
});

/** The keys without the primary's. */
const clientMarkDelete = struct<Omit<TinyMarkDelete, 'tinyDeleteFileOffset'>>({
  fileOffset: ['FileOffset', u64],
  partitionId: ['PartitionId', u64],
  extentId: ['ExtentId', u64],
  extentOffset: ['ExtentOffset', u64],
  size: ['Size', u32],
  crc: ['CRC', u32],
});

/** Parses the body from a meta node or a primary. */
export function decodeMarkDelete(body: Uint8Array): Decoded<TinyMarkDelete> {
  return decodeBody(markDelete, body);
}

/** The body that a primary forwards. */
export function encodeMarkDelete(request: TinyMarkDelete): Uint8Array {
  assert(request.tinyDeleteFileOffset >= 0, 'a record position is not negative');
  return encodeBody(markDelete, request);
}

/** The body that a meta node sends. */
export function encodeClientMarkDelete(request: Omit<TinyMarkDelete, 'tinyDeleteFileOffset'>): Uint8Array {
  return encodeBody(clientMarkDelete, request);
}
