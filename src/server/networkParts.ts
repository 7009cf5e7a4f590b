/**
 * What a network thread is made of, and what it asks of others: the seam behind which sockets, threads and clocks lie.
 */
import type { AdminHandler } from '../control/nodeView.js';
import type { DoorbellSleeper } from '../shm/doorbell.js';
import type { PoisonTable } from '../shm/poison.js';
import type { Slab } from '../shm/slab.js';
import type { SpinPolicy } from '../workers/spin.js';
import type { Connection } from './connection.js';
import type { ForwardingParts } from './forwarding.js';
import type { CopyMany } from './networkBuffers.js';
import type { Operations } from './operations.js';
import type { WorkerPort } from './workerPort.js';

/** Limits of a connection (`config/limits.ts`, overridden by settings). */
export interface ConnectionLimits {
  requestProgressMs: number;
  replyProgressMs: number;
  starvingProgressMs: number;
  lingerMs: number;
  inFlightBytesMax: number;
  inFlightPacketsMax: number;
  replyBufferBytesMax: number;
}

/** What the network thread is made of; everything that acts comes from outside. */
export interface NetworkParts {
  slab: Slab;
  ports: WorkerPort[];
  poison: PoisonTable;
  sleeper: DoorbellSleeper;
  spin: SpinPolicy;
  /** Shared word that tells the workers whether they may spin (`LoneWatch`). */
  lone: Int32Array;
  limits: ConnectionLimits;
  tags: number;
  admin: AdminHandler;
  forwarding: ForwardingParts;
  operations: Operations;
  crc32(data: Uint8Array, seed: number): number;
  copyMany: CopyMany;
  /** Spins until any of this thread's reply rings may have something, at most `ns`. */
  spinForReplies(seen: number, ns: number): boolean;
  monotonicMs(): number;
  wallMs(): number;
  /** Takes events and answers that workers sent over their control rings. */
  drainEvents(): void;
  /** Who owns the sockets. */
  sockets(): SocketOwner;
}

/** What the network thread asks of the listener. */
export interface SocketOwner {
  /** FIN, then discard what still comes for a while (`wire.md` 6.5). */
  halfClose(index: number): void;
  /** Reads on after the connection was blocked. */
  resumeReading(connection: Connection): void;
  /** Closes at once, because of what the peer sent or did. */
  drop(connection: Connection, reason: string): void;
}
