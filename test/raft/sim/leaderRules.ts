/**
 * What a leader may do by itself. A wrong step harms nobody until the right nodes fail; so it is looked for here, where it is made.
 *
 * - *Commit rule*: it commits an entry of its own term that a majority of the members says is durable there (Ongaro, 3.6.2), itself only when it is durable here.
 * - *One change at a time*: it changes members when the change before is committed, and an entry of its own term (Ongaro, 4.1, and the correction of 2015).
 *
 * What members say counts when it is sent: an answer on its way may have been lost, never the other way round.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import { ENTRY_TYPE, type RaftEntry, type RaftPeer } from '../../../src/protocol/raftStructs.js';
import { InvariantBroken } from './ledger.js';

/** A core as far as the rules go; `RaftCore` is one. */
export interface LeadingCore {
  readonly term: number;
  readonly isLeader: boolean;
  members(): readonly Pick<RaftPeer, 'nodeId'>[];
  readonly log: LeadersLog;
}

/** `RaftLog` is one. */
export interface LeadersLog {
  readonly lastIndex: number;
  readonly committed: number;
  readonly durable: number;
  term(index: number): number;
  inMemory(index: number): RaftEntry | undefined;
}

/** A node as it was looked at last. */
interface Look {
  /** The term in which it led; 0 when it did not. */
  leads: number;
  committed: number;
  members: readonly number[];
}

export class LeaderRules {
  /** By term, by node: the highest index that it acknowledged. */
  readonly #acknowledged = new Map<number, Map<number, number>>();
  readonly #looks = new Map<number, Look>();

  /** A message has left a node. */
  sent(node: number, { type, reject, term, index }: RaftMessage): void {
    if (type !== RAFT_MESSAGE.appendResponse || reject) return;
    let ofTerm = this.#acknowledged.get(term);
    if (ofTerm === undefined) {
      ofTerm = new Map();
      this.#acknowledged.set(term, ofTerm);
    }
    ofTerm.set(node, Math.max(index, ofTerm.get(node) ?? 0));
  }

  /** Looks at a node, after whatever it may have done. Throws an `InvariantBroken` when it has done as a leader what it may not. */
  observe(node: number, core: LeadingCore): void {
    const { committed } = core.log;
    const before = this.#looks.get(node);
    const look: Look = {
      leads: core.isLeader ? core.term : 0,
      committed,
      members: core.members().map(({ nodeId }) => nodeId),
    };
    this.#looks.set(node, look);
    if (before === undefined || look.leads === 0 || before.leads !== look.leads) return;
    // A change of members may have taken effect before the commit, or because of it.
    if (committed !== before.committed) this.#holdCommit(node, core, [before.members, look.members]);
    holdChanges(node, core);
  }

  #holdCommit(node: number, core: LeadingCore, configurations: readonly (readonly number[])[]): void {
    const { term, log } = core;
    const { committed } = log;
    if (log.term(committed) !== term)
      throw new InvariantBroken(
        'commit rule',
        `node ${node} of term ${term} commits entry ${committed} of term ${log.term(committed)}`,
      );
    if (!configurations.some((members) => this.#isMajority(node, core, members)))
      throw new InvariantBroken(
        'commit rule',
        `node ${node} commits entry ${committed}, which no majority has`,
      );
  }

  #isMajority(leader: number, { term, log }: LeadingCore, members: readonly number[]): boolean {
    const ofTerm = this.#acknowledged.get(term);
    const having = members.filter((node) =>
      node === leader ? log.durable >= log.committed : (ofTerm?.get(node) ?? 0) >= log.committed,
    );
    return 2 * having.length > members.length;
  }
}

/** Changes of members of this leader that are not committed. */
function holdChanges(node: number, { term, log }: LeadingCore): void {
  const { committed, lastIndex } = log;
  let pending = 0;
  for (let index = committed + 1; index <= lastIndex; index += 1) {
    const entry = log.inMemory(index);
    if (entry?.type !== ENTRY_TYPE.configurationChange) continue;
    if (entry.term === term && (pending > 0 || log.term(committed) !== term))
      throw new InvariantBroken(
        'one change at a time',
        `node ${node} changes members at ${index}, and has committed ${committed} only`,
      );
    pending = index;
  }
}
