/**
 * The extent records of one partition (`storage.md` 4.2), as parallel number arrays: about 60 bytes an extent, no object an extent.
 *
 * A record is named by its row, which never moves while the record lives. Only the partition that owns the table may touch it.
 */
import assert from 'node:assert';

/** Bits of `flags`. */
export const EXTENT_FLAG = {
  used: 1,
  /** Removed by a client; remembered for a while, and unknown to every operation but create. */
  deleted: 2,
  /** Its file is being created; operations wait. */
  creating: 4,
  /** An fdatasync of its file failed: what was written may be lost although later syncs succeed. No more writes. */
  syncFailed: 8,
  /** A delete of it is under way; it serves until its file is gone. */
  deleting: 16,
  /** EXTENT_CLEAN has an entry of it, which must be gone from the disk before the extent is written to. */
  clean: 32,
  /** Its checksum slots are right where they are not 0. */
  trusted: 64,
  /** A block of it is not what its trusted slot says. */
  damaged: 128,
} as const;

/** No row, no handle. */
export const NONE = -1;

const ROWS_MIN = 128;
/** Room that a table of known size is made with beyond it, and what a full one grows by. */
const ROOM = 1.25;
const GROWTH = 1.5;
/** Buckets a row, at least. */
const BUCKETS = 1.5;

export class ExtentTable {
  ids: Float64Array;
  /** End of the highest byte that was written; tiny: the watermark. */
  sizes: Float64Array;
  /** The same with appends that are in the I/O batch and have no result yet. */
  ends: Float64Array;
  /** Unix seconds of the last append. */
  modTimes: Uint32Array;
  /** CRC over the block CRCs; 0 unknown. */
  crcs: Uint32Array;
  /** Number of its creation, to compare with the creations that a folder fsync has covered. */
  creations: Uint32Array;
  /** Index of its open file, or NONE. */
  handles: Int32Array;
  flags: Uint8Array;
  /** Rows ever used: iterate up to here and skip rows without the `used` flag. */
  rowCount = 0;
  /** Records present. */
  count = 0;

  /** Open addressing with linear probing: row + 1, or 0 for an empty bucket. A power of two. */
  private buckets: Int32Array;
  private readonly freeRows: number[] = [];

  /** An empty table. `expected`: records that will be put into it at once. */
  constructor(expected = 0) {
    const rows = Math.max(ROWS_MIN, Math.ceil(expected * ROOM));
    this.ids = new Float64Array(rows);
    this.sizes = new Float64Array(rows);
    this.ends = new Float64Array(rows);
    this.modTimes = new Uint32Array(rows);
    this.crcs = new Uint32Array(rows);
    this.creations = new Uint32Array(rows);
    this.handles = new Int32Array(rows).fill(NONE);
    this.flags = new Uint8Array(rows);
    this.buckets = bucketsFor(rows);
  }

  /** Row of the extent, NONE when there is no record. A deleted extent has a record. */
  find(id: number): number {
    const mask = this.buckets.length - 1;
    for (let bucket = this.bucketOf(id); ; bucket = (bucket + 1) & mask) {
      const row = this.buckets[bucket]! - 1;
      if (row === NONE) return NONE;
      if (this.ids[row] === id) return row;
    }
  }

  /** Adds a record with size 0. The id must have none. */
  insert(id: number): number {
    assert(this.find(id) === NONE, `extent ${id} has a record already`);
    const row = this.freeRows.pop() ?? this.nextRow();
    this.ids[row] = id;
    this.sizes[row] = 0;
    this.ends[row] = 0;
    this.modTimes[row] = 0;
    this.crcs[row] = 0;
    this.creations[row] = 0;
    this.handles[row] = NONE;
    this.flags[row] = EXTENT_FLAG.used;
    this.count += 1;
    this.place(row);
    return row;
  }

  /** Forgets a record. It must have no open file. */
  remove(row: number): void {
    assert(this.handles[row] === NONE, 'a record with an open file cannot be removed');
    const mask = this.buckets.length - 1;
    let hole = this.bucketOf(this.ids[row]!);
    while (this.buckets[hole] !== row + 1) hole = (hole + 1) & mask;
    // Entries behind the hole move up where their probe path passes it.
    for (let bucket = (hole + 1) & mask; this.buckets[bucket] !== 0; bucket = (bucket + 1) & mask) {
      const home = this.bucketOf(this.ids[this.buckets[bucket]! - 1]!);
      if (((bucket - home) & mask) < ((bucket - hole) & mask)) continue;
      this.buckets[hole] = this.buckets[bucket]!;
      hole = bucket;
    }
    this.buckets[hole] = 0;
    this.flags[row] = 0;
    this.freeRows.push(row);
    this.count -= 1;
  }

  has(row: number, flag: number): boolean {
    return (this.flags[row]! & flag) !== 0;
  }

  set(row: number, flag: number): void {
    this.flags[row] = this.flags[row]! | flag;
  }

  unset(row: number, flag: number): void {
    this.flags[row] = this.flags[row]! & ~flag;
  }

  /** Ids of all records above `id`, ascending. */
  idsAbove(id: number): Float64Array {
    const ids = new Float64Array(this.count);
    let count = 0;
    for (let row = 0; row < this.rowCount; row += 1) {
      if (this.has(row, EXTENT_FLAG.used) && this.ids[row]! > id) ids[count++] = this.ids[row]!;
    }
    return ids.subarray(0, count).sort();
  }

  private nextRow(): number {
    if (this.rowCount === this.ids.length) this.grow();
    this.rowCount += 1;
    return this.rowCount - 1;
  }

  private grow(): void {
    const rows = Math.ceil(this.ids.length * GROWTH);
    this.ids = widened(this.ids, new Float64Array(rows));
    this.sizes = widened(this.sizes, new Float64Array(rows));
    this.ends = widened(this.ends, new Float64Array(rows));
    this.modTimes = widened(this.modTimes, new Uint32Array(rows));
    this.crcs = widened(this.crcs, new Uint32Array(rows));
    this.creations = widened(this.creations, new Uint32Array(rows));
    this.handles = widened(this.handles, new Int32Array(rows).fill(NONE));
    this.flags = widened(this.flags, new Uint8Array(rows));
    this.buckets = bucketsFor(rows);
    for (let row = 0; row < this.rowCount; row += 1) {
      if (this.has(row, EXTENT_FLAG.used)) this.place(row);
    }
  }

  private place(row: number): void {
    const mask = this.buckets.length - 1;
    let bucket = this.bucketOf(this.ids[row]!);
    while (this.buckets[bucket] !== 0) bucket = (bucket + 1) & mask;
    this.buckets[bucket] = row + 1;
  }

  /** Multiplicative hash: 1.. and 1025.. would share their low bits. */
  private bucketOf(id: number): number {
    return Math.imul(id, 0x9e37_79b1) >>> (Math.clz32(this.buckets.length) + 1);
  }
}

function bucketsFor(rows: number): Int32Array {
  return new Int32Array(2 ** Math.ceil(Math.log2(rows * BUCKETS)));
}

function widened<A extends Float64Array | Uint32Array | Int32Array | Uint8Array>(from: A, to: A): A {
  to.set(from as never);
  return to;
}
