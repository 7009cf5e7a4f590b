/**
 * The slab: payload memory of one network thread, cut into slots of a few sizes when the node starts and never grown.
 *
 * A body is received into a slot, checksummed there, written to disk and sent to the followers from there; only the slot's offset travels
 * through a ring. Bookkeeping (free lists, quotas, owners) is plain memory of the network thread that made the `Slab`: only that thread
 * acquires and releases. Workers see the bytes of the slots whose descriptors they got, nothing else.
 *
 * What may not happen here:
 * - *Growth or loss.* When nothing is free, `acquire` answers -1 and the caller stops reading that socket.
 * - *A circle of nodes that wait for each other.* See `slabShare.ts`: the rule holds in every size class and in every disk's quota.
 * - *One hung disk that pins the slab.* Slots in use for a disk count against its quota, quarantined ones too.
 * - *A slot with two owners.* Every slot is free, the network thread's, the worker's, or quarantined (its worker died while a system
 *   call may still write into it); each move asserts where the slot was.
 *
 * Free slots are kept last in, first out: the slot given back last is the one most likely still in the CPU's cache. Each payload
 * is preceded by `HEADROOM_BYTES` free bytes, so that a packet header can be put right in front of a body and both leave in one write.
 */
import assert from 'node:assert';
import { SlabShare, type SlotKind } from './slabShare.js';

/** Free bytes in front of each payload, for the 57-byte header of the reply or of the packet to a follower. */
export const HEADROOM_BYTES = 64;
/** Every size class has at least so many slots: then each kind's reserve is one slot or more. */
export const CLASS_SLOTS_MIN = 4;
/** Disks that quotas are kept for. */
export const SLAB_DISKS_MAX = 256;

const PAYLOAD_ALIGN_BYTES = 64;
const PAGE_BYTES = 4096;

/** Who may touch a slot. */
export const SLOT_OWNER = { free: 0, network: 1, worker: 2, quarantined: 3 } as const;
export type SlotOwner = (typeof SLOT_OWNER)[keyof typeof SLOT_OWNER];
const OWNER_NAMES = ['free', 'network', 'worker', 'quarantined'];

/** `slots` slots with `bytes` bytes of payload each. */
export interface SlabClass {
  readonly bytes: number;
  readonly slots: number;
}

/** A slab's memory: a plain object that may be posted to a thread or put into workerData. */
export interface SlabMemory {
  readonly sab: SharedArrayBuffer;
  readonly classes: readonly SlabClass[];
}

/** `classes`: smallest first. `prefault`: touch every page now, so that no page fault is paid while serving. */
export interface SlabOptions {
  readonly classes: readonly SlabClass[];
  readonly prefault?: boolean;
}

/**
 * Makes a slab's memory: zeroed, sum of slots × (bytes + HEADROOM_BYTES). Throws an AssertionError unless payload sizes are multiples of 64
 * and rise, and each class has CLASS_SLOTS_MIN slots or more.
 */
export function createSlab(options: SlabOptions): SlabMemory {
  const { classes } = options;
  assert(classes.length > 0 && classes.length < 256, 'slab: no size classes');
  let previousBytes = 0;
  let totalBytes = 0;
  for (const { bytes, slots } of classes) {
    assert(
      Number.isInteger(bytes) && bytes % PAYLOAD_ALIGN_BYTES === 0,
      `slab: class of ${bytes} bytes, want a multiple of 64`,
    );
    assert(bytes > previousBytes, `slab: class of ${bytes} bytes after one of ${previousBytes}`);
    assert(
      Number.isInteger(slots) && slots >= CLASS_SLOTS_MIN,
      `slab: class of ${bytes} bytes has ${slots} slots`,
    );
    previousBytes = bytes;
    totalBytes += slots * (bytes + HEADROOM_BYTES);
  }
  const sab = new SharedArrayBuffer(totalBytes);
  if (options.prefault === true) {
    const bytes = new Uint8Array(sab);
    for (let offset = 0; offset < totalBytes; offset += PAGE_BYTES) bytes[offset] = 0;
  }
  return { sab, classes: classes.map(({ bytes, slots }) => ({ bytes, slots })) };
}

/** The books of one slab. Owned by one network thread. Handles are small integers, 0 and up. */
export class Slab {
  /** The whole memory: payload of a handle is `[payloadOffset(h), + capacity(h))`. */
  readonly bytes: Uint8Array;
  /** Slots in all. */
  readonly slotCount: number;
  /** Payload bytes of the largest class: nothing larger can be acquired. */
  readonly largestBytes: number;
  /** Payload bytes of all slots. */
  readonly totalBytes: number;
  /** Most payload bytes that were in use at one time. */
  highWaterBytes = 0;
  /** Calls of `acquire` that were answered -1. */
  refusals = 0;

  private inUse = 0;
  private readonly classBytes: number[] = [];
  private readonly classSlots: number[] = [];
  private readonly classShares: SlabShare[] = [];
  private readonly diskShares: SlabShare[] = [];
  /** Stack of free handles of each class; its height is the class's number of free slots. */
  private readonly freeStacks: Int32Array[] = [];
  private readonly freeCounts: Int32Array;
  // By handle.
  private readonly offsets: Float64Array;
  private readonly owners: Uint8Array;
  private readonly slotClass: Uint8Array;
  private readonly slotDisk: Uint8Array;
  private readonly slotKind: Uint8Array;

  constructor(memory: SlabMemory) {
    this.bytes = new Uint8Array(memory.sab);
    this.slotCount = memory.classes.reduce((sum, { slots }) => sum + slots, 0);
    this.totalBytes = memory.classes.reduce((sum, { bytes, slots }) => sum + bytes * slots, 0);
    this.largestBytes = memory.classes.at(-1)!.bytes;
    this.offsets = new Float64Array(this.slotCount);
    this.owners = new Uint8Array(this.slotCount);
    this.slotClass = new Uint8Array(this.slotCount);
    this.slotDisk = new Uint8Array(this.slotCount);
    this.slotKind = new Uint8Array(this.slotCount);
    this.freeCounts = new Int32Array(memory.classes.length);
    for (let disk = 0; disk < SLAB_DISKS_MAX; disk++) this.diskShares.push(new SlabShare(this.totalBytes));
    this.cutSlots(memory.classes);
  }

  private cutSlots(classes: readonly SlabClass[]): void {
    let handle = 0;
    let offset = 0;
    for (const [classIndex, { bytes, slots }] of classes.entries()) {
      const stack = new Int32Array(slots);
      for (let i = 0; i < slots; i++, handle++, offset += bytes + HEADROOM_BYTES) {
        stack[slots - 1 - i] = handle;
        this.offsets[handle] = offset + HEADROOM_BYTES;
        this.slotClass[handle] = classIndex;
      }
      this.classBytes.push(bytes);
      this.classSlots.push(slots);
      this.classShares.push(new SlabShare(slots));
      this.freeStacks.push(stack);
      this.freeCounts[classIndex] = slots;
    }
  }

  /**
   * Limits what may be in use for `disk` (0..SLAB_DISKS_MAX-1) to `bytes` of payload; without a call the whole slab is the limit. Throws an
   * AssertionError below four of the largest slots: a reserve (a quarter) smaller than a slot would let leaf work wait for ever.
   */
  setDiskQuota(disk: number, bytes: number): void {
    assert(bytes >= 4 * this.largestBytes, `slab: quota of ${bytes} bytes is below 4 × ${this.largestBytes}`);
    this.shareOf(disk).limit = Math.min(bytes, this.totalBytes);
  }

  /**
   * Takes a slot for `bytes` bytes (0..largestBytes) of work for `disk`. Returns its handle, owned by the network thread, or -1 when class, kind
   * or quota have no room: that is back-pressure, not an error. The slot still holds what the last owner left in it.
   */
  acquire(bytes: number, disk: number, kind: SlotKind): number {
    const classIndex = this.findClass(bytes, disk, kind);
    if (classIndex < 0) {
      this.refusals++;
      return -1;
    }
    const top = this.freeCounts[classIndex]! - 1;
    const handle = this.freeStacks[classIndex]![top]!;
    this.freeCounts[classIndex] = top;
    this.moveOwner(handle, SLOT_OWNER.free, SLOT_OWNER.network);
    this.slotDisk[handle] = disk;
    this.slotKind[handle] = kind;
    const capacity = this.classBytes[classIndex]!;
    this.classShares[classIndex]!.add(1, kind);
    this.diskShares[disk]!.add(capacity, kind);
    this.inUse += capacity;
    if (this.inUse > this.highWaterBytes) this.highWaterBytes = this.inUse;
    return handle;
  }

  /** Whether `acquire` would succeed now. Changes nothing. */
  canAcquire(bytes: number, disk: number, kind: SlotKind): boolean {
    return this.findClass(bytes, disk, kind) >= 0;
  }

  /** Gives a slot of the network thread back. */
  release(handle: number): void {
    this.moveOwner(handle, SLOT_OWNER.network, SLOT_OWNER.free);
    this.putBack(handle);
  }

  /** The slot goes to a worker, with the descriptor that names it. */
  handOver(handle: number): void {
    this.moveOwner(handle, SLOT_OWNER.network, SLOT_OWNER.worker);
  }

  /** The worker's reply has come: the slot is the network thread's again. */
  takeBack(handle: number): void {
    this.moveOwner(handle, SLOT_OWNER.worker, SLOT_OWNER.network);
  }

  /** The worker has died: nobody may use the slot, and it stays in the quota, until the addon has drained. */
  quarantine(handle: number): void {
    this.moveOwner(handle, SLOT_OWNER.worker, SLOT_OWNER.quarantined);
  }

  /** The addon has drained: no system call can write into the slot any more, so it is free. */
  reclaim(handle: number): void {
    this.moveOwner(handle, SLOT_OWNER.quarantined, SLOT_OWNER.free);
    this.putBack(handle);
  }

  /** Byte offset of the slot's payload in `bytes`, a multiple of 64. HEADROOM_BYTES before it belong to the slot too. */
  payloadOffset(handle: number): number {
    return this.offsets[handle]!;
  }

  /** Payload bytes of the slot; at least what was asked for. */
  capacity(handle: number): number {
    return this.classBytes[this.slotClass[handle]!]!;
  }

  /** Index of the slot's size class. */
  classOf(handle: number): number {
    return this.slotClass[handle]!;
  }

  /** What is left beside the slot for its kind of work: slots of its class, bytes of its disk's quota. */
  classRoom(handle: number): number {
    return this.classShares[this.slotClass[handle]!]!.room(this.slotKind[handle]! as SlotKind);
  }
  diskRoom(handle: number): number {
    return this.diskShares[this.slotDisk[handle]!]!.room(this.slotKind[handle]! as SlotKind);
  }

  /** Who may touch the slot now. */
  owner(handle: number): SlotOwner {
    return this.owners[handle]! as SlotOwner;
  }

  /** Payload bytes in use (all owners but free): in all, for one disk, in one class. */
  bytesInUse(): number {
    return this.inUse;
  }
  diskBytesInUse(disk: number): number {
    return this.shareOf(disk).inUse();
  }
  diskHighWaterBytes(disk: number): number {
    return this.shareOf(disk).highWater;
  }
  classBytesInUse(classIndex: number): number {
    return this.classShares[classIndex]!.inUse() * this.classBytes[classIndex]!;
  }
  classHighWaterBytes(classIndex: number): number {
    return this.classShares[classIndex]!.highWater * this.classBytes[classIndex]!;
  }
  classFreeSlots(classIndex: number): number {
    return this.freeCounts[classIndex]!;
  }
  classUsedSlots(classIndex: number): number {
    return this.classSlots[classIndex]! - this.freeCounts[classIndex]!;
  }

  /**
   * The class that serves a request: the smallest that is large enough, or the next one when the kind has no room in that and more
   * than half of the next is free (a few small bodies must not eat the slots that large ones need).
   */
  private findClass(bytes: number, disk: number, kind: SlotKind): number {
    assert(bytes >= 0 && bytes <= this.largestBytes, 'slab: no class is large enough');
    let classIndex = 0;
    while (this.classBytes[classIndex]! < bytes) classIndex++;
    if (!this.classShares[classIndex]!.fits(1, kind)) {
      classIndex++;
      if (classIndex === this.classBytes.length) return -1;
      if (this.freeCounts[classIndex]! * 2 <= this.classSlots[classIndex]!) return -1;
      if (!this.classShares[classIndex]!.fits(1, kind)) return -1;
    }
    return this.shareOf(disk).fits(this.classBytes[classIndex]!, kind) ? classIndex : -1;
  }

  private putBack(handle: number): void {
    const classIndex = this.slotClass[handle]!;
    const capacity = this.classBytes[classIndex]!;
    const kind = this.slotKind[handle]! as SlotKind;
    this.classShares[classIndex]!.add(-1, kind);
    this.diskShares[this.slotDisk[handle]!]!.add(-capacity, kind);
    this.inUse -= capacity;
    const top = this.freeCounts[classIndex]!;
    this.freeStacks[classIndex]![top] = handle;
    this.freeCounts[classIndex] = top + 1;
  }

  private moveOwner(handle: number, from: SlotOwner, to: SlotOwner): void {
    const owner = this.owners[handle];
    if (owner !== from) {
      const is = owner === undefined ? 'no slot' : OWNER_NAMES[owner];
      assert.fail(`slab: slot ${handle} is ${is}, must be ${OWNER_NAMES[from]} to become ${OWNER_NAMES[to]}`);
    }
    this.owners[handle] = to;
  }

  private shareOf(disk: number): SlabShare {
    const share = this.diskShares[disk];
    assert(share !== undefined, 'slab: disk out of range');
    return share;
  }
}
