/**
 * What each worker's limits have done and what waits for them: a row of doubles a worker in shared memory, written by the worker, read by main without waiting
 * (why that is enough: `tables.ts`).
 */
import assert from 'node:assert';
import { LINE_BYTES } from './layout.js';

/** A table's memory: a plain object that may be put into workerData. */
export interface LimitTableMemory {
  readonly sab: SharedArrayBuffer;
  readonly rows: number;
}

/** Figures of one lane, in the order of its cells. */
export interface LaneFigures {
  /** Operations that wait, and those that were let go and have not ended. */
  waiting: number;
  running: number;
  /** Operations that were let go since the start while their kind was limited, and their bytes. */
  passedOps: number;
  passedBytes: number;
}

/** Lanes of a row; four cells each are one cache line. */
export const LIMIT_LANES = 4;
const LANE_CELLS = 4;
/** Two lines a row: the lanes, how many wait in all, and how many reads wait for something else than the disk. */
const ROW_CELLS = (2 * LINE_BYTES) / Float64Array.BYTES_PER_ELEMENT;
const WAITING_CELL = LIMIT_LANES * LANE_CELLS;
const INTERNAL_CELL = WAITING_CELL + 1;
const HELD_READS_CELL = INTERNAL_CELL + 1;

/** Makes a table of `rows` zero rows. */
export function createLimitTable(rows: number): LimitTableMemory {
  assert(Number.isInteger(rows) && rows > 0, `limit table of ${rows} rows`);
  return { sab: new SharedArrayBuffer(rows * ROW_CELLS * Float64Array.BYTES_PER_ELEMENT), rows };
}

export class LimitTable {
  private readonly rows: number;
  private readonly cells: Float64Array;

  constructor(memory: LimitTableMemory) {
    this.rows = memory.rows;
    this.cells = new Float64Array(memory.sab);
  }

  /** Requests at the worker that wait for a limit, or behind one that does. */
  waiting(row: number): number {
    return this.cells[this.at(row) + WAITING_CELL]!;
  }
  /** Those of them that came from the network thread, and reads that are held: the disk owes it nothing for them yet. */
  waitingFromNetwork(row: number): number {
    const at = this.at(row);
    return this.waiting(row) - this.cells[at + INTERNAL_CELL]! + this.cells[at + HELD_READS_CELL]!;
  }
  /** Reads that wait for a block to be healed, which is done by other disks. */
  setHeldReads(row: number, count: number): void {
    this.cells[this.at(row) + HELD_READS_CELL] = count;
  }
  /** `internal`: how many of all are the node's own. */
  setWaiting(row: number, all: number, internal: number): void {
    this.cells[this.at(row) + WAITING_CELL] = all;
    this.cells[this.at(row) + INTERNAL_CELL] = internal;
  }

  lane(row: number, lane: number): LaneFigures {
    const at = this.at(row) + lane * LANE_CELLS;
    return {
      waiting: this.cells[at]!,
      running: this.cells[at + 1]!,
      passedOps: this.cells[at + 2]!,
      passedBytes: this.cells[at + 3]!,
    };
  }
  setLane(row: number, lane: number, figures: Readonly<LaneFigures>): void {
    const at = this.at(row) + lane * LANE_CELLS;
    this.cells[at] = figures.waiting;
    this.cells[at + 1] = figures.running;
    this.cells[at + 2] = figures.passedOps;
    this.cells[at + 3] = figures.passedBytes;
  }

  private at(row: number): number {
    assert(row >= 0 && row < this.rows, 'limit table: no such row');
    return row * ROW_CELLS;
  }
}
