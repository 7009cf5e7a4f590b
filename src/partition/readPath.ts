/**
 * OpStreamRead, OpStreamFollowerRead, OpExtentRepairRead (`wire.md` 8.1, `storage.md` 7.3): one operation is one chunk of a stream, read and
 * checksummed into its own slot.
 *
 * First a read that does not wait for the disk, in the batch; what is not in the page cache goes to the I/O threads. The bound is the file's end, not the
 * recorded size. A whole block whose checksum may be known is compared with it (`docs/checksums.md`): its slot is read just before it, in the same batch, so that
 * no write lies between them. What differs is read again on an I/O thread before it is believed, and may then wait for the block to be healed (`waitingReads.ts`). Small reads of quiet extents may go past the page cache (`directReads.ts`).
 */
import assert from 'node:assert';
import { blockChecksumMismatch, ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import { SLOT_BYTES, type SlotBits, slotOffset } from '../storage/crcFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { BLOCK_BYTES, EXTENT_BYTES_MAX, isTinyExtent } from '../storage/layout.js';
import { BlockingReads } from './blockingReads.js';
import type { ChecksumFindings } from './checksumFindings.js';
import type { DirectReads } from './directReads.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, EOPNOTSUPP, ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation, OperationHandler } from './operation.js';
import { SCRATCH_ENTRY_BYTES, SCRATCH_ZERO_BYTES, type StoreHost } from './storeHost.js';
import { zeroRest } from './tinyStreams.js';
import type { WaitingReads } from './waitingReads.js';
import { wholeBlockOf } from './wholeBlock.js';

/** Of a batch entry that reads data: no slot was read with it. */
const NO_SLOT = -1;

export class ReadPath implements OperationHandler {
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly bits: SlotBits;
  private readonly findings: ChecksumFindings;
  private readonly blocking: BlockingReads;
  private readonly direct: DirectReads;
  private readonly waits: WaitingReads;
  private readonly scratch: DataView;
  private readonly entryHandles: (ExtentHandle | null)[];
  /** By entry that reads data: the entry that has read its slot, or NO_SLOT. */
  private readonly slotEntries: Int32Array;

  constructor(
    host: StoreHost,
    files: OpenExtents,
    findings: ChecksumFindings,
    direct: DirectReads,
    waits: WaitingReads,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.files = files;
    this.bits = files.slotBits;
    this.findings = findings;
    this.direct = direct;
    this.waits = waits;
    this.blocking = new BlockingReads(
      host,
      files.slotBits,
      this.direct,
      (handle, op, result, crc, differs) => this.endedBlocking(handle, op, result, crc, differs),
      ownFdReleased,
    );
    const region = host.regions[host.scratchRegion]!;
    this.scratch = new DataView(region.buffer, region.byteOffset, region.byteLength);
    this.entryHandles = new Array<ExtentHandle | null>(host.disk.batch.capacity).fill(null);
    this.slotEntries = new Int32Array(host.disk.batch.capacity);
  }

  /** Reads that wait for an I/O thread. */
  get parked(): number {
    return this.blocking.parked;
  }

  /** What forbids this read; null when nothing does. */
  check(store: ExtentStore, op: Operation): string | null {
    const row = store.table.find(op.extentId);
    if (row === NONE || store.table.has(row, EXTENT_FLAG.deleted)) return ERROR_TEXT.extentNotFound;
    const { extentOffset, size } = op;
    const sane = extentOffset >= 0 && size >= 1 && size <= BLOCK_BYTES;
    const inRange = isTinyExtent(op.extentId) || extentOffset + size <= EXTENT_BYTES_MAX;
    return sane && inRange ? null : parameterMismatch(extentOffset, size);
  }

  /** Adds the entries of a checked read of an open extent: two at most. */
  start(handle: ExtentHandle, op: Operation): void {
    assert(op.size <= op.bufferBytes, 'a read is longer than its slot');
    op.handler = this;
    const { batch } = this.host.disk;
    const block = wholeBlockOf(op);
    const known = block >= 0 && this.bits.any(handle.index, block, block);
    const slotEntry = known ? this.addSlot(handle, block) : NO_SLOT;
    const { extentOffset, region, bufferOffset, size } = op;
    const direct = this.direct.wants(handle, op);
    const index = batch.pread(handle.fd, extentOffset, region, bufferOffset, size, true, true, direct);
    this.host.entryOperations[index] = op;
    this.entryHandles[index] = handle;
    this.slotEntries[index] = slotEntry;
    this.files.use(handle);
  }

  ioDone(op: Operation, index: number): void {
    const { batch } = this.host.disk;
    const handle = this.entryHandles[index]!;
    const result = batch.result(index);
    // A short answer may be the end of the cached part as well as the end of the file.
    const unsure = result === -EAGAIN || result === -EOPNOTSUPP || (result >= 0 && result < op.size);
    if (unsure || this.differs(index)) return this.blocking.start(handle, op);
    this.ended(handle, op, result, batch.crc(index), false);
  }

  private addSlot(handle: ExtentHandle, block: number): number {
    const { batch } = this.host.disk;
    const { crcFd } = handle.store!;
    const at = this.slotCell(batch.length);
    const offset = slotOffset(handle.extentId, block);
    const index = batch.pread(crcFd, offset, this.host.scratchRegion, at, SLOT_BYTES, true, false);
    this.host.entryOperations[index] = null;
    return index;
  }

  /** Whether the slot read beside a block does not fit it, or could not be read without waiting. */
  private differs(index: number): boolean {
    const slotEntry = this.slotEntries[index]!;
    if (slotEntry === NO_SLOT) return false;
    const { batch } = this.host.disk;
    if (batch.result(slotEntry) !== SLOT_BYTES) return true;
    const slot = this.scratch.getUint32(this.slotCell(slotEntry));
    return slot !== 0 && batch.result(index) >= 0 && slot !== batch.crc(index);
  }

  private slotCell(index: number): number {
    return SCRATCH_ZERO_BYTES + index * SCRATCH_ENTRY_BYTES;
  }

  /** The checksums of a store that was taken out of service meanwhile are not read any more: none of its blocks is known to be right. */
  private endedBlocking(
    handle: ExtentHandle,
    op: Operation,
    result: number,
    crc: number,
    differs: boolean,
  ): void {
    if (!handle.store!.closed || wholeBlockOf(op) < 0) return this.ended(handle, op, result, crc, differs);
    this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.partitionNotExists);
    this.files.release(handle);
  }

  private ended(handle: ExtentHandle, op: Operation, result: number, crc: number, differs: boolean): void {
    if (differs && this.isDamaged(handle, op)) {
      this.endDamaged(handle.store!, op);
    } else if (result === op.size) {
      op.replyBytes = op.size;
      op.replyCrc = crc;
      this.host.finish(op);
    } else if (result >= 0 && op.opcode === OP.extentRepairRead && isTinyExtent(op.extentId)) {
      // A repair read of a tiny extent has no end: what is behind the file's is zeros.
      op.replyBytes = op.size;
      zeroRest(this.host, op, result);
      op.replyCrc = this.host.crc32(op.region, op.bufferOffset, op.size);
      this.host.finish(op);
    } else if (result >= 0) {
      this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.eof);
    } else {
      reportDiskError(this.host, result, false);
      this.host.fail(op, actionOf(op.opcode), ioErrorText(this.host, 'read', handle.path, result));
    }
    this.files.release(handle);
  }

  /** Its block may be healed while it waits. */
  private endDamaged(store: ExtentStore, op: Operation): void {
    if (this.waits.keep(store, op)) return;
    const message = blockChecksumMismatch(store.partitionId, op.extentId, wholeBlockOf(op));
    this.host.fail(op, actionOf(op.opcode), message);
  }

  /** A block differs from its slot: whether the block is to blame. The extent is compared as a whole soon. */
  private isDamaged(handle: ExtentHandle, op: Operation): boolean {
    const store = handle.store!;
    this.findings.lookCloser(store, op.extentId);
    return this.findings.mismatch(store, handle.row, wholeBlockOf(op));
  }
}
