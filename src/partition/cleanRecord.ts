/**
 * The entry of one extent in EXTENT_CLEAN, written while its partition serves (`docs/checksums.md`): first data and slots are made durable, then the entry goes
 * into the owner's batch, unless the extent was written to meanwhile.
 */
import {
  CLEAN_ENTRY_BYTES,
  CLEAN_KIND,
  type CleanKind,
  cleanOffset,
  encodeCleanEntry,
} from '../storage/cleanFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { CleanFileStart } from './cleanFileStart.js';
import { HANDLE_STATE } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import { Operation, type OperationHandler } from './operation.js';
import type { StoreHost } from './storeHost.js';

/** Whose entry is written: the check of the moment. */
export interface Recorded {
  readonly store: ExtentStore;
  readonly row: number;
  readonly extentId: number;
  readonly sizeBytes: number;
  /** A descriptor of the extent's file; -1 for an entry that says that it is broken. */
  readonly fd: number;
  readonly kind: CleanKind;
  /** Whether the extent was written to, or goes away. */
  isDisturbed(): boolean;
  /** The entry stands. */
  recorded(): void;
  /** Something came in between. */
  dropped(): void;
  /** A call on `path` has failed: a negated errno, or a count. */
  failed(call: string, path: string, result: number): void;
  /** An fdatasync of the extent has failed: what was written counts as lost. */
  broken(result: number): void;
}

export class CleanRecord implements OperationHandler {
  /** The entry waits for the batch. */
  waitsForBatch = false;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly start: CleanFileStart;
  private readonly carrier = new Operation();
  /** Place of the entry in the scratch region. */
  private readonly entryAt: number;
  private of: Recorded | null = null;
  private mtimeMs = 0;

  constructor(host: StoreHost, files: OpenExtents, entryAt: number) {
    this.host = host;
    this.files = files;
    this.entryAt = entryAt;
    this.carrier.handler = this;
    this.start = new CleanFileStart(host, entryAt);
  }

  /** Writes the entry of `of`; one of its functions is called at the end. */
  begin(of: Recorded): void {
    this.of = of;
    this.mtimeMs = 0;
    if (of.kind === CLEAN_KIND.broken) return this.withCleanFile(() => this.wait());
    const { store, fd } = of;
    const { disk } = this.host;
    disk.submitFdatasync(fd, ({ result }) => {
      if (result === -EAGAIN) return of.dropped();
      if (result < 0) return of.broken(result);
      disk.submitFdatasync(store.crcFd, (io) => {
        if (io.result < 0) {
          if (io.result !== -EAGAIN) store.slotsLost = true;
          return of.failed('sync', store.crcPath, io.result);
        }
        this.withCleanFile(() => this.measure(of));
      });
    });
  }

  /**
   * Adds the entry to the batch, which must have room. From then on the extent counts as clean on disk: a write that comes after it must take the entry away
   * first, and one that came before it has disturbed the check.
   */
  add(): void {
    const of = this.of!;
    const { store, kind, extentId, sizeBytes } = of;
    const broken = kind === CLEAN_KIND.broken;
    this.waitsForBatch = false;
    if (broken ? store.closed : of.isDisturbed() || this.isWaitedFor(of)) return of.dropped();
    const { disk, regions, scratchRegion, entryOperations } = this.host;
    const at = this.entryAt;
    const entry = { kind, sizeBytes, mtimeMs: this.mtimeMs };
    encodeCleanEntry(regions[scratchRegion]!, at, store.cleanStamp, extentId, entry);
    const offset = cleanOffset(extentId);
    const index = disk.batch.pwrite(store.cleanFd, offset, scratchRegion, at, CLEAN_ENTRY_BYTES, false);
    entryOperations[index] = this.carrier;
    if (broken) return;
    store.table.set(of.row, EXTENT_FLAG.clean);
    // It takes the place of an entry about a heal that did not end.
    store.unhealed.delete(extentId);
  }

  /** The entry does not wait any more. */
  giveUp(): void {
    this.waitsForBatch = false;
  }

  ioDone(_op: Operation, index: number): void {
    const of = this.of!;
    const { store } = of;
    const result = this.host.disk.batch.result(index);
    if (result !== CLEAN_ENTRY_BYTES) return of.failed('write', store.cleanPath, result);
    if (of.kind !== CLEAN_KIND.broken) return of.recorded();
    this.host.disk.submitFdatasync(store.cleanFd, (io) => {
      if (io.result < 0) of.failed('sync', store.cleanPath, io.result);
      else of.recorded();
    });
  }

  private withCleanFile(then: () => void): void {
    const of = this.of!;
    const { store } = of;
    if (store.closed) return of.dropped();
    if (store.cleanStamp !== 0) return then();
    this.start.begin(store, (result) => {
      if (result < 0) of.failed('write', store.cleanPath, result);
      else then();
    });
  }

  private measure(of: Recorded): void {
    this.host.disk.submitFstat(of.fd, ({ result, value0, value1 }) => {
      if (result < 0) return of.failed('stat', of.store.extentPath(of.extentId), result);
      if (value0 !== of.sizeBytes) return of.dropped();
      this.mtimeMs = Math.floor(value1);
      this.wait();
    });
  }

  private wait(): void {
    this.waitsForBatch = true;
  }

  /** Operations wait for the extent's file: writes may be among them, which have passed the look at clean extents. */
  private isWaitedFor({ store, row }: Recorded): boolean {
    const index = store.table.handles[row]!;
    if (index === NONE) return false;
    const handle = this.files.handles[index]!;
    return handle.state < HANDLE_STATE.ready || !handle.waiting.isEmpty;
  }
}
