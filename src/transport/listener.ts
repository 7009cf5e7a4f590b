/**
 * The two raft ports: accepts connections of peers, bounds them in number and memory, closes what is not admitted or brings what is no raft.
 *
 * Acts only; what a connection brings is `incomingStream.ts`, where a message goes is its owner's.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { PORT_CLASS } from '../protocol/portClasses.js';
import { type AccessSettings, PortAccess } from '../server/portAccess.js';
import { attachData, type Receiver, wrapAccepted } from '../server/receivePath.js';
import type { TransportFigures } from './figures.js';
import { IncomingConnection } from './incomingConnection.js';
import type { MessageTaker } from './incomingStream.js';
import type { RaftPorts, TransportLimits, TransportLog } from './parts.js';

const SWEEP_MS = 250;
const BACKLOG = 512;
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelay: 60_000 };
/** What one read takes at most. */
const READ_BYTES = 256 * 1024;

/** Parts of a `RaftListener`. */
export interface ListenerParts {
  readonly access: AccessSettings;
  readonly limits: TransportLimits;
  readonly log: TransportLog;
  readonly figures: TransportFigures;
  readonly useOnread: boolean;
  clockMs(): number;
  /** Who takes the messages of a connection. */
  takerOf(connection: { readonly number: number; readonly atHeartbeatPort: boolean }): MessageTaker;
}

export class RaftListener {
  readonly #parts: ListenerParts;
  readonly #servers: readonly [heartbeat: Server, replica: Server];
  readonly #connections = new Map<number, IncomingConnection>();
  #access: PortAccess;
  #lastNumber = 0;
  /** All sockets are read into it: what it holds is used up before the next read. */
  readonly #readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Memory of frames under way, all connections. */
  #heldBytes = 0;
  #sweeper: NodeJS.Timeout | undefined;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    this.#access = new PortAccess(parts.access);
    const server = (atHeartbeatPort: boolean): Server =>
      createServer(
        { ...{ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, ...KEEP_ALIVE },
        (socket) => this.#accept(socket, atHeartbeatPort),
      );
    this.#servers = [server(true), server(false)];
  }

  /** Bytes of memory that frames under way take now. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Starts to accept, at both ports or, rejecting, at none; returns the ports. */
  async listen(address: string, wanted: RaftPorts): Promise<RaftPorts> {
    const [heartbeatServer, replicaServer] = this.#servers;
    const heartbeat = await this.#listenAt(heartbeatServer, address, wanted.heartbeat);
    try {
      const replica = await this.#listenAt(replicaServer, address, wanted.replica);
      this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
      return { heartbeat, replica };
    } catch (error) {
      heartbeatServer.close();
      throw error;
    }
  }

  /** Other access lists, from now on, for connections that are open as for those to come. */
  setAccess(access: AccessSettings): void {
    this.#access = new PortAccess(access);
    for (const connection of this.#connections.values()) {
      if (!this.#isPeer(connection.address)) this.#keepOut(connection.remote, () => connection.close());
    }
  }

  /** The verdict of a group on the snapshot that a connection brought; nothing happens when that is gone. Whether it was told. */
  judge(number: number, isTaken: boolean): boolean {
    return this.#connections.get(number)?.judge(isTaken, this.#parts.clockMs()) ?? false;
  }

  /** What a connection brought cannot be used. */
  closeBad(number: number, reason: string): void {
    const connection = this.#connections.get(number);
    if (connection === undefined) return;
    this.#parts.figures.incoming.bad += 1;
    const fields = { remote: connection.remote, reason };
    this.#parts.log.write('warn', 'bad raft stream', 'a raft connection is closed', fields);
    connection.close();
  }

  /** Accepts no more and closes all connections. */
  close(): void {
    clearInterval(this.#sweeper);
    // Servers never tell that they are closed: they wait for the sockets whose handles were taken over.
    for (const server of this.#servers) server.close();
    for (const connection of this.#connections.values()) connection.close();
  }

  async #listenAt(server: Server, address: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host: address, port, backlog: BACKLOG }, () => {
        server.off('error', reject);
        server.on('error', (error) => this.#refused(error.message));
        resolve();
      });
    });
    return (server.address() as AddressInfo).port;
  }

  #accept(accepted: Socket, atHeartbeatPort: boolean): void {
    const { limits, figures, useOnread } = this.#parts;
    if (!this.#isPeer(accepted.remoteAddress ?? '?'))
      return this.#keepOut(`${accepted.remoteAddress}:${accepted.remotePort}`, () => accepted.destroy());
    if (this.#connections.size >= limits.connectionsMax) {
      accepted.destroy();
      return this.#refused(`more than ${limits.connectionsMax} connections`);
    }
    figures.incoming.accepted += 1;
    figures.incoming.open += 1;
    const begin = (socket: Socket): Receiver => this.#begin(socket, atHeartbeatPort);
    if (useOnread) wrapAccepted(accepted, this.#readBuffer, begin).resume();
    else {
      attachData(accepted, begin(accepted));
      accepted.resume();
    }
  }

  /** Makes the connection of an admitted socket; what is returned gets its bytes. */
  #begin(socket: Socket, atHeartbeatPort: boolean): Receiver {
    const { limits, clockMs, takerOf } = this.#parts;
    const number = ++this.#lastNumber;
    const taker = takerOf({ number, atHeartbeatPort });
    const connection = new IncomingConnection(number, socket, atHeartbeatPort, clockMs(), limits, taker);
    this.#connections.set(number, connection);
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.end());
    socket.on('close', () => this.#closed(connection));
    return {
      nextBuffer: () => this.#readBuffer,
      received: (count, buffer) => {
        this.#received(connection, buffer.subarray(0, count));
        return !connection.stream.isFull;
      },
    };
  }

  #received(connection: IncomingConnection, chunk: Uint8Array): void {
    const { stream, number } = connection;
    const heldBefore = stream.heldBytes;
    connection.push(chunk, this.#parts.clockMs());
    this.#heldBytes += stream.heldBytes - heldBefore;
    if (stream.fault !== null) return this.closeBad(number, stream.fault);
    if (connection.isDone) return connection.close();
    while (this.#heldBytes > this.#parts.limits.frameBytesMax) this.#closeLargest();
  }

  /** Frames under way take more than they may. */
  #closeLargest(): void {
    let largest: IncomingConnection | null = null;
    for (const connection of this.#connections.values()) {
      if (connection.stream.heldBytes > (largest?.stream.heldBytes ?? 0)) largest = connection;
    }
    if (largest === null) return;
    this.closeBad(largest.number, `frames under way take ${this.#heldBytes} bytes, this one most of them`);
    this.#forget(largest);
  }

  #closed(connection: IncomingConnection): void {
    if (connection.stream.isMidFrame) this.#parts.figures.incoming.cutOff += 1;
    connection.stream.close();
    this.#forget(connection);
  }

  #forget(connection: IncomingConnection): void {
    if (!this.#connections.delete(connection.number)) return;
    this.#parts.figures.incoming.open -= 1;
    this.#heldBytes -= connection.stream.heldBytes;
  }

  #sweep(): void {
    const nowMs = this.#parts.clockMs();
    for (const connection of this.#connections.values()) {
      const reason = connection.overdue(nowMs);
      if (reason === null) continue;
      if (connection.stream.isMidFrame) this.#parts.figures.incoming.cutOff += 1;
      const fields = { remote: connection.remote, reason };
      this.#parts.log.write('debug', 'raft stream ends', 'a raft connection is closed', fields);
      connection.close();
    }
  }

  #isPeer(address: string): boolean {
    return (this.#access.classesOf(address) & PORT_CLASS.peers) !== 0;
  }

  #keepOut(remote: string, close: () => void): void {
    close();
    const count = ++this.#parts.figures.incoming.notAdmitted;
    const key = 'raft connection not admitted';
    this.#parts.log.write('warn', key, 'a raft connection is not admitted', { remote, count });
  }

  #refused(reason: string): void {
    this.#parts.figures.incoming.refused += 1;
    this.#parts.log.write('warn', 'raft connection refused', 'a raft connection is refused', { reason });
  }
}
