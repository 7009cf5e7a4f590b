/**
 * What the core of one group knows, and the smallest steps on it. The rules stand in the files named after them (election, replication, membership, ...); they
 * change this state and nothing else. Nobody outside of the core touches it.
 */
import assert from 'node:assert';
import type { RaftMessage } from '../protocol/raftMessage.js';
import type { HardState, RaftPeer } from '../protocol/raftStructs.js';
import type { ElectionMode } from './election.js';
import type { RaftLog } from './log.js';
import { emptyMessage, Outbox } from './outbox.js';
import { Progress } from './progress.js';

/** What a node is in its group, with the names that a status shows (`raft.md` 4). */
export const STATE_NAMES = {
  follower: 'StateFollower',
  candidate: 'StateCandidate',
  /** Has won the vote and asks everybody to stand by it. */
  electionAck: 'StateElectionACK',
  leader: 'StateLeader',
} as const;

export type RaftState = keyof typeof STATE_NAMES;

/** Where the reference has a value it is this one (`raft.md` 1.2). */
export interface CoreLimits {
  /** E of the specification. */
  electionTicks: number;
  heartbeatTicks: number;
  /** Encoded entries of one append; a single larger entry goes alone. */
  appendBytesMax: number;
  /** Appends under way to one member. */
  inflightMax: number;
  /** Entries that a compaction leaves. */
  retainedEntries: number;
  /** Heartbeats for which a restarted follower, whose leader has nothing to send, holds its campaign back: 6 s. */
  heldHeartbeatsMax: number;
}

export const CORE_LIMITS: Readonly<CoreLimits> = {
  electionTicks: 3,
  heartbeatTicks: 1,
  appendBytesMax: 1024 * 1024,
  inflightMax: 128,
  retainedEntries: 10,
  heldHeartbeatsMax: 20,
};

export interface CoreOptions {
  nodeId: number;
  group: number;
  /** Members as of `applied`. */
  peers: readonly RaftPeer[];
  /** As stored; a commit outside of the log is brought back into it. The term is not below that of the last entry. */
  hardState: HardState;
  /** Freshly opened, of nobody else. */
  log: RaftLog;
  /** The index that the state machine has applied; outside of the log it is brought back into it, as the reference does (`raft.md` 4.11). */
  applied: number;
  election: ElectionMode;
  /** An integer in [0, below). */
  random: (below: number) => number;
  /** False: follows and answers, but does not campaign and grants nothing until it has caught up (`docs/raft.md`). */
  mayVote: boolean;
  /**
   * False: a replica that was added to a group and has none of its log yet. It grants votes, but does not campaign before it has caught up: the members that it was
   * told may never have been agreed on. True when absent.
   */
  mayCampaign?: boolean;
  /** False: does not campaign before `serve` is called, because clients could not reach a leader here yet. True when absent. */
  serving?: boolean;
  limits?: Partial<CoreLimits>;
  /** A follower of a silent leader waits up to so many ticks more than the reference, so that not all campaign at once. E - 1 when absent. */
  extraLeaderTimeoutTicks?: number;
}

export class GroupState {
  readonly nodeId: number;
  readonly group: number;
  readonly limits: Readonly<CoreLimits>;
  readonly election: ElectionMode;
  readonly log: RaftLog;
  readonly outbox: Outbox;
  term: number;
  readonly termAtStart: number;
  /** Whom this node voted for in this term; 0 nobody. */
  vote: number;
  state: RaftState = 'follower';
  /** 0: none known. */
  leader = 0;
  mayVote: boolean;
  mayCampaign: boolean;
  /** Whether clients reach this node: a leader that they cannot reach is worse than none, as no other stands while it lives. */
  serving: boolean;
  /** Ordered by node id, this node among them unless it was removed. */
  members: Progress[] = [];
  /** The same, as others see them. */
  peers: readonly RaftPeer[] = [];
  /** This node's own; null when it is no member. */
  self: Progress | null = null;
  /** Ticks since the start. */
  now = 0;
  /** Ticks since a leader was heard, a vote granted, a try begun; of a leader, since its last check of the lease. */
  electionElapsed = 0;
  heartbeatElapsed = 0;
  /** Drawn for each role: ticks after which a node without a leader campaigns, and one whose leader is silent. */
  electionTimeout = 0;
  leaderTimeout = 0;
  /** Only from a start to the first leader or the first other term: later, who sends heartbeats may be a leader that most have left. */
  heldHeartbeatsLeft: number;
  /** First answers to this node's vote requests: true for a grant. */
  readonly votes = new Map<number, boolean>();
  /** Who stands by this node's election. */
  readonly acks = new Set<number>();
  /** Rounds in which this node has asked, as leader, whether it still leads. Never used again in this process: an answer belongs to one question. */
  readRound = 0;
  /** Of a leader: its first own entry, with which everything before it is known to be committed. */
  firstOfTerm = 0;
  /** A leader takes no configuration change before this index is applied. */
  changesWaitFor = 0;
  /** The state machine, or the journal, has no room for what is to come (`yielding.ts`). */
  lacksRoom = false;
  /** Of a leader: ticks without room, since it led or last tried to yield; and how often it has yielded, both since there was room. */
  roomlessTicks = 0;
  yields = 0;
  /** Header of the snapshot that the host is making durable; everything else is discarded until it has. */
  restoring: RaftMessage | null = null;
  readonly #random: (below: number) => number;
  readonly #extraLeaderTimeoutTicks: number;

  constructor(options: CoreOptions) {
    const { hardState, log } = options;
    assert(hardState.term >= log.lastTerm, `term ${hardState.term}, but the log ends in ${log.lastTerm}`);
    this.nodeId = options.nodeId;
    this.group = options.group;
    this.limits = { ...CORE_LIMITS, ...options.limits };
    this.election = options.election;
    this.log = log;
    this.outbox = new Outbox(hardState);
    this.term = hardState.term;
    this.termAtStart = hardState.term;
    this.vote = hardState.vote;
    this.mayVote = options.mayVote;
    this.mayCampaign = options.mayCampaign ?? true;
    this.serving = options.serving ?? true;
    this.heldHeartbeatsLeft = this.limits.heldHeartbeatsMax;
    this.#random = options.random;
    this.#extraLeaderTimeoutTicks = options.extraLeaderTimeoutTicks ?? this.limits.electionTicks - 1;
    this.setMembers(options.peers);
    this.drawTimeouts();
  }

  get isLeader(): boolean {
    return this.state === 'leader';
  }

  /** Whether this node can be a candidate at all. */
  get mayStand(): boolean {
    return this.self !== null && this.mayVote && this.mayCampaign && this.serving;
  }

  /** The member's progress, or null: a handful of members, so no table. */
  member(nodeId: number): Progress | null {
    for (const member of this.members) if (member.nodeId === nodeId) return member;
    return null;
  }

  /** These are the members from now on, each of them new. A node that is named twice counts once. */
  setMembers(peers: readonly RaftPeer[]): void {
    this.#keepMembers([]);
    for (const peer of peers) if (this.member(peer.nodeId) === null) this.addMember(peer);
  }

  /** It is to get what comes behind the log's present end. */
  addMember(peer: RaftPeer): void {
    const added = new Progress(peer, this.limits.inflightMax);
    added.reset(this.log.lastIndex + 1, this.now);
    this.#keepMembers([...this.members, added].sort((a, b) => a.nodeId - b.nodeId));
  }

  updateMember(member: Progress, peer: RaftPeer): void {
    member.peer = peer;
    this.#keepMembers(this.members);
  }

  removeMember(nodeId: number): void {
    this.#keepMembers(this.members.filter((member) => member.nodeId !== nodeId));
  }

  /** This node has heard of its leader. */
  follow(leader: number): void {
    this.leader = leader;
    this.electionElapsed = 0;
    this.heldHeartbeatsLeft = 0;
  }

  /** `raft.md` 4.1; with a known leader 2E, and some ticks more. */
  drawTimeouts(): void {
    const { electionTicks } = this.limits;
    this.electionTimeout = electionTicks + this.#random(electionTicks);
    this.leaderTimeout = 2 * electionTicks + this.#random(this.#extraLeaderTimeoutTicks + 1);
  }

  /** A message of this node in its present term, all other fields unused. */
  message(type: number, to: number): RaftMessage {
    return emptyMessage(type, this.group, this.nodeId, to, this.term);
  }

  #keepMembers(members: Progress[]): void {
    this.members = members;
    this.peers = members.map(({ peer }) => peer);
    this.self = this.member(this.nodeId);
  }
}
