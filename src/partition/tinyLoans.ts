/**
 * Tiny extents lent to appends that go to followers too (`docs/replication.md`, After a failure): the local write ends long before the outcome is known, so the extent stays lent until both
 * have come, the end of the local operation and the word of the network thread.
 *
 * A local failure is the outcome, at once: nobody waits for followers then. An outcome that comes before the local end waits for it, because until then the end of the extent is not known. One that comes behind
 * the end of its loan, or twice, is told by its number and counts for nothing.
 */
import { TINY_EXTENT_LAST } from '../storage/layout.js';
import type { TinyExtents } from '../storage/tinyExtents.js';
import type { Operation, OperationLoan } from './operation.js';

/** What a loan still waits for. */
const WAITS_FOR = { nothing: 0, both: 1, outcome: 2, end: 3 } as const;

export class TinyLoans implements OperationLoan {
  private readonly tiny: TinyExtents;
  /** By extent: number of its loan, what that waits for, and the outcome where it has come. */
  private readonly numbers = new Float64Array(TINY_EXTENT_LAST + 1);
  private readonly waitsFor = new Uint8Array(TINY_EXTENT_LAST + 1);
  private readonly outcomes = new Uint8Array(TINY_EXTENT_LAST + 1);
  private lastNumber = 0;

  constructor(tiny: TinyExtents) {
    this.tiny = tiny;
  }

  /** An extent that was just taken goes to `op`. Returns the number of the loan, above 0. */
  lend(op: Operation): number {
    this.lastNumber += 1;
    this.numbers[op.extentId] = this.lastNumber;
    this.waitsFor[op.extentId] = WAITS_FOR.both;
    op.loan = this;
    return this.lastNumber;
  }

  loanEnded({ extentId }: Operation, acknowledged: boolean): void {
    if (!acknowledged) return this.end(extentId, false);
    if (this.waitsFor[extentId] === WAITS_FOR.end) return this.end(extentId, this.outcomes[extentId] === 1);
    this.waitsFor[extentId] = WAITS_FOR.outcome;
  }

  /** The outcome of a loan: whether every replica has the append. */
  settle(extentId: number, number: number, acknowledged: boolean): void {
    const waitsFor = this.numbers[extentId] === number ? this.waitsFor[extentId] : WAITS_FOR.nothing;
    if (waitsFor === WAITS_FOR.outcome) return this.end(extentId, acknowledged);
    if (waitsFor !== WAITS_FOR.both) return;
    this.waitsFor[extentId] = WAITS_FOR.end;
    this.outcomes[extentId] = acknowledged ? 1 : 0;
  }

  private end(extentId: number, acknowledged: boolean): void {
    this.waitsFor[extentId] = WAITS_FOR.nothing;
    this.tiny.giveBack(extentId, acknowledged);
  }
}
