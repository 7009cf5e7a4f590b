/**
 * What a worker gives to its raft host: disk, journal, transport, bounds, and what a group starts with.
 */
import type { RaftMessage } from '../protocol/raftMessage.js';
import type { RaftPeer } from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import type { FolderOptions } from './folderOpen.js';
import type { BufferPlace } from './frameBuffer.js';
import type { Journal } from './journal.js';
import type { SnapshotVerdict, StateMachine } from './types.js';

export interface HostLimits {
  /** Bytes of entries that are with the state machine at once, for each group. */
  applyWindowBytes: number;
  /** Bytes of entries kept in memory beyond those that are pinned, for all groups. */
  cacheBytes: number;
  /** Bytes of entries not yet durable and in the folder, for all groups; beyond it nothing new is taken in. */
  pinnedBytesMax: number;
  /** Proposals that wait in one group for a turn. */
  proposalsMax: number;
  /** Proposals that become entries in one go. */
  proposalBatch: number;
  /** Bytes read from the folder in one go. */
  readBytes: number;
  /** A leader whose oldest output has been on its way to the disk for more ticks sends no heartbeats. */
  stalledTicks: number;
  /** Outputs of one group that wait for such a disk; beyond it, the group takes no messages. */
  cloggedOutputs: number;
}

export const HOST_LIMITS: HostLimits = {
  applyWindowBytes: 1024 * 1024,
  cacheBytes: 32 * 1024 * 1024,
  pinnedBytesMax: 64 * 1024 * 1024,
  proposalsMax: 256,
  proposalBatch: 64,
  readBytes: 1024 * 1024,
  stalledTicks: 3,
  cloggedOutputs: 64,
};

export interface HostOptions {
  disk: Disk;
  journal: Journal;
  /** Where bytes of the log are read to that nobody looks at: 64 KiB or more. */
  scratch: BufferPlace;
  folder: FolderOptions;
  nodeId: number;
  limits?: Partial<HostLimits>;
  /** False: no group campaigns before `serve` is called (the data port is not open yet). True when absent. */
  serving?: boolean;
  /** An integer in [0, below). */
  random(below: number): number;
  /** Hands a message to the transport, which may drop it. */
  send(message: RaftMessage): void;
  /** A snapshot header was taken (its stream is to be acknowledged) or refused (closed). */
  snapshotVerdict(verdict: SnapshotVerdict): void;
  /** A group has ended for good in this process; its partition may still be read. */
  groupFailed(group: number, reason: string): void;
  /** A replica that had no vote, or was added, has caught up. */
  caughtUp(group: number): void;
  /** A group has got a leader that is known here, another one, the same in a later term, or has lost it (0). Absent: nobody asks. */
  leaderChanged?(group: number, leader: number): void;
  log(level: 'info' | 'warn' | 'error', message: string, fields?: Record<string, string | number>): void;
}

export interface GroupStart {
  group: number;
  /** The folder `wal_<group>`; it is made when it is missing. */
  path: string;
  peers: readonly RaftPeer[];
  machine: StateMachine;
  /** Recovery has found that durable entries or votes are gone. */
  lost: boolean;
  /** It was added to a group that is older, and has not caught up since: it follows, and does not campaign before it has. */
  added?: boolean;
}
