/**
 * One snapshot on its way: a connection of its own, the header, one byte back (`raft.md` 2.6).
 *
 * Neither blocks nor their end are sent: a v1.4.0 receiver answers right after the header, and would take an end that comes after its answer for a message that is broken.
 */
import { connect, type Socket } from 'node:net';
import type { PeerAddress } from '../protocol/peerAddress.js';
import { SNAPSHOT_ACK } from '../protocol/raftMessage.js';
import type { TransportLimits } from './parts.js';

/** Null: the receiver has taken it; else why not. Told once, but not after `abort`. */
export type DeliveryEnd = (fault: string | null) => void;

export class SnapshotDelivery {
  readonly #socket: Socket;
  readonly #ended: DeliveryEnd;
  #timer: NodeJS.Timeout;
  #isOver = false;

  /** `header`: the message, with its length in front. */
  constructor(address: PeerAddress, header: Uint8Array, limits: TransportLimits, ended: DeliveryEnd) {
    this.#ended = ended;
    const socket = connect({ ...address, noDelay: true, keepAlive: true });
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#end('the dial took too long'), limits.dialMs);
    socket.on('connect', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#end('no answer'), limits.snapshotAckMs);
      socket.write(header);
    });
    // An answer counts, whatever becomes of the connection behind it.
    socket.on('data', (bytes) => this.#end(bytes[0] === SNAPSHOT_ACK ? null : 'follower response failed.'));
    socket.on('error', (error) => this.#end(error.message));
    socket.on('close', () => this.#end('closed by the follower'));
  }

  /** Ends it; nobody hears of it. */
  abort(): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
  }

  #end(fault: string | null): void {
    if (this.#isOver) return;
    this.abort();
    this.#ended(fault);
  }
}
