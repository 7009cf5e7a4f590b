/**
 * Counts what a worker does, for metrics: of each partition in its row of the shared table, of the disk in counters and histograms. Owned by the worker's loop,
 * which keeps `nowMs`; nothing here allocates.
 *
 * A chunk of a read (128 KiB) is a read here: these are operations of the disk. Skipped requests are not counted, and work of this node's own is not.
 */
import type { Operation } from '../partition/operation.js';
import { changesExtent, isReadOp } from '../protocol/opcodes.js';
import { DISK_WORK, type DiskWork } from '../shm/diskWork.js';
import { PARTITION_COUNT, type PartitionTable } from '../shm/tables.js';

/** What is counted of the raft groups of a worker. */
export interface GroupFigures {
  /** Random writes, and reads of the leader, that are with their groups now. */
  readonly waiting: number;
  /** Groups that run now. */
  readonly running: number;
  /** Times that a group has got a leader, since the start. */
  readonly leadersSeen: number;
}

export class WorkCount {
  /** The loop's clock, monotonic ms: read when a turn begins and when a batch has come back. */
  nowMs = 0;
  readonly #table: PartitionTable;
  readonly #work: DiskWork;

  constructor(table: PartitionTable, work: DiskWork) {
    this.#table = table;
    this.#work = work;
  }

  /** `op` was taken from its ring. */
  taken(op: Operation): void {
    op.takenMs = this.nowMs;
    op.tableRow = -1;
  }

  /** What has become of reads that waited for a heal since the start. About once a second. */
  waits({ served, gaveUp }: { readonly served: number; readonly gaveUp: number }): void {
    this.#work.counters.set(DISK_WORK.waitsServed, served);
    this.#work.counters.set(DISK_WORK.waitsGivenUp, gaveUp);
  }

  /** What the worker's groups say of themselves, and how many messages were dropped since the start. About once a second. */
  raft({ waiting, running, leadersSeen }: GroupFigures, dropped: number): void {
    const { counters } = this.#work;
    counters.set(DISK_WORK.raftWaiting, waiting);
    counters.set(DISK_WORK.raftDropped, dropped);
    counters.set(DISK_WORK.raftGroups, running);
    counters.set(DISK_WORK.raftLeaders, leadersSeen);
  }

  /** `op` has ended, well (`bytes`: of the reply's body) or with an error. */
  ended(op: Operation, ok: boolean, bytes: number): void {
    const row = op.tableRow;
    // The row may be another partition's by now.
    const known = row >= 0 && this.#table.id(row) === op.partitionId;
    if (!ok) {
      this.#work.counters.add(DISK_WORK.errors, 1);
      if (known) this.#table.count(row, PARTITION_COUNT.errors, 1);
      return;
    }
    const us = Math.max(0, this.nowMs - op.takenMs) * 1000;
    if (isReadOp(op.opcode)) {
      this.#work.reads.record(us);
      this.#work.counters.add(DISK_WORK.readBytes, bytes);
      if (!known) return;
      this.#table.count(row, PARTITION_COUNT.readOps, 1);
      this.#table.count(row, PARTITION_COUNT.readBytes, bytes);
      this.#table.count(row, PARTITION_COUNT.readUs, us);
    } else if (changesExtent(op.opcode)) {
      this.#work.writes.record(us);
      this.#work.counters.add(DISK_WORK.writeBytes, op.size);
      if (!known) return;
      this.#table.count(row, PARTITION_COUNT.writeOps, 1);
      this.#table.count(row, PARTITION_COUNT.writeBytes, op.size);
      this.#table.count(row, PARTITION_COUNT.writeUs, us);
    } else {
      this.#work.counters.add(DISK_WORK.otherOps, 1);
      if (known) this.#table.count(row, PARTITION_COUNT.otherOps, 1);
    }
  }
}
