/**
 * Raft messages (`raft.md` 2.2, 2.4). Bytes only.
 */
import type { RaftEntry, SnapshotMeta } from './raftStructs.js';

export const RAFT_MESSAGE = {
  appendRequest: 0,
  voteRequest: 1,
  heartbeatRequest: 2,
  snapshot: 3,
  electionAckRequest: 4,
  appendResponse: 5,
  voteResponse: 6,
  heartbeatResponse: 7,
  /** Made by the leader's own node from a stream's outcome; never on the wire. */
  snapshotResponse: 8,
  electionAckResponse: 9,
  campaign: 10,
  proposal: 11,
  leaseOffline: 12,
  leaseTimeout: 13,
  checkQuorumRequest: 14,
  checkQuorumResponse: 15,
} as const;

/** One message; fields that a type does not use are 0, false, empty or null. */
export interface RaftMessage {
  /** One of `RAFT_MESSAGE`. */
  type: number;
  /** Means something in vote requests only. */
  forceVote: boolean;
  reject: boolean;
  rejectIndex: number;
  /** 0 in heartbeats. */
  group: number;
  from: number;
  to: number;
  /** 0: no term check. */
  term: number;
  logTerm: number;
  index: number;
  commit: number;
  entries: readonly RaftEntry[];
  context: Uint8Array;
  /** Of a snapshot header, else null. */
  snapshot: SnapshotMeta | null;
}
