/**
 * Where the records of a file lie: 32-bit offsets in the order of the entries, 4 bytes an entry. Pure.
 */
import assert from 'node:assert';

const OFFSETS_MIN = 64;

export class OffsetTable {
  #offsets: Uint32Array;
  #length: number;

  /** Takes `offsets` over. */
  constructor(offsets: Uint32Array = new Uint32Array(0)) {
    this.#offsets = offsets;
    this.#length = offsets.length;
  }

  get length(): number {
    return this.#length;
  }

  /** Offset of entry number `entry` of the file. */
  at(entry: number): number {
    assert(entry >= 0 && entry < this.#length, 'the entry is in the file');
    return this.#offsets[entry]!;
  }

  push(offset: number): void {
    assert(offset <= 0xffff_ffff, 'a log file stays below 4 GiB');
    if (this.#length === this.#offsets.length) {
      const grown = new Uint32Array(Math.max(OFFSETS_MIN, this.#length * 2));
      grown.set(this.#offsets);
      this.#offsets = grown;
    }
    this.#offsets[this.#length] = offset;
    this.#length += 1;
  }

  /** Keeps the first `length`. */
  truncate(length: number): void {
    assert(length <= this.#length, 'a table is truncated, not filled up');
    this.#length = length;
  }

  /** All offsets; valid until the next change. */
  values(): Uint32Array {
    return this.#offsets.subarray(0, this.#length);
  }
}
