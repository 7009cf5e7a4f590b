/**
 * Durability of sync writes, shared: one fdatasync in flight an extent, one fsync in flight a partition folder; everybody who was written before the
 * start is acknowledged by its end. With `durability: "always"` that is every write, and creates wait for the fsync of their folder.
 *
 * A failed fdatasync is final. The kernel reports a lost page once, and a later fdatasync succeeds without it; so the extent takes no more writes, and
 * whoever waits is told.
 */

import { ERROR_TEXT } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { EXTENT_FLAG } from '../storage/extentTable.js';
import type { IoDone } from '../storage/io.js';
import type { ExtentHandle, OperationQueue } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import type { StoreHost } from './storeHost.js';

export class GroupCommit {
  /** Operations that wait for a sync. */
  parked = 0;
  /** An fdatasync of the extent has failed: to be remembered beyond this process. */
  onBroken: (store: ExtentStore, extentId: number) => void = () => undefined;
  private readonly host: StoreHost;
  private files!: OpenExtents;
  private readonly wanted: ExtentHandle[] = [];
  /** Stores with creates that wait for an fsync of their folder. */
  private readonly foldersWanted: ExtentStore[] = [];

  constructor(host: StoreHost) {
    this.host = host;
  }

  /** The open files, which are made after this. */
  attach(files: OpenExtents): void {
    this.files = files;
  }

  /** The data of `op` has been written; it ends when that is durable. The sync starts with the next `advance`. */
  wait(handle: ExtentHandle, op: Operation): void {
    if (handle.store!.table.has(handle.row, EXTENT_FLAG.syncFailed)) {
      return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.extentBroken);
    }
    this.parked += 1;
    handle.syncWaiting.push(op);
    this.want(handle);
  }

  /** The file that `op` creates exists; it ends when the file's entry in the folder is durable. The fsync starts with the next `advance`. */
  waitForFolder(store: ExtentStore, op: Operation): void {
    this.parked += 1;
    if (store.folderWaiting.isEmpty) this.foldersWanted.push(store);
    store.folderWaiting.push(op);
  }

  private want(handle: ExtentHandle): void {
    if (handle.syncing || handle.syncWanted) return;
    handle.syncWanted = true;
    this.wanted.push(handle);
  }

  /** Starts the syncs that are wanted: after a batch, so that all its writes share them. */
  advance(): void {
    for (const handle of this.wanted) {
      // Since it was listed the handle can have been closed, and even opened again for another extent.
      if (handle.syncWanted && handle.isOpen && !handle.store!.closed) this.start(handle);
      handle.syncWanted = false;
    }
    this.wanted.length = 0;
    for (const store of this.foldersWanted) this.syncFolder(store);
    this.foldersWanted.length = 0;
  }

  /** Starts an fdatasync of the handle; none may be running. */
  start(handle: ExtentHandle): void {
    handle.syncing = true;
    handle.syncingWrites = handle.writes;
    handle.syncRunning.append(handle.syncWaiting);
    this.files.use(handle);
    this.host.disk.submitFdatasync(handle.fd, handle.onSynced);
  }

  /** The fdatasync of the handle has ended. */
  synced(handle: ExtentHandle, result: number): void {
    handle.syncing = false;
    const store = handle.store!;
    if (result === -EAGAIN) return this.again(handle);
    if (result < 0) this.failed(handle, store, result);
    else handle.syncedWrites = handle.syncingWrites;
    for (let op = handle.syncRunning.shift(); op !== null; op = handle.syncRunning.shift()) {
      this.dataDurable(store, handle, op);
    }
    if (!handle.syncWaiting.isEmpty) this.start(handle);
    this.syncFolder(store);
    this.files.release(handle);
  }

  /** The I/O queue was full, which says nothing of the file: everybody waits on, for the next start. */
  private again(handle: ExtentHandle): void {
    handle.syncRunning.append(handle.syncWaiting);
    handle.syncWaiting.append(handle.syncRunning);
    if (handle.store!.closed) return this.files.release(handle);
    handle.users -= 1;
    this.want(handle);
  }

  /** Ends everybody who waits in this list; for stores that are taken out of service. */
  failAll(queue: OperationQueue, message: string, errno = 0): void {
    for (let op = queue.shift(); op !== null; op = queue.shift()) {
      this.parked -= 1;
      op.ioError = errno;
      this.host.fail(op, actionOf(op.opcode), message);
    }
  }

  private dataDurable(store: ExtentStore, handle: ExtentHandle, op: Operation): void {
    if (store.table.creations[handle.row]! > store.creationsSynced) {
      store.folderWaiting.push(op);
    } else {
      this.parked -= 1;
      this.host.finish(op);
    }
  }

  private failed(handle: ExtentHandle, store: ExtentStore, result: number): void {
    const message = `sync ${handle.path}: ${this.host.disk.errnoText(result)}`;
    store.syncFailed(handle.row);
    // Nothing of it will ever be known to be durable; closing it must not try again.
    handle.syncedWrites = handle.writes;
    reportDiskError(this.host, result, true);
    this.host.log('error', `${message}: unsynced data counts as lost, no more writes to this extent`, {
      partition: store.partitionId,
      extent: handle.extentId,
    });
    this.onBroken(store, handle.extentId);
    this.failAll(handle.syncRunning, message, result);
    this.failAll(handle.syncWaiting, message, result);
  }

  private syncFolder(store: ExtentStore): void {
    if (store.folderWaiting.isEmpty || store.creationsSyncing !== 0 || store.closed) return;
    store.creationsSyncing = store.creations;
    store.folderRunning.append(store.folderWaiting);
    this.host.disk.submitFsyncFolder(store.path, this.folderDone(store));
  }

  /** A closure for each folder sync: they are as rare as creations. */
  private folderDone(store: ExtentStore): IoDone {
    return (io) => {
      if (io.result === -EAGAIN) {
        store.folderWaiting.append(store.folderRunning);
      } else if (io.result < 0) {
        reportDiskError(this.host, io.result, true);
        const message = `sync ${store.path}: ${this.host.disk.errnoText(io.result)}`;
        this.host.log('error', message, { partition: store.partitionId });
        this.failAll(store.folderRunning, message, io.result);
      } else {
        store.creationsSynced = store.creationsSyncing;
      }
      store.creationsSyncing = 0;
      for (let op = store.folderRunning.shift(); op !== null; op = store.folderRunning.shift()) {
        this.parked -= 1;
        this.host.finish(op);
      }
      this.syncFolder(store);
    };
  }
}
