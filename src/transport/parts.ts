/** What the transport is made of; known to its files and to who puts it together. */
import type { TRANSPORT_LIMITS } from '../config/limits.js';
import type { AccessSettings } from '../server/portAccess.js';
import type { ByteRingMemory } from '../shm/byteRing.js';
import type { WorkerOf } from './routing.js';

/** Bounds and times; `TRANSPORT_LIMITS` in a node. */
export type TransportLimits = { readonly [Name in keyof typeof TRANSPORT_LIMITS]: number };

/** A log whose rate is bounded a key: peers decide how often something is said. */
export interface TransportLog {
  write(
    level: 'debug' | 'info' | 'warn',
    key: string,
    message: string,
    fields?: Record<string, unknown>,
  ): void;
}

/** The two raft ports of a node. */
export interface RaftPorts {
  readonly heartbeat: number;
  readonly replica: number;
}

/** The rings of a worker (`src/raft/ports.ts`), and its bell. */
export interface TransportWorker {
  readonly toWorker: ByteRingMemory;
  readonly fromWorker: ByteRingMemory;
  /** Says that there is something in the ring to the worker. */
  ring(): void;
}

/** Parts of a `RaftTransport`. */
export interface TransportParts {
  readonly nodeId: number;
  /** Address that both ports listen on (`raft.md` 1.2). */
  readonly localIP: string;
  /** 0: any that is free. */
  readonly heartbeatPort: number;
  readonly replicaPort: number;
  /** The ports of a peer; by default those of this node (`raft.md` 1.3). */
  readonly portsOfPeer?: (nodeId: number) => RaftPorts;
  /** Accepted sockets are read into a buffer of the transport's (`server/receivePath.ts`), not by 'data' events. */
  readonly useOnread: boolean;
  /** Lists of who may connect. */
  readonly access: AccessSettings;
  readonly workers: readonly TransportWorker[];
  readonly workerOf: WorkerOf;
  readonly log: TransportLog;
  /** Monotonic, ms. */
  readonly clockMs: () => number;
  readonly limits: TransportLimits;
}
