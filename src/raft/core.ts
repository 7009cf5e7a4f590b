/**
 * The raft core of one group: ticks, messages, proposals and words of what is durable go in; messages, entries and hard state come out (`docs/raft.md`, One
 * turn). It is the v1.4.0 variant of `raft.md` 4, sans I/O: no disk, clock, socket or random source of its own, nothing asynchronous, no callbacks.
 *
 * This file is the door: it admits messages and hands them to the rule they belong to. The rules change a `GroupState`, which nobody else touches. What the
 * host gives is trusted and asserted; what other nodes send is not, and is passed over when it makes no sense.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import type { RaftEntry, RaftPeer } from '../protocol/raftStructs.js';
import { decodeConfigurationChange, ENTRY_TYPE } from '../protocol/raftStructs.js';
import { campaign, isUpToDate } from './election.js';
import { answerOldTerm, onAppendRequest, onCheckQuorumRequest } from './following.js';
import { type CoreOptions, GroupState, type RaftState } from './groupState.js';
import {
  behindReplicas,
  type DownReplica,
  downReplicas,
  leaseTicksLeft,
  onHeartbeatRequest,
  onHeartbeatResponse,
} from './lease.js';
import type { RaftLog } from './log.js';
import { changeMembers } from './membership.js';
import {
  askAgain,
  askWhetherLeading,
  confirmedRound,
  onCheckQuorumResponse,
  type ReadRound,
} from './readRounds.js';
import { broadcastAppends, countOwnLog, onAppendResponse, sendAppend, sendToWaiting } from './replication.js';
import { becomeFollower } from './roles.js';
import { onRestored, onSnapshot, onSnapshotSent, replacesLog } from './snapshots.js';
import { type RaftStatus, statusOf } from './status.js';
import type { CoreOutput } from './types.js';
import { heirWhenDue, noteRoom, yields } from './yielding.js';

export type Proposed = { ok: true; firstIndex: number; term: number } | { ok: false; message: string };

/** Entries [from, to] that somebody waits for and that are not in memory. */
export interface LogRange {
  from: number;
  to: number;
}

/** Answers that only members may give (`raft.md` 4.2). */
const RESPONSES: readonly number[] = [
  RAFT_MESSAGE.appendResponse,
  RAFT_MESSAGE.voteResponse,
  RAFT_MESSAGE.electionAckResponse,
  RAFT_MESSAGE.checkQuorumResponse,
];

/** No group gets there, and from here on a term can still rise for ages. */
const TERM_MAX = 2 ** 52;

const REFUSED = {
  notLeader: { ok: false, message: 'raft is not the leader.' },
  changePending: { ok: false, message: 'a configuration change is pending, retry later' },
  lacksRoom: { ok: false, message: 'try again' },
  changeAlone: { ok: false, message: 'configuration changes are proposed one at a time' },
} as const satisfies Record<string, Proposed>;

export class RaftCore {
  readonly log: RaftLog;
  readonly #group: GroupState;
  #handOverWaits = false;

  /** A follower without a leader, at the stored term. */
  constructor(options: CoreOptions) {
    this.#group = new GroupState(options);
    this.log = options.log;
    const { log } = this;
    const applied = Math.min(Math.max(options.applied, log.cutIndex), log.lastIndex);
    log.commitTo(Math.min(Math.max(options.hardState.commit, applied), log.lastIndex));
    log.handedOver = applied;
    log.appliedTo(applied);
  }

  get group(): number {
    return this.#group.group;
  }

  get nodeId(): number {
    return this.#group.nodeId;
  }

  get term(): number {
    return this.#group.term;
  }

  get vote(): number {
    return this.#group.vote;
  }

  get state(): RaftState {
    return this.#group.state;
  }

  /** 0: none known. */
  get leader(): number {
    return this.#group.leader;
  }

  get isLeader(): boolean {
    return this.#group.isLeader;
  }

  get mayVote(): boolean {
    return this.#group.mayVote;
  }

  /** False until a replica that was added has caught up. */
  get mayCampaign(): boolean {
    return this.#group.mayCampaign;
  }

  /** By node id. */
  members(): readonly RaftPeer[] {
    return this.#group.peers;
  }

  /** 300 ms have passed. `lacksRoom`: the state machine or the journal cannot go on for want of room (`yielding.ts`). */
  tick(lacksRoom = false): void {
    const group = this.#group;
    noteRoom(group, lacksRoom);
    if (group.restoring !== null) return;
    group.now += 1;
    group.electionElapsed += 1;
    if (group.isLeader) {
      this.#tickLeader();
    } else if (group.election.timedOut(group)) {
      campaign(group, false);
      // Who cannot stand must not keep up the lease of a leader that is gone: others need its vote.
      if (group.state === 'follower' && group.leader !== 0) becomeFollower(group, group.term, 0);
    }
  }

  /**
   * A message from the network, of any type but a heartbeat; those that have no business there (8, 10, 11) are passed over, as is what `raft.md` 4.2 does not admit.
   * Throws an assertion error when the leader's log conflicts with what is committed here: the replica must leave service.
   */
  step(message: RaftMessage): void {
    const group = this.#group;
    if (message.type === RAFT_MESSAGE.snapshot) {
      if (this.#makesSense(message)) onSnapshot(group, message);
      else group.outbox.judge(message, false);
      return;
    }
    if (group.restoring !== null || !this.#makesSense(message) || !this.#admits(message)) return;
    if (message.term < group.term) {
      answerOldTerm(group, message);
      return;
    }
    if (message.term > group.term) {
      if (message.type === RAFT_MESSAGE.voteRequest && group.election.passesOver(group, message)) return;
      // Only a leader sends these two; whoever else has a higher term is no leader for that.
      const leads =
        message.type === RAFT_MESSAGE.appendRequest || message.type === RAFT_MESSAGE.electionAckRequest;
      becomeFollower(group, message.term, leads ? message.from : 0);
    }
    switch (message.type) {
      case RAFT_MESSAGE.appendRequest:
        onAppendRequest(group, message);
        break;
      case RAFT_MESSAGE.appendResponse:
        onAppendResponse(group, message);
        break;
      case RAFT_MESSAGE.checkQuorumRequest:
        onCheckQuorumRequest(group, message);
        break;
      case RAFT_MESSAGE.checkQuorumResponse:
        onCheckQuorumResponse(group, message);
        break;
      default:
        group.election.step(group, message);
    }
  }

  /** The group was listed in a heartbeat of `from`. */
  heartbeatRequest(from: number): void {
    if (this.#group.restoring === null) onHeartbeatRequest(this.#group, from);
  }

  /** The group was listed in the answer of `from` to a heartbeat. */
  heartbeatResponse(from: number): void {
    onHeartbeatResponse(this.#group, from);
  }

  /** The connection to a node was made anew: it may have been restarted, and learns its leader from an append alone (`raft.md` 8). */
  reconnected(to: number): void {
    const member = this.#group.member(to);
    if (this.isLeader && member !== null && member !== this.#group.self) sendAppend(this.#group, member);
  }

  /**
   * Appends one entry of `type` for each data, in order. They are committed when entries of these indexes and this term are handed over; never, if others are. A
   * configuration change goes alone, and not while another may be pending.
   */
  propose(type: number, data: readonly Uint8Array[]): Proposed {
    const group = this.#group;
    if (!group.isLeader) return REFUSED.notLeader;
    if (yields(group)) return REFUSED.lacksRoom;
    const { log } = this;
    const firstIndex = log.lastIndex + 1;
    if (type === ENTRY_TYPE.configurationChange) {
      if (data.length !== 1) return REFUSED.changeAlone;
      if (log.applied < group.changesWaitFor) return REFUSED.changePending;
      const change = decodeConfigurationChange(data[0]!);
      if (!change.ok) return change;
      group.changesWaitFor = firstIndex;
    }
    const { term } = group;
    log.append(data.map((bytes, i) => ({ type, term, index: firstIndex + i, data: bytes })));
    broadcastAppends(group);
    return { ok: true, firstIndex, term };
  }

  /** Begins to make sure that this node still leads; null when it knows that it does not. */
  askWhetherLeading(): ReadRound | null {
    return this.#group.restoring === null ? askWhetherLeading(this.#group) : null;
  }

  /** The last round of `askWhetherLeading` that is proven, in this term; 0 when this node does not lead. */
  get confirmedRound(): number {
    return confirmedRound(this.#group);
  }

  /** Clients reach this node from now on, so it may stand. The only member of a group need not wait for silence. */
  serve(): void {
    const group = this.#group;
    group.serving = true;
    if (group.members.length === 1) this.campaign(false);
  }

  /** Tries to become leader; `forced` in spite of a living one. Nothing happens where this node may not (`raft.md` 4.3). */
  campaign(forced: boolean): void {
    if (this.#group.restoring === null) campaign(this.#group, forced);
  }

  /** An output of this core is durable, and so are all before it. */
  persisted(output: CoreOutput): void {
    const last = output.entries.at(-1);
    if (last === undefined) return;
    this.log.durableTo(last.index, output.generation);
    countOwnLog(this.#group);
  }

  /** Whether this snapshot header would take the place of the log. Its members are to be durable before it is stepped. */
  wouldRestore(header: RaftMessage): boolean {
    return replacesLog(this.#group, header);
  }

  /** The reset of an output is durable and the state machine has taken it, or has failed: then this core stays silent for good. */
  restored(ok: boolean): void {
    onRestored(this.#group, ok);
  }

  /** The stream of the snapshot to a node has ended. Not to be called when it was aborted here (leadership lost, or a newer one). */
  snapshotSent(to: number, ok: boolean): void {
    onSnapshotSent(this.#group, to, ok);
  }

  /** What is to be read from the folder, given to `log.put` and told by `logLoaded`; a part of it from `from` on is enough. Null when nobody waits. */
  get wantsLog(): LogRange | null {
    const { log } = this;
    const ahead = log.handedOver + 1;
    // A snapshot may have taken the place of what was waited for.
    const isAhead = ahead <= Math.min(log.committed, log.durable);
    if (this.#handOverWaits && isAhead && !log.inMemory(ahead)) return this.#range(ahead);
    for (const { waitsForLog, next } of this.#group.members) {
      // It may have told meanwhile that it has them.
      const waits = waitsForLog && next > log.cutIndex && next <= log.lastIndex && !log.inMemory(next);
      if (waits) return this.#range(next);
    }
    return null;
  }

  /** Entries were put into the log. */
  logLoaded(): void {
    this.#handOverWaits = false;
    sendToWaiting(this.#group);
  }

  /**
   * The next entries for the state machine, committed and durable here: at most `bytesMax` encoded bytes, but one at least. Configuration changes among
   * them take effect here and now. Empty when there are none, null when they are not in memory (`wantsLog`).
   */
  handOver(bytesMax: number): RaftEntry[] | null {
    if (this.#group.restoring !== null) return [];
    const entries = this.log.handOver(bytesMax);
    this.#handOverWaits = entries === null;
    if (entries !== null) changeMembers(this.#group, entries);
    return entries;
  }

  /** The state machine has applied up to here. */
  appliedTo(index: number): void {
    this.log.appliedTo(index);
  }

  /**
   * Cuts the front of the log in memory up to `index`, leaving `retainedEntries` (`raft.md` 4.12), and nothing that is not applied. Returns the cut, for the
   * host to make durable; null when nothing was cut.
   */
  compact(index: number): { index: number; term: number } | null {
    const { log } = this;
    const to = Math.min(index, log.lastIndex - this.#group.limits.retainedEntries, log.applied);
    if (this.#group.restoring !== null || to <= log.cutIndex) return null;
    return { index: to, term: log.cut(to) };
  }

  get hasOutput(): boolean {
    const { outbox, term, vote } = this.#group;
    return outbox.isFilled(term, vote, this.log);
  }

  takeOutput(): CoreOutput {
    const { outbox, term, vote } = this.#group;
    return outbox.take(term, vote, this.log);
  }

  status(): RaftStatus {
    return statusOf(this.#group);
  }

  /** Of a leader: who has not been heard for more than two heartbeats. */
  downReplicas(): DownReplica[] {
    return downReplicas(this.#group);
  }

  /** Of a leader: who has not acknowledged its first entry. */
  behindReplicas(): number[] {
    return behindReplicas(this.#group);
  }

  /** Of a leader: ticks for which nobody else can lead, from what was heard. 0 for everybody else. */
  leaseTicksLeft(): number {
    return leaseTicksLeft(this.#group);
  }

  #tickLeader(): void {
    const group = this.#group;
    if (!group.election.stays(group)) {
      becomeFollower(group, group.term, 0);
      return;
    }
    const heir = heirWhenDue(group);
    if (heir !== null) {
      group.election.yieldLead(group, heir);
      return;
    }
    group.heartbeatElapsed += 1;
    if (group.heartbeatElapsed < group.limits.heartbeatTicks) return;
    group.heartbeatElapsed = 0;
    for (const member of group.members) member.paused = false;
    askAgain(group);
  }

  /** No honest node sends a message to somebody else, one from its receiver, or one without a term or with an absurd one. */
  #makesSense({ from, to, term }: RaftMessage): boolean {
    const { nodeId } = this.#group;
    return to === nodeId && from !== nodeId && from !== 0 && term > 0 && term <= TERM_MAX;
  }

  /** `raft.md` 4.2: of strangers only requests, and of them votes only when their log is far enough. */
  #admits(message: RaftMessage): boolean {
    const group = this.#group;
    if (group.member(message.from) !== null) return true;
    if (RESPONSES.includes(message.type)) return false;
    return message.type !== RAFT_MESSAGE.voteRequest || isUpToDate(group, message);
  }

  #range(from: number): LogRange {
    return { from, to: Math.min(this.log.holeEnd(from), this.log.lastIndex) };
  }
}
