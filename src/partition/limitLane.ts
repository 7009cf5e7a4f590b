/**
 * One lane of a disk's limits: what reads of clients, say, may do, and the line of those that wait for it. Pure; time comes in as monotonic ms.
 *
 * The line is in order of arrival. A job of this node (scrub, checksums) has one place in it, like an operation: it takes no operations out of their turn, and
 * a steady line does not starve it. Used by `diskLimits.ts` only.
 */
import type { Operation } from './operation.js';
import { TokenBucket } from './tokenBucket.js';

/** What an idle time saves up, as a share of a second's worth. */
const BURST_SECONDS = 0.1;
/** A job keeps its place for this long after its turn has come; a job that was stopped must not hold up the line. */
const JOB_PLACE_MS = 1000;

/** Limits of one lane; 0 is no limit. */
export interface LaneLimits {
  readonly bytesPerSecond: number;
  readonly opsPerSecond: number;
  readonly atOnce: number;
}

export class LimitLane {
  /** Some limit is set. */
  limited = false;
  /** Operations charged and not ended; those that wait, in line or behind others; those charged since the start, and their bytes. */
  running = 0;
  waiting = 0;
  passedOps = 0;
  passedBytes = 0;
  /** Head of the line. */
  first: Operation | null = null;
  private last: Operation | null = null;
  private atOnce = 0;
  private readonly bytes = new TokenBucket(0, 1);
  private readonly operations = new TokenBucket(0, 1);
  /** The job's place in the order of arrival, 0: it does not wait; and when it loses it. */
  private jobArrival = 0;
  private jobUntilMs = 0;

  change(limits: LaneLimits, nowMs: number): void {
    const { bytesPerSecond, opsPerSecond, atOnce } = limits;
    this.limited = bytesPerSecond > 0 || opsPerSecond > 0 || atOnce > 0;
    this.atOnce = atOnce;
    this.bytes.setRate(bytesPerSecond, Math.max(1, bytesPerSecond * BURST_SECONDS), nowMs);
    this.operations.setRate(opsPerSecond, Math.max(1, opsPerSecond * BURST_SECONDS), nowMs);
  }

  /** Whether an operation may pass that nobody in line precedes. */
  passes(arrival: number, nowMs: number): boolean {
    if (this.jobArrival !== 0 && nowMs > this.jobUntilMs) this.jobArrival = 0;
    if (this.jobArrival !== 0 && this.jobArrival < arrival) return false;
    return this.isOpen(nowMs);
  }

  /** Whether a job may pass. If not it gets a place in the line, which `arrival` becomes unless it has one. */
  passesJob(arrival: number, nowMs: number): boolean {
    const place = this.jobArrival === 0 ? arrival : this.jobArrival;
    if ((this.first === null || this.first.arrival > place) && this.isOpen(nowMs)) {
      this.jobArrival = 0;
      return true;
    }
    this.jobArrival = place;
    this.jobUntilMs = nowMs + this.tokensInMs(nowMs) + JOB_PLACE_MS;
    return false;
  }

  /** Takes what one operation of `bytes` costs; before its I/O. */
  charge(bytes: number, nowMs: number): void {
    this.bytes.take(bytes, nowMs);
    this.operations.take(1, nowMs);
    this.running += 1;
    this.passedOps += 1;
    this.passedBytes += bytes;
  }

  /** Ms until somebody who waits may pass; Infinity when nobody waits, or when an operation has to end first. */
  wakeInMs(nowMs: number): number {
    if (this.first === null && !this.jobWaits) return Number.POSITIVE_INFINITY;
    return this.isFull ? Number.POSITIVE_INFINITY : this.tokensInMs(nowMs);
  }

  /** Ms until the rates let one more pass. */
  tokensInMs(nowMs: number): number {
    return Math.max(this.bytes.waitMs(nowMs), this.operations.waitMs(nowMs));
  }

  /** Puts an operation where its arrival belongs: at the end when it has just come, near the head when those before it have gone. */
  insert(op: Operation): void {
    let before: Operation | null = null;
    if (this.last !== null && this.last.arrival < op.arrival) before = this.last;
    else for (let at = this.first; at !== null && at.arrival < op.arrival; at = at.next) before = at;
    op.next = before === null ? this.first : before.next;
    if (before === null) this.first = op;
    else before.next = op;
    if (op.next === null) this.last = op;
  }

  /** Takes out the operation behind `before` (null: the head). */
  removeAfter(before: Operation | null): void {
    const op = before === null ? this.first! : before.next!;
    if (before === null) this.first = op.next;
    else before.next = op.next;
    if (op.next === null) this.last = before;
    op.next = null;
  }

  /** A job has a place in the line. */
  get jobWaits(): boolean {
    return this.jobArrival !== 0;
  }

  private get isFull(): boolean {
    return this.atOnce > 0 && this.running >= this.atOnce;
  }

  private isOpen(nowMs: number): boolean {
    return !this.isFull && this.tokensInMs(nowMs) === 0;
  }
}
