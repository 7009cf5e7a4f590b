/**
 * What the parts of raft say to each other. Types only.
 */
import type { RaftMessage } from '../protocol/raftMessage.js';
import type { HardState, RaftEntry, RaftPeer, SnapshotMeta } from '../protocol/raftStructs.js';

/** What one turn of a group's core asks for. Empty lists and nulls where there is nothing. */
export interface CoreOutput {
  /** A snapshot was accepted: the log is emptied and goes on behind this index, before `entries`. The host calls `restored` when that is durable and the state machine has taken it. */
  reset: SnapshotMeta | null;
  /** To be appended; when the first index is not behind the last entry, everything from it on is replaced. */
  entries: readonly RaftEntry[];
  /** Which log the entries belong to: the core passes over a word of their durability when some of them were replaced since. */
  generation: number;
  /** The hard state when any of it changed since the last output. */
  hardState: HardState | null;
  /** Term or vote changed: must be durable before `messagesAfter` leave. A change of the commit alone needs no sync. */
  mustSync: boolean;
  /** May leave at once. */
  messages: readonly RaftMessage[];
  /** May leave when this output and all before it are durable. */
  messagesAfter: readonly RaftMessage[];
  /** For the connections that brought snapshot headers; they leave like `messagesAfter`. Each header gets exactly one. */
  snapshotVerdicts: readonly SnapshotVerdict[];
}

/** What became of a snapshot header (`raft.md` 2.6). */
export interface SnapshotVerdict {
  /** The message that was stepped. */
  header: RaftMessage;
  /** True: the byte 01, false: the connection is closed without a word. */
  accepted: boolean;
}

/** Called once when what was asked for is durable (0), or failed for good (a negated errno). */
export type WhenDurable = (errno: number) => void;

/** What became of an entry that was handed to the state machine. */
export type ApplyOutcome =
  /** The applied index may pass it. `error` is for a waiting proposer: a deterministic rejection, or what is missing here; null when it was carried out. */
  | { kind: 'applied'; error: string | null }
  /** This replica cannot go on; the reason is for the operator. */
  | { kind: 'stopped'; reason: string };

/** The state machine of a group, as the host sees it. Calls come in index order; each ends with one call of `done`, in order, now or later. */
export interface StateMachine {
  /** Once, before the first entry: where the log goes on. Not `durableApplied` when the log begins behind that (contents are to be compared then) or ends before it. */
  resumeAt(index: number): void;
  /** Carries out a committed entry that is durable in the log here. Normal entries may be empty: nothing to do. */
  apply(entry: RaftEntry, done: (outcome: ApplyOutcome) => void): void;
  /**
   * Before a snapshot takes the place of the log: its members are the members from now on, durably when null is returned, since the log that told of them will be gone. A text says why they
   * could not be kept; then the snapshot is not taken.
   */
  keepMembers(peers: readonly RaftPeer[]): string | null;
  /** A snapshot replaces the state: the applied index is `meta.index` from now on, contents are to be compared with the leader's. Durable when `done` is called. */
  restore(meta: SnapshotMeta, done: (outcome: ApplyOutcome) => void): void;
  /** What it was given waits for room on the disk: it is tried again and again, and nothing behind it is carried out. */
  readonly lacksRoom: boolean;
  /** The applied index that a restart will find. */
  readonly durableApplied: number;
}
