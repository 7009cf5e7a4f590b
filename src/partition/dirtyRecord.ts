/**
 * The first write to a clean extent (`docs/checksums.md`): its entry in EXTENT_CLEAN is zeroed and fdatasynced before a byte of data or a checksum slot
 * changes, so that no crash leaves a clean entry over an extent that was being written to.
 *
 * An entry about a heal that did not end goes the same way: after the write its block is not what the replicas had agreed upon. And while a heal of an extent is under way its writes wait here.
 *
 * One group of entries a store is on its way at a time. While writes wait here, all writes to normal extents of that store wait behind them, in their order.
 */
import { actionOf } from '../protocol/opcodes.js';
import { CLEAN_ENTRY_BYTES, cleanOffset } from '../storage/cleanFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { isTinyExtent } from '../storage/layout.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, ioErrorText, reportDiskError } from './ioErrors.js';
import { Operation, type OperationHandler } from './operation.js';
import type { StoreHost } from './storeHost.js';

/** The carrier of one group of entries through the batch. */
class Clearing extends Operation {
  readonly store: ExtentStore;
  readonly ids: number[] = [];

  constructor(store: ExtentStore) {
    super();
    this.store = store;
  }
}

export class DirtyRecord implements OperationHandler {
  /** Writes that wait. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly resume: (store: ExtentStore, op: Operation) => void;
  private readonly ownFdReleased: (store: ExtentStore) => void;
  /** Stores with writes that wait. */
  private readonly stores = new Set<ExtentStore>();

  /** @param resume starts a write of which nothing is clean any more. */
  constructor(
    host: StoreHost,
    resume: (store: ExtentStore, op: Operation) => void,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.resume = resume;
    this.ownFdReleased = ownFdReleased;
  }

  /** Whether a write to the extent in `row` must wait here. */
  mustWait(store: ExtentStore, row: number): boolean {
    if (!store.dirtyWaiting.isEmpty) return !isTinyExtent(store.table.ids[row]!);
    return row === store.healingRow || hasEntry(store, row);
  }

  wait(store: ExtentStore, op: Operation): void {
    this.parked += 1;
    store.dirtyWaiting.push(op);
    this.stores.add(store);
  }

  /** Starts the writes that can start, and the next group of each store. The batch must be free. */
  advance(hasRoom: () => boolean): void {
    for (const store of this.stores) {
      while (!store.clearing && hasRoom()) {
        const op = store.dirtyWaiting.first;
        if (op === null) {
          this.stores.delete(store);
          break;
        }
        const row = store.table.find(op.extentId);
        // Looked at again when the heal has ended.
        if (row !== NONE && row === store.healingRow) break;
        if (row !== NONE && hasEntry(store, row)) {
          this.clear(store, hasRoom);
        } else {
          store.dirtyWaiting.shift();
          this.parked -= 1;
          this.resume(store, op);
        }
      }
    }
  }

  /** Ends the writes that wait; for stores that are taken out of service. A group under way ends by itself. */
  failWaiting(store: ExtentStore, message: string): void {
    for (let op = store.dirtyWaiting.shift(); op !== null; op = store.dirtyWaiting.shift()) {
      this.fail(op, message);
    }
    this.stores.delete(store);
  }

  ioDone(op: Operation, index: number): void {
    const clearing = op as Clearing;
    const result = this.host.disk.batch.result(index);
    if (result !== CLEAN_ENTRY_BYTES && clearing.ioError === 0) clearing.ioError = result < 0 ? result : 1;
    clearing.entriesPending -= 1;
    if (clearing.entriesPending > 0) return;
    if (clearing.ioError === 0) this.sync(clearing);
    else this.failed(clearing, 'write', clearing.ioError);
  }

  /** Zeroes the entries of the clean extents that are waited for. */
  private clear(store: ExtentStore, hasRoom: () => boolean): void {
    const { disk, scratchRegion, entryOperations } = this.host;
    const clearing = new Clearing(store);
    clearing.handler = this;
    for (let op = store.dirtyWaiting.first; op !== null && hasRoom(); op = op.next) {
      const row = store.table.find(op.extentId);
      if (row === NONE || row === store.healingRow || !hasEntry(store, row)) continue;
      if (clearing.ids.includes(op.extentId)) continue;
      clearing.ids.push(op.extentId);
      // The scratch region begins with zeros.
      const at = cleanOffset(op.extentId);
      const index = disk.batch.pwrite(store.cleanFd, at, scratchRegion, 0, CLEAN_ENTRY_BYTES, false);
      entryOperations[index] = clearing;
    }
    clearing.entriesPending = clearing.ids.length;
    store.clearing = true;
    store.ownFdUsers += 1;
  }

  private sync(clearing: Clearing): void {
    const { store, ids } = clearing;
    this.host.disk.submitFdatasync(store.cleanFd, ({ result }) => {
      if (result === -EAGAIN) return this.sync(clearing);
      if (result < 0) return this.failed(clearing, 'sync', result);
      for (const id of ids) {
        const row = store.table.find(id);
        if (row !== NONE) store.table.unset(row, EXTENT_FLAG.clean);
        store.unhealed.delete(id);
      }
      this.end(store);
    });
  }

  /** The extents stay clean, for whoever comes next; nothing was written to them. */
  private failed({ store, ids }: Clearing, call: 'write' | 'sync', result: number): void {
    reportDiskError(this.host, result, true);
    const problem = ioErrorText(this.host, call, store.cleanPath, result);
    this.host.log('error', `the first write to a clean extent cannot be recorded: ${problem}`, {
      partition: store.partitionId,
    });
    const waiting: Operation[] = [];
    for (let op = store.dirtyWaiting.shift(); op !== null; op = store.dirtyWaiting.shift()) waiting.push(op);
    for (const op of waiting) {
      if (ids.includes(op.extentId)) this.fail(op, problem, result);
      else store.dirtyWaiting.push(op);
    }
    this.end(store);
  }

  private end(store: ExtentStore): void {
    store.clearing = false;
    store.ownFdUsers -= 1;
    this.ownFdReleased(store);
  }

  private fail(op: Operation, message: string, ioError = 0): void {
    this.parked -= 1;
    op.ioError = ioError;
    this.host.fail(op, actionOf(op.opcode), message);
  }
}

/** Whether EXTENT_CLEAN says something of the extent in `row` that a write makes untrue. */
function hasEntry(store: ExtentStore, row: number): boolean {
  const { table, unhealed } = store;
  return table.has(row, EXTENT_FLAG.clean) || (unhealed.size > 0 && unhealed.has(table.ids[row]!));
}
