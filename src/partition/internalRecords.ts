/**
 * Bodies of the node's requests to itself (`internalOps.ts`) in their slots: both sides are in this process, so numbers stand as the machine has them. Slots are aligned to 64 bytes.
 */
import type { ExtentInfo } from '../protocol/extentInfo.js';
import { TINY_DELETE_RECORD_BYTES } from '../protocol/tinyDelete.js';

/** An extent in a page: id and size as doubles, checksum and unix seconds as u32. */
export const EXTENT_RECORD_BYTES = 24;
/** Bytes of an id in a list of deleted ones: a double. */
export const ID_BYTES = 8;
/** Bytes of a `MissedRange`. */
export const MISSED_RANGE_BYTES = 24;
/** No delete file is longer: 178 million records. A position behind it is somebody's nonsense. */
export const TINY_DELETE_FILE_BYTES_MAX = 2 ** 32 - (2 ** 32 % TINY_DELETE_RECORD_BYTES);

/** Little endian on all machines that we build for; said, because DataView would not do it by itself. */
const LITTLE = true;

/** Puts a record at `at` of `view`, a slot's. */
export function writeExtentRecord(
  view: DataView,
  at: number,
  id: number,
  size: number,
  crc: number,
  modTime: number,
): void {
  view.setFloat64(at, id, LITTLE);
  view.setFloat64(at + 8, size, LITTLE);
  view.setUint32(at + 16, crc, LITTLE);
  view.setUint32(at + 20, modTime, LITTLE);
}

/** The records of a page. */
export function readExtentRecords(body: Uint8Array): ExtentInfo[] {
  const view = viewOf(body);
  return Array.from({ length: body.byteLength / EXTENT_RECORD_BYTES }, (_, i) => {
    const at = i * EXTENT_RECORD_BYTES;
    return {
      fileId: view.getFloat64(at, LITTLE),
      size: view.getFloat64(at + 8, LITTLE),
      crc: view.getUint32(at + 16, LITTLE),
      deleted: false,
      modTime: view.getUint32(at + 20, LITTLE),
      source: '',
    };
  });
}

/** Puts an id at `at` of `view`, a slot's. */
export function writeId(view: DataView, at: number, id: number): void {
  view.setFloat64(at, id, LITTLE);
}

/** The ids of a list of deleted ones. */
export function readIds(body: Uint8Array): number[] {
  const view = viewOf(body);
  return Array.from({ length: body.byteLength / ID_BYTES }, (_, i) => view.getFloat64(i * ID_BYTES, LITTLE));
}

/** Blocks that a finding names at most; more may differ where it names so many, or none. */
const FINDING_BLOCKS_MAX = 64;
/** A finding: extent id as a double, kind and number of blocks as u32, the blocks as u16. */
export const FINDING_BYTES = 16 + FINDING_BLOCKS_MAX * 2;

/** An extent with blocks that are not what their checksums say, as `INTERNAL_OP.listFindings` tells of it. */
export interface ListedFinding {
  readonly extentId: number;
  readonly kind: 'damaged' | 'suspect';
  readonly blocks: readonly number[];
}

/** Puts a finding at `at` of `view`, a slot's. */
export function writeFinding(view: DataView, at: number, { extentId, kind, blocks }: ListedFinding): void {
  const count = Math.min(blocks.length, FINDING_BLOCKS_MAX);
  view.setFloat64(at, extentId, LITTLE);
  view.setUint32(at + 8, kind === 'damaged' ? 1 : 0, LITTLE);
  view.setUint32(at + 12, count, LITTLE);
  for (let i = 0; i < count; i += 1) view.setUint16(at + 16 + i * 2, blocks[i]!, LITTLE);
}

/** The findings of a page. */
export function readFindings(body: Uint8Array): ListedFinding[] {
  const view = viewOf(body);
  return Array.from({ length: body.byteLength / FINDING_BYTES }, (_, i) => {
    const at = i * FINDING_BYTES;
    const count = Math.min(view.getUint32(at + 12, LITTLE), FINDING_BLOCKS_MAX);
    return {
      extentId: view.getFloat64(at, LITTLE),
      kind: view.getUint32(at + 8, LITTLE) === 1 ? 'damaged' : 'suspect',
      blocks: Array.from({ length: count }, (__, j) => view.getUint16(at + 16 + j * 2, LITTLE)),
    };
  });
}

/** A range of a tiny extent that another replica has deleted. */
export interface MissedRange {
  readonly extentOffset: number;
  /** As recorded, not rounded. */
  readonly sizeBytes: number;
  /** Where its record goes: a byte offset of TINYEXTENT_DELETE; -1 behind the last one. */
  readonly recordAt: number;
}

/** What has become of a delete that another replica has recorded. */
export const MISSED_DELETE = {
  /** Nothing of it is here, and its record is. */
  done: 0,
  /** The extent ends before the range does: nothing was done. What is missing may come with the data of a replica that has missed the delete too. */
  beyond: -1,
} as const;

/** Puts a range at `at` of `view`, a slot's. */
export function writeMissedRange(view: DataView, at: number, range: MissedRange): void {
  view.setFloat64(at, range.extentOffset, LITTLE);
  view.setFloat64(at + 8, range.sizeBytes, LITTLE);
  view.setFloat64(at + 16, range.recordAt, LITTLE);
}

/** The range at `at` of `view`, unchecked. */
export function readMissedRange(view: DataView, at: number): MissedRange {
  return {
    extentOffset: view.getFloat64(at, LITTLE),
    sizeBytes: view.getFloat64(at + 8, LITTLE),
    recordAt: view.getFloat64(at + 16, LITTLE),
  };
}

/** A range of an extent that is missing here (`missingRanges.ts`). */
export interface MissingPart {
  readonly extentId: number;
  readonly from: number;
  readonly to: number;
  /** A copy must come from a replica that has applied so much. */
  readonly index: number;
}

/** Bytes of a `MissingPart`: four doubles. */
export const MISSING_PART_BYTES = 32;

/** Puts a part at `at` of `view`, a slot's. */
export function writeMissingPart(view: DataView, at: number, part: MissingPart): void {
  const { extentId, from, to, index } = part;
  for (const [i, value] of [extentId, from, to, index].entries()) view.setFloat64(at + i * 8, value, LITTLE);
}

/** The parts of a page. */
export function readMissingParts(body: Uint8Array): MissingPart[] {
  const view = viewOf(body);
  return Array.from({ length: body.byteLength / MISSING_PART_BYTES }, (_, i) => {
    const [extentId, from, to, index] = [0, 8, 16, 24].map((field) =>
      view.getFloat64(i * MISSING_PART_BYTES + field, LITTLE),
    ) as [number, number, number, number];
    return { extentId, from, to, index };
  });
}

/** What stands before the bytes of a copy. */
export interface FillHeader {
  /** What its source had applied before the bytes were read there. */
  readonly appliedIndex: number;
  /** Bytes of the extent that it is about. */
  readonly bytes: number;
}

/** Bytes of a `FillHeader`. */
export const FILL_HEADER_BYTES = 16;

/** Puts a header at `at` of `view`, a slot's. */
export function writeFillHeader(view: DataView, at: number, { appliedIndex, bytes }: FillHeader): void {
  view.setFloat64(at, appliedIndex, LITTLE);
  view.setFloat64(at + 8, bytes, LITTLE);
}

/** The header at `at` of `view`, unchecked. */
export function readFillHeader(view: DataView, at: number): FillHeader {
  return { appliedIndex: view.getFloat64(at, LITTLE), bytes: view.getFloat64(at + 8, LITTLE) };
}

/** What a round wants to know of a partition, beside its extents. */
export interface PartitionInfo {
  /** Place of the last tiny delete (`storage.md` 8.2), and the end of the file as it is announced to members. */
  readonly tinyDeletePosition: number;
  readonly tinyDeleteEnd: number;
  /** 0 normal, 1 joining. */
  readonly createType: number;
  readonly hosts: number;
  /** Extents with a record, the largest id, and the bytes of all, deleted ones included for a while. */
  readonly extents: number;
  readonly extentIdMax: number;
  readonly sizeBytes: number;
  /** Ids listed as deleted, those that live again included. */
  readonly deletedIds: number;
  /** Tiny extents by state. */
  readonly tinyAvailable: number;
  readonly tinyWriting: number;
  readonly tinyBroken: number;
  readonly tinyRepairing: number;
  /** -1, 1, 2 as in `storage.md` 1. */
  readonly status: number;
}

const INFO_FIELDS = [
  'tinyDeletePosition',
  'tinyDeleteEnd',
  'createType',
  'hosts',
  'extents',
  'extentIdMax',
  'sizeBytes',
  'deletedIds',
  'tinyAvailable',
  'tinyWriting',
  'tinyBroken',
  'tinyRepairing',
  'status',
] as const satisfies readonly (keyof PartitionInfo)[];

export const PARTITION_INFO_BYTES = INFO_FIELDS.length * 8;

/** Puts all figures at `at` of `view`, a slot's. */
export function writePartitionInfo(view: DataView, at: number, info: PartitionInfo): void {
  for (const [i, field] of INFO_FIELDS.entries()) view.setFloat64(at + i * 8, info[field], LITTLE);
}

/** The figures in a body of PARTITION_INFO_BYTES. */
export function readPartitionInfo(body: Uint8Array): PartitionInfo {
  const view = viewOf(body);
  const entries = INFO_FIELDS.map((field, i) => [field, view.getFloat64(i * 8, LITTLE)] as const);
  // A figure that INFO_FIELDS leaves out is a type error here.
  return Object.fromEntries(entries) as Record<(typeof INFO_FIELDS)[number], number>;
}

function viewOf(body: Uint8Array): DataView {
  return new DataView(body.buffer, body.byteOffset, body.byteLength);
}
