/** Plain sockets in the place of a peer's transport: what a node of another make, a scanner or a dead machine does. */
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Test } from 'tap';
import { RaftFramer } from '../../src/protocol/raftFramer.js';
import { until } from '../support/until.js';

/** An accepted connection, and the bodies that came on it. */
export interface Accepted {
  socket: Socket;
  bodies: Uint8Array[];
}

/** A listener that reads, and does what a test wants with each connection. */
export class RawPeer {
  readonly accepted: Accepted[] = [];
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** `onAccept` instead of reading. */
  static async start(
    t: Test,
    onAccept?: (socket: Socket) => void,
    host = '127.0.0.1',
    port = 0,
  ): Promise<RawPeer> {
    const accepted: Accepted[] = [];
    const server = createServer((socket) => {
      const each: Accepted = { socket, bodies: [] };
      socket.on('error', () => socket.destroy());
      if (onAccept === undefined) {
        const framer = new RaftFramer();
        socket.on('data', (chunk) => framer.push(chunk as Buffer, (body) => each.bodies.push(body)));
      } else onAccept(socket);
      accepted.push(each);
    });
    await new Promise<void>((resolve) => server.listen(port, host, resolve));
    const peer = new RawPeer(server);
    t.teardown(() => peer.close());
    server.on('connection', () => peer.accepted.splice(0, peer.accepted.length, ...accepted));
    return peer;
  }

  get bodies(): number {
    return this.accepted.reduce((sum, { bodies }) => sum + bodies.length, 0);
  }

  close(): void {
    this.#server.close();
    for (const { socket } of this.accepted) socket.destroy();
  }
}

/** A connection to a port of a node. */
export class RawClient {
  readonly socket: Socket;
  readonly received: number[] = [];
  isClosed = false;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => this.received.push(...(chunk as Buffer)));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  /** `allowHalfOpen`: does not close when the node does. */
  static async dial(t: Test, port: number, allowHalfOpen = false): Promise<RawClient> {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen });
    const client = new RawClient(socket);
    t.teardown(() => socket.destroy());
    await until('connected', () => !socket.connecting);
    return client;
  }

  write(...parts: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  async untilClosed(): Promise<void> {
    await until('the node closes the connection', () => this.isClosed);
  }
}
