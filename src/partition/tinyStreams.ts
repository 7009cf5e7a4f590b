/**
 * The two questions whose answer is a stream of packets of unknown number (`wire.md` 8.2, 8.3): OpReadTinyDeleteRecord and OpTinyExtentRepairRead.
 *
 * One operation is one packet of the answer. The network thread asks for the next one, from where this one ended, until `remainingBytes` are covered; nothing
 * is kept here in between. `size` of the first operation is what the peer wants (0: everything), of the others what remains.
 */
import { parameterMismatch, unavailableTinyExtent } from '../protocol/errors.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import { TINY_DELETE_RECORD_BYTES } from '../protocol/tinyDelete.js';
import { NONE } from '../storage/extentTable.js';
import { BLOCK_BYTES, FILE, isTinyExtent, roundUpToPage } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, EINVAL, ENXIO, ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import type { StoreHost } from './storeHost.js';

/** Most bytes of one packet of delete records: whole ones that fit a slot of a block. */
const RECORD_BYTES_MAX = Math.floor(BLOCK_BYTES / TINY_DELETE_RECORD_BYTES) * TINY_DELETE_RECORD_BYTES;

export class TinyStreams {
  /** Operations that wait for submitted work. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly open: (store: ExtentStore, op: Operation) => void;
  private readonly ownFdReleased: (store: ExtentStore) => void;

  /** @param open opens the operation's extent; `startOpened` follows, or the operation's failure. */
  constructor(
    host: StoreHost,
    files: OpenExtents,
    open: (store: ExtentStore, op: Operation) => void,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.files = files;
    this.open = open;
    this.ownFdReleased = ownFdReleased;
  }

  start(store: ExtentStore, op: Operation): void {
    if (op.opcode === OP.readTinyDeleteRecord) return this.startRecords(store, op);
    const row = isTinyExtent(op.extentId) ? store.table.find(op.extentId) : NONE;
    if (row === NONE) return this.fail(op, unavailableTinyExtent(op.extentId));
    if (op.extentOffset < 0) return this.fail(op, parameterMismatch(op.extentOffset, op.size));
    this.open(store, op);
  }

  /** The file of a repair read is open. */
  startOpened(handle: ExtentHandle, op: Operation): void {
    this.files.use(handle);
    this.parked += 1;
    this.measure(handle, op);
  }

  private startRecords(store: ExtentStore, op: Operation): void {
    if (op.extentOffset < 0) return this.fail(op, parameterMismatch(op.extentOffset, op.size));
    const remaining = op.size > 0 ? op.size : store.tinyDeleteEnd - op.extentOffset;
    if (remaining <= 0) return this.nothing(op);
    op.remainingBytes = remaining;
    const slotRecords = Math.floor(op.bufferBytes / TINY_DELETE_RECORD_BYTES);
    op.replyBytes = Math.min(remaining, RECORD_BYTES_MAX, slotRecords * TINY_DELETE_RECORD_BYTES);
    store.ownFdUsers += 1;
    this.parked += 1;
    this.readRecords(store, op);
  }

  private readRecords(store: ExtentStore, op: Operation): void {
    const { extentOffset, region, bufferOffset, replyBytes } = op;
    const fd = store.tinyDeleteFd;
    this.host.disk.submitPread(
      fd,
      extentOffset,
      region,
      bufferOffset,
      replyBytes,
      true,
      ({ result, crc }) => {
        if (result === -EAGAIN) return this.readRecords(store, op);
        this.parked -= 1;
        store.ownFdUsers -= 1;
        if (result < 0) this.failIo(op, `${store.path}/${FILE.tinyDelete}`, result);
        else this.filled(op, result, crc);
        this.ownFdReleased(store);
      },
    );
  }

  /** How much there is of what was asked for. */
  private measure(handle: ExtentHandle, op: Operation): void {
    this.host.disk.submitFstat(handle.fd, ({ result, value0 }) => {
      if (result === -EAGAIN) return this.measure(handle, op);
      if (result < 0) return this.end(handle, () => this.failIo(op, handle.path, result));
      op.remainingBytes = Math.min(op.size, value0 - op.extentOffset);
      if (op.remainingBytes <= 0) return this.end(handle, () => this.nothing(op));
      this.seekData(handle, op, value0);
    });
  }

  private seekData(handle: ExtentHandle, op: Operation, fileBytes: number): void {
    this.host.disk.submitSeek(handle.fd, false, op.extentOffset, ({ result, value0 }) => {
      if (result === -EAGAIN) return this.seekData(handle, op, fileBytes);
      // A file system that knows no holes has data everywhere.
      if (result === -EINVAL) return this.startRead(handle, op, fileBytes);
      if (result < 0 && result !== -ENXIO)
        return this.end(handle, () => this.failIo(op, handle.path, result));
      const dataFrom = result < 0 ? roundUpToPage(fileBytes) : value0;
      if (dataFrom <= op.extentOffset) return this.seekHole(handle, op);
      op.holeBytes = Math.min(dataFrom - op.extentOffset, BLOCK_BYTES);
      op.replyCrc = 0;
      this.end(handle, () => this.host.finish(op));
    });
  }

  private seekHole(handle: ExtentHandle, op: Operation): void {
    this.host.disk.submitSeek(handle.fd, true, op.extentOffset, ({ result, value0 }) => {
      if (result === -EAGAIN) return this.seekHole(handle, op);
      if (result < 0) return this.end(handle, () => this.failIo(op, handle.path, result));
      this.startRead(handle, op, value0);
    });
  }

  /** There is data up to `dataEnd`. */
  private startRead(handle: ExtentHandle, op: Operation, dataEnd: number): void {
    op.replyBytes = Math.min(dataEnd - op.extentOffset, BLOCK_BYTES, op.bufferBytes);
    this.readData(handle, op);
  }

  private readData(handle: ExtentHandle, op: Operation): void {
    const { extentOffset, region, bufferOffset, replyBytes } = op;
    this.host.disk.submitPread(handle.fd, extentOffset, region, bufferOffset, replyBytes, true, (io) => {
      const { result, crc } = io;
      if (result === -EAGAIN) return this.readData(handle, op);
      this.end(handle, () => {
        if (result < 0) this.failIo(op, handle.path, result);
        else this.filled(op, result, crc);
      });
    });
  }

  private end(handle: ExtentHandle, tell: () => void): void {
    this.parked -= 1;
    tell();
    this.files.release(handle);
  }

  /** Ends an operation of which `count` bytes were read; the rest lies past the file's end and is zeros. */
  private filled(op: Operation, count: number, crc: number): void {
    zeroRest(this.host, op, count);
    op.replyCrc = count === op.replyBytes ? crc : this.host.crc32(op.region, op.bufferOffset, op.replyBytes);
    this.host.finish(op);
  }

  /** An answer of no packet at all, as in the reference. */
  private nothing(op: Operation): void {
    op.remainingBytes = 0;
    op.replyBytes = 0;
    this.host.finish(op);
  }

  private failIo(op: Operation, path: string, result: number): void {
    op.replyBytes = 0;
    reportDiskError(this.host, result, false);
    this.fail(op, ioErrorText(this.host, 'read', path, result));
  }

  private fail(op: Operation, message: string): void {
    this.host.fail(op, actionOf(op.opcode), message);
  }
}

/** Zeroes what of an operation's `replyBytes` was not read: slots hold the bytes of others (W21). */
export function zeroRest(host: StoreHost, op: Operation, count: number): void {
  host.regions[op.region]!.fill(0, op.bufferOffset + count, op.bufferOffset + op.replyBytes);
}
