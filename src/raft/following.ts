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
  takeVoteBack(group, append);
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
 * A replica without a vote has lost entries that it may have acknowledged. It has them again when it has an entry of a later term than the one it came back
 * with, committed by that term's leader (`docs/raft.md`, A damaged folder): such a leader counts none of the lost acknowledgements, and behind
 * its own entry lies everything that was committed before.
 */
function takeVoteBack(group: GroupState, append: RaftMessage): void {
  if (group.mayVote || append.term <= group.termAtStart) return;
  const { log } = group;
  group.mayVote = log.committed >= append.commit && log.term(append.commit) === append.term;
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
