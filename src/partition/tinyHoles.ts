/**
 * A hole at the end of a tiny extent, as repair copies it from another replica (`repair.md` 8.2): the file is made longer first, so that the hole shows in its length after a restart, then the range is made
 * to read as zeros, because a failed append may have left bytes behind the watermark, then the watermark moves.
 *
 * Meanwhile the extent takes no append. A crash in between leaves a file that is as long as it will be, or as before; its watermark after a start is the end of the file, rounded up. The range is one
 * that was deleted at the source, so nobody reads it, whatever a failed append has left in it.
 */
import { ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { EXTENT_FLAG } from '../storage/extentTable.js';
import { PAGE_BYTES, roundUpToPage, TINY_WATERMARK_MAX } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import { EAGAIN, ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import type { RangeEraser } from './rangeEraser.js';
import type { StoreHost } from './storeHost.js';

export class TinyHoles {
  /** Operations that wait for submitted work. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly eraser: RangeEraser;

  constructor(host: StoreHost, files: OpenExtents, eraser: RangeEraser) {
    this.host = host;
    this.files = files;
    this.eraser = eraser;
  }

  /** The extent's file is open. */
  start(handle: ExtentHandle, op: Operation): void {
    const refusal = this.refusal(handle, op);
    if (refusal !== null) return this.host.fail(op, actionOf(op.opcode), refusal);
    handle.filling = true;
    this.files.use(handle);
    this.parked += 1;
    this.measure(handle, op);
  }

  /** What forbids a hole at this place; null when nothing does. */
  private refusal(handle: ExtentHandle, op: Operation): string | null {
    const { table } = handle.store!;
    const { row } = handle;
    const { extentOffset, size } = op;
    if (table.has(row, EXTENT_FLAG.syncFailed)) return ERROR_TEXT.extentBroken;
    // An append that is on its way may still fail, and then the place is not the end.
    const atEnd = extentOffset === table.sizes[row] && extentOffset === table.ends[row];
    const misplaced = !atEnd || extentOffset % PAGE_BYTES !== 0 || handle.filling;
    if (misplaced || size < 1) return parameterMismatch(extentOffset, size);
    return roundUpToPage(extentOffset + size) > TINY_WATERMARK_MAX ? ERROR_TEXT.extentIsFull : null;
  }

  private measure(handle: ExtentHandle, op: Operation): void {
    this.host.disk.submitFstat(handle.fd, ({ result, value0 }) => {
      if (this.isGone(handle, op)) return;
      if (result === -EAGAIN) return this.measure(handle, op);
      if (result < 0) return this.failIo(handle, op, 'stat', result);
      // Never shorter: what lies behind is overwritten by what comes next.
      if (value0 < op.extentOffset + op.size) this.extend(handle, op);
      else this.erase(handle, op);
    });
  }

  private extend(handle: ExtentHandle, op: Operation): void {
    this.host.disk.submitTruncate(handle.fd, op.extentOffset + op.size, ({ result }) => {
      if (this.isGone(handle, op)) return;
      if (result === -EAGAIN) return this.extend(handle, op);
      if (result < 0) return this.failIo(handle, op, 'truncate', result);
      this.erase(handle, op);
    });
  }

  private erase(handle: ExtentHandle, op: Operation): void {
    this.eraser.erase(handle.store!, handle.fd, op.extentOffset, op.size, (result) => {
      if (this.isGone(handle, op)) return;
      if (result < 0) return this.failIo(handle, op, 'fallocate', result);
      this.done(handle, op);
    });
  }

  private done(handle: ExtentHandle, op: Operation): void {
    const store = handle.store!;
    const end = roundUpToPage(op.extentOffset + op.size);
    handle.writes += 1;
    if (!this.eraser.canPunch) store.grown(handle.extentId, handle.row, end - op.extentOffset);
    store.table.sizes[handle.row] = end;
    store.table.ends[handle.row] = end;
    this.release(handle);
    this.host.finish(op);
    this.files.release(handle);
  }

  /** The partition was taken out of service meanwhile: ends the operation. */
  private isGone(handle: ExtentHandle, op: Operation): boolean {
    if (!handle.store!.closed) return false;
    this.fail(handle, op, ERROR_TEXT.partitionNotExists);
    return true;
  }

  private failIo(handle: ExtentHandle, op: Operation, call: string, result: number): void {
    reportDiskError(this.host, result, true);
    op.ioError = result;
    this.fail(handle, op, ioErrorText(this.host, call, handle.path, result));
  }

  private fail(handle: ExtentHandle, op: Operation, message: string): void {
    this.release(handle);
    this.host.fail(op, actionOf(op.opcode), message);
    this.files.release(handle);
  }

  private release(handle: ExtentHandle): void {
    handle.filling = false;
    this.parked -= 1;
  }
}
