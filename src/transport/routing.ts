/**
 * Where a message that came in goes: to the worker of its group, to all workers, or nowhere. Pure; asks the routing table by a function.
 */
import type { RaftHead } from '../protocol/raftHead.js';
import { RAFT_MESSAGE } from '../protocol/raftMessage.js';
import { isHeartbeat } from './lanes.js';

/** The index of a group's worker, or -1: no worker has it. */
export type WorkerOf = (group: number) => number;

/** Routes that are no index of a worker. */
export const ROUTE = {
  /** Heartbeats: each worker looks for its own groups. */
  everyWorker: -1,
  unknownGroup: -2,
  /** Meant for another node: a peer has a wrong address for it. */
  otherNode: -3,
  /** A type that a node makes for itself: whoever sends it over the wire is not obeyed (`raft.md` 2.4). */
  localType: -4,
  /** A snapshot at the heartbeat port. */
  wrongPort: -5,
} as const;

/** The index of the worker that gets the message, or one of `ROUTE`. */
export function routeOf(
  head: RaftHead,
  nodeId: number,
  atHeartbeatPort: boolean,
  workerOf: WorkerOf,
): number {
  if (head.to !== nodeId) return ROUTE.otherNode;
  if (isHeartbeat(head.type)) return ROUTE.everyWorker;
  if (LOCAL_TYPES.has(head.type)) return ROUTE.localType;
  if (head.type === RAFT_MESSAGE.snapshot && atHeartbeatPort) return ROUTE.wrongPort;
  const worker = workerOf(head.group);
  return worker < 0 ? ROUTE.unknownGroup : worker;
}

const LOCAL_TYPES: ReadonlySet<number> = new Set([
  RAFT_MESSAGE.snapshotResponse,
  RAFT_MESSAGE.campaign,
  RAFT_MESSAGE.proposal,
]);
