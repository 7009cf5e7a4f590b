/**
 * Snapshots (`raft.md` 4.9, 5.5), both sides. A snapshot carries no data: its point is where the leader's log is cut, the lowest that can be.
 */
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import type { SnapshotMeta } from '../protocol/raftStructs.js';
import { answerAppend, answerOldTerm } from './following.js';
import type { GroupState } from './groupState.js';
import type { Progress } from './progress.js';
import { becomeFollower } from './roles.js';

/** To a member that needs entries which are gone; only when it is alive, so that one that is still being repaired is left alone. */
export function sendSnapshot(group: GroupState, member: Progress): void {
  if (!member.active) return;
  const { log } = group;
  const header = group.message(RAFT_MESSAGE.snapshot, member.nodeId);
  header.snapshot = { index: log.cutIndex, term: log.cutTerm, peers: group.peers };
  member.becomeSnapshot(log.cutIndex);
  member.pending = true;
  group.outbox.sendNow(header);
}

/** The stream of a snapshot has ended. The member's answer, or the next heartbeat, starts appends again. */
export function onSnapshotSent(group: GroupState, to: number, ok: boolean): void {
  const member = group.member(to);
  if (!group.isLeader || member?.state !== 'snapshot') return;
  if (ok) member.heard(group.now);
  else member.snapshotIndex = 0;
  member.becomeProbe();
  member.paused = true;
}

/**
 * A snapshot header. Refused when it is older than this node's term, malformed, or one is being taken already; passed over with an answer when the log has
 * what it stands for; else the log is emptied, and the answer waits for the host.
 */
export function onSnapshot(group: GroupState, header: RaftMessage): void {
  const meta = admitted(group, header);
  if (meta === null) {
    group.outbox.judge(header, false);
    if (group.restoring === null) answerOldTerm(group, header);
    return;
  }
  if (header.term > group.term || group.state !== 'follower') becomeFollower(group, header.term, header.from);
  else group.follow(header.from);
  const { log } = group;
  if (isKnown(group, meta)) {
    log.commitTo(Math.max(meta.index, log.committed));
    answerAppend(group, header.from, log.committed);
    group.outbox.judge(header, true);
    return;
  }
  log.reset(meta.index, meta.term);
  group.setMembers(meta.peers);
  group.outbox.reset = meta;
  group.restoring = header;
}

/** Whether a header would take the place of what is here. */
export function replacesLog(group: GroupState, header: RaftMessage): boolean {
  const meta = admitted(group, header);
  return meta !== null && !isKnown(group, meta);
}

/** Its meta, when the header is neither old nor malformed, and no other one is being taken. */
function admitted(group: GroupState, { term, snapshot }: RaftMessage): SnapshotMeta | null {
  const isOld = term < group.term || (term === group.term && group.isLeader);
  if (isOld || group.restoring !== null || snapshot === null) return null;
  return isWellFormed(snapshot, term) ? snapshot : null;
}

/** The log has what the snapshot stands for. */
function isKnown({ log }: GroupState, meta: SnapshotMeta): boolean {
  return meta.index <= log.committed || log.term(meta.index) === meta.term;
}

/** The host is done with the snapshot. When it has failed this replica cannot go on: it stays silent until the host takes it out of service. */
export function onRestored(group: GroupState, ok: boolean): void {
  const header = group.restoring;
  if (header === null) return;
  group.outbox.judge(header, ok);
  if (!ok) return;
  group.restoring = null;
  answerAppend(group, header.from, group.log.lastIndex);
}

/** No log gets there, and one can still go on from here. */
const INDEX_MAX = 2 ** 52;

function isWellFormed(meta: SnapshotMeta, term: number): boolean {
  const ids = new Set(meta.peers.map(({ nodeId }) => nodeId));
  return meta.index <= INDEX_MAX && meta.term <= term && ids.size === meta.peers.length && !ids.has(0);
}
