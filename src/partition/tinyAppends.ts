/**
 * OpWrite and OpSyncWrite with the tiny extent type, as a primary assigns them (`wire.md` 6.2, 7.5, `storage.md` 7.2, 11): an available tiny extent is taken,
 * the append goes to its watermark, and the end of the operation gives the extent back, once, before the reply; of one that goes to followers, its outcome on all replicas does (`tinyLoans.ts`).
 *
 * An extent has one such append at a time, so nothing ever falls together with the append before it. While all available extents are being written, further
 * appends wait here in their order; the reference's connections, which have one packet in execution each, never come that far.
 */
import { ACTION, noTinyExtentAvailable } from '../protocol/errors.js';
import { NONE } from '../storage/extentTable.js';
import { roundUpToPage, TINY_WATERMARK_MAX } from '../storage/layout.js';
import { TINY_STATE } from '../storage/tinyExtents.js';
import type { ExtentStore } from './extentStore.js';
import type { Operation } from './operation.js';
import type { StoreHost } from './storeHost.js';

export class TinyAppends {
  /** Appends that wait for an extent. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly access: (store: ExtentStore, op: Operation) => void;
  private readonly stores = new Set<ExtentStore>();

  /** @param access starts a write whose extent and offset are known. */
  constructor(host: StoreHost, access: (store: ExtentStore, op: Operation) => void) {
    this.host = host;
    this.access = access;
  }

  /** A tiny append whose space and disk state have been checked. */
  start(store: ExtentStore, op: Operation): void {
    if (store.tinyWaiting.isEmpty && this.assign(store, op)) return this.access(store, op);
    if (store.tiny.count(TINY_STATE.writing) === 0) return this.refuse(store, op);
    this.parked += 1;
    store.tinyWaiting.push(op);
    this.stores.add(store);
  }

  /** Starts what waits, as long as there are extents and `hasRoom` (in the batch). */
  advance(hasRoom: () => boolean): void {
    for (const store of this.stores) {
      if (this.startWaiting(store, hasRoom)) this.stores.delete(store);
    }
  }

  /** Ends the appends that wait; for stores that are taken out of service. */
  failWaiting(store: ExtentStore, action: string, message: string): void {
    for (let op = store.tinyWaiting.shift(); op !== null; op = store.tinyWaiting.shift()) {
      this.parked -= 1;
      this.host.fail(op, action, message);
    }
    this.stores.delete(store);
  }

  /** True when nothing waits any more. */
  private startWaiting(store: ExtentStore, hasRoom: () => boolean): boolean {
    for (let op = store.tinyWaiting.first; op !== null; op = store.tinyWaiting.first) {
      if (!hasRoom()) return false;
      const assigned = this.assign(store, op);
      if (!assigned && store.tiny.count(TINY_STATE.writing) > 0) return false;
      store.tinyWaiting.shift();
      this.parked -= 1;
      if (assigned) this.access(store, op);
      else this.refuse(store, op);
    }
    return true;
  }

  /** Takes an extent for `op`, whose end stays below 2^32 (W22); false when there is none. */
  private assign(store: ExtentStore, op: Operation): boolean {
    const { table } = store;
    const bytes = roundUpToPage(op.size);
    const id = store.tiny.take((candidate) => {
      const row = table.find(candidate);
      return row !== NONE && table.ends[row]! + bytes <= TINY_WATERMARK_MAX;
    });
    if (id === 0) return false;
    op.extentId = id;
    op.extentOffset = table.ends[table.find(id)]!;
    if (op.forwarded) this.host.assigned(op, store.tinyLoans.lend(op));
    else op.loan = store;
    return true;
  }

  private refuse(store: ExtentStore, op: Operation): void {
    this.host.fail(op, ACTION.prepare, noTinyExtentAvailable(store.partitionId));
  }
}
