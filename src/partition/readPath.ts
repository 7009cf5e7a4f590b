/**
 * OpStreamRead, OpStreamFollowerRead, OpExtentRepairRead (`wire.md` 8.1, `storage.md` 7.3): one operation is one chunk of a stream, read and
 * checksummed into its own slot.
 *
 * First a read that does not wait for the disk, in the batch; what is not in the page cache goes to the I/O threads. The bound is the file's end, not the
 * recorded size. Small reads of quiet extents go past the page cache where `directReadBytes` says so.
 */
import assert from 'node:assert';
import { ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import type { IoDone } from '../storage/io.js';
import { BLOCK_BYTES, EXTENT_BYTES_MAX, isTinyExtent } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, EOPNOTSUPP, ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation, OperationHandler } from './operation.js';
import type { StoreHost } from './storeHost.js';
import { zeroRest } from './tinyStreams.js';

/**
 * An extent is quiet when it took no append for so long. File systems (ext4, XFS) hold a lock of the file during a direct read, and an append, which runs on
 * the worker, would wait there for the disk. What was just written is in the page cache anyway.
 */
export const DIRECT_QUIET_SECONDS = 10;

/** A read on its way through an I/O thread; recycled, so that cold reads allocate nothing either. */
interface BlockingRead {
  op: Operation | null;
  handle: ExtentHandle | null;
  done: IoDone;
}

export class ReadPath implements OperationHandler {
  /** Reads that wait for an I/O thread. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly entryHandles: (ExtentHandle | null)[];
  private readonly idle: BlockingRead[] = [];
  /** The file system or the kernel has no reads past the page cache. */
  private directRefused = false;

  constructor(host: StoreHost, files: OpenExtents) {
    this.host = host;
    this.files = files;
    this.entryHandles = new Array<ExtentHandle | null>(host.disk.batch.capacity).fill(null);
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

  /** Adds the entry of a checked read of an open extent. */
  start(handle: ExtentHandle, op: Operation): void {
    assert(op.size <= op.bufferBytes, 'a read is longer than its slot');
    op.handler = this;
    const { batch } = this.host.disk;
    const { extentOffset, region, bufferOffset, size } = op;
    const direct = this.goesDirect(handle, op);
    const index = batch.pread(handle.fd, extentOffset, region, bufferOffset, size, true, true, direct);
    this.host.entryOperations[index] = op;
    this.entryHandles[index] = handle;
    this.files.use(handle);
  }

  ioDone(op: Operation, index: number): void {
    const { batch } = this.host.disk;
    const handle = this.entryHandles[index]!;
    const result = batch.result(index);
    // A short answer may be the end of the cached part as well as the end of the file.
    const unsure = result === -EAGAIN || result === -EOPNOTSUPP || (result >= 0 && result < op.size);
    if (unsure) return this.readBlocking(handle, op);
    this.ended(handle, op, result, batch.crc(index));
  }

  private readBlocking(handle: ExtentHandle, op: Operation): void {
    const read = this.idle.pop() ?? this.newBlockingRead();
    read.op = op;
    read.handle = handle;
    this.parked += 1;
    this.submit(read, handle, op);
  }

  /** Comes back with -EAGAIN when the I/O queue is full, and is submitted again. */
  private submit(read: BlockingRead, handle: ExtentHandle, op: Operation): void {
    const { extentOffset, region, bufferOffset, size } = op;
    const direct = this.goesDirect(handle, op);
    this.host.disk.submitPread(handle.fd, extentOffset, region, bufferOffset, size, true, read.done, direct);
  }

  /** Whether this read shall leave the page cache as it is. */
  private goesDirect(handle: ExtentHandle, op: Operation): boolean {
    if (op.size > this.host.settings.directReadBytes || this.directRefused) return false;
    const idleSeconds = this.host.clock.nowMs() / 1000 - handle.store!.table.modTimes[handle.row]!;
    return idleSeconds >= DIRECT_QUIET_SECONDS;
  }

  /** From now on all reads go through the page cache, as this one did. */
  private refuseDirect(errno: number): void {
    if (this.directRefused) return;
    this.directRefused = true;
    const reason = this.host.disk.errnoText(errno);
    this.host.log('warn', `direct reads are refused, the page cache is used: ${reason}`);
  }

  private newBlockingRead(): BlockingRead {
    const read: BlockingRead = {
      op: null,
      handle: null,
      done: (io) => {
        const op = read.op!;
        const handle = read.handle!;
        if (io.result === -EAGAIN) return this.submit(read, handle, op);
        read.op = null;
        read.handle = null;
        this.idle.push(read);
        this.parked -= 1;
        if (io.value0 !== 0) this.refuseDirect(io.value0);
        this.ended(handle, op, io.result, io.crc);
      },
    };
    return read;
  }

  private ended(handle: ExtentHandle, op: Operation, result: number, crc: number): void {
    if (result === op.size) {
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
}
