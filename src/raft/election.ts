/**
 * How a group finds its leader (`raft.md` 4.1 to 4.6). The mode is a part that can be replaced; this is the one of v1.4.0: a lease, and two rounds, vote and
 * election ack. Quorums, logs and the term rule are the same in every mode and stand elsewhere.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import { ENTRY_TYPE } from '../protocol/raftStructs.js';
import type { GroupState } from './groupState.js';
import { leaseHolds } from './lease.js';
import { quorumOf } from './quorum.js';
import { broadcastAppends } from './replication.js';
import { becomeCandidate, becomeElectionAck, becomeFollower, becomeLeader } from './roles.js';
import { quietTicks, yields } from './yielding.js';

/** What a mode decides. It is asked only in the states that it leads into itself, and as follower and leader. */
export interface ElectionMode {
  /** At each tick of a node that does not lead: whether it has waited long enough to campaign. */
  timedOut(group: GroupState): boolean;
  /** Begins a campaign. The caller has made sure that this node may. */
  start(group: GroupState, forced: boolean): void;
  /** Whether a vote request of a higher term is passed over, its term too. May send. */
  passesOver(group: GroupState, request: RaftMessage): boolean;
  /** A message of the election, of this node's own term: types 1, 4, 6, 9, 12 and 13. */
  step(group: GroupState, message: RaftMessage): void;
  /** At each tick of a leader: whether it may go on. */
  stays(group: GroupState): boolean;
  /** A leader gives its lead away: a member that has all of its log is to stand now. */
  yieldLead(group: GroupState, to: number): void;
}

/** The mode of v1.4.0. */
export const leaseElection: ElectionMode = {
  timedOut(group) {
    if (group.state === 'electionAck') return group.electionElapsed >= group.limits.electionTicks;
    const underLease = group.state === 'follower' && group.leader !== 0;
    const timeout = underLease ? group.leaderTimeout : group.electionTimeout;
    return group.electionElapsed >= timeout + quietTicks(group);
  },

  start(group, forced) {
    becomeCandidate(group);
    if (quorumOf(group.members.length) === 1) {
      winVote(group);
      return;
    }
    const { log } = group;
    for (const member of group.members) {
      if (member === group.self) continue;
      const request = group.message(RAFT_MESSAGE.voteRequest, member.nodeId);
      request.forceVote = forced;
      request.index = log.lastIndex;
      request.logTerm = log.lastTerm;
      group.outbox.sendAfter(request);
    }
  },

  passesOver(group, request) {
    const underLease = group.state === 'follower' && group.leader !== 0 && group.leader !== request.from;
    if (!underLease || request.forceVote) return false;
    group.outbox.sendNow(group.message(RAFT_MESSAGE.leaseOffline, group.leader));
    return true;
  },

  step(group, message) {
    switch (message.type) {
      case RAFT_MESSAGE.voteRequest:
        answerVote(group, message);
        break;
      case RAFT_MESSAGE.voteResponse:
        countVote(group, message);
        break;
      case RAFT_MESSAGE.electionAckRequest:
        standBy(group, message);
        break;
      case RAFT_MESSAGE.electionAckResponse:
        countAck(group, message);
        break;
      case RAFT_MESSAGE.leaseOffline:
        stepDownForElection(group, message);
        break;
      case RAFT_MESSAGE.leaseTimeout:
        // Only the leader may send its own followers into an election.
        if (group.state === 'follower' && group.leader === message.from) onCleared(group, message);
        break;
    }
  },

  stays(group) {
    if (group.electionElapsed < group.limits.electionTicks - 1) return true;
    group.electionElapsed = 0;
    return leaseHolds(group);
  },

  yieldLead(group, to) {
    const message = group.message(RAFT_MESSAGE.leaseTimeout, to);
    // Nobody else is to wait for the end of this node's lease. A v1.4.0 node does not look at it, and asks in the plain way.
    message.forceVote = true;
    group.outbox.sendNow(message);
    becomeFollower(group, group.term, 0);
  },
};

/**
 * Campaigns, unless this node leads, cannot stand (no member, no vote, not caught up), or has committed configuration changes that have not taken effect here. Entries that are
 * not in memory count as such changes: they are on their way to the state machine.
 */
export function campaign(group: GroupState, forced: boolean): void {
  group.electionElapsed = 0;
  if (group.state === 'leader' || !group.mayStand || changeIsUnderWay(group)) return;
  group.election.start(group, forced);
}

function changeIsUnderWay({ log }: GroupState): boolean {
  for (let index = log.handedOver + 1; index <= log.committed; index += 1) {
    if (log.inMemory(index)?.type !== ENTRY_TYPE.normal) return true;
  }
  return false;
}

/** Whether the log of who asks is at least as far as ours; where both are the same the priorities decide (`raft.md` 4.4). */
export function isUpToDate(group: GroupState, request: RaftMessage): boolean {
  const order = group.log.compareEnd(request.index, request.logTerm);
  if (order !== 0) return order > 0;
  const theirs = group.member(request.from)?.peer.priority ?? PRIORITY_OF_STRANGERS;
  return theirs >= (group.self?.peer.priority ?? 0);
}

const PRIORITY_OF_STRANGERS = 65_535;

function answerVote(group: GroupState, request: RaftMessage): void {
  const granted =
    group.state === 'follower' &&
    group.mayVote &&
    group.leader === 0 &&
    (group.vote === 0 || group.vote === request.from) &&
    isUpToDate(group, request);
  if (granted) {
    group.vote = request.from;
    group.electionElapsed = 0;
  }
  const answer = group.message(RAFT_MESSAGE.voteResponse, request.from);
  answer.reject = !granted;
  group.outbox.sendAfter(answer);
}

/** The first answer of a node counts. */
function countVote(group: GroupState, answer: RaftMessage): void {
  if (group.state !== 'candidate') return;
  if (!group.votes.has(answer.from)) group.votes.set(answer.from, !answer.reject);
  let granted = 0;
  for (const vote of group.votes.values()) if (vote) granted += 1;
  const quorum = quorumOf(group.members.length);
  if (granted >= quorum) winVote(group);
  else if (group.votes.size - granted >= quorum) becomeFollower(group, group.term, 0);
}

function winVote(group: GroupState): void {
  becomeElectionAck(group);
  leadWhenAcknowledged(group);
}

function standBy(group: GroupState, request: RaftMessage): void {
  if (group.state === 'leader') return;
  if (group.state === 'follower') group.follow(request.from);
  else becomeFollower(group, group.term, request.from);
  group.outbox.sendAfter(group.message(RAFT_MESSAGE.electionAckResponse, request.from));
}

function countAck(group: GroupState, answer: RaftMessage): void {
  if (group.state !== 'electionAck') return;
  group.acks.add(answer.from);
  leadWhenAcknowledged(group);
}

function leadWhenAcknowledged(group: GroupState): void {
  if (group.acks.size < quorumOf(group.members.length)) return;
  becomeLeader(group);
  broadcastAppends(group);
}

/** A follower was asked for its vote behind its leader's back: the leader clears the way, and all campaign at once (`raft.md` 4.5). */
function stepDownForElection(group: GroupState, message: RaftMessage): void {
  if (group.state !== 'leader' || group.member(message.from) === null) return;
  for (const member of group.members) {
    if (member !== group.self) group.outbox.sendNow(group.message(RAFT_MESSAGE.leaseTimeout, member.nodeId));
  }
  becomeFollower(group, group.term, 0);
}

/** The leader has cleared the way for an election, `forceVote`: for this node alone. Who had better not lead forgets the leader, to have a vote for others. */
function onCleared(group: GroupState, { forceVote }: RaftMessage): void {
  if (yields(group)) becomeFollower(group, group.term, 0);
  else campaign(group, forceVote);
}
