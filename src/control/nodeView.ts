/**
 * What the control plane (master client, admin tasks, heartbeat, debug API) sees of the node: plain data and a few commands.
 *
 * Implemented by the main thread from shared tables (`src/server`), so that reading never waits for a disk.
 */

import type { MemberChange, MemberChangeKind } from '../protocol/memberChange.js';

/** -1 unavailable, 1 read-only, 2 read-write (`storage.md` 1). */
export type Status = -1 | 1 | 2;

export interface Peer {
  id: number;
  addr: string;
}

/** One loaded partition. Sizes in bytes. */
export interface PartitionInfo {
  id: number;
  volume: string;
  sizeBytes: number;
  usedBytes: number;
  /** Extent records in memory, 64 tiny included. */
  extentCount: number;
  status: Status;
  /** Folder of the partition and configured path of its disk. */
  path: string;
  diskPath: string;
  /** Replica order by META, as the partition's group has decided it. */
  hosts: string[];
  peers: Peer[];
  /** Current replicas: the list that the master gave last, that of META before. */
  replicas: readonly string[];
  /** Why its raft group does not run; empty: it does, or is not to. */
  raftProblem: string;
  /** Raft leader, or the only host. */
  isLeader: boolean;
}

/** One configured disk (`admin.md` 8.1). Sizes in bytes. */
export interface DiskInfo {
  path: string;
  total: number;
  used: number;
  available: number;
  reserved: number;
  allocated: number;
  unallocated: number;
  status: Status;
  partitionCount: number;
  readErrors: number;
  writeErrors: number;
  /** False while it completes nothing although work waits. */
  responsive: boolean;
}

/** Request of OpCreateDataPartition (`admin.md` 5.3), already validated. */
export interface CreatePartitionRequest {
  partitionId: number;
  sizeBytes: number;
  volume: string;
  members: Peer[];
  hosts: string[];
  createType: 0 | 1;
}

/** Outcome of a command: the value, or the reference's error text and, for HTTP, a status. */
export type Outcome<T> = { ok: true; value: T } | { ok: false; message: string; httpStatus?: number };

export interface NodeView {
  disks(): DiskInfo[];
  partitions(): PartitionInfo[];
  partition(id: number): PartitionInfo | undefined;
  /** Ids of all partitions. Cheap, where `partitions` describes every one. */
  partitionIds(): number[];
  /** Loaded partitions: id to a number that no other partition has had, not even one of the same id that was here before. */
  attachments(): ReadonlyMap<number, number>;
  /** Takes the master's list of a partition's replicas; an unknown id changes nothing. */
  setReplicas(id: number, replicas: readonly string[]): void;
  /** Open client connections. */
  connectionCount(): number;
  /** Creates on the disk with this configured path; an existing partition is success. Value: disk path. */
  createPartition(request: CreatePartitionRequest, diskPath: string): Promise<Outcome<string>>;
  /** Unknown id is success. */
  deletePartition(id: number): Promise<Outcome<null>>;
  /** Carries out a change of members where this node leads the group. Value: address of the node that is to be asked instead; empty: it was done here. */
  changeMembers(kind: MemberChangeKind, change: MemberChange): Promise<Outcome<string>>;
  /** The group of a partition campaigns here, unless it is led here. */
  tryToLead(partitionId: number): Promise<Outcome<null>>;
  /** Files of a partition for the master, as the JSON array of `admin.md` 5.6. */
  snapshot(partitionId: number): Promise<Outcome<Uint8Array>>;
  /** Bodies of the debug API that only the owner knows: `partition` (extents, tinyDeleteRecordSize), `extent`, `block` (`admin.md` 10). */
  query(
    kind: 'partition' | 'extent' | 'block' | 'raft',
    partitionId: number,
    extentId: number,
  ): Promise<Outcome<unknown>>;
}

/** Executes master packets 0x60..0x69. The caller sends the reply. */
export interface AdminHandler {
  handle(opcode: number, partitionId: number, body: Uint8Array): Promise<AdminReply>;
}

/** OK with an optional body, or `<action>_<message>`, or another node's answer as it was. `partitionId`: overwrites the header's (`wire.md` 3.4, exceptions). */
export type AdminReply =
  | { ok: true; body: Uint8Array; partitionId?: number }
  | { ok: false; resultCode: number; body: Uint8Array; partitionId?: number }
  | { ok: false; action: string; message: string; partitionId?: number };
