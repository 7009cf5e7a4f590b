/**
 * What becomes of a packet on several replicas (`wire.md` 6.3, 7.4): whom it waits for, when it is answered, and with whose result. Pure; used by `forwarding.ts` alone.
 *
 * A packet goes two ways at once, to the disk worker here and to each follower, and is answered when its outcome is known: the worker has failed it (nobody waits for followers then), a follower
 * has, or all have done it. The first failure that is known decides. What ends later changes nothing any more. A packet whose id or place the primary gives out is told to followers only when the worker has
 * said which (`RESULT_ASSIGNED`), and never when it stands behind a failure of its connection.
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
} as const;

/** What is known of a packet as a whole. */
export const OUTCOME = {
  open: 0,
  /** Every replica has done it. */
  acknowledged: 1,
  /** The worker here has failed it. */
  failedHere: 2,
  /** A follower has failed it, or is lost. */
  failedThere: 3,
  /** Its connection is gone, or it stands behind a failure: nobody is answered. */
  abandoned: 4,
} as const;
export type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/** What the worker here has said. `begun`: nothing that followers wait for. */
const HERE = { unassigned: 0, begun: 1, done: 2 } as const;

export class Replication {
  /** Packets without an outcome. */
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
    assert(!ok || this.#here[tag] === HERE.begun, 'a packet is done once, and assigned before');
    if (!ok) {
      // A local failure has ended the loan already.
      this.#loan[tag] = 0;
      return this.#end(tag, OUTCOME.failedHere);
    }
    this.#here[tag] = HERE.done;
    return this.#awaited[tag] === 0 ? this.#end(tag, OUTCOME.acknowledged) : EFFECT.none;
  }

  /** One follower has done it. */
  answered(tag: number): number {
    this.#take(tag);
    const all = this.#awaited[tag] === 0 && this.#here[tag] === HERE.done;
    return all ? this.#end(tag, OUTCOME.acknowledged) : EFFECT.none;
  }

  /** One follower has failed it, or is lost. */
  failedThere(tag: number): number {
    this.#take(tag);
    return this.#end(tag, OUTCOME.failedThere);
  }

  /** Nobody is to be answered any more: its connection is gone, or an earlier packet has failed. */
  abandoned(tag: number): number {
    return this.#end(tag, OUTCOME.abandoned) & ~EFFECT.answer;
  }

  #take(tag: number): void {
    assert(this.#awaited[tag]! > 0, 'each follower answers a packet once');
    this.#awaited[tag]!--;
  }

  #end(tag: number, outcome: Outcome): number {
    if (this.#outcome[tag] !== OUTCOME.open) return EFFECT.none;
    this.#decide(tag, outcome);
    return EFFECT.answer | this.#settle(tag, outcome === OUTCOME.acknowledged);
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
