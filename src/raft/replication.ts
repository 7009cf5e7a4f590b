/**
 * The leader's side of the log (`raft.md` 4.7): what goes to whom and when, what answers mean, what is committed.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import type { RaftEntry } from '../protocol/raftStructs.js';
import type { GroupState } from './groupState.js';
import type { Progress } from './progress.js';
import { majorityReaches } from './quorum.js';
import { sendSnapshot } from './snapshots.js';

const NO_ENTRIES: readonly RaftEntry[] = [];
const matchOf = (member: Progress): number => member.match;

/** To every member that may be sent something. */
export function broadcastAppends(group: GroupState): void {
  for (const member of group.members) if (member !== group.self) sendAppend(group, member);
}

/**
 * The entries from `next` on, or none when it has all: that spreads the commit. Entries that are not in memory are waited for; those that are gone
 * are replaced by a snapshot.
 */
export function sendAppend(group: GroupState, member: Progress): void {
  if (member.isPaused) return;
  const { log } = group;
  const previous = member.next - 1;
  if (previous < log.cutIndex) {
    sendSnapshot(group, member);
    return;
  }
  let entries = NO_ENTRIES;
  member.waitsForLog = false;
  if (previous < log.lastIndex) {
    const slice = log.slice(member.next, log.lastIndex, group.limits.appendBytesMax);
    member.waitsForLog = slice === null;
    if (slice === null) return;
    entries = slice;
    member.sent(previous + slice.length);
  }
  const append = group.message(RAFT_MESSAGE.appendRequest, member.nodeId);
  append.index = previous;
  append.logTerm = log.term(previous);
  append.commit = log.committed;
  append.entries = entries;
  member.pending = true;
  group.outbox.sendNow(append);
}

/** The entries that members waited for are in memory. */
export function sendToWaiting(group: GroupState): void {
  for (const member of group.members) {
    if (!member.waitsForLog) continue;
    member.waitsForLog = false;
    sendAppend(group, member);
  }
}

/** Answer to an append. One that acknowledges more than this log has says nothing. */
export function onAppendResponse(group: GroupState, answer: RaftMessage): void {
  const member = group.member(answer.from);
  if (!group.isLeader || member === null || member === group.self) return;
  member.heard(group.now);
  if (answer.reject) {
    if (member.refused(answer.index, answer.rejectIndex, answer.commit)) sendAppend(group, member);
    return;
  }
  if (answer.index > group.log.lastIndex) return;
  const wasPaused = member.isPaused;
  if (!member.acknowledged(answer.index, answer.commit)) return;
  if (member.state === 'probe') member.becomeReplicate();
  else if (member.state === 'replicate') member.window.freeTo(answer.index);
  else if (member.match >= member.snapshotIndex) member.becomeProbe();
  if (advanceCommit(group)) broadcastAppends(group);
  else if (wasPaused) sendAppend(group, member);
}

/** The log is durable here up to where it is: that, and not that an entry is in memory, is this node's own vote for a commit. */
export function countOwnLog(group: GroupState): void {
  if (!group.isLeader || group.self === null || group.log.durable <= group.self.match) return;
  group.self.acknowledged(group.log.durable, group.log.committed);
  if (advanceCommit(group)) broadcastAppends(group);
}

/** Commits what a majority has, if the last of it is of this leader's own term: an older one could still be replaced. Returns whether the commit has risen. */
export function advanceCommit(group: GroupState): boolean {
  const { log } = group;
  const reached = majorityReaches(group.members, matchOf);
  if (reached <= log.committed || log.term(reached) !== group.term) return false;
  log.commitTo(reached);
  if (group.self !== null) group.self.committed = log.committed;
  return true;
}
