/**
 * How a group stands, in the words of the reference's `/raftStatus` (`raft.md` 5.11). Pure.
 */
import type { RaftStatus, ReplicaStatus } from '../raft/status.js';

/** What the host knows beside its core. */
export interface GroupQueues {
  /** Proposals that wait for a turn. */
  pending: number;
  /** The group has failed. */
  stopped: boolean;
}

/** The body. `tickMs`: length of a tick; `nowMs`: Unix time, from which the time of a replica's last sign of life follows. */
export function raftStatusBody(
  status: RaftStatus,
  { pending, stopped }: GroupQueues,
  tickMs: number,
  nowMs: number,
): object {
  const { group, nodeId, leader, term, lastIndex, commit, applied, vote, state, replicas } = status;
  return {
    ...{ ID: group, NodeID: nodeId, Leader: leader, Term: term, Index: lastIndex, Commit: commit },
    ...{ Applied: applied, Vote: vote, PendQueue: pending, RecvQueue: 0, AppQueue: commit - applied },
    ...{ Stopped: stopped, RestoringSnapshot: status.restoringSnapshot, State: state },
    Replicas:
      replicas === null
        ? null
        : Object.fromEntries(replicas.map((one) => [one.nodeId, replicaBody(one, tickMs, nowMs)])),
  };
}

function replicaBody(replica: ReplicaStatus, tickMs: number, nowMs: number): object {
  const { match, commit, next, state, snapshotting, paused, active, heardTicksAgo, inflight } = replica;
  return {
    ...{ Match: match, Commit: commit, Next: next, State: state, Snapshoting: snapshotting, Paused: paused },
    ...{ Active: active, LastActive: new Date(nowMs - heardTicksAgo * tickMs).toISOString() },
    Inflight: inflight,
  };
}
