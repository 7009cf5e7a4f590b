/**
 * Drives `DiskLimits` as a worker does, without one: operations come, run for a while, end; every step is kept for a test to look at. Time stands until it is moved.
 */
import { type ClassLimits, type Limits, UNLIMITED } from '../../src/config/diskLimits.js';
import { DiskLimits } from '../../src/partition/diskLimits.js';
import { Operation } from '../../src/partition/operation.js';
import { OP } from '../../src/protocol/opcodes.js';

export function limits(clients: Partial<ClassLimits>, background: Partial<ClassLimits> = {}): Limits {
  return {
    clients: { ...UNLIMITED.clients, ...clients },
    background: { ...UNLIMITED.background, ...background },
  };
}

export class LimitRig {
  readonly limits: DiskLimits;
  nowMs = 1000;
  /** Tags of operations in the order in which they were let go, and those that run. */
  readonly started: number[] = [];
  readonly running = new Map<number, Operation>();
  /** Tags of those that went without I/O. */
  readonly skipped: number[] = [];
  /** Connections that are gone. */
  readonly gone = new Set<number>();
  readonly ops: Operation[] = [];
  private readonly isOver = (op: Operation): boolean => this.gone.has(op.connection);

  constructor(initial: Limits, members = 1) {
    this.limits = new DiskLimits(initial, members, this.nowMs);
  }

  /** An operation comes. Its connection is its own unless told otherwise, its extent too. Returns its tag. */
  come(opcode: number, fields: Partial<Operation> = {}): number {
    const op = new Operation();
    const tag = this.ops.length;
    Object.assign(op, {
      tag,
      opcode,
      connection: 1000 + tag,
      extentId: 1000 + tag,
      partitionId: 7,
      ...fields,
    });
    this.ops.push(op);
    if (!this.limits.concerns(op) || this.limits.admit(op, this.nowMs)) this.start(op);
    return tag;
  }

  read(fields: Partial<Operation> = {}): number {
    return this.come(OP.streamRead, { size: 4096, ...fields });
  }

  write(fields: Partial<Operation> = {}): number {
    return this.come(OP.write, { size: 4096, ...fields });
  }

  repairRead(fields: Partial<Operation> = {}): number {
    return this.come(OP.extentRepairRead, { size: 4096, ...fields });
  }

  /** `ms` pass; then whatever may go goes. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.release();
  }

  release(): void {
    for (let op = this.limits.next(this.nowMs, this.isOver); op !== null; ) {
      if (this.isOver(op)) this.skipped.push(op.tag);
      else this.start(op);
      op = this.limits.next(this.nowMs, this.isOver);
    }
  }

  sweep(): void {
    this.limits.sweep(this.isOver, (op) => this.skipped.push(op.tag));
  }

  end(tag: number): void {
    const op = this.running.get(tag)!;
    this.running.delete(tag);
    if (op.chargedLane !== 0) this.limits.ended(op);
  }

  endAll(): void {
    for (const tag of [...this.running.keys()]) this.end(tag);
  }

  private start(op: Operation): void {
    this.started.push(op.tag);
    this.running.set(op.tag, op);
  }
}
