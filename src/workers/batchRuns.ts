/**
 * Runs the worker's I/O batch: inline, or on the I/O threads of a disk whose writes throttle, and hands the results to the operations. Owned by the worker's loop; while a batch is away nothing may be
 * added to it, and no request is executed.
 */
import { native } from '../native/addon.js';
import type { Operation } from '../partition/operation.js';
import type { StoreGroup } from '../partition/storeGroup.js';
import type { NativeDisk } from '../storage/nativeDisk.js';
import { IoMode, type WriteMode } from './ioMode.js';

export interface BatchSurroundings {
  readonly disk: NativeDisk;
  readonly stores: StoreGroup;
  readonly entryOperations: (Operation | null)[];
  /** A batch has come back, and its operations are told next. */
  cameBack(): void;
  /** Writes run elsewhere from now on, after a batch that took `ns`. */
  modeChanged(threaded: boolean, ns: number): void;
}

export class BatchRuns {
  /** The batch runs on an I/O thread. */
  away = false;
  private readonly around: BatchSurroundings;
  private readonly mode: IoMode;

  constructor(around: BatchSurroundings, writes: WriteMode) {
    this.around = around;
    this.mode = new IoMode(writes);
  }

  get threaded(): boolean {
    return this.mode.threaded;
  }

  /** Runs batches until there is nothing to run, or one is away. */
  run(): void {
    const { disk } = this.around;
    while (disk.batch.length > 0) {
      if (this.mode.threaded) {
        this.away = true;
        const startedNs = native.monotonicNs();
        disk.submitBatch(() => {
          this.away = false;
          this.settle(native.monotonicNs() - startedNs);
        });
        return;
      }
      this.runInline();
    }
  }

  /** Runs the batch here and now. */
  runInline(): void {
    this.settle(this.around.disk.runBatch());
  }

  private settle(ns: number): void {
    const { disk, stores, entryOperations } = this.around;
    this.around.cameBack();
    const { batch } = disk;
    const { length } = batch;
    for (let i = 0; i < length; i++) {
      const op = entryOperations[i]!;
      if (op === null) continue;
      entryOperations[i] = null;
      op.handler!.ioDone(op, i);
    }
    batch.clear();
    stores.advance();
    if (this.mode.observe(ns)) this.around.modeChanged(this.mode.threaded, ns);
  }
}
