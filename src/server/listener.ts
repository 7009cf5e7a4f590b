/**
 * The data port: accepts connections, gives them an index and a generation, keeps their deadlines, closes them.
 *
 * Acts only; what a byte means is `connection.ts`, what is sent is `replyQueue.ts`. Idle connections are kept for ever (clients pool them); a packet that does not
 * progress, or a peer that does not take its replies, is not.
 */
import net, { type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { isNotAdmittedText } from '../protocol/errors.js';
import { nextGeneration } from '../shm/poison.js';
import { Connection } from './connection.js';
import type { FailedPacket } from './failedPacket.js';
import type { NetworkThread } from './networkThread.js';
import type { PortAccess } from './portAccess.js';
import { attachData, wrapAccepted } from './receivePath.js';
import { ReplyQueue } from './replyQueue.js';

const SWEEP_MS = 500;
const BACKLOG = 4096;
const KEEP_ALIVE_MS = 60_000;
/** How often a close looks whether everything was handed over. */
const CLOSE_LOOK_MS = 5;

/** What the listener tells its owner, for the log; called at a peer's pace, so the owner bounds the rate. */
export interface ListenerEvents {
  refused(reason: string): void;
  closed(remote: string, reason: string): void;
  /** A packet was answered with an error. */
  failed(remote: string, packet: FailedPacket): void;
  /** A connection from an address that is in no access list was closed; `count` of them so far. */
  connectionNotAdmitted(remote: string, count: number): void;
  /** A packet of a class that its sender's address is not in was refused; `count` of them so far. */
  packetNotAdmitted(remote: string, packet: FailedPacket, count: number): void;
}

interface Peer {
  socket: Socket;
  /** As the socket showed it when it was accepted. */
  address: string;
  connection: Connection;
  replies: ReplyQueue;
  /** Loop clock after which a half-closed connection is destroyed; 0: it is not half-closed. */
  lingerUntilMs: number;
}

export class Listener {
  readonly #net: NetworkThread;
  readonly #events: ListenerEvents;
  /** Accepted sockets are read into buffers of this node. */
  readonly useOnread: boolean;
  readonly #server: net.Server;
  readonly #peers = new Map<number, Peer>();
  readonly #freeIndexes: number[] = [];
  readonly #generations: Int32Array;
  /** What the access lists kept out so far. */
  readonly #notAdmitted = { connections: 0, packets: 0 };
  #access: PortAccess;
  #sweeper: NodeJS.Timeout | undefined;
  #stopping = false;

  /** `connectionsMax`: size of the poison table. `useOnread`: result of the self-test. `access`: who may connect as what. */
  constructor(
    network: NetworkThread,
    connectionsMax: number,
    useOnread: boolean,
    access: PortAccess,
    events: ListenerEvents,
  ) {
    this.#net = network;
    this.#access = access;
    this.#events = events;
    this.useOnread = useOnread;
    this.#generations = new Int32Array(connectionsMax);
    for (let i = connectionsMax - 1; i >= 0; i--) this.#freeIndexes.push(i);
    this.#server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (socket) =>
      this.#accept(socket),
    );
  }

  /** Open connections. */
  get connectionCount(): number {
    return this.#peers.size;
  }

  /**
   * Other access lists, from now on: for connections to come and for those that are open, which are closed when their address is in no list any more. A packet
   * whose header was admitted before is executed.
   */
  setAccess(access: PortAccess): void {
    this.#access = access;
    const found = new Map<string, number>();
    for (const { address, connection } of this.#peers.values()) {
      const classes = found.get(address) ?? access.classesOf(address);
      found.set(address, classes);
      connection.classes = classes;
      if (classes === 0) this.drop(connection, 'its address is in no access list any more');
    }
  }

  /** Starts to accept; returns the port. */
  async listen(address: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host: address, port, backlog: BACKLOG }, () => {
        this.#server.off('error', reject);
        this.#server.on('error', (error) => this.#events.refused(error.message));
        resolve();
      });
    });
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Takes no more connections and no more requests: what was received is answered, what comes now stays unread. */
  stopAccepting(): void {
    this.#stopping = true;
    this.#server.close();
    for (const { socket } of this.#peers.values()) socket.pause();
  }

  /** Ends every connection: what was answered is handed to the kernel first, as far as peers take it within `timeoutMs`. */
  async close(timeoutMs: number): Promise<void> {
    clearInterval(this.#sweeper);
    for (const { socket } of this.#peers.values()) socket.end();
    const deadlineMs = performance.now() + timeoutMs;
    const unsent = () => [...this.#peers.values()].some(({ socket }) => socket.writableLength > 0);
    while (unsent() && performance.now() < deadlineMs) await sleep(CLOSE_LOOK_MS);
    for (const { socket } of this.#peers.values()) socket.destroy();
  }

  // For the network thread.

  halfClose(index: number): void {
    const peer = this.#peers.get(index);
    if (peer === undefined) return;
    peer.lingerUntilMs = this.#net.nowMs + this.#net.limits.lingerMs;
    peer.socket.end();
    // What the peer still sends is read and discarded: closing with unread input would reset the connection and lose the reply.
    peer.socket.resume();
  }

  resumeReading(connection: Connection): void {
    if (!this.#stopping) this.#peers.get(connection.index)?.socket.resume();
  }

  drop(connection: Connection, reason: string): void {
    const peer = this.#peers.get(connection.index);
    if (peer?.connection !== connection) return;
    this.#events.closed(connection.remote, reason);
    peer.socket.destroy();
  }

  #accept(accepted: Socket): void {
    const address = accepted.remoteAddress ?? '?';
    const remote = `${address}:${accepted.remotePort ?? 0}`;
    const classes = this.#access.classesOf(address);
    if (classes === 0) {
      accepted.destroy();
      this.#events.connectionNotAdmitted(remote, ++this.#notAdmitted.connections);
      return;
    }
    const index = this.#freeIndexes.pop();
    if (index === undefined) {
      accepted.destroy();
      this.#events.refused(`more than ${this.#generations.length} connections`);
      return;
    }
    const generation = nextGeneration(this.#generations[index]!);
    this.#generations[index] = generation;
    const attach = (socket: Socket): Connection => {
      const replies = new ReplyQueue(this.#net, socket, index, remote, (packet) => {
        if (!isNotAdmittedText(packet.text)) return this.#events.failed(remote, packet);
        this.#events.packetNotAdmitted(remote, packet, ++this.#notAdmitted.packets);
      });
      const connection = new Connection(this.#net, index, generation, remote, replies);
      connection.classes = classes;
      this.#peers.set(index, { socket, address, connection, replies, lingerUntilMs: 0 });
      return connection;
    };
    let socket = accepted;
    if (this.useOnread) socket = wrapAccepted(accepted, this.#net.buffers.scratch, attach);
    else attachData(socket, attach(socket));
    this.#net.addConnection(this.#peers.get(index)!.connection);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('error', () => socket.destroy());
    socket.on('end', () => this.#inputEnded(index));
    socket.on('close', () => this.#closed(index));
    socket.resume();
  }

  /** The peer sent FIN: what it asked for is still answered, then the connection ends. */
  #inputEnded(index: number): void {
    const peer = this.#peers.get(index);
    if (peer === undefined) return;
    if (peer.lingerUntilMs > 0) peer.socket.destroy();
    else peer.replies.endWhenEmpty();
  }

  #closed(index: number): void {
    const peer = this.#peers.get(index);
    if (peer === undefined) return;
    this.#peers.delete(index);
    this.#net.removeConnection(peer.connection);
    this.#freeIndexes.push(index);
  }

  #sweep(): void {
    const { limits, starving } = this.#net;
    const mostMs = starving ? limits.starvingProgressMs : Number.POSITIVE_INFINITY;
    const requestMs = Math.min(limits.requestProgressMs, mostMs);
    const replyMs = Math.min(limits.replyProgressMs, mostMs);
    const nowMs = performance.now();
    for (const peer of this.#peers.values()) {
      const { connection, replies } = peer;
      if (peer.lingerUntilMs > 0) {
        if (nowMs > peer.lingerUntilMs) peer.socket.destroy();
      } else if (connection.midPacket && nowMs - connection.progressMs > requestMs) {
        this.drop(connection, `a packet did not progress for ${requestMs} ms`);
      } else if (replies.outputWaits && replies.progressMs > 0 && nowMs - replies.progressMs > replyMs) {
        this.drop(connection, `replies were not taken for ${replyMs} ms`);
      }
    }
  }
}
