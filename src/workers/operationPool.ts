/**
 * The worker's operations: made once, as many as can be in flight, handed out and taken back without allocating.
 */
import assert from 'node:assert';
import { Operation } from '../partition/operation.js';

export class OperationPool {
  readonly capacity: number;
  readonly #free: Operation[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
    for (let i = 0; i < capacity; i++) this.#free.push(new Operation());
  }

  /** Operations handed out. */
  get inUse(): number {
    return this.capacity - this.#free.length;
  }

  /** Takes one, its outcome fields as new. The rings cannot hold more requests than there are operations. */
  acquire(): Operation {
    const op = this.#free.pop();
    assert(op !== undefined, 'no more requests than ring slots');
    op.replyBytes = 0;
    op.remainingBytes = 0;
    op.holeBytes = 0;
    op.replyBody = null;
    op.entriesPending = 0;
    op.ioError = 0;
    op.next = null;
    op.phase = 0;
    op.handler = null;
    op.loan = null;
    op.owner = null;
    return op;
  }

  release(op: Operation): void {
    assert(this.#free.length < this.capacity, 'an operation ends once');
    this.#free.push(op);
  }
}
