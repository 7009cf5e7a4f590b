/**
 * Which of a peer's connections a message takes (`raft.md` 2.1): one is for heartbeats, at the heartbeat port, five are for the rest, so that the messages of one group
 * stay in order and a long append of one group does not stand before all others. Pure.
 */
import { RAFT_MESSAGE } from '../protocol/raftMessage.js';

/** Replicate connections a peer, as in the reference. */
const REPLICATE_LANES = 5;

/** The lane of heartbeats; the others go to the replicate port. */
export const HEARTBEAT_LANE = 0;
export const LANE_COUNT = 1 + REPLICATE_LANES;

/** Whether a message speaks for many groups. */
export function isHeartbeat(type: number): boolean {
  return type === RAFT_MESSAGE.heartbeatRequest || type === RAFT_MESSAGE.heartbeatResponse;
}

/** The lane of a message, 0..LANE_COUNT - 1. */
export function laneOf(type: number, group: number): number {
  return isHeartbeat(type) ? HEARTBEAT_LANE : 1 + (group % REPLICATE_LANES);
}
