/**
 * What main and the http thread may know of a worker's partitions and disk at any time without asking: tables of doubles in shared memory.
 *
 * One writer, the worker that owns the table; any number of readers, which never wait, so a heartbeat is answered while a disk hangs. Each
 * cell is an aligned Float64 (why that is enough: `counters.ts`); there is no order between cells, so a reader may see a partition's new
 * extent count beside its old size. Nothing here allocates after construction.
 *
 * Partitions come and go: a row with id 0 is free. `version` changes with every claim and free, so that a reader can keep its own map
 * from id to row and rebuild it only then.
 */
import assert from 'node:assert';
import { LINE_BYTES } from './layout.js';

/** A table's memory: a plain object that may be posted to a thread or put into workerData. */
export interface TableMemory {
  readonly sab: SharedArrayBuffer;
  readonly rows: number;
}

/** One row: two cache lines, 16 cells. */
const ROW_CELLS = LINE_BYTES / Float64Array.BYTES_PER_ELEMENT;

/** What is counted of a partition, from its load or creation on; durations are sums, µs. */
export const PARTITION_COUNT = {
  readOps: 8,
  readBytes: 9,
  readUs: 10,
  writeOps: 11,
  writeBytes: 12,
  writeUs: 13,
  otherOps: 14,
  errors: 15,
} as const;
export type PartitionCount = (typeof PARTITION_COUNT)[keyof typeof PARTITION_COUNT];

/** Bits of a partition's flags. */
export const PARTITION_FLAG = {
  /** This replica leads its raft group, or is the only host. */
  leader: 1,
  /** Its raft group does not run and should. */
  raftOut: 2,
} as const;

function createTable(rows: number): TableMemory {
  assert(Number.isInteger(rows) && rows > 0, `table of ${rows} rows`);
  return { sab: new SharedArrayBuffer((1 + rows) * LINE_BYTES), rows };
}

/** Makes a partition table of `rows` free rows. */
export function createPartitionTable(rows: number): TableMemory {
  return createTable(rows);
}

/** Makes a disk table of `rows` zero rows. */
export function createDiskTable(rows: number): TableMemory {
  return createTable(rows);
}

/** Cells of `rows` rows; the first line of the memory holds the version. */
class Cells {
  readonly rows: number;
  readonly version: Int32Array;
  private readonly cells: Float64Array;

  constructor(memory: TableMemory) {
    this.rows = memory.rows;
    this.version = new Int32Array(memory.sab, 0, 1);
    this.cells = new Float64Array(memory.sab, LINE_BYTES, memory.rows * ROW_CELLS);
  }

  get(row: number, cell: number): number {
    const value = this.cells[row * ROW_CELLS + cell];
    assert(value !== undefined, 'table: no such row');
    return value;
  }

  set(row: number, cell: number, value: number): void {
    assert(row >= 0 && row < this.rows, 'table: no such row');
    this.cells[row * ROW_CELLS + cell] = value;
  }

  add(row: number, cell: number, n: number): void {
    this.cells[row * ROW_CELLS + cell]! += n;
  }

  clear(row: number): void {
    this.cells.fill(0, row * ROW_CELLS, (row + 1) * ROW_CELLS);
  }
}

const PARTITION = {
  id: 0,
  sizeBytes: 1,
  usedBytes: 2,
  extentCount: 3,
  status: 4,
  appliedId: 5,
  maxExtentId: 6,
  flags: 7,
} as const;

/** Partitions of one worker. Setters, `claim` and `free` on the worker's thread only. */
export class PartitionTable {
  readonly rows: number;
  private readonly cells: Cells;

  constructor(memory: TableMemory) {
    this.cells = new Cells(memory);
    this.rows = memory.rows;
  }

  /** Takes a free row for partition `id` (above 0), all other cells 0. Returns the row, or -1 when all are taken. */
  claim(id: number): number {
    assert(Number.isSafeInteger(id) && id > 0, `table: partition id ${id}`);
    const row = this.rowOf(0);
    if (row < 0) return -1;
    this.cells.clear(row);
    this.cells.set(row, PARTITION.id, id);
    Atomics.add(this.cells.version, 0, 1);
    return row;
  }

  /** Gives a row back. */
  free(row: number): void {
    assert(this.id(row) !== 0, 'table: row is free already');
    this.cells.set(row, PARTITION.id, 0);
    Atomics.add(this.cells.version, 0, 1);
  }

  /** Changes with each claim and free. Read it before the rows. */
  version(): number {
    return Atomics.load(this.cells.version, 0);
  }

  /** Rows that are taken, by a scan of the table. */
  claimed(): number {
    let count = 0;
    for (let row = 0; row < this.rows; row++) if (this.id(row) !== 0) count++;
    return count;
  }

  /** Row of a partition by a scan of the table, or -1. */
  rowOf(id: number): number {
    for (let row = 0; row < this.rows; row++) if (this.cells.get(row, PARTITION.id) === id) return row;
    return -1;
  }

  /** 0: the row is free. */
  id(row: number): number {
    return this.cells.get(row, PARTITION.id);
  }
  sizeBytes(row: number): number {
    return this.cells.get(row, PARTITION.sizeBytes);
  }
  setSizeBytes(row: number, value: number): void {
    this.cells.set(row, PARTITION.sizeBytes, value);
  }
  usedBytes(row: number): number {
    return this.cells.get(row, PARTITION.usedBytes);
  }
  setUsedBytes(row: number, value: number): void {
    this.cells.set(row, PARTITION.usedBytes, value);
  }
  extentCount(row: number): number {
    return this.cells.get(row, PARTITION.extentCount);
  }
  setExtentCount(row: number, value: number): void {
    this.cells.set(row, PARTITION.extentCount, value);
  }
  /** -1 unavailable, 1 read-only, 2 read-write (`storage.md` 1). */
  status(row: number): number {
    return this.cells.get(row, PARTITION.status);
  }
  setStatus(row: number, value: number): void {
    this.cells.set(row, PARTITION.status, value);
  }
  /** The durable one. */
  appliedId(row: number): number {
    return this.cells.get(row, PARTITION.appliedId);
  }
  setAppliedId(row: number, value: number): void {
    this.cells.set(row, PARTITION.appliedId, value);
  }
  maxExtentId(row: number): number {
    return this.cells.get(row, PARTITION.maxExtentId);
  }
  setMaxExtentId(row: number, value: number): void {
    this.cells.set(row, PARTITION.maxExtentId, value);
  }
  /** Bits of PARTITION_FLAG. */
  flags(row: number): number {
    return this.cells.get(row, PARTITION.flags);
  }
  setFlags(row: number, value: number): void {
    this.cells.set(row, PARTITION.flags, value);
  }
  /** Partitions that have one of the bits of PARTITION_FLAG, by a scan of the table. */
  flagged(flag: number): number {
    let count = 0;
    for (let row = 0; row < this.rows; row++)
      if (this.id(row) !== 0 && (this.flags(row) & flag) !== 0) count++;
    return count;
  }
  counted(row: number, count: PartitionCount): number {
    return this.cells.get(row, count);
  }
  /** Adds to a count of the partition in `row`. */
  count(row: number, count: PartitionCount, n: number): void {
    this.cells.add(row, count, n);
  }
}

const DISK = {
  totalBytes: 0,
  usedBytes: 1,
  availableBytes: 2,
  reservedBytes: 3,
  status: 4,
  readErrors: 5,
  writeErrors: 6,
  lastProgressMs: 7,
  inFlight: 8,
  heartbeatMs: 9,
  mode: 10,
  probeMs: 11,
  foldersFound: 12,
  foldersDone: 13,
} as const;

/** Disks, a row each, at the index that the configuration gives them. Setters on the thread of the row's worker only. */
export class DiskTable {
  readonly rows: number;
  private readonly cells: Cells;

  constructor(memory: TableMemory) {
    this.cells = new Cells(memory);
    this.rows = memory.rows;
  }

  totalBytes(row: number): number {
    return this.cells.get(row, DISK.totalBytes);
  }
  setTotalBytes(row: number, value: number): void {
    this.cells.set(row, DISK.totalBytes, value);
  }
  usedBytes(row: number): number {
    return this.cells.get(row, DISK.usedBytes);
  }
  setUsedBytes(row: number, value: number): void {
    this.cells.set(row, DISK.usedBytes, value);
  }
  availableBytes(row: number): number {
    return this.cells.get(row, DISK.availableBytes);
  }
  setAvailableBytes(row: number, value: number): void {
    this.cells.set(row, DISK.availableBytes, value);
  }
  reservedBytes(row: number): number {
    return this.cells.get(row, DISK.reservedBytes);
  }
  setReservedBytes(row: number, value: number): void {
    this.cells.set(row, DISK.reservedBytes, value);
  }
  /** -1 unavailable, 1 read-only, 2 read-write (`admin.md` 8.1). */
  status(row: number): number {
    return this.cells.get(row, DISK.status);
  }
  setStatus(row: number, value: number): void {
    this.cells.set(row, DISK.status, value);
  }
  readErrors(row: number): number {
    return this.cells.get(row, DISK.readErrors);
  }
  setReadErrors(row: number, value: number): void {
    this.cells.set(row, DISK.readErrors, value);
  }
  writeErrors(row: number): number {
    return this.cells.get(row, DISK.writeErrors);
  }
  setWriteErrors(row: number, value: number): void {
    this.cells.set(row, DISK.writeErrors, value);
  }
  /** Monotonic clock, ms, when an I/O operation last ended. */
  lastProgressMs(row: number): number {
    return this.cells.get(row, DISK.lastProgressMs);
  }
  setLastProgressMs(row: number, value: number): void {
    this.cells.set(row, DISK.lastProgressMs, value);
  }
  /** Operations begun and not ended. */
  inFlight(row: number): number {
    return this.cells.get(row, DISK.inFlight);
  }
  setInFlight(row: number, value: number): void {
    this.cells.set(row, DISK.inFlight, value);
  }
  /** Monotonic clock, ms, when the worker last went round its loop. */
  heartbeatMs(row: number): number {
    return this.cells.get(row, DISK.heartbeatMs);
  }
  setHeartbeatMs(row: number, value: number): void {
    this.cells.set(row, DISK.heartbeatMs, value);
  }
  /** How long the running probe of the disk has been under way, ms; 0: none runs. */
  probeMs(row: number): number {
    return this.cells.get(row, DISK.probeMs);
  }
  setProbeMs(row: number, value: number): void {
    this.cells.set(row, DISK.probeMs, value);
  }
  /** Partition folders that the worker found at its start, and how many of them it has loaded or refused. */
  foldersFound(row: number): number {
    return this.cells.get(row, DISK.foldersFound);
  }
  setFoldersFound(row: number, value: number): void {
    this.cells.set(row, DISK.foldersFound, value);
  }
  foldersDone(row: number): number {
    return this.cells.get(row, DISK.foldersDone);
  }
  setFoldersDone(row: number, value: number): void {
    this.cells.set(row, DISK.foldersDone, value);
  }
  /** Where writes run, as the worker numbers it: 0 inline, 1 on the I/O threads. */
  mode(row: number): number {
    return this.cells.get(row, DISK.mode);
  }
  setMode(row: number, value: number): void {
    this.cells.set(row, DISK.mode, value);
  }
}
