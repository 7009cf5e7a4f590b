/**
 * What raft has committed and this replica could not write, because the extent, or that part of it, is not here (yet): for each extent ranges, each with the raft index
 * that a copy must have to make it right. And the bytes of a record of it in RAFT_MISSING. Pure; `missingFile.ts` owns the file.
 *
 * A range with index `i` says: what is here is not what index `i` or a later one left; a copy from a replica that has applied `i` is right for all of it. So
 * - a later random write that is carried out here takes its own range away (it is the newer one), and an older one does not;
 * - ranges that overlap or touch are one, with the larger index; where an extent has too many, the nearest two are one with what lies between them, and the index of the
 *   newest write, since whatever was carried out in between is in a copy of that age;
 * - a range that is read from the file counts with the applied index of that start at least, for the same reason. So only a range that grows has to be made durable: a
 *   larger index, or a range that was taken away, is known again after a crash, from APPLY and the replay behind it.
 */
import { crc32 } from 'node:zlib';
import { readUint64, writeInt64 } from '../protocol/header.js';

export interface MissingRange {
  from: number;
  /** Behind the last byte. */
  to: number;
  /** A copy must come from a replica that has applied so much. */
  index: number;
}

/** Ranges of one extent. */
export const RANGES_PER_EXTENT_MAX = 32;

/** CRC-32 over the rest, version, kind, 3 bytes of zeros, extent id, from, to, index; big-endian. */
export const MISSING_RECORD_BYTES = 40;
const VERSION = 1;

/** `range`: as above. `compare`: all contents are to be compared with the leader's as of `index`. */
export const MISSING_KIND = { range: 1, compare: 2 } as const;
export type MissingKind = (typeof MISSING_KIND)[keyof typeof MISSING_KIND];

export interface MissingRecord extends MissingRange {
  kind: MissingKind;
  /** 0 for `compare`, as `from` and `to`. */
  extentId: number;
}

export class MissingRanges {
  /** Ranges in all. */
  count = 0;
  /** The largest index of a write that was carried out or is missing: whatever is merged must be as new. A copy is older than the moment at which it is written. */
  private newest = 0;
  /** Ranges that have come to cover a byte which was not missing before, since `takeGrown`: to be made durable. */
  private grown: MissingRecord[] = [];
  private readonly extents = new Map<number, MissingRange[]>();

  /** Ascending, apart from each other. */
  of(extentId: number): readonly MissingRange[] {
    return this.extents.get(extentId) ?? [];
  }

  get extentIds(): number[] {
    return [...this.extents.keys()];
  }

  /** The same behind the first `count` of them. */
  *listedFrom(count: number): Generator<number> {
    let passed = 0;
    for (const extentId of this.extents.keys()) {
      passed += 1;
      if (passed > count) yield extentId;
    }
  }

  takeGrown(): MissingRecord[] {
    return this.grown.splice(0);
  }

  /** Adds a range whose index is the largest that this extent has seen. */
  add(extentId: number, added: MissingRange): void {
    this.newest = Math.max(this.newest, added.index);
    const ranges = this.of(extentId);
    const apart = ranges.filter(({ from, to }) => to < added.from || added.to < from);
    const touched = ranges.filter(({ from, to }) => from <= added.to && added.from <= to);
    this.set(extentId, [...apart, touched.reduce(union, { ...added })]);
  }

  /** A random write of this index was carried out. As `copied`. */
  cut(extentId: number, from: number, to: number, index: number): boolean {
    this.newest = Math.max(this.newest, index);
    return this.copied(extentId, from, to, index);
  }

  /** A copy of this age was written: what is not newer is not missing any more. True when something was taken away. */
  copied(extentId: number, from: number, to: number, index: number): boolean {
    const ranges = this.of(extentId);
    const cut = (range: MissingRange): boolean => range.index <= index && range.from < to && from < range.to;
    if (!ranges.some(cut)) return false;
    const left = ranges.flatMap((range) => {
      if (!cut(range)) return [range];
      const before = { ...range, to: from };
      const behind = { ...range, from: to };
      return [before, behind].filter((piece) => piece.from < piece.to);
    });
    this.set(extentId, left);
    return true;
  }

  /** Nothing of the extent is missing: it was deleted. True when something was. */
  forget(extentId: number): boolean {
    const had = this.extents.has(extentId);
    this.set(extentId, []);
    return had;
  }

  clear(): void {
    this.extents.clear();
    this.grown.length = 0;
    this.count = 0;
  }

  /** Every range needs a copy of this age at least. */
  raiseTo(index: number): void {
    this.newest = Math.max(this.newest, index);
    for (const ranges of this.extents.values()) {
      for (const range of ranges) range.index = Math.max(range.index, index);
    }
  }

  *records(): Generator<MissingRecord> {
    for (const [extentId, ranges] of this.extents) {
      for (const range of ranges) yield { kind: MISSING_KIND.range, extentId, ...range };
    }
  }

  private set(extentId: number, ranges: MissingRange[]): void {
    const before = this.of(extentId);
    this.count -= before.length;
    ranges.sort((a, b) => a.from - b.from);
    while (ranges.length > RANGES_PER_EXTENT_MAX) mergeNearest(ranges, this.newest);
    for (const range of ranges) {
      if (before.some(({ from, to }) => from <= range.from && range.to <= to)) continue;
      this.grown.push({ kind: MISSING_KIND.range, extentId, ...range });
    }
    if (ranges.length === 0) this.extents.delete(extentId);
    else this.extents.set(extentId, ranges);
    this.count += ranges.length;
  }
}

function union(a: MissingRange, b: MissingRange): MissingRange {
  return { from: Math.min(a.from, b.from), to: Math.max(a.to, b.to), index: Math.max(a.index, b.index) };
}

/** `ranges` ascending, two at least. */
function mergeNearest(ranges: MissingRange[], index: number): void {
  let nearest = 0;
  for (let at = 0; at + 1 < ranges.length; at += 1) {
    if (gapAt(ranges, at) < gapAt(ranges, nearest)) nearest = at;
  }
  const merged = union(ranges[nearest]!, ranges[nearest + 1]!);
  ranges.splice(nearest, 2, { ...merged, index: Math.max(merged.index, index) });
}

function gapAt(ranges: readonly MissingRange[], at: number): number {
  return ranges[at + 1]!.from - ranges[at]!.to;
}

/** Writes a record at `at`. */
export function encodeMissingRecord(into: Uint8Array, at: number, record: MissingRecord): void {
  const view = new DataView(into.buffer, into.byteOffset + at, MISSING_RECORD_BYTES);
  view.setUint32(4, (VERSION << 24) | (record.kind << 16));
  writeInt64(view, 8, record.extentId);
  writeInt64(view, 16, record.from);
  writeInt64(view, 24, record.to);
  writeInt64(view, 32, record.index);
  view.setUint32(0, crc32(into.subarray(at + 4, at + MISSING_RECORD_BYTES)));
}

/** Reads the record at `at`, which must lie inside; null when it is none of a kind that is known. */
export function decodeMissingRecord(bytes: Uint8Array, at: number): MissingRecord | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, MISSING_RECORD_BYTES);
  if (view.getUint32(0) !== crc32(bytes.subarray(at + 4, at + MISSING_RECORD_BYTES))) return null;
  const kind = view.getUint8(5);
  if (view.getUint8(4) !== VERSION || (kind !== MISSING_KIND.range && kind !== MISSING_KIND.compare))
    return null;
  const [extentId, from, to, index] = [8, 16, 24, 32].map((field) => readUint64(view, field)) as [
    number,
    number,
    number,
    number,
  ];
  const sane = kind === MISSING_KIND.compare || (from >= 0 && from < to);
  return sane && extentId >= 0 && index >= 0 ? { kind, extentId, from, to, index } : null;
}

/**
 * The records of a file, up to the first that is none: the end of a torn append. `damaged`: whole ones stand behind it, so that something may be lost.
 */
export function decodeMissingFile(bytes: Uint8Array): {
  records: MissingRecord[];
  bytes: number;
  damaged: boolean;
} {
  const records: MissingRecord[] = [];
  let at = 0;
  for (; at + MISSING_RECORD_BYTES <= bytes.byteLength; at += MISSING_RECORD_BYTES) {
    const record = decodeMissingRecord(bytes, at);
    if (record === null) break;
    records.push(record);
  }
  let damaged = false;
  for (let behind = at; behind + MISSING_RECORD_BYTES <= bytes.byteLength; behind += MISSING_RECORD_BYTES) {
    const record = decodeMissingRecord(bytes, behind);
    if (record === null) continue;
    damaged = true;
    records.push(record);
  }
  return { records, bytes: at, damaged };
}
