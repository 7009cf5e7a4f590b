/**
 * Makes extent ids safe from reuse before they are used: writes the reserved base into EXTENT_META and fdatasyncs it (`storage.md` W2).
 *
 * `IdBase` decides when. The write is an entry of the batch under an operation that belongs to this file, not to a packet; the fdatasync is submitted work.
 */
import { BASE_BYTES, encodeBase } from '../storage/extentMeta.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, EIO, ioErrorText, reportDiskError } from './ioErrors.js';
import { Operation, type OperationHandler } from './operation.js';
import { SCRATCH_ENTRY_BYTES, SCRATCH_ZERO_BYTES, type StoreHost } from './storeHost.js';

/** Told when a reservation has ended; `problem` is null when the ids are safe. */
export type ReservationDone = (store: ExtentStore, problem: string | null) => void;

/** The carrier of one reservation through the batch. */
class Reservation extends Operation {
  readonly store: ExtentStore;
  /** Of the store, when it began. */
  readonly metaSyncsFailed: number;

  constructor(store: ExtentStore) {
    super();
    this.store = store;
    this.metaSyncsFailed = store.metaSyncsFailed;
  }
}

export class IdReservation implements OperationHandler {
  private readonly host: StoreHost;
  private readonly done: ReservationDone;

  constructor(host: StoreHost, done: ReservationDone) {
    this.host = host;
    this.done = done;
  }

  /** Begins a reservation when one is due for `wantedId`; adds at most one entry to the batch. */
  begin(store: ExtentStore, wantedId: number): void {
    const number = store.ids.beginReservation(wantedId);
    if (number === 0) return;
    const { disk, entryOperations, regions, scratchRegion } = this.host;
    const at = SCRATCH_ZERO_BYTES + disk.batch.length * SCRATCH_ENTRY_BYTES;
    encodeBase(regions[scratchRegion]!, at, number);
    const reservation = new Reservation(store);
    reservation.handler = this;
    store.ownFdUsers += 1;
    const index = disk.batch.pwrite(store.metaFd, 0, scratchRegion, at, BASE_BYTES, false);
    entryOperations[index] = reservation;
  }

  ioDone(op: Operation, index: number): void {
    const { store } = op as Reservation;
    const result = this.host.disk.batch.result(index);
    if (result !== BASE_BYTES) {
      this.end(store, result, 'write');
      return;
    }
    this.sync(op as Reservation);
  }

  /** Another fdatasync of the file that has failed meanwhile may have lost what was written, and this one says nothing of it. */
  private sync(reservation: Reservation): void {
    const { store } = reservation;
    this.host.disk.submitFdatasync(store.metaFd, ({ result }) => {
      if (result === -EAGAIN) this.sync(reservation);
      else if (result < 0 || reservation.metaSyncsFailed === store.metaSyncsFailed)
        this.end(store, result, 'sync');
      else this.end(store, -EIO, 'sync');
    });
  }

  private end(store: ExtentStore, result: number, call: 'write' | 'sync'): void {
    store.ownFdUsers -= 1;
    const durable = call === 'sync' && result >= 0;
    if (!durable && call === 'sync') store.metaSyncsFailed += 1;
    store.ids.endReservation(durable);
    if (durable) return this.done(store, null);
    reportDiskError(this.host, result, true);
    const problem = ioErrorText(this.host, call, store.metaPath, result);
    this.host.log('error', `extent ids cannot be reserved: ${problem}`, { partition: store.partitionId });
    this.done(store, problem);
  }
}
