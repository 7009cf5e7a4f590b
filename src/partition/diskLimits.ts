/**
 * Limits per disk (`pains.md` 7, 22): flow, operations and concurrency, apart for clients and background work, for reads and for what changes the disk. Pure:
 * it says who may go now and who waits, and keeps those that wait; the worker executes them.
 *
 * An operation is charged, its bytes and itself, before its I/O. One that finds its limit used up waits: it is neither failed nor executed out of its turn.
 * Which orders hold:
 * - A lane (clients' reads, for one) lets operations pass in order of arrival.
 * - What came on one connection is executed in the order in which it came, whatever it is.
 * - Operations of one extent are executed in order of arrival within a class. Between classes they are not: a repair read that waits for the limit of
 *   background work must not hold up a client's write, and two connections have no order that anybody relies on.
 * So an operation may also wait for others alone, and then goes, in its lane, where its arrival belongs. Who waits is bounded by who can be at the worker.
 *
 * With several workers a disk each has its share of the rates, and at least one operation at a time. Without limits an operation costs `concerns` and nothing else.
 */
import type { Limits } from '../config/diskLimits.js';
import { changesExtent, isReadOp, isRepairReadOp, OP } from '../protocol/opcodes.js';
import { BLOCK_BYTES } from '../storage/layout.js';
import { INTERNAL_OP } from './internalOps.js';
import { LimitLane } from './limitLane.js';
import type { Operation } from './operation.js';

/** Lanes, by number. Background work is what peers read for their repair, and all internal requests (`internalOps.ts`). `free` has no limits: what is answered from memory, which waits for others of its connection alone. */
export const LANE = {
  free: 0,
  clientsRead: 1,
  clientsWrite: 2,
  backgroundRead: 3,
  backgroundWrite: 4,
} as const;

/** Columns of the tables below: a hash of partition and extent. Two extents in one column keep an order that they need not keep. */
const EXTENT_COLUMNS = 4096;

/** Internal requests that change the disk. */
const INTERNAL_WRITES = new Set<number>([
  INTERNAL_OP.tinyHole,
  INTERNAL_OP.createExtent,
  INTERNAL_OP.missedDelete,
  INTERNAL_OP.syncExtent,
  INTERNAL_OP.endJoining,
  INTERNAL_OP.healBlock,
  INTERNAL_OP.fillMissing,
]);

const laneOfOpcode = Uint8Array.from({ length: 256 }, (_, opcode) => {
  if (isRepairReadOp(opcode)) return LANE.backgroundRead;
  if (isReadOp(opcode)) return LANE.clientsRead;
  const changes = changesExtent(opcode) || opcode === OP.createExtent || opcode === OP.markDelete;
  return changes ? LANE.clientsWrite : LANE.free;
});
/** The same of internal requests: whatever they ask, clients go before them. A sync has its place behind the writes that it is to cover. */
const internalLaneOfOpcode = Uint8Array.from(laneOfOpcode, (lane, opcode) => {
  if (lane === LANE.clientsRead || opcode === INTERNAL_OP.readBlock) return LANE.backgroundRead;
  if (lane === LANE.clientsWrite || INTERNAL_WRITES.has(opcode)) return LANE.backgroundWrite;
  return lane;
});

export class DiskLimits {
  /** By LANE. */
  readonly lanes: readonly LimitLane[] = Array.from(Object.keys(LANE), () => new LimitLane());
  /** Operations that wait here, of all lanes; and the internal ones among them. */
  waiting = 0;
  internalWaiting = 0;
  /** Something has changed since whoever shows the figures set this to false. */
  changed = true;
  private readonly members: number;
  /** By opcode: 1 when its lane has a limit; of packets, and of internal requests. */
  private readonly limitedOps = new Uint8Array(256);
  private readonly limitedInternalOps = new Uint8Array(256);
  private arrivals = 0;
  private firstLane = 0;
  /** Last waiting operation of each connection, by index; and of each extent, by column, of clients and background. */
  private readonly lastOnConnection = new Map<number, Operation>();
  private readonly lastOnExtent: readonly (Operation | null)[][];
  /** Reads, and writes, of the node's own jobs that were charged and have not ended. */
  private readonly jobs = { read: 0, write: 0 };

  /** @param members workers that share the disk. @param nowMs this and all other times: monotonic, of the host's clock. */
  constructor(limits: Limits, members: number, nowMs: number) {
    this.members = members;
    this.lastOnExtent = [0, 1].map(() => new Array<Operation | null>(EXTENT_COLUMNS).fill(null));
    this.change(limits, nowMs);
  }

  /** Other limits from now on, for those that wait too: those whose limit is gone go next. */
  change(limits: Limits, nowMs: number): void {
    const { clients, background } = limits;
    const rate = (perSecond: number): number => perSecond / this.members;
    const share = (count: number): number =>
      count === 0 ? 0 : Math.max(1, Math.floor(count / this.members));
    for (const [lane, of] of [
      [LANE.clientsRead, clients],
      [LANE.backgroundRead, background],
    ] as const) {
      this.lanes[lane]!.change(
        {
          bytesPerSecond: rate(of.readBytesPerSecond),
          opsPerSecond: rate(of.readOpsPerSecond),
          atOnce: share(of.readsAtOnce),
        },
        nowMs,
      );
      this.lanes[lane + 1]!.change(
        {
          bytesPerSecond: rate(of.writeBytesPerSecond),
          opsPerSecond: rate(of.writeOpsPerSecond),
          atOnce: share(of.writesAtOnce),
        },
        nowMs,
      );
    }
    for (let opcode = 0; opcode < 256; opcode += 1) {
      this.limitedOps[opcode] = this.lanes[laneOfOpcode[opcode]!]!.limited ? 1 : 0;
      this.limitedInternalOps[opcode] = this.lanes[internalLaneOfOpcode[opcode]!]!.limited ? 1 : 0;
    }
  }

  /** Whether `admit` has to be asked about an operation that has come. The only cost where nothing is limited. */
  concerns(op: Operation): boolean {
    const limited = op.internal ? this.limitedInternalOps : this.limitedOps;
    return this.waiting > 0 || limited[op.opcode] === 1;
  }

  /** True: the operation was charged and is to be executed now. False: it waits here, and `next` will give it back. */
  admit(op: Operation, nowMs: number): boolean {
    const number = (op.internal ? internalLaneOfOpcode : laneOfOpcode)[op.opcode]!;
    const lane = this.lanes[number]!;
    this.changed = true;
    op.waitingLane = number;
    this.arrivals += 1;
    op.arrival = this.arrivals;
    // Internal requests have no connection whose order they would keep.
    const connection = op.internal ? undefined : this.lastOnConnection.get(op.connection);
    const extent = this.lastOfExtent(op);
    op.blockers = (connection === undefined ? 0 : 1) + (extent === null ? 0 : 1);
    if (op.blockers === 0 && lane.first === null && lane.passes(op.arrival, nowMs)) {
      this.charge(op, nowMs);
      return true;
    }
    if (connection !== undefined) connection.nextOnConnection = op;
    if (extent !== null) extent.nextOnExtent = op;
    if (!op.internal) this.lastOnConnection.set(op.connection, op);
    this.setLastOfExtent(op, op);
    this.waiting += 1;
    if (op.internal) this.internalWaiting += 1;
    lane.waiting += 1;
    if (op.blockers === 0) lane.insert(op);
    return false;
  }

  /**
   * The next waiting operation that is to be ended or executed now, charged; null: none for the moment. One that `isOver` needs no I/O any more (its connection is gone), so
   * it goes uncharged when it has come to the head.
   */
  next(nowMs: number, isOver: (op: Operation) => boolean): Operation | null {
    if (this.waiting === 0) return null;
    // Each time another lane is asked first, so that one that lets many pass does not hold up the others.
    this.firstLane = (this.firstLane + 1) % this.lanes.length;
    for (let i = 0; i < this.lanes.length; i += 1) {
      const lane = this.lanes[(this.firstLane + i) % this.lanes.length]!;
      const op = lane.first;
      if (op === null) continue;
      const over = isOver(op);
      if (!over && !lane.passes(op.arrival, nowMs)) continue;
      if (!over) this.charge(op, nowMs);
      lane.removeAfter(null);
      this.leave(op);
      return op;
    }
    return null;
  }

  /** Takes out what `isOver`, wherever it stands in line, and hands it to `end`. About once a second; what still waits behind others is found when they have gone. */
  sweep(isOver: (op: Operation) => boolean, end: (op: Operation) => void): void {
    for (const lane of this.lanes) {
      let before: Operation | null = null;
      for (let op = lane.first; op !== null; op = before === null ? lane.first : before.next) {
        if (!isOver(op)) {
          before = op;
          continue;
        }
        lane.removeAfter(before);
        this.leave(op);
        end(op);
      }
    }
  }

  /** An operation has ended, however it went. Called for those with a `chargedLane`. */
  ended(op: Operation): void {
    this.lanes[op.chargedLane]!.running -= 1;
    op.chargedLane = 0;
    this.changed = true;
  }

  /**
   * Asks for one read or write of a job of this node (scrub, checksums, repair), of `bytes`. True: it was charged; do it, and call `endBackground` when it has ended. False:
   * not yet. The job has a place in the line now, before operations that come later, and the worker goes round its loop when `waitMs` have passed: ask again then.
   * A job that does not ask loses its place after a second. All jobs of a worker share the one place of each kind.
   */
  takeBackground(kind: 'read' | 'write', bytes: number, nowMs: number): boolean {
    const lane = this.backgroundLane(kind);
    if (!lane.limited) return true;
    this.changed = true;
    this.arrivals += 1;
    if (!lane.passesJob(this.arrivals, nowMs)) return false;
    lane.charge(bytes, nowMs);
    this.jobs[kind] += 1;
    return true;
  }

  /** A read or write that `takeBackground` allowed has ended. */
  endBackground(kind: 'read' | 'write'): void {
    // Those that were not charged, because nothing was limited then, do not count.
    if (this.jobs[kind] === 0) return;
    this.jobs[kind] -= 1;
    this.backgroundLane(kind).running -= 1;
    this.changed = true;
  }

  /** Ms until the rates of background work allow one more of `kind`; 0 when they do now. It may still have to wait for others in line, or for one to end. */
  waitMs(kind: 'read' | 'write', nowMs: number): number {
    return this.backgroundLane(kind).tokensInMs(nowMs);
  }

  /** Whether anybody waits: operations, or a job of the node. */
  get isAwaited(): boolean {
    return (
      this.waiting > 0 ||
      this.lanes[LANE.backgroundRead]!.jobWaits ||
      this.lanes[LANE.backgroundWrite]!.jobWaits
    );
  }

  /** Ms until `next` or a waiting job may succeed by the passing of time alone; Infinity when nothing waits for that. */
  wakeInMs(nowMs: number): number {
    let first = Number.POSITIVE_INFINITY;
    for (const lane of this.lanes) first = Math.min(first, lane.wakeInMs(nowMs));
    return first;
  }

  private backgroundLane(kind: 'read' | 'write'): LimitLane {
    return this.lanes[kind === 'read' ? LANE.backgroundRead : LANE.backgroundWrite]!;
  }

  private charge(op: Operation, nowMs: number): void {
    const lane = this.lanes[op.waitingLane]!;
    if (!lane.limited) return;
    op.chargedLane = op.waitingLane;
    lane.charge(bytesOf(op), nowMs);
  }

  /** An operation is no longer in line: those that waited for it alone get their places. */
  private leave(op: Operation): void {
    this.changed = true;
    this.waiting -= 1;
    if (op.internal) this.internalWaiting -= 1;
    this.lanes[op.waitingLane]!.waiting -= 1;
    if (!op.internal && this.lastOnConnection.get(op.connection) === op)
      this.lastOnConnection.delete(op.connection);
    if (this.lastOfExtent(op) === op) this.setLastOfExtent(op, null);
    const { nextOnConnection, nextOnExtent } = op;
    op.nextOnConnection = null;
    op.nextOnExtent = null;
    if (nextOnConnection !== null) this.unblock(nextOnConnection);
    if (nextOnExtent !== null) this.unblock(nextOnExtent);
  }

  private unblock(op: Operation): void {
    op.blockers -= 1;
    if (op.blockers === 0) this.lanes[op.waitingLane]!.insert(op);
  }

  private lastOfExtent(op: Operation): Operation | null {
    if (op.waitingLane === LANE.free) return null;
    return this.lastOnExtent[classOf(op)]![columnOf(op)]!;
  }

  private setLastOfExtent(op: Operation, last: Operation | null): void {
    if (op.waitingLane !== LANE.free) this.lastOnExtent[classOf(op)]![columnOf(op)] = last;
  }
}

function classOf(op: Operation): 0 | 1 {
  return op.waitingLane >= LANE.backgroundRead ? 1 : 0;
}

function columnOf(op: Operation): number {
  return (Math.imul(op.partitionId | 0, 0x9e3779b1) + (op.extentId | 0)) & (EXTENT_COLUMNS - 1);
}

/** Bytes that an operation reads or writes. A packet of a stream of unknown length counts as a whole block, though it may turn out to be a hole. */
function bytesOf(op: Operation): number {
  const writes = op.opcode === INTERNAL_OP.healBlock || op.opcode === INTERNAL_OP.fillMissing;
  if (changesExtent(op.opcode) || writes) return op.size;
  if (!isReadOp(op.opcode) && op.opcode !== INTERNAL_OP.readBlock) return 0;
  return op.size === 0 ? BLOCK_BYTES : Math.min(op.size, BLOCK_BYTES);
}
