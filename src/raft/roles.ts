/**
 * From role to role (`raft.md` 4.2, 4.3): what a node forgets, keeps and begins with when it becomes follower, candidate, election-ack or leader.
 */
import assert from 'node:assert';
import { RAFT_MESSAGE } from '../protocol/raftMessage.js';
import { ENTRY_TYPE, type RaftEntry } from '../protocol/raftStructs.js';
import type { GroupState } from './groupState.js';

const NO_BYTES = new Uint8Array(0);

/** Follows `leader`, 0 when none is known. The vote is kept within a term. */
export function becomeFollower(group: GroupState, term: number, leader: number): void {
  startRole(group, term, 'follower');
  if (leader !== 0) group.follow(leader);
}

/** Votes for itself in a new term. */
export function becomeCandidate(group: GroupState): void {
  assert(group.state !== 'leader', 'a leader campaigns');
  assert(Number.isSafeInteger(group.term + 1), 'the terms are used up');
  startRole(group, group.term + 1, 'candidate');
  group.vote = group.nodeId;
  group.votes.set(group.nodeId, true);
}

/** The vote is won: everybody is asked to stand by it before this node leads. */
export function becomeElectionAck(group: GroupState): void {
  startRole(group, group.term, 'electionAck');
  group.acks.add(group.nodeId);
  for (const member of group.members) {
    if (member !== group.self)
      group.outbox.sendNow(group.message(RAFT_MESSAGE.electionAckRequest, member.nodeId));
  }
}

/**
 * Leads, and begins with an empty entry of its own term: by committing it, it commits what was there before. Its own match is what is durable here. The
 * appends are still to be sent.
 */
export function becomeLeader(group: GroupState): void {
  assert(group.state !== 'follower', 'a follower becomes leader without an election');
  assert(group.self !== null, 'a node that is no member becomes leader');
  const { log } = group;
  startRole(group, group.term, 'leader');
  group.leader = group.nodeId;
  for (const member of group.members) member.next = log.lastIndex + 1;
  group.self.match = log.durable;
  group.self.committed = log.committed;
  const first: RaftEntry = {
    type: ENTRY_TYPE.normal,
    term: group.term,
    index: log.lastIndex + 1,
    data: NO_BYTES,
  };
  log.append([first]);
  // Whatever changes stand in the log are behind it then, and the majority that this node leads is proven.
  group.changesWaitFor = first.index;
  group.firstOfTerm = first.index;
}

function startRole(group: GroupState, term: number, state: GroupState['state']): void {
  if (term !== group.term) {
    assert(term > group.term, `the term falls from ${group.term} to ${term}`);
    group.term = term;
    group.vote = 0;
    group.heldHeartbeatsLeft = 0;
  }
  group.state = state;
  group.leader = 0;
  group.electionElapsed = 0;
  group.heartbeatElapsed = 0;
  group.roomlessTicks = 0;
  group.votes.clear();
  group.acks.clear();
  group.drawTimeouts();
  for (const member of group.members) member.reset(1, group.now);
}
