/**
 * Who was heard, and when (`raft.md` 2.5, 4.6, 4.13): the leader's lease, heartbeats of a group, members that are down, and what each side does about silence.
 */
import type { GroupState } from './groupState.js';
import type { Progress } from './progress.js';
import { majorityReaches, quorumOf } from './quorum.js';
import { sendAppend } from './replication.js';

/** A member that has not been heard for longer than two heartbeats (`raft.md` 4.13). */
export interface DownReplica {
  nodeId: number;
  /** Ticks beyond the two heartbeats. */
  downTicks: number;
}

/** Whether a majority was heard since the last check; starts the count anew. A member that takes a snapshot counts as heard. */
export function leaseHolds(group: GroupState): boolean {
  let heard = 0;
  for (const member of group.members) {
    if (member === group.self || member.state === 'snapshot' || member.active) heard += 1;
    if (member.state !== 'snapshot') member.active = false;
  }
  return heard >= quorumOf(group.members.length);
}

/**
 * Ticks for which no other leader can have been elected, from what was heard, 0 when this node does not lead. Followers of a silent leader wait 2E ticks;
 * one is taken off because a tick of theirs may be about to end, one because an answer may have travelled for as long. Not proof where a vote is forced or a
 * follower has been restarted.
 */
export function leaseTicksLeft(group: GroupState): number {
  if (!group.isLeader) return 0;
  const heardAt = majorityReaches(group.members, (member) =>
    member === group.self ? group.now : member.heardAt,
  );
  return Math.max(0, 2 * group.limits.electionTicks - 2 - (group.now - heardAt));
}

/** Of a leader: members that have not acknowledged its first entry. They may be new or have lost entries, and so be without a vote. */
export function behindReplicas(group: GroupState): number[] {
  if (!group.isLeader) return [];
  const behind = group.members.filter((member) => member !== group.self && member.match < group.firstOfTerm);
  return behind.map(({ nodeId }) => nodeId);
}

/** Of a leader: the members that are down. */
export function downReplicas(group: GroupState): DownReplica[] {
  const down: DownReplica[] = [];
  if (!group.isLeader) return down;
  for (const member of group.members) {
    const downTicks = group.now - member.heardAt - 2 * group.limits.heartbeatTicks;
    if (member !== group.self && downTicks > 0) down.push({ nodeId: member.nodeId, downTicks });
  }
  return down;
}

/**
 * `from` says that it leads this group. Keeps a known leader alive and never makes one known. But a follower that was restarted hears nothing else from a leader
 * without writes: it holds its campaign back for some rounds, rather than depose it.
 */
export function onHeartbeatRequest(group: GroupState, from: number): void {
  if (group.state !== 'follower' || from === group.nodeId) return;
  if (group.leader === from) {
    group.electionElapsed = 0;
  } else if (group.leader === 0 && group.heldHeartbeatsLeft > 0 && group.member(from) !== null) {
    group.heldHeartbeatsLeft -= 1;
    group.electionElapsed = 0;
  }
}

/**
 * A member is alive: what it lacks is sent when nothing was sent lately (`raft.md` 4.7). After silence an append goes out in any case, because a
 * follower that was restarted learns its leader from that alone (`raft.md` 8).
 */
export function onHeartbeatResponse(group: GroupState, from: number): void {
  const member = group.member(from);
  if (!group.isLeader || member === null || member === group.self) return;
  const wasSilent = group.now - member.heardAt > group.limits.heartbeatTicks;
  member.heard(group.now);
  if (member.state === 'replicate' && member.window.full) member.window.freeFirst();
  if ((!member.pending && lacksSomething(group, member)) || wasSilent) sendAppend(group, member);
  if (member.state !== 'snapshot') member.pending = false;
}

function lacksSomething({ log }: GroupState, member: Progress): boolean {
  return member.match < log.lastIndex || member.committed < log.committed;
}
