/**
 * One connection to another data node's data port, for questions and streams of repair. Acts on a socket; what packets mean is said by who asks.
 *
 * One question is under way at a time; its packets come out of `next` in their order. A socket is not read further while packets that nobody has taken hold more than a bound, so a source that is faster than the disk here waits.
 * After any failure the connection is of no use: it is closed, and every call rejects with the reason.
 */
import { connect, type Socket } from 'node:net';
import { type FramedPacket, PacketFramer } from '../protocol/framer.js';
import type { PacketHeader } from '../protocol/header.js';
import { parsePeerAddress } from '../protocol/peerAddress.js';

/** A packet that was received, with bytes of its own. */
export interface PeerPacket {
  readonly header: PacketHeader;
  readonly arg: Uint8Array;
  readonly body: Uint8Array;
}

export interface PeerLimits {
  /** How long a dial may take, and how long a peer may be silent while a packet is due, ms. */
  readonly dialMs: number;
  readonly packetMs: number;
  /** Longest Arg and body that are taken, bytes. */
  readonly argBytesMax: number;
  readonly bodyBytesMax: number;
  /** Bytes of packets that nobody has taken, beyond which the socket is not read. */
  readonly queuedBytesMax: number;
}

/** Peers answer each packet of a repair read within 60 s (`repair.md` 12). */
export const PEER_LIMITS: PeerLimits = {
  dialMs: 3_000,
  packetMs: 60_000,
  argBytesMax: 64 * 1024,
  // The list of 100,000 extents; of pieces and records the judge refuses what is too long.
  bodyBytesMax: 64 * 1024 * 1024,
  queuedBytesMax: 1024 * 1024,
};

/** A peer that is gone without a word is found out after so long, and ten probes. Without it a notification would wait for half an hour, and the partition's rounds with it: the system's own delay is two hours. */
const KEEP_ALIVE_MS = 60_000;

export class PeerConnection {
  readonly address: string;
  readonly #limits: PeerLimits;
  readonly #socket: Socket;
  readonly #framer: PacketFramer;
  #queue: PeerPacket[] = [];
  #queuedBytes = 0;
  #waiting: { resolve(packet: PeerPacket): void; reject(error: Error): void; timer: NodeJS.Timeout } | null =
    null;
  #failure: Error | null = null;

  private constructor(address: string, socket: Socket, limits: PeerLimits) {
    this.address = address;
    this.#socket = socket;
    this.#limits = limits;
    const { argBytesMax, bodyBytesMax } = limits;
    this.#framer = new PacketFramer({ direction: 'reply', argBytesMax, bodyBytesMax });
    socket.on('data', (chunk) => this.#received(chunk));
    socket.on('error', (error) => this.#fail(error.message));
    socket.on('close', () => this.#fail('connection closed'));
  }

  /** Connects. Rejects with one line when the peer cannot be reached, and when `signal` aborts. */
  static dial(address: string, signal: AbortSignal, limits = PEER_LIMITS): Promise<PeerConnection> {
    return new Promise((resolve, reject) => {
      const target = parsePeerAddress(address);
      if (target === null) return reject(new Error(`${JSON.stringify(address)} is no address`));
      if (signal.aborted) return reject(new Error('the node is stopping'));
      const socket = connect({
        ...{ ...target, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS },
      });
      const end = (error: Error | null): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        socket.removeAllListeners();
        if (error === null) return resolve(new PeerConnection(address, socket, limits));
        // A socket that is destroyed may still tell of an error.
        socket.on('error', () => {});
        socket.destroy();
        reject(error);
      };
      const onAbort = (): void => end(new Error('the node is stopping'));
      const timer = setTimeout(
        () => end(new Error(`dial ${address}: no answer within ${limits.dialMs} ms`)),
        limits.dialMs,
      );
      signal.addEventListener('abort', onAbort);
      socket.once('error', (error) => end(error));
      socket.once('connect', () => end(null));
    });
  }

  /** Why the connection is of no use any more; null: it is. */
  get failure(): Error | null {
    return this.#failure;
  }

  /** Another question may follow on it: it is whole, and nobody has left anything of an answer behind. */
  get isReusable(): boolean {
    return this.#failure === null && this.#queue.length === 0 && this.#framer.pendingBytes === 0;
  }

  /** Sends a whole packet. What goes wrong shows at `next`. */
  send(packet: Uint8Array): void {
    if (this.#failure === null) this.#socket.write(packet);
  }

  /** The next packet. Rejects when the connection ends first, or after `timeoutMs` without one. One call at a time. */
  next(timeoutMs = this.#limits.packetMs): Promise<PeerPacket> {
    const packet = this.#queue.shift();
    if (packet !== undefined) {
      this.#queuedBytes -= packet.body.byteLength;
      if (this.#queuedBytes <= this.#limits.queuedBytesMax) this.#socket.resume();
      return Promise.resolve(packet);
    }
    if (this.#failure !== null) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(`no packet within ${timeoutMs} ms`), timeoutMs);
      this.#waiting = { resolve, reject, timer };
    });
  }

  /** Ends the connection; a call of `next` that waits rejects with `reason`. */
  close(reason = 'closed'): void {
    this.#fail(reason);
  }

  #received(chunk: Uint8Array): void {
    const fault = this.#framer.push(chunk, (packet) => this.#take(packet));
    if (fault !== null) this.#fail(fault.message);
    else if (this.#queuedBytes > this.#limits.queuedBytesMax) this.#socket.pause();
  }

  #take({ header, arg, body }: FramedPacket): void {
    const packet = { header: { ...header }, arg: arg.slice(), body: body.slice() };
    const waiting = this.#waiting;
    if (waiting === null) {
      this.#queue.push(packet);
      this.#queuedBytes += packet.body.byteLength;
      return;
    }
    this.#waiting = null;
    clearTimeout(waiting.timer);
    waiting.resolve(packet);
  }

  #fail(reason: string): void {
    if (this.#failure !== null) return;
    this.#failure = new Error(`${this.address}: ${reason}`);
    this.#socket.destroy();
    const waiting = this.#waiting;
    this.#waiting = null;
    if (waiting === null) return;
    clearTimeout(waiting.timer);
    waiting.reject(this.#failure);
  }
}
