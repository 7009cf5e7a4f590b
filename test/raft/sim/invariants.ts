/**
 * What must hold at every moment of a run, whatever fails (Ongaro, figure 3.2), and what a node must still have after a crash.
 *
 * - *Election safety*: one leader a term.
 * - *Log matching*: an entry of one index and term has the same entries before it wherever it is.
 * - *Leader completeness*: a leader has every entry that was committed in an earlier term.
 * - *State machine safety*: every node applies the same entries, in order, each once a life, and only committed ones.
 * - *Durability*: what a node said over the network about its disk (votes, acknowledged entries) its next process knows, and what a client was told is committed.
 *
 * The cluster tells what happens through plain calls; nodes are looked at through what their cores show. Nothing here knows disks, time or faults. Everything throws
 * `InvariantBroken`.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { RaftEntry } from '../../../src/protocol/raftStructs.js';
import { type Command, digestOf, InvariantBroken, Ledger, LogCopy, type LogView } from './ledger.js';
import { Promises } from './promises.js';

/** A core as far as its invariants go; `RaftCore` is one. */
export interface CoreView {
  readonly term: number;
  readonly vote: number;
  readonly isLeader: boolean;
  readonly log: LogView;
}

/** An entry, or the place of a snapshot. */
type Handed = RaftEntry | { readonly index: number; readonly term: number };

/** One node through all its lives. */
interface Watched {
  readonly log: LogCopy;
  readonly promises: Promises;
  term: number;
  committed: number;
  /** The state machine has applied up to here. */
  applied: number;
  /** What the state machine was given, and clients were told, since the last look: what is committed is known after it. */
  readonly handed: Handed[];
  readonly told: Command[];
}

/** The invariants of one group. */
export class Invariants {
  /** Terms that had a leader. */
  get elections(): number {
    return this.#leaders.size;
  }

  readonly ledger = new Ledger();
  readonly #nodes = new Map<number, Watched>();
  readonly #leaders = new Map<number, number>();
  /** Digests of entries that some state machine has got. */
  readonly #applied = new Set<number>();

  /** The state machine of a new process goes on behind this index. Comes before anything is handed to it. */
  resumed(node: number, appliedTo: number): void {
    const watched = this.#watched(node);
    if (appliedTo > this.ledger.committedIndex)
      throw new InvariantBroken('state machine safety', `node ${node} says that it applied ${appliedTo}`);
    watched.applied = appliedTo;
    watched.handed.length = 0;
    watched.told.length = 0;
  }

  /** A process runs on what a disk holds: promises of earlier lives are held against it. Comes instead of the first look at it, behind `resumed`. */
  started(node: number, core: CoreView): void {
    const watched = this.#watched(node);
    watched.promises.check(core.term, core.vote, core.log, watched.log);
    watched.promises.startAgain();
    watched.log.update(core.log);
    watched.term = core.term;
    watched.committed = watched.log.cutIndex;
    this.observe(node, core);
  }

  /** What a disk has lost by more than a crash may: nothing that this node said before counts any more. */
  forgive(node: number): void {
    this.#watched(node).promises.forget();
  }

  /** A message has left a node. */
  sent(node: number, message: RaftMessage): void {
    const watched = this.#watched(node);
    const { promises, log } = watched;
    const { type, term } = message;
    switch (type) {
      case RAFT_MESSAGE.voteRequest:
        return promises.vote(term, node);
      case RAFT_MESSAGE.voteResponse:
        return message.reject ? undefined : promises.vote(term, message.to);
      case RAFT_MESSAGE.electionAckRequest:
      case RAFT_MESSAGE.electionAckResponse:
        return promises.atTerm(term);
      case RAFT_MESSAGE.appendResponse:
        promises.atTerm(term);
        // What waited for its disk while a later leader came is about a log that is not this one any more.
        if (message.reject || term < watched.term) return;
        return promises.entries(message.index, log.lastIndex);
    }
  }

  /** A committed entry went to a node's state machine. */
  handedOver(node: number, entry: RaftEntry): void {
    this.#watched(node).handed.push(entry);
  }

  /** A snapshot takes the place of a node's state. */
  restored(node: number, index: number, term: number): void {
    this.#watched(node).handed.push({ index, term });
  }

  /** A node has told a client that its command was carried out. */
  acknowledged(node: number, command: Command): void {
    this.#watched(node).told.push(command);
  }

  /** Looks at a node. To be called after whatever a node may have done, before anybody else does anything. */
  observe(node: number, core: CoreView): void {
    const watched = this.#watched(node);
    const { term, log } = core;
    if (term < watched.term)
      throw new InvariantBroken(
        'election safety',
        `node ${node} goes back from term ${watched.term} to ${term}`,
      );
    watched.term = term;
    const change = watched.log.update(log);
    if (change.keptTo < watched.committed && watched.log.cutIndex < watched.committed)
      throw new InvariantBroken(
        'state machine safety',
        `node ${node} replaces entry ${change.keptTo + 1}, its commit is ${watched.committed}`,
      );
    watched.promises.changed(node, change, watched.log.lastIndex);
    if (core.isLeader) this.#leads(node, term, watched.log);
    this.#commit(node, watched, log.committed);
    if (watched.handed.length > 0 || watched.told.length > 0) this.#apply(node, watched);
  }

  #leads(node: number, term: number, log: LogCopy): void {
    const leader = this.#leaders.get(term);
    if (leader === node) return;
    if (leader !== undefined)
      throw new InvariantBroken('election safety', `nodes ${leader} and ${node} both lead in term ${term}`);
    this.#leaders.set(term, node);
    const index = this.ledger.committedBefore(term);
    if (index <= log.cutIndex) return;
    if (log.at(index)?.chain !== this.ledger.committedAt(index)!.chain)
      throw new InvariantBroken(
        'leader completeness',
        `node ${node} leads in term ${term} without entry ${index}, which is committed`,
      );
  }

  #commit(node: number, watched: Watched, committed: number): void {
    const { log } = watched;
    if (committed < watched.committed)
      throw new InvariantBroken(
        'state machine safety',
        `node ${node} takes back its commit, from ${watched.committed} to ${committed}`,
      );
    if (committed > log.lastIndex)
      throw new InvariantBroken('state machine safety', `node ${node} commits ${committed}, behind its log`);
    for (let index = Math.max(watched.committed, log.cutIndex) + 1; index <= committed; index += 1)
      this.ledger.commit(node, watched.term, index, log.at(index)!);
    watched.committed = committed;
  }

  #apply(node: number, watched: Watched): void {
    for (const handed of watched.handed) {
      const { index, term } = handed;
      const isEntry = 'data' in handed;
      const what = isEntry ? `applies entry ${index}` : `takes a snapshot at ${index}`;
      const committed = this.ledger.committedAt(index);
      if (committed === undefined)
        throw new InvariantBroken('state machine safety', `node ${node} ${what}, which is not committed`);
      if (committed.term !== term || (isEntry && committed.digest !== digestOf(handed)))
        throw new InvariantBroken(
          'state machine safety',
          `node ${node} ${what}, and it is not what was committed`,
        );
      if (isEntry ? index !== watched.applied + 1 : index <= watched.applied)
        throw new InvariantBroken('state machine safety', `node ${node} ${what} after ${watched.applied}`);
      watched.applied = index;
      if (isEntry) this.#applied.add(committed.digest);
    }
    watched.handed.length = 0;
    for (const command of watched.told) {
      if (!this.#applied.has(digestOf(command)))
        throw new InvariantBroken(
          'durability',
          `node ${node} tells a client of a command that nobody has applied`,
        );
    }
    watched.told.length = 0;
  }

  #watched(node: number): Watched {
    let watched = this.#nodes.get(node);
    if (watched === undefined) {
      const log = new LogCopy(node, this.ledger);
      watched = { log, promises: new Promises(), term: 0, committed: 0, applied: 0, handed: [], told: [] };
      this.#nodes.set(node, watched);
    }
    return watched;
  }
}
