/**
 * Cells of an extent that random writes of a simulated run change: registers of 512 bytes, in the part of an extent that was acknowledged. What a cell held before the first
 * random write is what was appended there; what it holds after is told by its bytes, which say which write they are of, of which cell.
 */
import { PAGE_BYTES } from '../../../src/storage/layout.js';

export const CELL_BYTES = 512;
/** Value of a cell that no random write has changed, and of one that holds what nobody has written. */
export const UNWRITTEN = 0;
export const GARBAGE = -1;
/** Few, so that clients meet. */
const CELLS_MAX = 12;
const WORDS = CELL_BYTES / 4;

/** The cells of one extent. */
export class Cells {
  readonly extentId: number;
  /** What was appended there, as far as cells reach. */
  readonly appended: Uint8Array;
  /** Whole pages before this one were synced by a packet that was sent then. */
  readonly syncedBytes: number;
  readonly syncedMs: number;
  /** Cells that somebody has tried to write, and those of which a write was acknowledged. */
  readonly written = new Set<number>();
  readonly acknowledged = new Set<number>();

  /** `synced`: what was acknowledged as durable, and when that was asked for. */
  constructor(extentId: number, appended: Uint8Array, synced: { bytes: number; sentMs: number }) {
    this.extentId = extentId;
    this.syncedBytes = synced.bytes;
    this.syncedMs = synced.sentMs;
    this.appended = appended.subarray(0, Math.min(appended.byteLength, CELLS_MAX * CELL_BYTES));
  }

  get count(): number {
    return this.appended.byteLength / CELL_BYTES;
  }

  /** What a cell of these bytes holds. */
  valueOf(cell: number, bytes: Uint8Array): number {
    const at = cell * CELL_BYTES;
    if (Buffer.compare(bytes, this.appended.subarray(at, at + CELL_BYTES)) === 0) return UNWRITTEN;
    const value = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    const expected = contentOf(this.extentId, cell, value);
    return value > 0 && Buffer.compare(bytes, expected) === 0 ? value : GARBAGE;
  }

  /** Puts what was appended in the place of what random writes may have made of it, in bytes of the extent from `from` on. */
  cover(from: number, bytes: Uint8Array): void {
    for (const cell of this.written) {
      const start = Math.max(from, cell * CELL_BYTES);
      const end = Math.min(from + bytes.byteLength, (cell + 1) * CELL_BYTES);
      if (start < end) bytes.set(this.appended.subarray(start, end), start - from);
    }
  }

  /** A page that only random writes can have changed since it was synced, on a replica whose disk was new at that moment. */
  isSafe(page: number, newDiskMs: number): boolean {
    return (page + 1) * PAGE_BYTES <= this.syncedBytes && newDiskMs < this.syncedMs;
  }
}

/** Bytes of a cell that a write of `value` leaves; never those of an append, but by chance. */
export function contentOf(extentId: number, cell: number, value: number): Uint8Array {
  const words = new Uint32Array(WORDS);
  words[0] = value;
  for (let i = 1; i < WORDS; i += 1) words[i] = (value * 2654435761) ^ (extentId * 40503) ^ (cell << 20) ^ i;
  return new Uint8Array(words.buffer);
}
