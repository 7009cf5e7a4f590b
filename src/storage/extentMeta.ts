/**
 * EXTENT_META: the base extent id (`storage.md` 5), and the rule that no id is ever handed out twice (W2).
 *
 * The base on disk runs ahead of the ids in use: `base + N` is made durable first, then N ids are handed out without a write, and the next block is
 * reserved in the background before this one is used up. A crash burns at most N ids. The exact base is written at a clean close. The mark at offset 8
 * belongs to the reference's pre-allocation, which is not done here; it is left as found.
 *
 * `IdBase` decides; the files are written by its owner.
 */
import assert from 'node:assert';
import { EXTENT_ID_BASE_MIN } from './layout.js';

export const EXTENT_META_BYTES = 16;
/** Bytes of the base id, at offset 0. */
export const BASE_BYTES = 8;
/** Ids reserved at a time. A reservation costs one fdatasync, a crash at most this many ids. */
export const RESERVED_IDS = 512;

/** Reads the base id; fewer than 8 bytes, or a number no id can have, count as 0. */
export function decodeBase(bytes: Uint8Array): number {
  if (bytes.byteLength < BASE_BYTES) return 0;
  const value = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigUint64(0);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : 0;
}

/** Writes a base id at `offset` of `bytes`. */
export function encodeBase(bytes: Uint8Array, offset: number, base: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  view.setUint32(offset, Math.floor(base / 2 ** 32));
  view.setUint32(offset + 4, base >>> 0);
}

export class IdBase {
  /** Highest id handed out or created. */
  base: number;
  /** Ids up to here are safe from reuse whatever happens: the number on disk, fdatasynced. */
  durable: number;
  /** The number that is on its way to the disk, 0 for none. */
  private reserving = 0;

  /** `stored` from EXTENT_META; `highest` over the extents on disk and the ids in NORMALEXTENT_DELETE. */
  constructor(stored: number, highest: number) {
    this.base = Math.max(stored, highest, EXTENT_ID_BASE_MIN);
    this.durable = this.base;
  }

  /** Whether `id` may be created now. */
  isSafe(id: number): boolean {
    return id <= this.durable;
  }

  /** The next id of this node's own choice; `take` it when it is safe. */
  get next(): number {
    return this.base + 1;
  }

  /** `id` is handed out, or was given by the primary. It must be safe. */
  take(id: number): void {
    assert(this.isSafe(id), `extent id ${id} is taken before it is safe from reuse`);
    this.base = Math.max(this.base, id);
  }

  /**
   * The number to make durable now so that `wanted` becomes safe, or so that the block in use does not run out; 0 when nothing is due or a reservation is
   * under way. Whoever gets a number must end it with `reserved`.
   */
  beginReservation(wanted: number): number {
    const enough = wanted <= this.durable && this.durable - this.base >= RESERVED_IDS / 2;
    if (this.reserving !== 0 || enough) return 0;
    this.reserving = Math.max(this.base, wanted) + RESERVED_IDS;
    return this.reserving;
  }

  /** The reservation has ended; `durable`: its number was written and fdatasynced. */
  endReservation(durable: boolean): void {
    assert(this.reserving !== 0, 'no reservation is under way');
    if (durable) this.durable = this.reserving;
    this.reserving = 0;
  }
}
