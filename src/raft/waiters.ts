/**
 * Proposals of one group: those that wait for a turn, and those that are entries and wait to be applied. Pure.
 *
 * A proposal ends once: with null when its own entry (same index *and* term) was carried out here, else with a text. `raft is not the leader.` says nothing of the
 * outcome: the entry may still be committed by the next leader.
 */

/** Called once. `error` null: carried out here. */
export type ProposalDone = (error: string | null) => void;

export interface Proposal {
  /** One of `ENTRY_TYPE`. */
  type: number;
  data: Uint8Array;
  done: ProposalDone;
}

export const NOT_LEADER = 'raft is not the leader.';

export class Waiters {
  private readonly queued: Proposal[] = [];
  private readonly pin: (bytes: number) => void;
  private readonly waiting = new Map<number, { term: number; done: ProposalDone }>();
  private term = 0;

  /** @param pin is told the bytes of proposals that begin to wait for a turn, and, below zero, of those that do not any more. */
  constructor(pin: (bytes: number) => void = () => undefined) {
    this.pin = pin;
  }

  get queuedCount(): number {
    return this.queued.length;
  }

  get count(): number {
    return this.queued.length + this.waiting.size;
  }

  add(proposal: Proposal): void {
    this.queued.push(proposal);
    this.pin(proposal.data.byteLength);
  }

  /** The oldest proposals of one type, at most `max`: they become entries together. A configuration change goes alone. */
  take(max: number): Proposal[] {
    const [first] = this.queued;
    if (first === undefined) return [];
    if (first.type !== NORMAL) return this.leave(1);
    const other = this.queued.findIndex(({ type }) => type !== NORMAL);
    return this.leave(Math.min(max, other < 0 ? this.queued.length : other));
  }

  /** They have become entries from `firstIndex` on. */
  wait(batch: readonly Proposal[], firstIndex: number, term: number): void {
    for (const [at, { done }] of batch.entries()) this.waiting.set(firstIndex + at, { term, done });
  }

  refuse(batch: readonly Proposal[], message: string): void {
    for (const { done } of batch) done(message);
  }

  /** The entry at `index` was applied. Whoever waits for another entry there has lost it. */
  applied(index: number, term: number, error: string | null): void {
    const waiter = this.waiting.get(index);
    if (waiter === undefined) return;
    this.waiting.delete(index);
    waiter.done(waiter.term === term ? error : NOT_LEADER);
  }

  /**
   * Called each turn: what was proposed under a leadership that has ended is not known to come true, but for entries up to `applyingTo`, which the state machine has
   * and whose end it tells. The removal of this replica is one of them, and ends the leadership.
   */
  leadership(isLeader: boolean, term: number, applyingTo: number): void {
    if (isLeader && term === this.term) return;
    this.term = term;
    for (const [index, waiter] of this.waiting) {
      if (index <= applyingTo || (isLeader && waiter.term === term)) continue;
      this.waiting.delete(index);
      waiter.done(NOT_LEADER);
    }
    if (!isLeader) for (const { done } of this.leave(this.queued.length)) done(NOT_LEADER);
  }

  failAll(message: string): void {
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const { done } of [...waiting, ...this.leave(this.queued.length)]) done(message);
  }

  /** The oldest `count` do not wait for a turn any more. */
  private leave(count: number): Proposal[] {
    const left = this.queued.splice(0, count);
    for (const { data } of left) this.pin(-data.byteLength);
    return left;
  }
}

const NORMAL = 0;
