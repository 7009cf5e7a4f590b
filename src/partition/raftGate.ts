/**
 * What a partition asks of its raft group: who leads, a random write, a read that must be the newest. Implemented by `src/workers`, which runs the groups; partitions know nothing else of raft.
 */
import type { Operation } from './operation.js';

export interface RaftGate {
  /** Why the group does not run any more; null while it does. */
  readonly failure: string | null;
  /** With what everything ends that is asked from now on: the partition goes, or the node stops; null otherwise. */
  readonly ending: string | null;
  /** This replica leads, as far as it knows. */
  readonly isLeader: boolean;
  /** The only member, and whatever an earlier process acknowledged is applied: what is here is the newest. */
  readonly readsAtOnce: boolean;
  /** Proposes a command, which is kept. `done` is called once: null when it was applied here, else with a text, after which it may still come true. */
  propose(command: Uint8Array, done: (problem: string | null) => void): void;
  /** Makes sure that this replica leads: then `Partition.readConfirmed` is called, else the operation is failed. */
  confirmRead(op: Operation): void;
}

/** Whoever begins groups, as a partition sees it that ends its joining (`repair.md` 10). */
export interface GroupBeginner {
  /** Notes durably that this replica is new to its group, before META says that it takes part: 0, or a negated errno. */
  markAdded(partitionId: number): number;
  /** META says that the partition takes part in its group. */
  joined(partitionId: number): void;
}
