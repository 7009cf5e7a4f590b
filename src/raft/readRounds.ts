/**
 * Whether this node still leads (`raft.md` 4.10): asked of all members in rounds, and proven when a majority has answered a round in the leader's term. What was
 * committed when the round began may then be read here, once it is applied; no clock is trusted for it.
 *
 * Messages 14 and 15 are the reference's. It echoes the index of the question, whatever that is: here it is the number of the round, so that a late answer to an
 * earlier question proves nothing about a later one.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import type { GroupState } from './groupState.js';
import { majorityReaches } from './quorum.js';

/** What is to be waited for before a read: the round's proof, and the index to be applied. */
export interface ReadRound {
  round: number;
  index: number;
}

/** Begins a round. Null when this node does not lead. */
export function askWhetherLeading(group: GroupState): ReadRound | null {
  if (!group.isLeader) return null;
  group.readRound += 1;
  if (group.self !== null) group.self.confirmedRound = group.readRound;
  askMembers(group);
  // A new leader knows what is committed when its own first entry is.
  return { round: group.readRound, index: Math.max(group.log.committed, group.firstOfTerm) };
}

/** Questions and answers may be lost: those who have not answered are asked again. At each tick of a leader. */
export function askAgain(group: GroupState): void {
  if (confirmedRound(group) < group.readRound) askMembers(group);
}

/** A member has answered a round. One that was never asked is passed over. */
export function onCheckQuorumResponse(group: GroupState, answer: RaftMessage): void {
  const member = group.member(answer.from);
  if (!group.isLeader || member === null || member === group.self) return;
  // Not `heard`: a member that was restarted may answer this before its first heartbeat, and must still get the append that follows silence.
  if (answer.index <= group.readRound) member.confirmedRound = Math.max(member.confirmedRound, answer.index);
}

/** The last round that a majority has answered in this term; 0 when this node does not lead. */
export function confirmedRound(group: GroupState): number {
  return group.isLeader ? majorityReaches(group.members, roundOf) : 0;
}

const roundOf = (member: { confirmedRound: number }): number => member.confirmedRound;

function askMembers(group: GroupState): void {
  for (const member of group.members) {
    if (member === group.self || member.confirmedRound === group.readRound) continue;
    const question = group.message(RAFT_MESSAGE.checkQuorumRequest, member.nodeId);
    question.index = group.readRound;
    group.outbox.sendNow(question);
  }
}
