/**
 * The recorded traffic of live v1.4.0 nodes (`trace.json`), and a node of ours in the place of one of them: it is given what the others sent, and what it sends
 * is compared with what the recorded node sent.
 *
 * Recorded is what went over the wire, not what happened inside: campaigns, proposals and ticks are told by the test.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeHeartbeatContext } from '../../src/protocol/heartbeatContext.js';
import {
  decodeMessage,
  FRAME_HEAD_BYTES,
  RAFT_MESSAGE,
  type RaftMessage,
} from '../../src/protocol/raftMessage.js';
import { RaftCore } from '../../src/raft/core.js';
import { leaseElection } from '../../src/raft/election.js';
import { heartbeatRequests, onHeartbeat } from '../../src/raft/heartbeats.js';
import { RaftLog } from '../../src/raft/log.js';
import { packageRoot } from '../packageRoot.js';

export const TRACE_GROUP = 101;
const HAND_OVER_BYTES = 1 << 20;

/** One message of the trace, and where in it. */
export interface Recorded {
  seq: number;
  message: RaftMessage;
}

/** The whole trace, in its order. */
export function readTrace(): Recorded[] {
  const path = join(packageRoot, 'test/vectors/raft/trace.json');
  const { messages } = JSON.parse(readFileSync(path, 'utf8')) as { messages: { seq: number; hex: string }[] };
  return messages.map(({ seq, hex }) => {
    const decoded = decodeMessage(Buffer.from(hex, 'hex').subarray(FRAME_HEAD_BYTES));
    if (!decoded.ok) throw new Error(decoded.message);
    return { seq, message: decoded.value };
  });
}

/** The fields that mean something in the message's type, to be compared. */
export function meaningOf(message: RaftMessage): object {
  const { type, group, from, to, term, logTerm, index, commit, reject, rejectIndex, entries } = message;
  const groups = decodeHeartbeatContext(message.context);
  const snapshot = message.snapshot && {
    ...message.snapshot,
    peers: message.snapshot.peers.toSorted((a, b) => a.nodeId - b.nodeId),
  };
  return {
    ...{ type, group, from, to, term, logTerm, index, commit, reject, rejectIndex, snapshot },
    // In any other type the recorded nodes show what a pooled object was used for before.
    forceVote: type === RAFT_MESSAGE.voteRequest && message.forceVote,
    entries: entries.map((entry) => ({ ...entry, data: Buffer.from(entry.data).toString() })),
    groups: groups.ok ? groups.value : groups.message,
  };
}

/** A core whose disk is fast: everything is durable and applied at once. */
export class TraceNode {
  core: RaftCore;
  readonly id: number;
  readonly #peers: readonly number[];
  readonly #sent = new Map<number, RaftMessage[]>();

  constructor(id: number, peers: readonly number[]) {
    this.id = id;
    this.#peers = peers;
    this.core = this.#open({ term: 0, commit: 0, vote: 0 }, 0, []);
  }

  /** As after a restart. The node's log has entries of these terms, all of them from the trace. */
  restart(): void {
    const { log, term, vote } = this.core;
    const runs = [];
    for (let index = 1; index <= log.lastIndex; index += 1) {
      if (runs.at(-1)?.term !== log.term(index)) runs.push({ from: index, term: log.term(index) });
    }
    this.core = this.#open({ term, vote, commit: log.committed }, log.lastIndex, runs);
  }

  /** What another node sent. */
  receive(message: RaftMessage): void {
    if (message.type === RAFT_MESSAGE.heartbeatRequest) {
      const heard = onHeartbeat(this.id, message, (group) => group === TRACE_GROUP);
      if (!heard.ok) throw new Error(heard.message);
      this.core.heartbeatRequest(message.from);
      this.#keep([heard.value.answer]);
    } else if (message.type === RAFT_MESSAGE.heartbeatResponse) {
      this.core.heartbeatResponse(message.from);
    } else {
      this.core.step(message);
    }
    this.settle();
  }

  /** A heartbeat tick of a leader. */
  heartbeat(): void {
    this.#keep(heartbeatRequests(this.id, [this.core]));
  }

  /** Takes what the core has to say, until it has nothing more. */
  settle(): void {
    while (this.core.hasOutput) {
      const output = this.core.takeOutput();
      this.core.persisted(output);
      if (output.reset !== null) this.core.restored(true);
      this.#keep(output.messages);
      this.#keep(output.messagesAfter);
      const entries = this.core.handOver(HAND_OVER_BYTES);
      if (entries === null) throw new Error('entries are not in memory');
      if (entries.length > 0) this.core.appliedTo(entries.at(-1)!.index);
    }
  }

  /** The oldest message to a node that was not asked for yet. */
  nextTo(to: number): RaftMessage | null {
    return this.#sent.get(to)?.shift() ?? null;
  }

  /** Messages that were not asked for. */
  left(): RaftMessage[] {
    return [...this.#sent.values()].flat();
  }

  /** What was sent until now is not asked for. */
  forget(): void {
    this.#sent.clear();
  }

  #keep(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      const queue = this.#sent.get(message.to);
      if (queue === undefined) this.#sent.set(message.to, [message]);
      else queue.push(message);
    }
  }

  #open(
    hardState: { term: number; vote: number; commit: number },
    lastIndex: number,
    runs: { from: number; term: number }[],
  ): RaftCore {
    return new RaftCore({
      nodeId: this.id,
      group: TRACE_GROUP,
      peers: this.#peers.map((nodeId) => ({ type: 0, priority: 0, nodeId })),
      hardState,
      log: new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex, runs }),
      applied: hardState.commit,
      election: leaseElection,
      random: () => 0,
      mayVote: true,
    });
  }
}
