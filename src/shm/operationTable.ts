/**
 * What became of one network thread's operations, a row a kind: results, bytes, the last duration, and a histogram of durations. The same memory rules as
 * `counters.ts`: one writer, readers that never wait, no order between cells.
 */
import assert from 'node:assert';
import {
  createHistogram,
  type HistogramMemory,
  type HistogramSnapshot,
  SharedHistogram,
} from './histogram.js';
import { LINE_BYTES } from './layout.js';

/** Results that are told apart: the low four bits of a result code, which are all that differs between those that are sent. */
export const OPERATION_RESULTS = 16;

/** A table's memory: a plain object that may be posted to a thread or put into workerData. */
export interface OperationTableMemory {
  readonly sab: SharedArrayBuffer;
  readonly durations: readonly HistogramMemory[];
}

const CELL = { lastUs: 0, bytesIn: 1, bytesOut: 2, results: 3 } as const;
const ROW_CELLS = CELL.results + OPERATION_RESULTS;

/** Makes a table of `rows` zero rows. */
export function createOperationTable(rows: number): OperationTableMemory {
  assert(Number.isInteger(rows) && rows > 0, `operation table of ${rows} rows`);
  return {
    sab: new SharedArrayBuffer(2 * LINE_BYTES + rows * ROW_CELLS * Float64Array.BYTES_PER_ELEMENT),
    durations: Array.from({ length: rows }, createHistogram),
  };
}

/** One table. `ended` and `moved` on the owner's thread only; nothing here allocates but the readers' `durations`. */
export class OperationTable {
  readonly rows: number;
  private readonly cells: Float64Array;
  private readonly histograms: readonly SharedHistogram[];

  constructor(memory: OperationTableMemory) {
    this.rows = memory.durations.length;
    this.cells = new Float64Array(memory.sab, LINE_BYTES, this.rows * ROW_CELLS);
    this.histograms = memory.durations.map((histogram) => new SharedHistogram(histogram));
  }

  /** An operation of kind `row` has ended with `resultCode` after `us`. */
  ended(row: number, resultCode: number, us: number): void {
    const at = row * ROW_CELLS;
    this.cells[at + CELL.results + (resultCode & (OPERATION_RESULTS - 1))]! += 1;
    this.cells[at + CELL.lastUs] = us;
    this.histograms[row]!.record(us);
  }

  /** Body bytes that came with a request, and that left with a reply or a part of it. */
  moved(row: number, bytesIn: number, bytesOut: number): void {
    const at = row * ROW_CELLS;
    this.cells[at + CELL.bytesIn]! += bytesIn;
    this.cells[at + CELL.bytesOut]! += bytesOut;
  }

  /** Operations that ended with the result whose low four bits are `result`. */
  count(row: number, result: number): number {
    return this.value(row, CELL.results + result);
  }
  /** Duration of the last one, µs. */
  lastUs(row: number): number {
    return this.value(row, CELL.lastUs);
  }
  bytesIn(row: number): number {
    return this.value(row, CELL.bytesIn);
  }
  bytesOut(row: number): number {
    return this.value(row, CELL.bytesOut);
  }
  durations(row: number): HistogramSnapshot {
    return this.histograms[row]!.snapshot();
  }

  private value(row: number, cell: number): number {
    assert(row >= 0 && row < this.rows, 'operation table: no such row');
    return this.cells[row * ROW_CELLS + cell]!;
  }
}
