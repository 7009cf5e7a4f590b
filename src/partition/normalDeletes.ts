/**
 * OpMarkDelete of normal extents (`wire.md` 9.4, `storage.md` 7.4, W5, W6): the id is recorded, the file unlinked, its checksum slots punched.
 *
 * Until the file is gone the extent serves as before; if it cannot be removed, nothing has changed but the list of ids, which nobody acts upon
 * destructively. A deleted extent keeps its record for a while: the id still exists for a create, and counts.
 */
import { ERROR_TEXT } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { SLOT_TABLE_BYTES, slotOffset } from '../storage/crcFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { DELETED_RECORD_MS, EXTENT_ID_MAX, isTinyExtent, TINY_EXTENT_LAST } from '../storage/layout.js';
import { DeleteRecords } from './deleteRecords.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, ENOENT, ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import type { RangeEraser } from './rangeEraser.js';
import type { StoreHost } from './storeHost.js';

export class NormalDeletes {
  readonly records: DeleteRecords;
  /** Deletes of extents that are just being created or deleted: looked at again. */
  private again: { store: ExtentStore; op: Operation }[] = [];
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly eraser: RangeEraser;
  private readonly ownFdReleased: (store: ExtentStore) => void;

  /** @param paced puts an operation whose id is durable into the queue that ends in `remove`. */
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
    this.ownFdReleased = ownFdReleased;
    this.records = new DeleteRecords(host, {
      recorded: (store, op) => {
        if (store.closed) this.host.fail(op, actionOf(op.opcode), 'data partition not exists');
        else paced(store, op);
      },
      failed: (store, op, message) => this.failed(store, op, message),
      ownFdReleased,
    });
  }

  get parked(): number {
    return this.again.length + this.records.parked;
  }

  /**
   * A delete under the normal type. Unknown and deleted extents, and tiny ones, are success. The id of an unknown one is recorded too: a replica that has lost its file, or has not got it yet, would take it from one that has
   * missed the delete.
   */
  start(store: ExtentStore, op: Operation): void {
    const { table, deletedIds } = store;
    const { extentId } = op;
    const row = table.find(extentId);
    const isUnknown = row === NONE && extentId > TINY_EXTENT_LAST && extentId <= EXTENT_ID_MAX;
    if (isUnknown && !deletedIds.has(extentId)) return this.records.add(store, op);
    if (isTinyExtent(extentId) || row === NONE || table.has(row, EXTENT_FLAG.deleted))
      return this.host.finish(op);
    if (table.has(row, EXTENT_FLAG.creating) || table.has(row, EXTENT_FLAG.deleting)) {
      this.again.push({ store, op });
      return;
    }
    table.set(row, EXTENT_FLAG.deleting);
    this.records.add(store, op);
  }

  advance(hasRoom: () => boolean): void {
    if (this.again.length > 0) {
      const again = this.again;
      this.again = [];
      for (const { store, op } of again) this.start(store, op);
    }
    this.records.advance(hasRoom);
  }

  failWaiting(store: ExtentStore, message: string): void {
    const mine = this.again.filter((each) => each.store === store);
    this.again = this.again.filter((each) => each.store !== store);
    for (const { op } of mine) this.host.fail(op, actionOf(op.opcode), message);
    this.records.failWaiting(store, message);
  }

  /** The id is durable and it is the operation's turn. */
  remove(store: ExtentStore, op: Operation): void {
    const row = store.table.find(op.extentId);
    if (row === NONE) return this.host.finish(op);
    if (store.table.has(row, EXTENT_FLAG.deleting)) return this.unlink(store, op);
    // It was unknown, and was created meanwhile: whoever asks again finds it.
    this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.tryAgain);
  }

  private unlink(store: ExtentStore, op: Operation): void {
    const path = store.extentPath(op.extentId);
    this.host.disk.submitUnlink(path, ({ result }) => {
      if (result === -EAGAIN) return this.unlink(store, op);
      if (store.closed) return this.host.fail(op, actionOf(op.opcode), 'data partition not exists');
      if (result >= 0 || result === -ENOENT) return this.removed(store, op);
      reportDiskError(this.host, result, true);
      this.failed(store, op, ioErrorText(this.host, 'remove', path, result));
    });
  }

  /** Forgets extents that were deleted long enough ago, and closes files of deleted ones that were in use when they went. */
  purge(store: ExtentStore, nowMs: number): void {
    const { table, deletedRows } = store;
    for (const row of store.deletedOpen) if (this.closed(store, row)) store.deletedOpen.delete(row);
    let expired = 0;
    for (const { row, atMs } of deletedRows) {
      if (nowMs - atMs < DELETED_RECORD_MS || table.handles[row] !== NONE) break;
      table.remove(row);
      expired += 1;
    }
    deletedRows.splice(0, expired);
  }

  private failed(store: ExtentStore, op: Operation, message: string): void {
    const row = store.table.find(op.extentId);
    if (row !== NONE) store.table.unset(row, EXTENT_FLAG.deleting);
    this.host.fail(op, actionOf(op.opcode), message);
  }

  private removed(store: ExtentStore, op: Operation): void {
    const { table } = store;
    const row = table.find(op.extentId);
    const nowMs = this.host.clock.nowMs();
    table.unset(row, EXTENT_FLAG.deleting);
    table.set(row, EXTENT_FLAG.deleted);
    table.modTimes[row] = Math.floor(nowMs / 1000);
    store.usedBytes -= table.sizes[row]!;
    store.deletedRows.push({ row, atMs: nowMs });
    if (!this.closed(store, row)) store.deletedOpen.add(row);
    this.punchSlots(store, op);
  }

  /** Whether no file of the row is open; begins to close one that is idle. */
  private closed(store: ExtentStore, row: number): boolean {
    const index = store.table.handles[row]!;
    return index === NONE || this.files.closeIdle(this.files.handles[index]!);
  }

  /** A failure is ignored: the id is not used again, and a create that is told to use it looks at the slots. */
  private punchSlots(store: ExtentStore, op: Operation): void {
    const at = slotOffset(op.extentId, 0);
    if (at >= store.crcBytes) return this.host.finish(op);
    store.ownFdUsers += 1;
    this.eraser.erase(store, store.crcFd, at, SLOT_TABLE_BYTES, () => {
      store.ownFdUsers -= 1;
      this.host.finish(op);
      this.ownFdReleased(store);
    });
  }
}
