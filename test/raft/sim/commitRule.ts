/**
 * What a leader may commit by itself: an entry of its own term that a majority of the members says is durable there (Ongaro, 3.6.2), itself only when it is durable
 * here. Wrong commits harm nobody until the right nodes fail; so they are looked for here, where they are made.
 *
 * What members say counts when it is sent: an answer on its way may have been lost, never the other way round.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../../../src/protocol/raftMessage.js';
import type { RaftPeer } from '../../../src/protocol/raftStructs.js';
import { InvariantBroken } from './ledger.js';

/** A core as far as the rule goes; `RaftCore` is one. */
export interface CommittingCore {
  readonly term: number;
  readonly isLeader: boolean;
  members(): readonly Pick<RaftPeer, 'nodeId'>[];
  readonly log: { readonly committed: number; readonly durable: number; term(index: number): number };
}

/** A node as it was looked at last. */
interface Look {
  /** The term in which it led; 0 when it did not. */
  leads: number;
  committed: number;
  members: readonly number[];
}

export class CommitRule {
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

  /** Looks at a node, after whatever it may have done. Throws an `InvariantBroken` when it has committed as a leader what it may not. */
  observe(node: number, core: CommittingCore): void {
    const { committed } = core.log;
    const before = this.#looks.get(node);
    const look: Look = {
      leads: core.isLeader ? core.term : 0,
      committed,
      members: core.members().map(({ nodeId }) => nodeId),
    };
    this.#looks.set(node, look);
    if (before === undefined || look.leads === 0 || before.leads !== look.leads) return;
    if (committed === before.committed) return;
    const term = core.log.term(committed);
    if (term !== core.term)
      throw new InvariantBroken(
        'commit rule',
        `node ${node} of term ${core.term} commits entry ${committed} of term ${term}`,
      );
    // A change of members may have taken effect before the commit, or because of it.
    if (!this.#isMajority(node, core, before.members) && !this.#isMajority(node, core, look.members))
      throw new InvariantBroken(
        'commit rule',
        `node ${node} commits entry ${committed}, which no majority has`,
      );
  }

  #isMajority(leader: number, { term, log }: CommittingCore, members: readonly number[]): boolean {
    const ofTerm = this.#acknowledged.get(term);
    const having = members.filter((node) =>
      node === leader ? log.durable >= log.committed : (ofTerm?.get(node) ?? 0) >= log.committed,
    );
    return 2 * having.length > members.length;
  }
}
