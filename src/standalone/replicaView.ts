/**
 * How the embedded master judges a partition from what its replicas' nodes have told (`admin.md` 14.2). Pure; used by `masterApi.ts`.
 */
import type { HeartbeatResponse } from '../protocol/heartbeat.js';

/** A replica as its node's newest heartbeat tells of it. */
export interface ReplicaView {
  /** `ip:port` of its node. */
  readonly addr: string;
  /** Empty: not created yet. */
  readonly diskPath: string;
  /** The node has answered a heartbeat lately. */
  readonly isLive: boolean;
  /** Unix ms; 0: never. */
  readonly reportedAtMs: number;
  /** Null: the node does not know the partition (yet). */
  readonly report: HeartbeatResponse['partitionReports'][number] | null;
}

const READ_WRITE = 2;
const READ_ONLY = 1;

/** Read-write when every replica is live and says so itself; one that was just created has not told yet and counts as read-write. Everything else is read-only. */
export function statusOf(replicas: readonly ReplicaView[]): number {
  const writable = replicas.every(
    ({ diskPath, isLive, report }) =>
      diskPath !== '' && isLive && (report?.status ?? READ_WRITE) === READ_WRITE,
  );
  return writable ? READ_WRITE : READ_ONLY;
}

/** The address of the first replica that says it leads; empty: none does, clients try the hosts. */
export function leaderOf(replicas: readonly ReplicaView[]): string {
  return replicas.find(({ isLive, report }) => isLive && report?.isLeader === true)?.addr ?? '';
}
