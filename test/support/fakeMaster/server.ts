/**
 * One master's HTTP side (`admin.md` 4), and every way in which such a server can be of no use. A follower proxies to the leader, as v1.4.0 masters do.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { MasterState } from './state.js';

export type Mode =
  /** Answers, when it is the leader; otherwise proxies to it. */
  | 'serve'
  /** The leader while it loads its metadata: 400 with its own address. */
  | 'loading'
  /** Older masters that are no leaders: 403 with the leader's address, empty where there is none. */
  | 'old'
  /** Takes the connection and the request and does nothing. */
  | 'hang'
  /** Ends the connection in the middle of the reply. */
  | 'cut'
  /** 200 with a body that is no envelope. */
  | 'garbage'
  /** 200 with code 1. */
  | 'error'
  /** 307 to the leader. */
  | 'redirect';

/** What a server knows of its cluster. */
export interface Peers {
  readonly state: MasterState;
  /** `host:port` of the leader; null: there is none. */
  leader(): string | null;
}

export class MasterServer {
  mode: Mode = 'serve';
  /** Every reply waits for this long. */
  delayMs = 0;
  /** Paths asked of this server, proxied ones included. */
  readonly asked: string[] = [];
  /** Responses that this server, as the leader, has taken. */
  responses = 0;
  readonly #peers: Peers;
  readonly #host: string;
  #port = 0;
  #server: Server | null = null;

  constructor(peers: Peers, host = '127.0.0.1') {
    this.#peers = peers;
    this.#host = host;
  }

  get addr(): string {
    return `${this.#host}:${this.#port}`;
  }

  /** Listens; after a stop on the same port again. */
  async start(): Promise<void> {
    const server = createServer((incoming, reply) => this.#take(incoming, reply));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#host, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Dies: the port refuses, connections are cut. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  #take(incoming: IncomingMessage, reply: ServerResponse): void {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('error', () => {});
    incoming.on('end', () => {
      this.asked.push(incoming.url!.split('?')[0]!);
      setTimeout(() => this.#reply(incoming, Buffer.concat(chunks), reply), this.delayMs);
    });
  }

  #reply(incoming: IncomingMessage, body: Buffer, reply: ServerResponse): void {
    const leader = this.#peers.leader();
    switch (this.mode) {
      case 'hang':
        return;
      case 'loading':
        return text(reply, 400, this.addr);
      case 'old':
        return text(reply, 403, leader ?? '');
      case 'cut':
        reply.writeHead(200, { 'Content-Length': '1000' });
        reply.write('{"code":0,"msg":"succ');
        setImmediate(() => reply.destroy());
        return;
      case 'garbage':
        return text(reply, 200, '<html>not what you asked for</html>');
      case 'error':
        return envelope(reply, { code: 1, msg: 'internal error', data: null });
      case 'redirect':
        reply.writeHead(307, { Location: `http://${leader}${incoming.url}` });
        reply.end();
        return;
      case 'serve':
        if (leader === this.addr) return this.#answer(incoming, body, reply);
        return leader === null ? text(reply, 400, 'no leader') : proxy(leader, incoming, body, reply);
    }
  }

  #answer(incoming: IncomingMessage, body: Buffer, reply: ServerResponse): void {
    const url = new URL(incoming.url!, `http://${this.addr}`);
    if (url.pathname === '/dataNode/response') this.responses += 1;
    const peerIp = incoming.headers['x-forwarded-for'] ?? incoming.socket.remoteAddress ?? '';
    envelope(
      reply,
      this.#peers.state.answer(url.pathname, url.searchParams, body.toString(), String(peerIp)),
    );
  }
}

function text(reply: ServerResponse, status: number, body: string): void {
  reply.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' });
  reply.end(`${body}\n`);
}

function envelope(reply: ServerResponse, value: object): void {
  reply.writeHead(200, { 'Content-Type': 'application/json' });
  reply.end(JSON.stringify(value));
}

function proxy(leader: string, incoming: IncomingMessage, body: Buffer, reply: ServerResponse): void {
  const outgoing = request(`http://${leader}${incoming.url}`, {
    method: incoming.method,
    headers: { ...incoming.headers, 'x-forwarded-for': incoming.socket.remoteAddress ?? '' },
    agent: false,
  });
  outgoing.on('error', () => {
    reply.writeHead(502);
    reply.end();
  });
  outgoing.on('response', (answer) => {
    answer.on('error', () => reply.destroy());
    reply.writeHead(answer.statusCode!, { 'Content-Type': answer.headers['content-type'] ?? '' });
    answer.pipe(reply);
  });
  outgoing.end(body);
}
