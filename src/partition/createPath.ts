/**
 * OpCreateExtent (`wire.md` 9.1, `storage.md` 7.1): an id that is safe from reuse, a record, an empty file.
 *
 * The record exists from the moment the file is asked for, so that a second create of the same id is refused, and writes that follow the create on
 * another connection wait for the file instead of failing.
 */
import { ACTION, ERROR_TEXT, extentIdAllocationFailed, parameterMismatch } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { EXTENT_ID_MAX, isTinyExtent } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import type { GroupCommit } from './groupCommit.js';
import { IdReservation } from './idReservation.js';
import { EAGAIN, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import type { StoreHost } from './storeHost.js';

export class CreatePath {
  /** Creates that wait for an id or for their file. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly commits: GroupCommit;
  private readonly reservation: IdReservation;
  /** Stores with a reservation to begin in the next batch, with the id that is wanted. */
  private readonly due: { store: ExtentStore; wantedId: number }[] = [];

  constructor(
    host: StoreHost,
    files: OpenExtents,
    commits: GroupCommit,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.files = files;
    this.commits = commits;
    this.reservation = new IdReservation(host, (store, problem) => {
      this.reserved(store, problem);
      ownFdReleased(store);
    });
  }

  /** Space, limits and disk state have been checked. Adds at most one entry to the batch. */
  start(store: ExtentStore, op: Operation): void {
    const id = op.primary ? store.ids.next : op.extentId;
    if (!op.primary && (id < 1 || id > EXTENT_ID_MAX)) {
      this.host.fail(op, actionOf(op.opcode), parameterMismatch(op.extentOffset, op.size));
    } else if (!op.primary && store.table.find(id) !== NONE) {
      this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.extentExists);
    } else if (store.ids.isSafe(id) && store.idWaiting.isEmpty) {
      this.create(store, op, id);
      this.reservation.begin(store, store.ids.base);
    } else {
      this.parked += 1;
      store.idWaiters += 1;
      store.idWaiting.push(op);
      this.reservation.begin(store, id);
    }
  }

  /** Begins the reservations that completions asked for. The batch must be free. */
  advance(): void {
    for (const { store, wantedId } of this.due) {
      if (!store.closed) this.reservation.begin(store, wantedId);
    }
    this.due.length = 0;
  }

  /** The file exists: the create is answered, or waits until its entry in the folder is durable. */
  fileCreated(handle: ExtentHandle): void {
    const op = handle.creating!;
    const store = handle.store!;
    handle.creating = null;
    store.creations += 1;
    store.table.creations[handle.row] = store.creations;
    store.table.unset(handle.row, EXTENT_FLAG.creating);
    store.table.modTimes[handle.row] = Math.floor(this.host.clock.nowMs() / 1000);
    this.parked -= 1;
    if (this.host.settings.syncEverything) this.commits.waitForFolder(store, op);
    else this.host.finish(op);
  }

  /** The file could not be created, or not be made ready: no record stays. */
  fileFailed(handle: ExtentHandle, errno: number): void {
    const op = handle.creating!;
    handle.creating = null;
    handle.store!.table.remove(handle.row);
    if (handle.fd >= 0) this.removeFile(handle.path);
    reportDiskError(this.host, errno, true);
    this.parked -= 1;
    this.host.fail(op, actionOf(op.opcode), `open ${handle.path}: ${this.host.disk.errnoText(errno)}`);
  }

  private removeFile(path: string): void {
    this.host.disk.submitUnlink(path, ({ result }) => {
      if (result === -EAGAIN) this.removeFile(path);
    });
  }

  /** Ends creates that wait for an id; for stores that are taken out of service. */
  failWaiting(store: ExtentStore, message: string): void {
    store.idWaiters = 0;
    for (let op = store.idWaiting.shift(); op !== null; op = store.idWaiting.shift()) {
      this.parked -= 1;
      this.host.fail(op, actionOf(op.opcode), message);
    }
  }

  /** Ends the create of a handle whose store is taken out of service. */
  abandon(handle: ExtentHandle, message: string): void {
    const op = handle.creating!;
    handle.creating = null;
    this.parked -= 1;
    this.host.fail(op, actionOf(op.opcode), message);
  }

  private create(store: ExtentStore, op: Operation, id: number): void {
    store.ids.take(id);
    store.deletedIds.delete(id);
    op.extentId = id;
    const row = store.table.insert(id);
    if (!isTinyExtent(id)) store.table.set(row, EXTENT_FLAG.creating | EXTENT_FLAG.trusted);
    this.parked += 1;
    if (op.primary && op.forwarded) this.host.assigned(op, 0);
    this.files.open(store, row, op);
  }

  /** A reservation has ended: those who can go on do, in their order; with a problem all of them fail. */
  private reserved(store: ExtentStore, problem: string | null): void {
    const waiting: Operation[] = [];
    store.idWaiters = 0;
    for (let op = store.idWaiting.shift(); op !== null; op = store.idWaiting.shift()) waiting.push(op);
    let wantedId = store.ids.base;
    for (const op of waiting) {
      const id = op.primary ? store.ids.next : op.extentId;
      if (problem !== null) {
        this.parked -= 1;
        this.host.fail(op, ACTION.prepare, extentIdAllocationFailed(store.partitionId, problem));
      } else if (!op.primary && store.table.find(id) !== NONE) {
        this.parked -= 1;
        this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.extentExists);
      } else if (store.ids.isSafe(id)) {
        this.parked -= 1;
        this.create(store, op, id);
      } else {
        store.idWaiting.push(op);
        store.idWaiters += 1;
        wantedId = Math.max(wantedId, id);
      }
    }
    if (problem === null && !store.closed) this.due.push({ store, wantedId });
  }
}
