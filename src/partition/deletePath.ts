/**
 * OpMarkDelete and its pace: removing and punching are slow on many file systems, and a storm of them must not hurt writes. So few deletes of a worker
 * have work at the I/O threads at a time; the rest waits here, in order of arrival.
 */
import { actionOf } from '../protocol/opcodes.js';
import { isTinyExtent } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import { OperationQueue } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import type { MissedRange } from './internalRecords.js';
import { NormalDeletes } from './normalDeletes.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation, OperationLoan } from './operation.js';
import type { RangeEraser } from './rangeEraser.js';
import type { StoreHost } from './storeHost.js';
import { TinyDeletes } from './tinyDeletes.js';

/** ExtentType of a packet that addresses tiny extents. */
const TINY = 0;
/** Deletes of one worker that remove or punch at a time. */
export const DELETES_RUNNING_MAX = 2;

export class DeletePath implements OperationLoan {
  private readonly host: StoreHost;
  private readonly normal: NormalDeletes;
  private readonly tiny: TinyDeletes;
  /** Begins to open the tiny extent of an operation; `remove` follows, or the operation's failure. */
  private readonly open: (store: ExtentStore, op: Operation) => void;
  private readonly queue = new OperationQueue();
  /** Stores of the operations in the queue and of those that run. */
  private readonly stores = new Map<Operation, ExtentStore>();
  private queued = 0;
  private running = 0;

  constructor(
    host: StoreHost,
    files: OpenExtents,
    eraser: RangeEraser,
    open: (store: ExtentStore, op: Operation) => void,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.open = open;
    const paced = (store: ExtentStore, op: Operation): void => this.enqueue(store, op);
    this.normal = new NormalDeletes(host, files, eraser, paced, ownFdReleased);
    this.tiny = new TinyDeletes(host, files, eraser, paced, ownFdReleased);
  }

  /** Deletes that wait for a record, for their turn, or for a file. */
  get parked(): number {
    return this.normal.parked + this.queued + this.running;
  }

  start(store: ExtentStore, op: Operation): void {
    if (op.extentType === TINY) this.tiny.start(store, op);
    else this.normal.start(store, op);
  }

  /** A delete inside a tiny extent that another replica has recorded. */
  startMissed(store: ExtentStore, op: Operation, missed: MissedRange): void {
    this.tiny.startMissed(store, op, missed);
  }

  /** Begins what can begin. */
  advance(hasRoom: () => boolean): void {
    this.normal.advance(hasRoom);
    this.tiny.advance(hasRoom);
    while (this.running < DELETES_RUNNING_MAX && hasRoom()) {
      const op = this.queue.shift();
      if (op === null) return;
      this.queued -= 1;
      this.running += 1;
      op.loan = this;
      const store = this.stores.get(op)!;
      if (isTinyExtent(op.extentId)) this.open(store, op);
      else this.normal.remove(store, op);
    }
  }

  /** The file of a tiny delete is open. */
  startOpened(handle: ExtentHandle, op: Operation): void {
    this.tiny.remove(handle, op);
  }

  /** An operation that ran has ended: its place is free. */
  loanEnded(op: Operation, _acknowledged: boolean): void {
    this.running -= 1;
    this.forget(op);
  }

  /** Ends what waits for this store; for stores that are taken out of service. What runs ends when its submitted work does. */
  failWaiting(store: ExtentStore, message: string): void {
    this.normal.failWaiting(store, message);
    this.tiny.failWaiting(store, message);
    const others: Operation[] = [];
    for (let op = this.queue.shift(); op !== null; op = this.queue.shift()) {
      if (this.stores.get(op) !== store) {
        others.push(op);
        continue;
      }
      this.queued -= 1;
      this.forget(op);
      this.host.fail(op, actionOf(op.opcode), message);
    }
    for (const op of others) this.queue.push(op);
  }

  /** See `NormalDeletes.purge`; about once a second. */
  purge(store: ExtentStore, nowMs: number): void {
    this.normal.purge(store, nowMs);
  }

  private enqueue(store: ExtentStore, op: Operation): void {
    this.stores.set(op, store);
    this.queued += 1;
    this.queue.push(op);
  }

  private forget(op: Operation): void {
    this.stores.delete(op);
    this.tiny.ended(op);
  }
}
