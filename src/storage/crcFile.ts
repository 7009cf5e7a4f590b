/**
 * EXTENT_CRC: where the checksum of each block lies and which writes change it (`storage.md` 6). Arithmetic and bookkeeping only; the writes themselves
 * are entries of the I/O batch.
 *
 * A slot of 0 means "not known". The rule against wrong checksums (W14): a slot that is not zero is zeroed before data of its block changes, and a
 * block's new checksum is written after its data. For that, every open extent knows which of its slots may be non-zero: a bit each. Bits of an extent
 * whose slots lie past the end of EXTENT_CRC are zero without looking.
 */
import { BLOCK_BYTES, BLOCKS_PER_EXTENT } from './layout.js';

export const SLOT_BYTES = 4;
/** All slots of one extent. */
export const SLOT_TABLE_BYTES = BLOCKS_PER_EXTENT * SLOT_BYTES;

const WORDS = BLOCKS_PER_EXTENT / 32;

/** Byte offset in EXTENT_CRC of the slot of one block. */
export function slotOffset(extentId: number, block: number): number {
  return extentId * SLOT_TABLE_BYTES + block * SLOT_BYTES;
}

/** Block that holds the byte at `offset`. */
export function blockOf(offset: number): number {
  return Math.floor(offset / BLOCK_BYTES);
}

/**
 * Blocks whose new checksum is known after a write: a write is cut into pieces of one block from its own offset (`wire.md` 9.2), and a piece that is
 * exactly one block gives that block's checksum. 0 unless the write starts at a block's border.
 */
export function wholeBlocks(offset: number, sizeBytes: number): number {
  return offset % BLOCK_BYTES === 0 ? Math.floor(sizeBytes / BLOCK_BYTES) : 0;
}

/** One bit a slot, for each open extent: set where the slot on disk may be non-zero. Indexed by the handle's number. */
export class SlotBits {
  private words = new Uint32Array(64 * WORDS);

  /** A handle begins: its extent's slots are all zero. */
  reset(handle: number): void {
    if ((handle + 1) * WORDS > this.words.length) {
      const wider = new Uint32Array(Math.max(this.words.length * 2, (handle + 1) * WORDS));
      wider.set(this.words);
      this.words = wider;
    }
    this.words.fill(0, handle * WORDS, (handle + 1) * WORDS);
  }

  /** Takes the bits from slots as read from EXTENT_CRC: `length` bytes of `table` from `offset`; slots past them are zero. */
  load(handle: number, table: Uint8Array, offset: number, length: number): void {
    for (let byte = 0; byte < length; byte += 1) {
      if (table[offset + byte] !== 0) this.set(handle, byte >> 2);
    }
  }

  set(handle: number, block: number): void {
    const word = handle * WORDS + (block >> 5);
    this.words[word] = this.words[word]! | (1 << (block & 31));
  }

  clear(handle: number, first: number, last: number): void {
    for (let block = first; block <= last; block += 1) {
      const word = handle * WORDS + (block >> 5);
      this.words[word] = this.words[word]! & ~(1 << (block & 31));
    }
  }

  /** Whether any slot of the blocks [first, last] may be non-zero. */
  any(handle: number, first: number, last: number): boolean {
    for (let block = first; block <= last; block += 1) {
      if ((this.words[handle * WORDS + (block >> 5)]! & (1 << (block & 31))) !== 0) return true;
    }
    return false;
  }
}
