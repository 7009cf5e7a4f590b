/**
 * What becomes of a packet on several replicas (`wire.md` 6.3, 7.4): whom it waits for, when it is answered, and with whose result. Pure; used by `forwarding.ts` alone.
 *
 * A packet goes two ways at once, to the disk worker here and to each follower. It is answered when the worker has failed it, whatever followers say; when the worker has done it and all followers have; and when
 * a follower has failed it (the first that is known decides) and the worker has ended it, because only then is it sure that the worker has no error to tell. From the first failure on nothing behind it is taken or
 * sent, though its answer may be still to come. A packet whose id or place the primary gives out is told to followers only when the worker has said which (`RESULT_ASSIGNED`), and never when it stands behind a
 * failure of its connection.
 *
 * By tag, in parallel arrays: nothing is allocated for a packet. Each call gives back what is to be done as bits of EFFECT.
 */
import assert from 'node:assert';

/** What is to be done after an event. */
export const EFFECT = {
  none: 0,
  /** Send it to the followers. */
  forward: 1,
  /** Its outcome is known: answer when its turn comes. */
  answer: 2,
  /** The tiny extent that was lent to it is in order on all replicas; or it is not known to be. */
  settleWhole: 4,
  settleBroken: 8,
  /** It has failed, and is answered now or later: nothing behind it is taken or sent any more. */
  fail: 16,
} as const;

/** What is known of a packet as a whole. */
export const OUTCOME = {
  open: 0,
  /** A follower has failed it, or is lost; the worker here, whose error would come first, has not ended it. */
  failing: 1,
  /** Every replica has done it. */
  acknowledged: 2,
  /** The worker here has failed it. */
  failedHere: 3,
  /** A follower has failed it, or is lost, and the worker here has not failed it. */
  failedThere: 4,
  /** Its connection is gone, or it stands behind a failure: nobody is answered. */
  abandoned: 5,
} as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/** What the worker here has said. `begun`: nothing that followers wait for; `ended`: it has done it, failed it or passed it over. */
const HERE = { unassigned: 0, begun: 1, ended: 2 } as const;

export class Replication {
  /** Packets whose outcome is not decided: open or failing. */
  open = 0;
  /** By tag: OUTCOME; HERE; followers that have neither done nor failed it; number of the loan that is to be settled, 0: none. */
  readonly #outcome: Uint8Array;
  readonly #here: Uint8Array;
  readonly #awaited: Uint8Array;
  readonly #loan: Float64Array;

  constructor(tags: number) {
    this.#outcome = new Uint8Array(tags);
    this.#here = new Uint8Array(tags);
    this.#awaited = new Uint8Array(tags);
    this.#loan = new Float64Array(tags);
  }

  outcome(tag: number): Outcome {
    return this.#outcome[tag]! as Outcome;
  }

  /** What it is answered with, if anybody is answered, is known; nothing that comes later changes it. */
  isDecided(tag: number): boolean {
    return this.#outcome[tag]! > OUTCOME.failing;
  }

  /** Number of the loan that its settle names. */
  loan(tag: number): number {
    return this.#loan[tag]!;
  }

  /** A packet goes to `followers` followers and to the worker, which gives out an id or a place for it (`assigns`) or not. */
  begin(tag: number, followers: number, assigns: boolean): number {
    assert(followers > 0, 'a packet that is replicated has followers');
    this.open++;
    this.#outcome[tag] = OUTCOME.open;
    this.#here[tag] = assigns ? HERE.unassigned : HERE.begun;
    this.#awaited[tag] = followers;
    this.#loan[tag] = 0;
    return assigns ? EFFECT.none : EFFECT.forward;
  }

  /** The worker has given out what followers are to be told, and lent a tiny extent where `loan` is not 0. `behindFailure`: an earlier packet of its connection has failed. */
  assigned(tag: number, loan: number, behindFailure: boolean): number {
    assert(this.#here[tag] === HERE.unassigned, 'a packet is assigned once, before it ends');
    this.#here[tag] = HERE.begun;
    this.#loan[tag] = loan;
    if (this.#outcome[tag] === OUTCOME.open && !behindFailure) return EFFECT.forward;
    if (this.#outcome[tag] === OUTCOME.open) this.#decide(tag, OUTCOME.abandoned);
    return this.#settle(tag, false);
  }

  /** The worker has done it, or failed it. */
  endedHere(tag: number, ok: boolean): number {
    const here = this.#here[tag]!;
    assert(
      here === HERE.begun || (here === HERE.unassigned && !ok),
      'a packet ends once, and is assigned before it is done',
    );
    this.#here[tag] = HERE.ended;
    if (!ok) {
      // A local failure has ended the loan already.
      this.#loan[tag] = 0;
      return this.#end(tag, OUTCOME.failedHere);
    }
    if (this.#outcome[tag] === OUTCOME.failing) return this.#end(tag, OUTCOME.failedThere);
    return this.#awaited[tag] === 0 ? this.#end(tag, OUTCOME.acknowledged) : EFFECT.none;
  }

  /** The worker has passed it over, because it stands behind a failure or its connection is gone. */
  skipped(tag: number): number {
    assert(this.#here[tag] !== HERE.ended, 'a packet ends once');
    this.#here[tag] = HERE.ended;
    return this.#outcome[tag] === OUTCOME.failing ? this.#end(tag, OUTCOME.failedThere) : this.abandoned(tag);
  }

  /** One follower has done it. */
  answered(tag: number): number {
    this.#take(tag);
    const all = this.#awaited[tag] === 0 && this.#here[tag] === HERE.ended;
    return all && this.#outcome[tag] === OUTCOME.open ? this.#end(tag, OUTCOME.acknowledged) : EFFECT.none;
  }

  /** One follower has failed it, or is lost. */
  failedThere(tag: number): number {
    this.#take(tag);
    if (this.#outcome[tag] !== OUTCOME.open) return EFFECT.none;
    if (this.#here[tag] === HERE.ended) return this.#end(tag, OUTCOME.failedThere);
    this.#outcome[tag] = OUTCOME.failing;
    return EFFECT.fail;
  }

  /** Nobody is to be answered any more: its connection is gone, or an earlier packet has failed. */
  abandoned(tag: number): number {
    return this.#end(tag, OUTCOME.abandoned);
  }

  #take(tag: number): void {
    assert(this.#awaited[tag]! > 0, 'each follower answers a packet once');
    assert(this.#here[tag] !== HERE.unassigned, 'followers know a packet that was assigned');
    this.#awaited[tag]!--;
  }

  #end(tag: number, outcome: Outcome): number {
    if (this.isDecided(tag)) return EFFECT.none;
    const before = this.#outcome[tag];
    this.#decide(tag, outcome);
    if (outcome === OUTCOME.acknowledged) return EFFECT.answer | this.#settle(tag, true);
    const settle = this.#settle(tag, false);
    if (outcome === OUTCOME.abandoned) return settle;
    return EFFECT.answer | settle | (before === OUTCOME.open ? EFFECT.fail : EFFECT.none);
  }

  #decide(tag: number, outcome: Outcome): void {
    this.#outcome[tag] = outcome;
    this.open--;
  }

  #settle(tag: number, whole: boolean): number {
    if (this.#loan[tag] === 0) return EFFECT.none;
    return whole ? EFFECT.settleWhole : EFFECT.settleBroken;
  }
}
