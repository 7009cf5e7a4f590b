/**
 * Block checksums on their way to EXTENT_CRC (`storage.md` 6.2, W14).
 *
 * Zeroing goes first: an entry of the same batch, before the data. A new checksum goes last: it is remembered when its data has been written, and becomes
 * an entry of the next batch, together with its neighbours. No reply waits for it, since a slot of 0 only means "not known"; and a later write to the same
 * block that ran in between takes it back. So no order of failures leaves a wrong checksum: where a write of slots itself fails, its extent is not trusted any more.
 */
import assert from 'node:assert';
import { SLOT_BYTES, type SlotBits, slotOffset } from '../storage/crcFile.js';
import { EXTENT_FLAG } from '../storage/extentTable.js';
import { BLOCK_BYTES, WRITE_BYTES_MAX } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { ioErrorText, reportDiskError } from './ioErrors.js';
import { Operation, type OperationHandler } from './operation.js';
import { SCRATCH_ENTRY_BYTES, SCRATCH_ZERO_BYTES, type StoreHost } from './storeHost.js';

/** Checksums that one write can bring. */
const VALUES_MAX = WRITE_BYTES_MAX / BLOCK_BYTES;

export class SlotWrites implements OperationHandler {
  private readonly host: StoreHost;
  private readonly bits: SlotBits;
  private readonly scratch: DataView;
  /** One row a write with whole blocks; at most one an entry of a batch. */
  private readonly handles: (ExtentHandle | null)[];
  private readonly firstBlocks: Uint16Array;
  private readonly counts: Uint8Array;
  private readonly values: Uint32Array;
  private length = 0;
  /** Stands in the batch for all writes of new checksums; whose they are, and how long, by entry. */
  private readonly carrier = new Operation();
  private readonly entryStores: (ExtentStore | null)[];
  private readonly entryRows: Int32Array;
  private readonly entryBytes: Int32Array;

  constructor(host: StoreHost, bits: SlotBits) {
    this.host = host;
    this.bits = bits;
    const region = host.regions[host.scratchRegion]!;
    this.scratch = new DataView(region.buffer, region.byteOffset, region.byteLength);
    const { capacity } = host.disk.batch;
    this.handles = new Array<ExtentHandle | null>(capacity).fill(null);
    this.firstBlocks = new Uint16Array(capacity);
    this.counts = new Uint8Array(capacity);
    this.values = new Uint32Array(capacity * VALUES_MAX);
    this.carrier.handler = this;
    this.entryStores = new Array<ExtentStore | null>(capacity).fill(null);
    this.entryRows = new Int32Array(capacity);
    this.entryBytes = new Int32Array(capacity);
  }

  /**
   * Adds an entry that zeroes the slots of the blocks [first, last] when one of them may be non-zero. Returns the entry's index, -1 when none is needed.
   * The data's entry comes right behind it, and does not run when the zeroing fails.
   */
  zeroBefore(handle: ExtentHandle, first: number, last: number): number {
    if (!this.bits.any(handle.index, first, last)) return -1;
    const bytes = (last - first + 1) * SLOT_BYTES;
    assert(bytes <= SCRATCH_ZERO_BYTES, 'more slots than a write can touch');
    const index = this.write(handle, slotOffset(handle.extentId, first), 0, bytes, true);
    this.bits.clear(handle.index, first, last);
    return index;
  }

  /** The zeroing of these slots failed: the data is as it was, and a part of one of them may be zero, which makes it a wrong one. */
  zeroingFailed(handle: ExtentHandle, first: number, last: number): void {
    handle.store!.table.unset(handle.row, EXTENT_FLAG.trusted);
    for (let block = first; block <= last; block += 1) this.bits.set(handle.index, block);
  }

  /** A write to the blocks [first, last] has run, well or not: checksums that wait for them are not theirs any more. */
  dataWritten(handle: ExtentHandle, first: number, last: number): void {
    if (first > handle.pendingSlotLast) return;
    for (let row = 0; row < this.length; row += 1) {
      if (this.handles[row] !== handle) continue;
      for (let block = first; block <= last; block += 1) {
        const at = block - this.firstBlocks[row]!;
        if (at >= 0 && at < this.counts[row]!) this.values[row * VALUES_MAX + at] = 0;
      }
    }
  }

  /**
   * The write `op` has stored `count` whole blocks from `first` on. Of one block the packet's checksum is known; of more they are computed here, from the
   * body in the operation's slot.
   */
  remember(handle: ExtentHandle, op: Operation, first: number, count: number): void {
    const row = this.length;
    assert(row < this.handles.length, 'more slot writes than entries');
    this.length += 1;
    this.handles[row] = handle;
    this.firstBlocks[row] = first;
    this.counts[row] = count;
    const single = count === 1 && op.size === BLOCK_BYTES;
    for (let i = 0; i < count; i += 1) {
      const from = op.bufferOffset + i * BLOCK_BYTES;
      this.values[row * VALUES_MAX + i] = single ? op.bodyCrc : this.host.crc32(op.region, from, BLOCK_BYTES);
    }
    handle.users += 1;
    handle.pendingSlotLast = Math.max(handle.pendingSlotLast, first + count - 1);
  }

  /** Adds the remembered checksums as entries of the batch, which must be empty. `release` ends the use of each handle. */
  flush(release: (handle: ExtentHandle) => void): void {
    for (let row = 0; row < this.length; row += 1) {
      const handle = this.handles[row]!;
      this.handles[row] = null;
      handle.pendingSlotLast = -1;
      if (!handle.store!.closed) this.writeValues(handle, row);
      release(handle);
    }
    this.length = 0;
  }

  private writeValues(handle: ExtentHandle, row: number): void {
    const first = this.firstBlocks[row]!;
    const count = this.counts[row]!;
    const at = SCRATCH_ZERO_BYTES + this.host.disk.batch.length * SCRATCH_ENTRY_BYTES;
    for (let i = 0; i < count; i += 1) {
      const value = this.values[row * VALUES_MAX + i]!;
      this.scratch.setUint32(at + i * SLOT_BYTES, value);
      if (value !== 0) this.bits.set(handle.index, first + i);
    }
    const index = this.write(handle, slotOffset(handle.extentId, first), at, count * SLOT_BYTES);
    this.host.entryOperations[index] = this.carrier;
    this.entryStores[index] = handle.store;
    this.entryRows[index] = handle.row;
    this.entryBytes[index] = count * SLOT_BYTES;
  }

  /** New checksums have been written, or not: part of one may be there, which is a wrong one. */
  ioDone(_op: Operation, index: number): void {
    const store = this.entryStores[index]!;
    this.entryStores[index] = null;
    const result = this.host.disk.batch.result(index);
    if (result === this.entryBytes[index]) return;
    store.table.unset(this.entryRows[index]!, EXTENT_FLAG.trusted);
    reportDiskError(this.host, result, true);
    const problem = ioErrorText(this.host, 'write', store.crcPath, result);
    this.host.log('warn', `checksums of an extent are not known: ${problem}`, {
      partition: store.partitionId,
      extent: store.table.ids[this.entryRows[index]!]!,
    });
  }

  private write(handle: ExtentHandle, offset: number, at: number, bytes: number, guards = false): number {
    const store = handle.store!;
    const { disk, scratchRegion, entryOperations } = this.host;
    const index = disk.batch.pwrite(store.crcFd, offset, scratchRegion, at, bytes, false, guards);
    entryOperations[index] = null;
    store.crcBytes = Math.max(store.crcBytes, offset + bytes);
    return index;
  }
}
