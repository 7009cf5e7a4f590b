/**
 * The bytes of the journal: frames, and the records in them (`docs/raft.md`, "The journal"). Pure: no disk, no state; what is read is checked before it is used.
 *
 * A frame lies at a multiple of 4 KiB, is written as whole pages, and is whole or nothing by its checksum. Pages, because a disk whose sectors are larger than 512
 * bytes writes an older frame's bytes again when a new one shares their sector, and because a page that is written whole need not be read before.
 *
 * | byte | frame | | byte | record, each at a multiple of 8 |
 * |---|---|---|---|---|
 * | 0 | u32 magic | | 0 | u8 kind, three zeros |
 * | 4 | u32 CRC-32C of what follows, payload included | | 4 | u32 bytes of the body |
 * | 8 | u64 number: only grows | | 8 | u64 group |
 * | 16 | u64 life of its segment | | 16 | body |
 * | 24 | u64 tail: no frame before it is needed when this one is whole | | | |
 * | 32 | u32 bytes of the payload, u32 records in it | | | |
 * | 40 | payload | | | |
 */
import assert from 'node:assert';
import type { HardState, RaftEntry } from '../protocol/raftStructs.js';
import { KiB, MiB } from '../storage/layout.js';
import { ENTRY_RECORD_BYTES_MIN, recordsBytes, writeEntryRecord } from './records.js';

export const FRAME_ALIGN_BYTES = 4 * KiB;
export const FRAME_HEADER_BYTES = 40;
/** Of a whole frame; a reader believes no larger one. */
export const FRAME_BYTES_MAX = 16 * MiB;
const MAGIC = 0x45584a46;

/** CRC-32C of `bytes`, continued from `seed`. */
export type Crc32c = (bytes: Uint8Array, seed: number) => number;

export interface FrameHeader {
  number: number;
  life: number;
  tail: number;
  payloadBytes: number;
  records: number;
}

/** Entries of one group, at least one, without a gap: log records as its folder will hold them. Its log is cut before the first. */
export interface EntriesRecord {
  kind: 'entries';
  group: number;
  entries: readonly RaftEntry[];
}

/** Everything else that a group may say. */
export type StateRecord =
  /** What the group was before the record behind it: in front of its first one, and of the first one behind each checkpoint. */
  | { kind: 'state'; group: number; hardState: HardState; index: number; term: number }
  | { kind: 'hardState'; group: number; hardState: HardState }
  /** All entries up to the index are gone. */
  | { kind: 'cut'; group: number; index: number; term: number }
  /** A snapshot: the log is empty behind the index, which is the commit. */
  | { kind: 'reset'; group: number; index: number; term: number }
  /** The folder is durable as of the frame. Hard state and cut as they are now, for those who find no other record of them. */
  | { kind: 'checkpoint'; group: number; frame: number; hardState: HardState; index: number; term: number }
  | { kind: 'end'; group: number };

export type JournalRecord = EntriesRecord | StateRecord;

/** Entries as they are found: where their bytes are, counted from the start of the payload. */
export interface FoundEntries {
  kind: 'entries';
  group: number;
  firstIndex: number;
  lastIndex: number;
  lastTerm: number;
  at: number;
  byteLength: number;
}

export type FoundRecord = FoundEntries | StateRecord;

const KIND = { entries: 1, hardState: 2, cut: 3, reset: 4, checkpoint: 5, end: 6, state: 7 } as const;
const RECORD_HEADER_BYTES = 16;
/** First index, count, term of the last, then the log records. */
const ENTRIES_HEAD_BYTES = 24;
const BODY_BYTES = {
  ...{ entries: ENTRIES_HEAD_BYTES, hardState: 24, cut: 16, reset: 16, checkpoint: 48, end: 0, state: 40 },
};
const SAFE_MAX = BigInt(Number.MAX_SAFE_INTEGER);

/** Bytes of a frame of so much payload on disk: whole pages. */
export function frameBytes(payloadBytes: number): number {
  return Math.ceil((FRAME_HEADER_BYTES + payloadBytes) / FRAME_ALIGN_BYTES) * FRAME_ALIGN_BYTES;
}

/** Bytes that a record takes in a payload. */
export function recordBytes(record: JournalRecord): number {
  let body = RECORD_HEADER_BYTES + BODY_BYTES[record.kind];
  if (record.kind === 'entries') body += recordsBytes(record.entries);
  return roundUp(body);
}

/** Bytes that an entries record takes which holds so many bytes of log records. */
export function entriesBytes(logBytes: number): number {
  return roundUp(RECORD_HEADER_BYTES + ENTRIES_HEAD_BYTES + logBytes);
}

/** Writes a record at `at`, a multiple of 8, of `into`; returns where the next one goes. */
export function putRecord(into: Uint8Array, at: number, record: JournalRecord): number {
  const view = viewOf(into);
  const end = at + recordBytes(record);
  putUint64(view, at + 8, record.group);
  const bodyEnd = putBody(into, view, at + RECORD_HEADER_BYTES, record);
  view.setUint32(at, KIND[record.kind] * 2 ** 24);
  view.setUint32(at + 4, bodyEnd - at - RECORD_HEADER_BYTES);
  into.fill(0, bodyEnd, end);
  return end;
}

function putBody(into: Uint8Array, view: DataView, at: number, record: JournalRecord): number {
  switch (record.kind) {
    case 'entries':
      return putEntries(into, view, at, record);
    case 'hardState':
      return putHardState(view, at, record.hardState);
    case 'cut':
    case 'reset':
      return putPair(view, at, record.index, record.term);
    case 'state':
      return putPair(view, putHardState(view, at, record.hardState), record.index, record.term);
    case 'checkpoint':
      putUint64(view, at, record.frame);
      return putPair(view, putHardState(view, at + 8, record.hardState), record.index, record.term);
    case 'end':
      return at;
  }
}

function putEntries(into: Uint8Array, view: DataView, at: number, record: EntriesRecord): number {
  const { entries } = record;
  const [first, last] = [entries[0]!, entries.at(-1)!];
  assert(last.index - first.index + 1 === entries.length, 'entries are told by their first index and number');
  putUint64(view, at, first.index);
  putPair(view, at + 8, entries.length, last.term);
  let to = at + ENTRIES_HEAD_BYTES;
  for (const entry of entries) to = writeEntryRecord(entry, into, to, view);
  return to;
}

function putHardState(view: DataView, at: number, { term, vote, commit }: HardState): number {
  putUint64(view, at, term);
  return putPair(view, at + 8, vote, commit);
}

function putPair(view: DataView, at: number, first: number, second: number): number {
  putUint64(view, at, first);
  putUint64(view, at + 8, second);
  return at + 16;
}

/** Completes a frame whose payload lies in `frame` behind the header: header, zeros behind, checksum. `frame` is all of it, whole pages. */
export function sealFrame(frame: Uint8Array, header: FrameHeader, crc32c: Crc32c): void {
  const end = FRAME_HEADER_BYTES + header.payloadBytes;
  assert(frame.byteLength === frameBytes(header.payloadBytes), 'a frame is its payload, rounded up to pages');
  const view = viewOf(frame);
  view.setUint32(0, MAGIC);
  putUint64(view, 8, header.number);
  putUint64(view, 16, header.life);
  putUint64(view, 24, header.tail);
  view.setUint32(32, header.payloadBytes);
  view.setUint32(36, header.records);
  frame.fill(0, end);
  view.setUint32(4, crc32c(frame.subarray(8, end), 0));
}

/** The header at `at`, when one can be there: its checksum has not been looked at. Null: no frame begins here. */
export function readFrameHeader(bytes: Uint8Array, at: number): FrameHeader | null {
  if (at + FRAME_HEADER_BYTES > bytes.byteLength) return null;
  const view = viewOf(bytes);
  if (view.getUint32(at) !== MAGIC) return null;
  const [number, life, tail] = [8, 16, 24].map((offset) => readUint64(view, at + offset));
  const payloadBytes = view.getUint32(at + 32);
  if (number === -1 || life === -1 || tail === -1 || frameBytes(payloadBytes) > FRAME_BYTES_MAX) return null;
  return { number: number!, life: life!, tail: tail!, payloadBytes, records: view.getUint32(at + 36) };
}

/** Whether the frame at `at` with this header is all there and as it was written. */
export function isWholeFrame(bytes: Uint8Array, at: number, header: FrameHeader, crc32c: Crc32c): boolean {
  const end = at + FRAME_HEADER_BYTES + header.payloadBytes;
  if (end > bytes.byteLength) return false;
  return crc32c(bytes.subarray(at + 8, end), 0) === viewOf(bytes).getUint32(at + 4);
}

/** The records of a payload, in order; a message when they are none although the checksum holds. */
export function readRecords(payload: Uint8Array, count: number): FoundRecord[] | string {
  const view = viewOf(payload);
  const found: FoundRecord[] = [];
  let at = 0;
  while (at < payload.byteLength) {
    if (at + RECORD_HEADER_BYTES > payload.byteLength) return `a record is cut off at byte ${at}`;
    const bodyBytes = view.getUint32(at + 4);
    if (bodyBytes > payload.byteLength - at - RECORD_HEADER_BYTES)
      return `the record at byte ${at} is longer than its frame`;
    const record = readRecord(view, at, bodyBytes);
    if (record === null) return `no record that is known at byte ${at}`;
    found.push(record);
    at += roundUp(RECORD_HEADER_BYTES + bodyBytes);
  }
  return found.length === count ? found : `${found.length} records instead of ${count}`;
}

function readRecord(view: DataView, at: number, bodyBytes: number): FoundRecord | null {
  const word = view.getUint32(at);
  const kinds = Object.keys(KIND) as (keyof typeof KIND)[];
  const kind = kinds.find((name) => KIND[name] * 2 ** 24 === word);
  if (kind === undefined || bodyBytes < BODY_BYTES[kind]) return null;
  if (kind !== 'entries' && bodyBytes !== BODY_BYTES[kind]) return null;
  const group = readUint64(view, at + 8);
  const numbers: number[] = [];
  for (let word8 = 0; word8 < BODY_BYTES[kind] / 8; word8 += 1)
    numbers.push(readUint64(view, at + RECORD_HEADER_BYTES + word8 * 8));
  if (group === -1 || numbers.includes(-1)) return null;
  const [first, second, third, fourth, fifth, sixth] = numbers as [
    ...[number, number, number, number, number, number],
  ];
  switch (kind) {
    case 'entries': {
      const byteLength = bodyBytes - ENTRIES_HEAD_BYTES;
      if (first < 1 || second < 1 || second > byteLength / ENTRY_RECORD_BYTES_MIN) return null;
      if (!Number.isSafeInteger(first + second)) return null;
      const range = { firstIndex: first, lastIndex: first + second - 1, lastTerm: third };
      return { kind, group, ...range, at: at + RECORD_HEADER_BYTES + ENTRIES_HEAD_BYTES, byteLength };
    }
    case 'hardState':
      return { kind, group, hardState: { term: first, vote: second, commit: third } };
    case 'cut':
    case 'reset':
      return { kind, group, index: first, term: second };
    case 'state': {
      const hardState = { term: first, vote: second, commit: third };
      return { kind, group, hardState, index: fourth, term: fifth };
    }
    case 'checkpoint': {
      const hardState = { term: second, vote: third, commit: fourth };
      return { kind, group, frame: first, hardState, index: fifth, term: sixth };
    }
    case 'end':
      return { kind, group };
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 8) * 8;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function putUint64(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value >>> 0);
}

/** -1 when it is no safe integer. */
function readUint64(view: DataView, at: number): number {
  const value = view.getBigUint64(at);
  return value > SAFE_MAX ? -1 : Number(value);
}
