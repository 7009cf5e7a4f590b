/**
 * The follower's side of the log (`raft.md` 4.7, 4.10): appends of a leader, what is answered, and when a replica that had lost entries has its vote back.
 */
import assert from 'node:assert';
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import type { GroupState } from './groupState.js';
import { becomeFollower } from './roles.js';

/** An append of this node's own term. Whoever sends it leads; a leader has no other in its term. */
export function onAppendRequest(group: GroupState, append: RaftMessage): void {
  if (group.state === 'leader' || !isWellFormed(append)) return;
  if (group.state === 'follower') group.follow(append.from);
  else becomeFollower(group, group.term, append.from);
  assertAgreesWithCommitted(group, append);
  const { log } = group;
  if (append.index < log.committed) {
    // All that is committed here agrees with the leader's log, and is more than what it asks for.
    answerAppend(group, append.from, log.committed);
  } else if (log.term(append.index) !== append.logTerm) {
    refuseAppend(group, append);
  } else {
    takeEntries(group, append);
    answerAppend(group, append.from, append.index + append.entries.length);
  }
  noteCaughtUp(group, append);
}

/**
 * A message of a term that is over here. As a rule it is not answered (`raft.md` 4.2): who sent it learns the term from this node's next campaign. But from who cannot
 * stand no campaign comes, and none reaches a node that is no member as far as this one knows; without a word the group would go on without
 * this node, or not at all. So a leader is told by a refused append, a candidate by a refused vote.
 */
export function answerOldTerm(group: GroupState, message: RaftMessage): void {
  if (message.term >= group.term || (group.mayStand && group.member(message.from) !== null)) return;
  if (message.type === RAFT_MESSAGE.voteRequest) {
    const answer = group.message(RAFT_MESSAGE.voteResponse, message.from);
    answer.reject = true;
    group.outbox.sendAfter(answer);
  } else if (message.type === RAFT_MESSAGE.appendRequest || message.type === RAFT_MESSAGE.snapshot) {
    refuseAppend(group, message);
  }
}

/** A check of the quorum: data nodes send none, the answer is for completeness. */
export function onCheckQuorumRequest(group: GroupState, request: RaftMessage): void {
  if (group.state !== 'follower') return;
  group.follow(request.from);
  const answer = group.message(RAFT_MESSAGE.checkQuorumResponse, request.from);
  answer.index = request.index;
  group.outbox.sendAfter(answer);
}

/** Says that the log here agrees with the leader's up to `index`, once it is durable. */
export function answerAppend(group: GroupState, to: number, index: number): void {
  const answer = group.message(RAFT_MESSAGE.appendResponse, to);
  answer.index = index;
  answer.commit = group.log.committed;
  group.outbox.sendAfter(answer);
}

function refuseAppend(group: GroupState, append: RaftMessage): void {
  const answer = group.message(RAFT_MESSAGE.appendResponse, append.from);
  answer.reject = true;
  answer.index = append.index;
  answer.rejectIndex = group.log.lastIndex;
  answer.commit = group.log.committed;
  group.outbox.sendAfter(answer);
}

/** What is here with the same term stays: a late append must not cut off what came after it. From the first difference on the leader's entries count. */
function takeEntries(group: GroupState, append: RaftMessage): void {
  const { log } = group;
  const { entries } = append;
  let known = 0;
  while (known < entries.length && log.term(entries[known]!.index) === entries[known]!.term) known += 1;
  if (known < entries.length) log.append(known === 0 ? entries : entries.slice(known));
  log.commitTo(Math.min(append.commit, append.index + entries.length));
}

/**
 * A replica that was new or had lost entries has caught up when its log reaches a commit of which the last entry is of the leader's own term: everything
 * that was committed before lies behind that. One that had lost entries needs a later term than the one it came back with, because a leader that
 * has counted what it had acknowledged goes on counting it (`docs/raft.md`, A damaged folder).
 */
function noteCaughtUp(group: GroupState, append: RaftMessage): void {
  if (group.mayVote && group.mayCampaign) return;
  const { log } = group;
  if (log.committed < append.commit || log.term(append.commit) !== append.term) return;
  group.mayCampaign = true;
  if (append.term > group.termAtStart) group.mayVote = true;
}

/** Entries follow the previous one without a gap, with terms that do not fall and are not of the future. */
function isWellFormed(append: RaftMessage): boolean {
  let { index, logTerm: term } = append;
  for (const entry of append.entries) {
    if (entry.index !== index + 1 || entry.term < term) return false;
    index = entry.index;
    term = entry.term;
  }
  return term <= append.term;
}

/** Two leaders that disagree on a committed entry: this replica must not go on, whichever of them is wrong. */
function assertAgreesWithCommitted({ log }: GroupState, append: RaftMessage): void {
  const { index, logTerm, entries } = append;
  if (index > log.committed) return;
  assertAgrees(log.term(index), logTerm, index);
  for (const entry of entries) {
    if (entry.index > log.committed) return;
    assertAgrees(log.term(entry.index), entry.term, entry.index);
  }

  function assertAgrees(ours: number, theirs: number, at: number): void {
    assert(
      ours === theirs || at < log.cutIndex,
      `the leader's entry ${at} of term ${theirs} conflicts with the committed one of term ${ours} (commit ${log.committed})`,
    );
  }
}
