/**
 * What one node has said over the network that only its disk can keep: its votes, the term it was in, the entries that it acknowledged.
 *
 * A promise outlives the process that made it. It ends only when the node itself, alive, has given the entries up for those of a later leader: then a crash may leave
 * the old ones or the new ones.
 */
import { InvariantBroken, type LogChange, type LogCopy, type LogView } from './ledger.js';

export class Promises {
  /** Each term's candidate, of all lives: a second one in a term is a broken promise whatever the disk says. */
  readonly #votes = new Map<number, number>();
  #votedTerm = 0;
  #term = 0;
  #index = 0;
  /** Acknowledged before the log was looked at; to be found there at the next look. */
  #claimed = 0;

  /** It has voted. */
  vote(term: number, candidate: number): void {
    const earlier = this.#votes.get(term) ?? candidate;
    if (earlier !== candidate)
      throw new InvariantBroken(
        'election safety',
        `a node votes for ${candidate} in term ${term}, and voted for ${earlier}`,
      );
    this.#votes.set(term, candidate);
    this.#votedTerm = Math.max(this.#votedTerm, term);
    this.atTerm(term);
  }

  /** It has said something that follows from being in this term. */
  atTerm(term: number): void {
    this.#term = Math.max(this.#term, term);
  }

  /** It has acknowledged its log up to here; at the last look the log ended at `lastIndex`. */
  entries(index: number, lastIndex: number): void {
    if (index <= lastIndex) this.#index = Math.max(this.#index, index);
    else this.#claimed = Math.max(this.#claimed, index);
  }

  /** The log was looked at. */
  changed(node: number, { keptTo, truncated }: LogChange, lastIndex: number): void {
    if (truncated) this.#index = Math.min(this.#index, keptTo);
    if (this.#claimed > lastIndex && !truncated)
      throw new InvariantBroken(
        'durability',
        `node ${node} acknowledged entry ${this.#claimed}, its log ends at ${lastIndex}`,
      );
    if (!truncated) this.#index = Math.max(this.#index, this.#claimed);
    this.#claimed = 0;
  }

  /** Holds the promises against what the next process finds. `before`: the log as the last process had it. */
  check(term: number, vote: number, found: LogView, before: LogCopy): void {
    if (term < this.#term)
      throw new InvariantBroken('durability', `a node in term ${this.#term} comes back in term ${term}`);
    const votedFor = this.#votes.get(this.#votedTerm);
    if (term === this.#votedTerm && term > 0 && vote !== votedFor)
      throw new InvariantBroken(
        'durability',
        `a node that voted for ${votedFor} in term ${term} comes back with ${vote}`,
      );
    const index = this.#index;
    if (index <= found.cutIndex || index <= before.cutIndex) return;
    // By log matching the term at the end stands for everything before it.
    const promised = before.at(index)!.term;
    if (found.term(index) !== promised)
      throw new InvariantBroken(
        'durability',
        `a node acknowledged entry ${index} of term ${promised} and comes back with ${found.lastIndex < index ? `a log that ends at ${found.lastIndex}` : `one of term ${found.term(index)}`}`,
      );
  }

  /** A new process: what it lost without having promised it is no matter of a look at its log. */
  startAgain(): void {
    this.#claimed = 0;
  }

  /** Nothing counts any more but votes, which others have heard. */
  forget(): void {
    this.#term = 0;
    this.#votedTerm = 0;
    this.#index = 0;
    this.#claimed = 0;
  }
}
