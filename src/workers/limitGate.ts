/**
 * The worker's end of its disk's limits: asks them about requests that have come, executes those that they let go, and shows main what waits. What is
 * decided is decided in `src/partition/diskLimits.ts`. Used by the worker's loop only.
 */
import type { DiskLimits } from '../partition/diskLimits.js';
import type { Operation } from '../partition/operation.js';
import { LIMIT_LANES, LimitTable, type LimitTableMemory } from '../shm/limitTable.js';

/** What the worker does for its gate. */
export interface GateHost {
  /** Monotonic ms. */
  nowMs(): number;
  /** Whether a request needs no I/O any more: its connection is gone, or nobody waits for it any longer. */
  isOver(op: Operation): boolean;
  /** Executes a request, or ends one that is over; the batch is not away. */
  execute(op: Operation): void;
  /** Reads that wait for something else than their disk. */
  heldReads(): number;
}

export class LimitGate {
  readonly limits: DiskLimits;
  /** The request that is executed now has waited here and is over: its answer says nothing about the disk. */
  endsUnserved = false;
  /** As shown last. */
  private heldReads = 0;
  private readonly table: LimitTable;
  private readonly row: number;
  private readonly host: GateHost;
  private readonly isOver = (op: Operation): boolean => this.host.isOver(op);
  private readonly end = (op: Operation): void => {
    this.endsUnserved = true;
    this.host.execute(op);
    this.endsUnserved = false;
  };

  constructor(limits: DiskLimits, memory: LimitTableMemory, row: number, host: GateHost) {
    this.limits = limits;
    this.table = new LimitTable(memory);
    this.row = row;
    this.host = host;
  }

  /** Whether a request that has come waits here for the limits. If not it is to be executed now. */
  holds(op: Operation): boolean {
    const { limits } = this;
    return limits.concerns(op) && !this.host.isOver(op) && !limits.admit(op, this.host.nowMs());
  }

  /** Executes what may go now, `countMax` at most. Returns how many. */
  release(countMax: number): number {
    const { limits, host } = this;
    if (limits.waiting === 0) return 0;
    const nowMs = host.nowMs();
    let count = 0;
    while (count < countMax) {
      const op = limits.next(nowMs, this.isOver);
      if (op === null) break;
      if (host.isOver(op)) this.end(op);
      else host.execute(op);
      count++;
    }
    return count;
  }

  /** About once a second: ends what is over and still stands in line. */
  sweep(): void {
    if (this.limits.waiting > 0) this.limits.sweep(this.isOver, this.end);
  }

  /** Ms until `release` may let something go by the passing of time. */
  wakeInMs(): number {
    if (!this.limits.isAwaited) return Number.POSITIVE_INFINITY;
    return this.limits.wakeInMs(this.host.nowMs());
  }

  /** Shows the figures, if they have changed. Before a batch runs, so that what main sees waiting is never what the disk is working on. */
  publish(): void {
    const { limits, table, row } = this;
    const heldReads = this.host.heldReads();
    if (heldReads !== this.heldReads) table.setHeldReads(row, heldReads);
    this.heldReads = heldReads;
    if (!limits.changed) return;
    limits.changed = false;
    table.setWaiting(row, limits.waiting, limits.internalWaiting);
    for (let lane = 0; lane < LIMIT_LANES; lane++) table.setLane(row, lane, limits.lanes[lane + 1]!);
  }
}
