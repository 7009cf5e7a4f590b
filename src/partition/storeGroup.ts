/**
 * What all stores of one worker share: the budget of open extents, group commits, slot writes that follow their data.
 *
 * The worker makes one, and calls `advance` whenever the batch is free (not in flight): after `disk.drainCompletions()`, and after each run of the
 * batch when every `ioDone` was called and the batch was cleared. `advance` adds entries for parked operations and slot writes; so the worker runs
 * the batch, calls `ioDone`, clears and advances until the batch stays empty.
 *
 *     run():      disk.runBatch(); for each entry with an operation: op.handler.ioDone(op, index); batch.clear(); stores.advance();
 *     a turn:     disk.drainCompletions(); stores.advance(); partition.execute(op)...; while (batch.length > 0) run();
 */
import type { StoreHost } from './storeHost.js';

export class StoreGroup {
  readonly host: StoreHost;

  constructor(host: StoreHost) {
    this.host = host;
  }

  /** Operations parked by stores: waiting for an open, a sync, an id, a read. They need completions, not the batch. */
  get parkedOperations(): number {
    return 0;
  }

  /** See above. The batch must not be in flight. */
  advance(): void {
    throw new Error('not built yet');
  }
}
