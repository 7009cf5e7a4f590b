/**
 * What a core has to say, until the host takes it. Messages are stamped with the term at which they were made; the two lists are kept apart because those that
 * promise something of this node's disk wait for it (`docs/raft.md`, One turn).
 */
import type { RaftMessage } from '../protocol/raftMessage.js';
import type { HardState, SnapshotMeta } from '../protocol/raftStructs.js';
import type { RaftLog } from './log.js';
import type { CoreOutput, SnapshotVerdict } from './types.js';

const NO_BYTES = new Uint8Array(0);
const NONE: readonly never[] = [];

/** A message with every field that its type may not use at 0, false, empty or null. */
export function emptyMessage(
  type: number,
  group: number,
  from: number,
  to: number,
  term: number,
): RaftMessage {
  return {
    type,
    forceVote: false,
    reject: false,
    rejectIndex: 0,
    group,
    from,
    to,
    term,
    logTerm: 0,
    index: 0,
    commit: 0,
    entries: NONE,
    context: NO_BYTES,
    snapshot: null,
  };
}

export class Outbox {
  /** A snapshot that takes the place of the log. */
  reset: SnapshotMeta | null = null;
  #messages: RaftMessage[] = [];
  #messagesAfter: RaftMessage[] = [];
  #verdicts: SnapshotVerdict[] = [];
  /** As last given out. */
  #term: number;
  #vote: number;
  #commit: number;

  constructor(stored: HardState) {
    this.#term = stored.term;
    this.#vote = stored.vote;
    this.#commit = stored.commit;
  }

  /** Promises nothing of the disk here. */
  sendNow(message: RaftMessage): void {
    this.#messages.push(message);
  }

  /** Promises that what stands here is durable. */
  sendAfter(message: RaftMessage): void {
    this.#messagesAfter.push(message);
  }

  /** What the sender of a snapshot is to be told on its connection. */
  judge(header: RaftMessage, accepted: boolean): void {
    this.#verdicts.push({ header, accepted });
  }

  /** Whether there is something to take. */
  isFilled(term: number, vote: number, log: RaftLog): boolean {
    return (
      log.given < log.lastIndex ||
      this.#messages.length > 0 ||
      this.#messagesAfter.length > 0 ||
      log.committed !== this.#commit ||
      term !== this.#term ||
      vote !== this.#vote ||
      this.#verdicts.length > 0 ||
      this.reset !== null
    );
  }

  /** Gives everything out; the outbox is empty then. */
  take(term: number, vote: number, log: RaftLog): CoreOutput {
    const mustSync = term !== this.#term || vote !== this.#vote;
    const hardState =
      mustSync || log.committed !== this.#commit ? { term, vote, commit: log.committed } : null;
    const output: CoreOutput = {
      reset: this.reset,
      entries: log.given < log.lastIndex ? log.take() : NONE,
      generation: log.generation,
      hardState,
      mustSync,
      messages: this.#messages.length > 0 ? this.#messages : NONE,
      messagesAfter: this.#messagesAfter.length > 0 ? this.#messagesAfter : NONE,
      snapshotVerdicts: this.#verdicts.length > 0 ? this.#verdicts : NONE,
    };
    this.#term = term;
    this.#vote = vote;
    this.#commit = log.committed;
    this.reset = null;
    if (this.#messages.length > 0) this.#messages = [];
    if (this.#messagesAfter.length > 0) this.#messagesAfter = [];
    if (this.#verdicts.length > 0) this.#verdicts = [];
    return output;
  }
}
