/**
 * What a whole run knows of one group's log: every entry that any node ever had, what is committed, and a copy of each node's log.
 *
 * An entry is known by index, term and a chain: a hash of itself and of all entries before it. Two logs that have the same entry somewhere have, by log matching,
 * the same chain there, so one comparison stands for two whole logs.
 */
import type { RaftEntry } from '../../../src/protocol/raftStructs.js';

/** A safety property that does not hold. `invariant` is its name in the papers. */
export class InvariantBroken extends Error {
  readonly invariant: string;

  constructor(invariant: string, what: string) {
    super(`${invariant}: ${what}`);
    this.invariant = invariant;
  }
}

/** A node's log as its core shows it; `RaftLog` is one. */
export interface LogView {
  readonly cutIndex: number;
  readonly cutTerm: number;
  readonly lastIndex: number;
  readonly committed: number;
  /** -1 below the cut and behind the end. */
  term(index: number): number;
  inMemory(index: number): RaftEntry | undefined;
}

/** An entry, and with it all entries before it. */
export interface Known {
  readonly term: number;
  /** Of type and data. */
  readonly digest: number;
  readonly chain: number;
}

/** An entry wherever it ends up in the log. */
export type Command = Pick<RaftEntry, 'type' | 'data'>;

/** Before the first entry. */
const NOTHING: Known = { term: 0, digest: 0, chain: 0 };
const TERM_MAX = 2 ** 20;

/** FNV-1a over type and data. */
export function digestOf({ type, data }: Command): number {
  let hash = Math.imul(0x811c_9dc5 ^ type, 0x0100_0193);
  for (const byte of data) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hash >>> 0;
}

function chained(before: number, term: number, digest: number): number {
  let hash = Math.imul(before ^ term, 0x9e37_79b1);
  hash = Math.imul((hash ^ (hash >>> 15)) + digest, 0x85eb_ca6b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

/** All entries of a run, and the committed ones. */
export class Ledger {
  readonly #known = new Map<number, Known>([[0, NOTHING]]);
  /** By index; the term in which each was first seen committed. */
  readonly #committed: Known[] = [NOTHING];
  readonly #committedIn: number[] = [0];

  /** Highest index that any node has committed. */
  get committedIndex(): number {
    return this.#committed.length - 1;
  }

  /** The entry that is committed at an index, undefined when none is. */
  committedAt(index: number): Known | undefined {
    return this.#committed[index];
  }

  /** The highest index that was committed in a term below this one. */
  committedBefore(term: number): number {
    let index = this.committedIndex;
    while (index > 0 && this.#committedIn[index]! >= term) index -= 1;
    return index;
  }

  /** An entry that some node has or had. */
  find(index: number, term: number): Known | undefined {
    return this.#known.get(keyOf(index, term));
  }

  /** A node has this entry behind `before`. Whoever else has one of its index and term must have had the same entries up to there. */
  record(node: number, before: Known, entry: RaftEntry): Known {
    const { index, term } = entry;
    const digest = digestOf(entry);
    const chain = chained(before.chain, term, digest);
    const known = this.find(index, term);
    if (known === undefined) {
      const made = { term, digest, chain };
      this.#known.set(keyOf(index, term), made);
      return made;
    }
    if (known.digest !== digest)
      throw new InvariantBroken(
        'log matching',
        `node ${node} has another entry ${index} of term ${term} than others`,
      );
    if (known.chain !== chain)
      throw new InvariantBroken(
        'log matching',
        `node ${node} has entry ${index} of term ${term} behind other entries than others`,
      );
    return known;
  }

  /** A node of this term holds an entry for committed. What is committed at an index never changes. */
  commit(node: number, nodeTerm: number, index: number, entry: Known): void {
    const committed = this.#committed[index];
    if (committed === undefined) {
      if (index !== this.#committed.length)
        throw new InvariantBroken(
          'state machine safety',
          `entry ${index} is committed before those below it`,
        );
      this.#committed.push(entry);
      this.#committedIn.push(nodeTerm);
    } else if (committed.chain !== entry.chain) {
      throw new InvariantBroken(
        'state machine safety',
        `node ${node} has committed entry ${index} of term ${entry.term}, others have one of term ${committed.term}`,
      );
    }
  }
}

function keyOf(index: number, term: number): number {
  if (term >= TERM_MAX) throw new Error(`term ${term} of a run`);
  return index * TERM_MAX + term;
}

/** What a look at a node's log has found. */
export interface LogChange {
  /** Everything up to here is as it was at the last look. */
  keptTo: number;
  /** Entries behind that were there are gone. */
  truncated: boolean;
}

/** A node's log as of the last look at it. */
export class LogCopy {
  cutIndex = 0;
  readonly #node: number;
  readonly #ledger: Ledger;
  #cut: Known = NOTHING;
  #entries: Known[] = [];

  constructor(node: number, ledger: Ledger) {
    this.#node = node;
    this.#ledger = ledger;
  }

  get lastIndex(): number {
    return this.cutIndex + this.#entries.length;
  }

  /** The entry at an index, or at the cut; undefined below and behind. */
  at(index: number): Known | undefined {
    return index === this.cutIndex ? this.#cut : this.#entries[index - this.cutIndex - 1];
  }

  /** Looks at the log again. Every entry that is new here is recorded; one that is not in memory must be one that somebody had. */
  update(view: LogView): LogChange {
    const lastBefore = this.lastIndex;
    if (view.cutIndex !== this.cutIndex) this.#moveCut(view);
    let kept = Math.min(this.lastIndex, view.lastIndex);
    while (kept > this.cutIndex && this.at(kept)!.term !== view.term(kept)) kept -= 1;
    if (kept < lastBefore) this.#entries.length = kept - this.cutIndex;
    for (let index = kept + 1; index <= view.lastIndex; index += 1) this.#add(view, index);
    return { keptTo: kept, truncated: kept < lastBefore };
  }

  #add(view: LogView, index: number): void {
    const entry = view.inMemory(index);
    const term = view.term(index);
    if (entry !== undefined) {
      if (entry.index !== index || entry.term !== term)
        throw new InvariantBroken(
          'log matching',
          `node ${this.#node} has another entry in place of ${index}`,
        );
      this.#entries.push(this.#ledger.record(this.#node, this.at(index - 1)!, entry));
      return;
    }
    const known = this.#ledger.find(index, term);
    if (known === undefined)
      throw new InvariantBroken(
        'log matching',
        `node ${this.#node} has an entry ${index} of term ${term} that nobody ever had`,
      );
    this.#entries.push(known);
  }

  /** The front was cut, or a snapshot took the place of the log, or an earlier cut came back with a restart. */
  #moveCut({ cutIndex, cutTerm }: LogView): void {
    const cut = this.#ledger.find(cutIndex, cutTerm);
    if (cut === undefined || this.#ledger.committedAt(cutIndex)?.chain !== cut.chain)
      throw new InvariantBroken(
        'state machine safety',
        `node ${this.#node} has cut its log at ${cutIndex} of term ${cutTerm}, which is not committed`,
      );
    const isInLog = cutIndex > this.cutIndex && this.at(cutIndex)?.chain === cut.chain;
    this.#entries = isInLog ? this.#entries.slice(cutIndex - this.cutIndex) : [];
    this.cutIndex = cutIndex;
    this.#cut = cut;
  }
}
