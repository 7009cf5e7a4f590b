/**
 * What a group starts with: the folder's state and the application's applied index brought together (`raft.md` 4.11, `docs/raft.md`). Pure.
 *
 * The log, the stored commit and the applied index come from three files that a crash, a damaged disk or another node may have left apart. Here is decided which
 * of them gives way, and whether the replica may vote before it has caught up. Nothing here refuses a start.
 */
import type { HardState } from '../protocol/raftStructs.js';

/** What the files say. */
export interface StoredState {
  nodeId: number;
  /** As META has it. */
  stored: HardState;
  /** With a term not below that of the last entry. */
  hardState: HardState;
  cutIndex: number;
  lastIndex: number;
  /** Applied index of the application. */
  applied: number;
  /** Recovery could prove that more was durable here than there is now. */
  lost: boolean;
}

export interface StartState {
  term: number;
  vote: number;
  commit: number;
  applied: number;
  mayVote: boolean;
  /** What gave way, for the log. */
  notes: string[];
}

/** Brings the files' statements together. */
export function startState(state: StoredState): StartState {
  const { hardState, cutIndex, lastIndex, applied, lost } = state;
  const notes: string[] = [];
  if (lost) notes.push('entries or a vote that were durable here are lost: no vote until caught up');
  if (applied > lastIndex)
    notes.push(`applied ${applied} is above the end ${lastIndex} of the log: no vote until caught up`);
  const mayVote = !lost && applied <= lastIndex;
  // Behind the commit a log that has lost entries may hold others than those that were applied. They are applied again when a leader has sent them.
  const believed = mayVote ? applied : Math.min(applied, hardState.commit);
  if (believed < applied) notes.push(`applied ${applied} is lowered to the commit ${believed}`);
  const appliedNow = clamp('applied', believed, cutIndex, lastIndex, notes);
  // A Go node's log that is shorter than its commit is clamped, as that node does: after a rack has lost its power all replicas may be so.
  const stored = clamp('commit', hardState.commit, cutIndex, lastIndex, notes);
  const commit = Math.max(stored, appliedNow);
  // Of a term that only the log knows there was a leader, and this node may have voted for it: no other gets the vote.
  const vote = hardState.term > state.stored.term ? state.nodeId : hardState.vote;
  return { term: hardState.term, vote, commit, applied: appliedNow, mayVote, notes };
}

function clamp(name: string, value: number, low: number, high: number, notes: string[]): number {
  // Nothing stored yet is no finding.
  if (value < low && value !== 0) notes.push(`${name} ${value} is below the cut ${low} of the log: raised`);
  if (value > high) notes.push(`${name} ${value} is above the end ${high} of the log: lowered`);
  return Math.min(Math.max(value, low), high);
}
