/**
 * What a core tells of itself to operators (`raft.md` 5.11). The queues of the reference's answer belong to the host.
 */
import type { GroupState } from './groupState.js';
import { STATE_NAMES } from './groupState.js';
import { type Progress, REPLICA_STATE_NAMES } from './progress.js';

export interface RaftStatus {
  group: number;
  nodeId: number;
  leader: number;
  term: number;
  lastIndex: number;
  commit: number;
  applied: number;
  vote: number;
  /** As the reference names it. */
  state: string;
  restoringSnapshot: boolean;
  mayVote: boolean;
  /** Of a leader, by node id; else null. */
  replicas: ReplicaStatus[] | null;
}

export interface ReplicaStatus {
  nodeId: number;
  match: number;
  commit: number;
  next: number;
  /** As the reference names it. */
  state: string;
  snapshotting: boolean;
  paused: boolean;
  active: boolean;
  /** Ticks since it was last heard; 0 for the leader itself. */
  heardTicksAgo: number;
  inflight: number;
}

/** The status as of now. */
export function statusOf(group: GroupState): RaftStatus {
  const { log } = group;
  return {
    group: group.group,
    nodeId: group.nodeId,
    leader: group.leader,
    term: group.term,
    lastIndex: log.lastIndex,
    commit: log.committed,
    applied: log.applied,
    vote: group.vote,
    state: STATE_NAMES[group.state],
    restoringSnapshot: group.restoring !== null,
    mayVote: group.mayVote,
    replicas: group.isLeader ? group.members.map((member) => replicaStatus(group, member)) : null,
  };
}

function replicaStatus(group: GroupState, member: Progress): ReplicaStatus {
  return {
    nodeId: member.nodeId,
    match: member.match,
    commit: member.committed,
    next: member.next,
    state: REPLICA_STATE_NAMES[member.state],
    snapshotting: member.state === 'snapshot',
    paused: member.paused,
    active: member.active,
    heardTicksAgo: member === group.self ? 0 : group.now - member.heardAt,
    inflight: member.window.count,
  };
}
