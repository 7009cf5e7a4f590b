/**
 * OpWrite and OpSyncWrite to extents that are known (`wire.md` 9.2, `storage.md` 7.2). A tiny append that a primary assigns comes through `tinyAppends.ts`.
 * Random writes that raft has committed come through `raftApply.ts`: they overwrite what the extent has, move neither its end nor its time, and are not linked.
 *
 * The record's `ends` runs ahead of `sizes` while entries are in the batch, so that a pipelined append finds the end that the ones before it will make.
 * Entries of one file are linked: after a failed one the others do not run, and all of them fail; `ends` falls back to what was really written. So an
 * acknowledged byte never has a hole before it. A tiny extent's `sizes` and `ends` are watermarks, and its appends begin exactly there; it has no checksum slots.
 */
import assert from 'node:assert';
import { ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import { actionOf, isRandomWriteOp, isSyncOp } from '../protocol/opcodes.js';
import { blockOf, wholeBlocks } from '../storage/crcFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import {
  EXTENT_BYTES_MAX,
  isTinyExtent,
  roundUpToPage,
  TINY_END_LIMIT,
  WRITE_BYTES_MAX,
} from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import type { GroupCommit } from './groupCommit.js';
import { ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation, OperationHandler } from './operation.js';
import type { RowWatch } from './rowWatch.js';
import type { SlotWrites } from './slotWrites.js';
import type { StoreHost } from './storeHost.js';

const ECANCELED = 125;
const ENOSPC = 28;
/** ExtentType of a packet that addresses tiny extents. */
const TINY = 0;

export class AppendPath implements OperationHandler {
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly slots: SlotWrites;
  private readonly commits: GroupCommit;
  /** The handle of each entry of the batch that is a write's. */
  private readonly entryHandles: (ExtentHandle | null)[];
  /** 1: the entry zeroes slots before the data of the next entry. */
  private readonly entryZeroes: Uint8Array;

  /** The extent whose checksums are just being looked at. */
  private readonly watch: RowWatch;

  constructor(host: StoreHost, files: OpenExtents, slots: SlotWrites, commits: GroupCommit, watch: RowWatch) {
    this.host = host;
    this.watch = watch;
    this.files = files;
    this.slots = slots;
    this.commits = commits;
    this.entryHandles = new Array<ExtentHandle | null>(host.disk.batch.capacity).fill(null);
    this.entryZeroes = new Uint8Array(host.disk.batch.capacity);
  }

  /** What forbids this write whatever the extent's end is; null when nothing does. */
  check(store: ExtentStore, op: Operation): string | null {
    const row = store.table.find(op.extentId);
    if (row === NONE || store.table.has(row, EXTENT_FLAG.deleted)) return ERROR_TEXT.extentNotFound;
    // `applyDecision.ts` has looked at all the rest.
    if (isRandomWriteOp(op.opcode)) return null;
    const { extentOffset, size } = op;
    // Each kind of extent takes appends under its own type only.
    if (isTinyExtent(op.extentId) !== (op.extentType === TINY)) return ERROR_TEXT.parameterMismatch;
    if (op.extentType === TINY) {
      if (extentOffset + size >= TINY_END_LIMIT) return ERROR_TEXT.extentIsFull;
      return size >= 1 && size <= WRITE_BYTES_MAX ? null : parameterMismatch(extentOffset, size);
    }
    const inRange =
      extentOffset >= 0 && extentOffset < EXTENT_BYTES_MAX && extentOffset + size <= EXTENT_BYTES_MAX;
    if (!inRange || size < 1 || size > WRITE_BYTES_MAX) return parameterMismatch(extentOffset, size);
    return null;
  }

  /** Adds the entries of a checked write to an open extent: two at most. Ends it at once when it would leave a hole. */
  start(handle: ExtentHandle, op: Operation): void {
    const { table } = handle.store!;
    const { row } = handle;
    if (table.has(row, EXTENT_FLAG.syncFailed)) {
      return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.extentBroken);
    }
    const end = op.extentOffset + op.size;
    const random = isRandomWriteOp(op.opcode);
    const misplaced = random ? null : this.misplaced(handle, op);
    if (misplaced !== null) return this.host.fail(op, actionOf(op.opcode), misplaced);
    assert(op.size <= op.bufferBytes, 'a write body is longer than its slot');
    assert(!random || end <= table.sizes[row]!, 'a random write makes its extent longer');
    assert(!table.has(row, EXTENT_FLAG.clean), 'an extent that is clean on disk is written to');
    handle.writesStarted += 1;
    this.watch.touch(handle.store!, row);
    op.handler = this;
    op.ioError = 0;
    const zeroing = this.slots.zeroBefore(handle, blockOf(op.extentOffset), blockOf(end - 1));
    if (zeroing >= 0) this.track(handle, op, zeroing, 1);
    const { batch } = this.host.disk;
    const index = batch.pwrite(handle.fd, op.extentOffset, op.region, op.bufferOffset, op.size, !random);
    this.track(handle, op, index, 0);
    const growth = (isTinyExtent(handle.extentId) ? roundUpToPage(end) : end) - table.ends[row]!;
    if (growth > 0 && !random) {
      table.ends[row]! += growth;
      this.host.health.space.accept(growth);
    }
  }

  /** What forbids an append at this place; null when nothing does. */
  private misplaced(handle: ExtentHandle, op: Operation): string | null {
    const expected = handle.store!.table.ends[handle.row]!;
    if (isTinyExtent(handle.extentId)) {
      return op.extentOffset === expected && !handle.filling ? null : ERROR_TEXT.parameterMismatch;
    }
    // What repair brings belongs behind the end and nowhere else: before it may lie what was written here since.
    if (op.internal && op.extentOffset !== expected) return parameterMismatch(op.extentOffset, op.size);
    const gap = this.host.settings.strictAppend && op.extentOffset > expected;
    return gap ? parameterMismatch(op.extentOffset, op.size) : null;
  }

  ioDone(op: Operation, index: number): void {
    const handle = this.entryHandles[index]!;
    const result = this.host.disk.batch.result(index);
    const first = blockOf(op.extentOffset);
    const last = blockOf(op.extentOffset + op.size - 1);
    if (this.entryZeroes[index] === 1) {
      if (result < 0 || result !== (last - first + 1) * 4) {
        op.ioError = result < 0 ? result : 1;
        this.slots.zeroingFailed(handle, first, last);
      }
    } else {
      handle.writesEnded += 1;
      this.slots.dataWritten(handle, first, last);
      if (result === op.size && op.ioError === 0) this.written(handle, op, first);
      else this.failed(handle, op, result);
    }
    this.files.release(handle);
  }

  private track(handle: ExtentHandle, op: Operation, index: number, zeroes: 0 | 1): void {
    this.host.entryOperations[index] = op;
    this.entryHandles[index] = handle;
    this.entryZeroes[index] = zeroes;
    this.files.use(handle);
  }

  private written(handle: ExtentHandle, op: Operation, first: number): void {
    const random = isRandomWriteOp(op.opcode);
    this.commit(handle, op.extentOffset + op.size, random);
    // A random write with a wrong checksum is carried out all the same, everywhere (W30); what it leaves is computed later.
    const known = !isTinyExtent(handle.extentId) && (!random || op.crc === op.bodyCrc);
    const whole = known ? wholeBlocks(op.extentOffset, op.size) : 0;
    if (whole > 0) this.slots.remember(handle, op, first, whole);
    const sync = isSyncOp(op.opcode) || (this.host.settings.syncEverything && !random);
    if (sync) this.commits.wait(handle, op);
    else this.host.finish(op);
  }

  private failed(handle: ExtentHandle, op: Operation, result: number): void {
    const store = handle.store!;
    const { table } = store;
    const random = isRandomWriteOp(op.opcode);
    if (result > 0 && (random || !isTinyExtent(handle.extentId))) {
      this.commit(handle, op.extentOffset + result, random);
    } else if (result > 0) this.cutBack(handle, op.extentOffset);
    // Entries of this batch behind the failed one are cancelled, so nothing is on its way past `sizes`.
    table.ends[handle.row] = table.sizes[handle.row]!;
    const errno = op.ioError !== 0 ? op.ioError : result;
    op.ioError = errno < 0 ? errno : 1;
    if (errno !== -ECANCELED) {
      reportDiskError(this.host, errno, true);
      if (errno === -ENOSPC) this.host.health.space.exhaust();
      this.host.log(
        'error',
        `write to an extent failed: ${ioErrorText(this.host, 'write', handle.path, errno)}`,
        {
          partition: store.partitionId,
          extent: handle.extentId,
          offset: op.extentOffset,
          size: op.size,
        },
      );
    }
    this.host.fail(op, actionOf(op.opcode), ioErrorText(this.host, 'write', handle.path, errno));
  }

  /**
   * A tiny append was cut short: what came of it goes. After a restart the watermark is the end of the file rounded up, which would cover bytes that were never written and that other replicas may have, so that repair would take
   * both for equal. Called in the turn in which the append has ended, so nothing is on its way to the place.
   */
  private cutBack(handle: ExtentHandle, watermark: number): void {
    const result = this.host.disk.truncate(handle.fd, watermark);
    if (result < 0) reportDiskError(this.host, result, true);
  }

  /** Bytes up to `lastEnd` are in the file. A random write moves neither end nor time (`storage.md` 7.2). */
  private commit(handle: ExtentHandle, lastEnd: number, random: boolean): void {
    const store = handle.store!;
    const { table } = store;
    const { row } = handle;
    const end = isTinyExtent(handle.extentId) ? roundUpToPage(lastEnd) : lastEnd;
    const size = table.sizes[row]!;
    handle.writes += 1;
    table.crcs[row] = 0;
    if (random) return;
    if (end > size) {
      table.sizes[row] = end;
      store.grown(handle.extentId, row, end - size);
      if (end > table.ends[row]!) table.ends[row] = end;
    }
    table.modTimes[row] = Math.floor(this.host.clock.nowMs() / 1000);
  }
}
