/**
 * The nodes that this one speaks to: their addresses, as workers tell them, and six connections each, made when a message first wants them.
 *
 * Used by `transport.ts` alone.
 */
import { type PeerAddress, parsePeerAddress } from '../protocol/peerAddress.js';
import { DialBackOff } from './dialBackOff.js';
import type { TransportFigures } from './figures.js';
import { HEARTBEAT_LANE, LANE_COUNT } from './lanes.js';
import { OutputBuffers } from './outputBuffers.js';
import type { RaftPorts, TransportLimits, TransportLog } from './parts.js';
import { PeerConnection, type PeerConnectionOwner } from './peerConnection.js';

/** Parts of `Peers`. */
export interface PeersParts {
  readonly limits: TransportLimits;
  readonly log: TransportLog;
  readonly figures: TransportFigures;
  readonly portsOfPeer: (nodeId: number) => RaftPorts;
  clockMs(): number;
  /** A node that was out of reach is reached again. */
  reconnected(nodeId: number): void;
}

/** Why a frame is not sent; a name of `Drops`. */
export type SendRefusal = 'unknownNode' | 'unreachable' | 'queueFull';

export class Peers {
  readonly #parts: PeersParts;
  readonly #byNode = new Map<number, Peer>();
  readonly #buffers = new OutputBuffers();
  #scheduled: PeerConnection[] = [];

  constructor(parts: PeersParts) {
    this.#parts = parts;
  }

  /** The host part of a node's address. Another one than before ends the connections to the old one. */
  setHost(nodeId: number, host: string): void {
    const before = this.#byNode.get(nodeId);
    if (before?.host === host) return;
    const ports = this.#parts.portsOfPeer(nodeId);
    const heartbeat = parsePeerAddress(`${host}:${ports.heartbeat}`);
    const replica = parsePeerAddress(`${host}:${ports.replica}`);
    if (heartbeat === null || replica === null) {
      const fields = { nodeId, host };
      this.#parts.log.write('warn', 'raft address', 'the address of a raft peer is none', fields);
      return;
    }
    before?.close();
    this.#byNode.set(nodeId, new Peer(nodeId, host, heartbeat, replica, this.#parts, this.#buffers));
  }

  /** Where snapshots for a node go; null: its address is not known. */
  replicaAddress(nodeId: number): PeerAddress | null {
    return this.#byNode.get(nodeId)?.replica ?? null;
  }

  /** Copies a frame for a node, to leave with the next `flush`; else why not. */
  send(nodeId: number, lane: number, frame: Uint8Array): SendRefusal | null {
    const peer = this.#byNode.get(nodeId);
    if (peer === undefined) return 'unknownNode';
    const connection = peer.connection(lane);
    const refusal = connection.send(frame);
    if (refusal === null && !connection.isScheduled) {
      connection.isScheduled = true;
      this.#scheduled.push(connection);
    }
    return refusal;
  }

  /** Writes, or dials for, what was taken since the last call. */
  flush(): void {
    const list = this.#scheduled;
    if (list.length === 0) return;
    this.#scheduled = [];
    for (const connection of list) {
      connection.isScheduled = false;
      connection.flush();
    }
  }

  /** Bytes held for a node, all connections. */
  heldBytes(nodeId: number): number {
    return this.#byNode.get(nodeId)?.heldBytes ?? 0;
  }

  close(): void {
    for (const peer of this.#byNode.values()) peer.close();
    this.#byNode.clear();
  }
}

/** One node. Its connections share what is known of its being there. */
class Peer implements PeerConnectionOwner {
  readonly host: string;
  readonly replica: PeerAddress;
  readonly limits: TransportLimits;
  readonly buffers: OutputBuffers;
  readonly #nodeId: number;
  readonly #heartbeat: PeerAddress;
  readonly #parts: PeersParts;
  readonly #backOff: DialBackOff;
  readonly #connections: (PeerConnection | undefined)[] = new Array(LANE_COUNT).fill(undefined);
  /** Something was lost since it was reached last. */
  #wasLost = false;

  constructor(
    nodeId: number,
    host: string,
    heartbeat: PeerAddress,
    replica: PeerAddress,
    parts: PeersParts,
    buffers: OutputBuffers,
  ) {
    this.buffers = buffers;
    this.#nodeId = nodeId;
    this.host = host;
    this.#heartbeat = heartbeat;
    this.replica = replica;
    this.#parts = parts;
    this.limits = parts.limits;
    const { dialPauseMsMin, dialPauseMsMax } = parts.limits;
    this.#backOff = new DialBackOff({ pauseMsMin: dialPauseMsMin, pauseMsMax: dialPauseMsMax });
  }

  get heldBytes(): number {
    return this.#connections.reduce((sum, connection) => sum + (connection?.heldBytes ?? 0), 0);
  }

  connection(lane: number): PeerConnection {
    const address = lane === HEARTBEAT_LANE ? this.#heartbeat : this.replica;
    this.#connections[lane] ??= new PeerConnection(address, this.#backOff, this);
    return this.#connections[lane];
  }

  close(): void {
    const { outgoing, drops } = this.#parts.figures;
    for (const connection of this.#connections) {
      if (connection?.isUp === true) outgoing.open -= 1;
      drops.lost += connection?.close() ?? 0;
    }
  }

  // For its connections.

  clockMs(): number {
    return this.#parts.clockMs();
  }

  dialling(): void {
    this.#parts.figures.outgoing.dials += 1;
  }

  connected(): void {
    const { outgoing } = this.#parts.figures;
    outgoing.open += 1;
    this.#backOff.reached();
    if (!this.#wasLost) return;
    this.#wasLost = false;
    outgoing.reconnects += 1;
    const fields = { nodeId: this.#nodeId, host: this.host };
    this.#parts.log.write('info', 'raft peer reached', 'a raft peer is reached again', fields);
    this.#parts.reconnected(this.#nodeId);
  }

  lost({ address }: PeerConnection, text: string, frames: number, sinceMs: number | null): void {
    const { outgoing, drops } = this.#parts.figures;
    this.#wasLost = true;
    if (sinceMs === null) {
      outgoing.dialFailures += 1;
      drops.unreachable += frames;
      this.#backOff.failed(this.clockMs());
    } else {
      outgoing.losses += 1;
      outgoing.open -= 1;
      drops.lost += frames;
      this.#backOff.lost(this.clockMs(), sinceMs);
    }
    const fields = { nodeId: this.#nodeId, remote: `${address.host}:${address.port}`, text, frames };
    const message = sinceMs === null ? 'a raft peer is not reached' : 'a connection to a raft peer is lost';
    this.#parts.log.write('warn', message, message, fields);
  }
}
