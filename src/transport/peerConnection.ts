/**
 * One outgoing connection to a peer: dialled when there is something to send, written to in one go a turn, never read. Acts on a socket; what it may hold is `outputQueue.ts`.
 *
 * Whatever is lost with a connection is lost for good: raft sends again what it needs.
 */
import { connect, type Socket } from 'node:net';
import type { PeerAddress } from '../protocol/peerAddress.js';
import type { DialBackOff } from './dialBackOff.js';
import type { OutputBuffers } from './outputBuffers.js';
import { OutputQueue } from './outputQueue.js';
import type { TransportLimits } from './parts.js';

const KEEP_ALIVE_MS = 60_000;
/** What a peer sends here is nothing that anybody expects: it is read to notice the end, and thrown away. */
const IGNORED = Buffer.alloc(4096);

/** Hears what becomes of a connection. */
export interface PeerConnectionOwner {
  readonly limits: TransportLimits;
  readonly buffers: OutputBuffers;
  clockMs(): number;
  /** A dial begins. */
  dialling(): void;
  connected(): void;
  /** A dial failed, or a connection ended; `frames` were dropped with it. `sinceMs`: when it was made, null: never. */
  lost(connection: PeerConnection, text: string, frames: number, sinceMs: number | null): void;
}

export class PeerConnection {
  readonly address: PeerAddress;
  /** In its owner's list of connections to be flushed. */
  isScheduled = false;
  readonly #owner: PeerConnectionOwner;
  readonly #backOff: DialBackOff;
  readonly #queue: OutputQueue;
  #socket: Socket | null = null;
  /** When the connection was made; null: it is not. */
  #sinceMs: number | null = null;
  #dialTimer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(address: PeerAddress, backOff: DialBackOff, owner: PeerConnectionOwner) {
    this.address = address;
    this.#owner = owner;
    this.#backOff = backOff;
    this.#queue = new OutputQueue(owner.limits.outputBytesMax, owner.limits.outputFramesMax, owner.buffers);
  }

  get isUp(): boolean {
    return this.#sinceMs !== null;
  }

  /** Bytes held for the peer. */
  get heldBytes(): number {
    return this.#queue.bytes;
  }

  /** Copies a frame, to leave with the next `flush`; else why it is dropped. */
  send(frame: Uint8Array): 'unreachable' | 'queueFull' | null {
    if (this.#isClosed) return 'unreachable';
    if (this.#socket === null && !this.#backOff.mayDial(this.#owner.clockMs())) return 'unreachable';
    return this.#queue.push(frame) ? null : 'queueFull';
  }

  /** Hands what waits to the socket, if that holds nothing; dials where there is none. */
  flush(): void {
    if (this.#isClosed || this.#queue.frames === 0) return;
    if (this.#socket === null) this.#dial();
    else if (this.isUp) this.#write(this.#socket);
  }

  /** Ends it, with what it holds; nobody hears of it. Returns how many frames that were. */
  close(): number {
    this.#isClosed = true;
    return this.#end();
  }

  #write(socket: Socket): void {
    const bytes = this.#queue.handOver();
    if (bytes !== null) socket.write(bytes, () => this.#written(socket));
  }

  #written(socket: Socket): void {
    if (this.#socket !== socket) return;
    this.#queue.left();
    this.#write(socket);
  }

  #dial(): void {
    const { limits } = this.#owner;
    this.#owner.dialling();
    const socket = connect({
      ...this.address,
      ...{ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
      onread: { buffer: IGNORED, callback: () => true },
    });
    this.#socket = socket;
    this.#dialTimer = setTimeout(() => this.#lose(socket, 'the dial took too long'), limits.dialMs);
    socket.on('connect', () => this.#connected(socket));
    socket.on('error', (error) => this.#lose(socket, error.message));
    socket.on('end', () => this.#lose(socket, 'closed by the peer'));
    socket.on('close', () => this.#lose(socket, 'closed'));
    // Counts from the last byte that moved; it says nothing of a socket that has nothing to send.
    socket.on('timeout', () => {
      if (socket.writableLength > 0) this.#lose(socket, 'the peer takes nothing');
    });
  }

  #connected(socket: Socket): void {
    if (this.#socket !== socket) return;
    clearTimeout(this.#dialTimer ?? undefined);
    socket.setTimeout(this.#owner.limits.outputProgressMs);
    this.#sinceMs = this.#owner.clockMs();
    this.#owner.connected();
    this.#write(socket);
  }

  #lose(socket: Socket, text: string): void {
    if (this.#socket !== socket) return;
    const sinceMs = this.#sinceMs;
    const frames = this.#end();
    this.#owner.lost(this, text, frames, sinceMs);
  }

  #end(): number {
    clearTimeout(this.#dialTimer ?? undefined);
    this.#socket?.destroy();
    this.#socket = null;
    this.#sinceMs = null;
    return this.#queue.clear();
  }
}
