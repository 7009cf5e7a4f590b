/**
 * A ring of fixed 64-byte descriptors between exactly two threads: one producer, one consumer, no locks.
 *
 * How it works
 * ------------
 * Picture a round table with a power-of-two number of seats. The producer walks round laying letters on the seats, the consumer walks
 * behind it picking them up. Each keeps a running count of the steps it has made. Only the producer changes the *write index*, only the
 * consumer changes the *read index*; each merely looks at the other's. So no word has two writers, and nothing needs a lock or a
 * compare-and-swap:
 *
 *     write index - read index = letters on the table     0: empty     slotCount: full
 *
 * **Counts, not positions.** The indexes are never reset; they run through all of int32 and wrap round there. Their difference, cut to 32
 * bits with `| 0`, stays right across the wrap, and "empty" (difference 0) and "full" (difference slotCount) cannot be confused, which
 * costs rings that store positions one seat or a flag.
 *
 * **Masks, not `%`.** The seat of a count is `count & (slotCount - 1)`. This needs a power of two, and not only because a mask takes one
 * cycle where a division takes twenty: 2^32 is a multiple of a power of two, so the seats continue in order when the count wraps (with 1,000
 * seats they would jump there), and a mask of a negative int32 is still a seat, where `%` gives a negative number.
 *
 * **Memory order.** Compiler and CPU may reorder plain writes; so a consumer might see the new write index before the letter. The rule that
 * prevents it: fields are written with plain stores, then the write index is published with `Atomics.store`; the consumer reads the
 * index with `Atomics.load` and only then the fields. An atomic load that sees an atomic store's value also sees everything that was written
 * before that store (release and acquire in other languages; JavaScript knows only the stronger, sequentially consistent kind). The same
 * pair protects the way back: the consumer has read the fields before it stores the read index, the producer loads that index before it
 * writes over them.
 *
 * **Caching the other's index.** A word that another core has just written is not in our cache: reading it costs 50-100 ns, more than
 * all the rest. So each side works with the value it saw last. That value can only be out of date in the safe direction (there are at least
 * that many letters, or free seats) and is refreshed only when it says "empty" or "full". For the same reason the two indexes lie
 * `LINE_BYTES` apart: on one cache line each store of one side would take the line away from the other (false sharing).
 *
 * **Batches.** An atomic store drains the store buffer (about 20 cycles on x64), and telling a sleeper costs a system call. So the producer
 * reserves and fills any number of descriptors and makes them visible with one `publish`; the consumer takes any number and gives
 * them back with one `release`.
 *
 * **Reserved descriptors.** A ring with `reservedSlots` tells *primary* work from *leaf* work (RemainingFollowers 0, raft, replies). Two nodes
 * that forward to each other would block in a circle if leaf work could wait behind primary work. So primary work never takes the last
 * `reservedSlots` free descriptors and never holds more than half of the ring, while leaf work may take every one. How many primary descriptors are
 * still unread is known without counting: beside each descriptor the producer notes how many primary ones it had reserved before it;
 * the note at the read index, subtracted from the total, is the answer.
 *
 * Ownership: a `RingProducer` belongs to one thread, a `RingConsumer` to one thread; constructing a second producer on a ring is a bug that
 * nothing detects. Neither waits: see `doorbell.ts` for waiting. Nothing is allocated after construction.
 */
import assert from 'node:assert';
import { assertPowerOfTwo, DESCRIPTOR_BYTES, LINE_BYTES } from './layout.js';

/** A ring's memory: a plain object that may be posted to a thread or put into workerData. */
export interface RingMemory {
  readonly sab: SharedArrayBuffer;
  readonly slotCount: number;
  /** Free descriptors that primary work may not take; 0: the ring does not tell primary from leaf work. */
  readonly reservedSlots: number;
}

/** Words of the control part, as Int32Array indexes: each on its own line, descriptors follow on the third. */
const WRITE_INDEX = 0;
const READ_INDEX = LINE_BYTES / Int32Array.BYTES_PER_ELEMENT;
const CONTROL_BYTES = 2 * LINE_BYTES;

const SLOTS_MIN = 2;
const SLOTS_MAX = 1 << 22;

/**
 * Makes the memory of an empty ring. `slotCount` descriptors (a power of two, 2..4 Mi); `reservedSlots` of them, at most half, are kept
 * from primary work. Throws an AssertionError for other values.
 */
export function createRing(slotCount: number, reservedSlots = 0): RingMemory {
  assertPowerOfTwo(slotCount, SLOTS_MIN, SLOTS_MAX, 'slotCount');
  assert(
    Number.isInteger(reservedSlots) && reservedSlots >= 0 && reservedSlots <= slotCount / 2,
    `reservedSlots must be in [0, ${slotCount / 2}], got ${reservedSlots}`,
  );
  return {
    sab: new SharedArrayBuffer(CONTROL_BYTES + slotCount * DESCRIPTOR_BYTES),
    slotCount,
    reservedSlots,
  };
}

/** Descriptors of a ring that are published and not given back, as any thread may look at any time: for metrics. */
export function ringFill(memory: RingMemory): number {
  const control = new Int32Array(memory.sab, 0, CONTROL_BYTES / Int32Array.BYTES_PER_ELEMENT);
  // In this order, so that the reader cannot be ahead of the writer; by what both moved on in between the figure may be too large, but not the ring.
  const read = Atomics.load(control, READ_INDEX);
  return Math.min((Atomics.load(control, WRITE_INDEX) - read) | 0, memory.slotCount);
}

/** The writing end. Owned by one thread. */
export class RingProducer {
  /** Descriptors as 32-bit words: descriptor `slot` is `[slot * DESCRIPTOR_I32, + DESCRIPTOR_I32)`. */
  readonly i32: Int32Array;
  /** The same memory as doubles: descriptor `slot` is `[slot * DESCRIPTOR_F64, + DESCRIPTOR_F64)`. */
  readonly f64: Float64Array;
  readonly slotCount: number;

  private readonly control: Int32Array;
  private readonly mask: number;
  /** Primary work stops when only this many descriptors are free. */
  private readonly reservedSlots: number;
  /** Primary descriptors reserved and not yet given back: at most this many. */
  private readonly primarySlotsMax: number;
  /** `primaryBefore[slot]`: value of `primaryTotal` before the descriptor in that slot was reserved. */
  private readonly primaryBefore: Int32Array;
  private primaryTotal = 0;
  /** Count of the next descriptor to reserve; ahead of `published` by what `publish` will show. */
  private reserved: number;
  private published: number;
  /** Read index as last seen; the true one may be further on. */
  private readSeen: number;

  constructor(memory: RingMemory) {
    this.control = new Int32Array(memory.sab, 0, CONTROL_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.i32 = new Int32Array(memory.sab, CONTROL_BYTES);
    this.f64 = new Float64Array(memory.sab, CONTROL_BYTES);
    this.slotCount = memory.slotCount;
    this.mask = memory.slotCount - 1;
    this.reservedSlots = memory.reservedSlots;
    this.primarySlotsMax = memory.reservedSlots > 0 ? memory.slotCount / 2 : memory.slotCount;
    this.primaryBefore = new Int32Array(memory.slotCount);
    this.published = Atomics.load(this.control, WRITE_INDEX);
    this.reserved = this.published;
    this.readSeen = Atomics.load(this.control, READ_INDEX);
  }

  /**
   * Takes the next free descriptor for `leaf` or primary work. Returns its slot (in units of DESCRIPTOR_BYTES) or -1 when there is none for
   * that kind: then stop reading the source and try again after the consumer's next reply. The fields hold what an earlier descriptor
   * left there. The descriptor stays invisible until `publish`; it cannot be handed back unpublished.
   */
  reserve(leaf: boolean): number {
    if (!this.mayReserve(leaf)) {
      this.refresh();
      if (!this.mayReserve(leaf)) return -1;
    }
    const slot = this.reserved & this.mask;
    this.primaryBefore[slot] = this.primaryTotal;
    if (!leaf) this.primaryTotal = (this.primaryTotal + 1) | 0;
    this.reserved = (this.reserved + 1) | 0;
    return slot;
  }

  /** Makes every reserved descriptor visible to the consumer, in order. Returns how many; 0 needs no doorbell. */
  publish(): number {
    const count = (this.reserved - this.published) | 0;
    if (count !== 0) {
      this.published = this.reserved;
      Atomics.store(this.control, WRITE_INDEX, this.published);
    }
    return count;
  }

  /** Descriptors that leaf work could reserve now. */
  freeSlots(): number {
    this.refresh();
    return this.slotCount - this.inUse();
  }

  /** Descriptors reserved or published and not yet given back by the consumer. */
  unreadSlots(): number {
    this.refresh();
    return this.inUse();
  }

  private inUse(): number {
    return (this.reserved - this.readSeen) | 0;
  }

  private mayReserve(leaf: boolean): boolean {
    const inUse = this.inUse();
    if (leaf) return inUse < this.slotCount;
    if (inUse === 0) return true;
    const primaryInUse = (this.primaryTotal - this.primaryBefore[this.readSeen & this.mask]!) | 0;
    return inUse < this.slotCount - this.reservedSlots && primaryInUse < this.primarySlotsMax;
  }

  private refresh(): void {
    this.readSeen = Atomics.load(this.control, READ_INDEX);
    const inUse = this.inUse();
    assert(inUse >= 0 && inUse <= this.slotCount, 'ring: read index out of range');
  }
}

/** The reading end. Owned by one thread. */
export class RingConsumer {
  /** As `RingProducer.i32`. Valid for a slot from `next` until `release`. */
  readonly i32: Int32Array;
  /** As `RingProducer.f64`. */
  readonly f64: Float64Array;
  readonly slotCount: number;

  private readonly control: Int32Array;
  private readonly mask: number;
  /** Count of the next descriptor to hand out; ahead of `released` by what `release` will give back. */
  private taken: number;
  private released: number;
  /** Write index as last seen; the true one may be further on. */
  private writeSeen: number;

  constructor(memory: RingMemory) {
    this.control = new Int32Array(memory.sab, 0, CONTROL_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.i32 = new Int32Array(memory.sab, CONTROL_BYTES);
    this.f64 = new Float64Array(memory.sab, CONTROL_BYTES);
    this.slotCount = memory.slotCount;
    this.mask = memory.slotCount - 1;
    this.released = Atomics.load(this.control, READ_INDEX);
    this.taken = this.released;
    this.writeSeen = this.released;
  }

  /** Published descriptors that `next` has not handed out, as of now. Always looks at the producer's index. */
  available(): number {
    this.refresh();
    return (this.writeSeen - this.taken) | 0;
  }

  /** Slot of the next unread descriptor, or -1. Looks at the producer's index only when those seen last are used up. */
  next(): number {
    if (this.taken === this.writeSeen) {
      this.refresh();
      if (this.taken === this.writeSeen) return -1;
    }
    const slot = this.taken & this.mask;
    this.taken = (this.taken + 1) | 0;
    return slot;
  }

  /** Gives back everything that `next` handed out: once a batch. Returns how many; the producer may write over them from now on. */
  release(): number {
    const count = (this.taken - this.released) | 0;
    if (count !== 0) {
      this.released = this.taken;
      Atomics.store(this.control, READ_INDEX, this.released);
    }
    return count;
  }

  private refresh(): void {
    this.writeSeen = Atomics.load(this.control, WRITE_INDEX);
    const unread = (this.writeSeen - this.released) | 0;
    assert(unread >= 0 && unread <= this.slotCount, 'ring: write index out of range');
  }
}
