/**
 * OpMarkDelete inside tiny extents (`wire.md` 9.4, `storage.md` 8, W19, W20): is there data in the range → record at its place → punch, or zeros where nothing can be
 * punched (`rangeEraser.ts`).
 *
 * The record comes first: one for a range that is not punched does no harm, since replaying it is idempotent. The range's pages are given to no later
 * append, so a delete may run beside appends to the same extent.
 *
 * A range that is a hole already gets no record: whoever deletes asks again until all replicas have done it, and each time would leave another one. But for a delete that another replica has recorded, which is known by
 * its record and told once: it is recorded here too, so that this replica can tell a third one.
 */
import assert from 'node:assert';
import { ACTION, ERROR_TEXT, markDeleteBodyFailed } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import {
  decodeMarkDelete,
  encodeMarkDelete,
  TINY_DELETE_RECORD_BYTES,
  type TinyMarkDelete,
  writeTinyDeleteRecord,
} from '../protocol/tinyDelete.js';
import { NONE } from '../storage/extentTable.js';
import { FILE, isTinyExtent, PAGE_BYTES, roundUpToPage, SECTOR_BYTES } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { MISSED_DELETE, type MissedRange } from './internalRecords.js';
import { EAGAIN, EINVAL, ENXIO, ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation, OperationHandler } from './operation.js';
import type { RangeEraser } from './rangeEraser.js';
import { SCRATCH_ENTRY_BYTES, SCRATCH_ZERO_BYTES, type StoreHost } from './storeHost.js';

/** Instead of a record's place: at the end of the file. */
const APPEND = -1;
/** A peer named a place that no file has. */
const NOWHERE = -2;

/** One delete on its way. */
interface TinyDelete {
  op: Operation;
  store: ExtentStore;
  /** Null until the extent's file is open. */
  handle: ExtentHandle | null;
  extentOffset: number;
  /** As asked, and rounded up to pages. */
  sizeBytes: number;
  punchBytes: number;
  /** Where the record goes; APPEND: behind the last one, which is known when it is written. */
  recordAt: number;
  /** Another replica has recorded it. */
  isMissed: boolean;
  /** Recorded although there is nothing to punch. */
  isHole: boolean;
}

export class TinyDeletes implements OperationHandler {
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly eraser: RangeEraser;
  private readonly paced: (store: ExtentStore, op: Operation) => void;
  private readonly ownFdReleased: (store: ExtentStore) => void;
  private readonly running = new Map<Operation, TinyDelete>();
  /** Their records are to be written. */
  private readonly toRecord: TinyDelete[] = [];

  /** @param paced puts a checked delete into the queue that ends in `remove`. */
  constructor(
    host: StoreHost,
    files: OpenExtents,
    eraser: RangeEraser,
    paced: (store: ExtentStore, op: Operation) => void,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.files = files;
    this.eraser = eraser;
    this.paced = paced;
    this.ownFdReleased = ownFdReleased;
  }

  /** Deletes whose record waits for the batch. */
  get parked(): number {
    return this.toRecord.length;
  }

  /**
   * A delete under the tiny type. A primary chooses the record's place as soon as it has read the body, whatever becomes of the delete; a follower is told.
   */
  start(store: ExtentStore, op: Operation): void {
    const action = actionOf(op.opcode);
    const region = this.host.regions[op.region]!;
    // A copy: text decoding refuses shared memory.
    const body = decodeMarkDelete(region.slice(op.bufferOffset, op.bufferOffset + op.size));
    if (!body.ok && op.primary) return this.host.fail(op, ACTION.prepare, markDeleteBodyFailed(body.message));
    if (!body.ok) return this.host.fail(op, action, body.message);
    if (op.primary) store.tinyDeleteOffset += TINY_DELETE_RECORD_BYTES;
    const { extentOffset, size, tinyDeleteFileOffset } = body.value;
    const recordAt = op.primary ? store.tinyDeleteOffset : tinyDeleteFileOffset;
    if (op.primary && op.forwarded) this.tell(op, { ...body.value, tinyDeleteFileOffset: recordAt });
    this.check(store, op, extentOffset, size, recordAt < 0 ? NOWHERE : recordAt, false);
  }

  /** A delete that another replica has recorded and this one has not. `recordAt`: place of the record, or APPEND. Ends with a `MISSED_DELETE` in `extentOffset`. */
  startMissed(store: ExtentStore, op: Operation, missed: MissedRange): void {
    const { extentOffset, sizeBytes, recordAt } = missed;
    const wrong = extentOffset < 0 || sizeBytes < 1 || recordAt < APPEND;
    const aligned = recordAt === APPEND || recordAt % TINY_DELETE_RECORD_BYTES === 0;
    if (wrong || !aligned || !Number.isSafeInteger(extentOffset + sizeBytes)) {
      return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.parameterMismatch);
    }
    op.extentOffset = MISSED_DELETE.done;
    this.check(store, op, extentOffset, sizeBytes, recordAt, true);
  }

  /** The body that followers get: it names the record's place. */
  private tell(op: Operation, body: TinyMarkDelete): void {
    const bytes = encodeMarkDelete(body);
    assert(bytes.byteLength <= op.bufferBytes, 'the body of a tiny delete fits the smallest slot');
    this.host.regions[op.region]!.set(bytes, op.bufferOffset);
    op.size = bytes.byteLength;
    this.host.assigned(op, 0);
  }

  private check(
    store: ExtentStore,
    op: Operation,
    extentOffset: number,
    size: number,
    recordAt: number,
    isMissed: boolean,
  ): void {
    const action = actionOf(op.opcode);
    if (!isTinyExtent(op.extentId)) return this.host.fail(op, action, ERROR_TEXT.parameterMismatch);
    const row = store.table.find(op.extentId);
    if (row === NONE) return this.host.finish(op);
    if (extentOffset + size > store.table.sizes[row]!) {
      // A record of what may still come with its data would say that it is gone.
      if (isMissed) op.extentOffset = MISSED_DELETE.beyond;
      return this.host.finish(op);
    }
    if (extentOffset % PAGE_BYTES !== 0 || recordAt === NOWHERE) {
      return this.host.fail(op, action, ERROR_TEXT.parameterMismatch);
    }
    const punchBytes = roundUpToPage(size);
    const range = { extentOffset, sizeBytes: size, punchBytes };
    this.running.set(op, { op, store, handle: null, ...range, recordAt, isMissed, isHole: false });
    this.paced(store, op);
  }

  /** Adds the records that wait to the batch. */
  advance(hasRoom: () => boolean): void {
    let done = 0;
    for (const each of this.toRecord) {
      if (!hasRoom()) break;
      this.record(each);
      done += 1;
    }
    this.toRecord.splice(0, done);
  }

  /** Ends the deletes whose record waits; for stores that are taken out of service. Those with submitted work end when it has ended. */
  failWaiting(store: ExtentStore, message: string): void {
    for (const each of this.toRecord.filter((one) => one.store === store)) {
      this.toRecord.splice(this.toRecord.indexOf(each), 1);
      this.fail(each, message);
    }
  }

  /** The extent's file is open: looks for data in the range. */
  remove(handle: ExtentHandle, op: Operation): void {
    const each = this.running.get(op)!;
    each.handle = handle;
    this.files.use(handle);
    this.seek(each);
  }

  /** The operation ends, whoever ends it. */
  ended(op: Operation): void {
    const handle = this.running.get(op)?.handle ?? null;
    this.running.delete(op);
    if (handle !== null) this.files.release(handle);
  }

  ioDone(op: Operation, index: number): void {
    const each = this.running.get(op)!;
    const result = this.host.disk.batch.result(index);
    each.store.ownFdUsers -= 1;
    const isRecorded = result === TINY_DELETE_RECORD_BYTES;
    if (isRecorded && each.isHole) this.host.finish(op);
    else if (isRecorded) this.punch(each);
    else this.failIo(each, 'write', `${each.store.path}/${FILE.tinyDelete}`, result);
    this.ownFdReleased(each.store);
  }

  private seek(each: TinyDelete): void {
    const { handle, extentOffset } = each;
    this.host.disk.submitSeek(handle!.fd, false, extentOffset, ({ result, value0 }) => {
      if (result === -EAGAIN) return this.seek(each);
      if (each.store.closed) return this.fail(each, ERROR_TEXT.partitionNotExists);
      // A file system that knows no holes has data everywhere.
      const dataFrom = result === -EINVAL ? extentOffset : value0;
      if (result < 0 && result !== -ENXIO && result !== -EINVAL) {
        return this.failIo(each, 'seek', handle!.path, result);
      }
      each.isHole = result === -ENXIO || dataFrom >= extentOffset + each.punchBytes;
      if (each.isHole && !each.isMissed) this.host.finish(each.op);
      else this.toRecord.push(each);
    });
  }

  private record(each: TinyDelete): void {
    const { disk, entryOperations, regions, scratchRegion } = this.host;
    const { op, store, extentOffset, sizeBytes } = each;
    if (each.recordAt === APPEND) store.tinyDeleteOffset += TINY_DELETE_RECORD_BYTES;
    const recordAt = each.recordAt === APPEND ? store.tinyDeleteOffset : each.recordAt;
    const at = SCRATCH_ZERO_BYTES + disk.batch.length * SCRATCH_ENTRY_BYTES;
    const { buffer, byteOffset } = regions[scratchRegion]!;
    const view = new DataView(buffer, byteOffset + at, TINY_DELETE_RECORD_BYTES);
    writeTinyDeleteRecord(view, 0, { extentId: op.extentId, extentOffset, sizeBytes });
    op.handler = this;
    store.ownFdUsers += 1;
    const fd = store.tinyDeleteFd;
    const index = disk.batch.pwrite(fd, recordAt, scratchRegion, at, TINY_DELETE_RECORD_BYTES, false);
    entryOperations[index] = op;
    store.tinyDeleteOffset = Math.max(store.tinyDeleteOffset, recordAt);
    store.tinyDeleteBytes = Math.max(store.tinyDeleteBytes, recordAt + TINY_DELETE_RECORD_BYTES);
  }

  private punch(each: TinyDelete): void {
    const { handle, extentOffset, punchBytes, store } = each;
    this.eraser.erase(store, handle!.fd, extentOffset, punchBytes, (result) => {
      if (store.closed) return this.fail(each, ERROR_TEXT.partitionNotExists);
      if (result < 0) return this.failIo(each, 'fallocate', handle!.path, result);
      handle!.writes += 1;
      this.measure(each);
    });
  }

  /** Asks how much of the extent is left on disk, for the partition's used bytes. */
  private measure(each: TinyDelete): void {
    const { handle, store, op } = each;
    this.host.disk.submitFstat(handle!.fd, ({ result, value2 }) => {
      if (result === -EAGAIN) return this.measure(each);
      if (result >= 0) store.setTinyBytes(op.extentId, value2 * SECTOR_BYTES);
      this.host.finish(op);
    });
  }

  private failIo(each: TinyDelete, call: string, path: string, result: number): void {
    reportDiskError(this.host, result, true);
    this.fail(each, ioErrorText(this.host, call, path, result));
  }

  private fail({ op }: TinyDelete, message: string): void {
    this.host.fail(op, actionOf(op.opcode), message);
  }
}
