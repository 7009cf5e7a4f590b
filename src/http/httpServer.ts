/**
 * The small HTTP server interface that the debug API and the embedded master are written against, and its implementation with node:http.
 * `uwsServer.ts` has the other one.
 *
 * A handler gets a whole request (headers and body read, within bounds) and returns a whole response. Everything a peer can do wrong is
 * bounded here: sizes, times, connections, and the bytes of responses that slow readers have not taken yet.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TlsPair } from './tlsFiles.js';

export interface HttpRequest {
  method: string;
  /** Path without the query, as sent. */
  path: string;
  /** Text after `?`, undecoded; empty when there is none. */
  query: string;
  /** Content-Type in lower case without parameters; empty when there is none. */
  contentType: string;
  /** Address of the peer, without port. */
  peer: string;
  body: Buffer;
}

export interface HttpResponse {
  status: number;
  contentType: string;
  body: string;
  headers?: Record<string, string>;
}

export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

/** What a server holds at this moment. */
export interface HttpLoad {
  connections: number;
  /** Bytes of responses that peers have not taken yet. */
  pendingBytes: number;
}

/** A listening server. */
export interface HttpServer {
  /** The port it listens on. */
  readonly port: number;
  load(): HttpLoad;
  /** New connections get this certificate; those that are open keep theirs. Throws when it cannot be used: then nothing changes. */
  setTls(tls: TlsPair): void;
  /** Stops listening, lets open requests end for `timeoutMs`, then cuts them. */
  close(timeoutMs: number): Promise<void>;
  /** Stops listening and cuts everything before it returns, for the end of a thread. */
  cut(): void;
}

/** Bounds of one server. */
export interface HttpLimits {
  /** Request line and headers, bytes. */
  headerBytesMax: number;
  bodyBytesMax: number;
  /** Time for the headers, and for the whole request, ms. */
  headersTimeoutMs: number;
  requestTimeoutMs: number;
  /** A connection without any progress for this long is cut, ms. Also how long a kept connection may idle. */
  idleTimeoutMs: number;
  connectionsMax: number;
  /** Response bytes that peers have not taken yet, of all connections; past it requests are answered 503. */
  pendingBytesMax: number;
}

export const HTTP_LIMITS: HttpLimits = {
  headerBytesMax: 16 * 1024,
  bodyBytesMax: 64 * 1024,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 15_000,
  idleTimeoutMs: 15_000,
  connectionsMax: 256,
  // The largest answer is some 20,000 extents of about 100 bytes: 2 MiB. Thirty slow readers of those.
  pendingBytesMax: 64 * 1024 * 1024,
};

export interface ListenOptions {
  address: string;
  /** 0: any free one. */
  port: number;
  limits: HttpLimits;
  handler: HttpHandler;
  /** Speaks TLS with this certificate; without it plain HTTP. */
  tls?: TlsPair;
  /** Whether this peer may connect; asked for every connection and every request. Absent: everybody. */
  admits?(peer: string): boolean;
  /** Told of each connection or request that was refused for it. */
  onRefused?(peer: string): void;
}

/** Starts listening with node:http. Rejects with the system's error when the address cannot be had. */
export async function listenHttp(options: ListenOptions): Promise<HttpServer> {
  const server = new NodeHttpServer(options);
  await server.listen();
  return server;
}

class NodeHttpServer implements HttpServer {
  port = 0;
  readonly #options: ListenOptions;
  readonly #server: Server | TlsServer;
  /** The same server when it speaks TLS. */
  readonly #secure: TlsServer | null;
  /** Those too that are not through their TLS handshake, of which the server itself does not know. */
  readonly #sockets = new Set<Socket>();
  #pendingBytes = 0;

  constructor(options: ListenOptions) {
    const { limits, tls } = options;
    this.#options = options;
    const serverOptions = {
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.idleTimeoutMs,
      connectionsCheckingInterval: 1_000,
    };
    // What cannot be sent is a defect of ours, and costs its own connection only.
    const onRequest = (incoming: IncomingMessage, outgoing: ServerResponse): void =>
      void this.#serve(incoming, outgoing).catch(() => outgoing.destroy());
    this.#secure =
      tls === undefined ? null : createTlsServer({ ...serverOptions, ...tlsOptions(tls, limits) }, onRequest);
    this.#server = this.#secure ?? createServer(serverOptions, onRequest);
    this.#server.maxConnections = limits.connectionsMax;
    this.#server.setTimeout(limits.idleTimeoutMs, (socket) => socket.destroy());
    // Before a TLS handshake: who is not admitted learns nothing and costs nothing.
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      if (!admitted(options, peerOf(socket))) socket.destroy();
    });
  }

  async listen(): Promise<void> {
    const server = this.#server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#options.port, this.#options.address, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.port = (server.address() as AddressInfo).port;
  }

  load(): HttpLoad {
    return { connections: this.#sockets.size, pendingBytes: this.#pendingBytes };
  }

  setTls(tls: TlsPair): void {
    this.#secure?.setSecureContext({ cert: tls.cert, key: tls.key });
  }

  close(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.cut(), timeoutMs);
      this.#server.close(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  cut(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { limits, handler } = this.#options;
    // A peer that goes away makes either side emit an error; the connection is closed by then.
    incoming.on('error', () => {});
    outgoing.on('error', () => {});
    if (!admitted(this.#options, peerOf(incoming.socket))) {
      outgoing.setHeader('Connection', 'close');
      send(outgoing, plain(403, 'Forbidden'));
      return;
    }
    const body = await readBody(incoming, limits.bodyBytesMax);
    if (body === 'gone') return;
    if (body === 'tooLong') {
      outgoing.setHeader('Connection', 'close');
      send(outgoing, plain(413, 'request body too long'));
      return;
    }
    if (this.#pendingBytes > limits.pendingBytesMax) {
      send(outgoing, plain(503, 'too many responses in flight'));
      return;
    }
    const response = await answer(handler, requestOf(incoming, body));
    const bytes = Buffer.byteLength(response.body);
    this.#pendingBytes += bytes;
    // 'close' comes exactly once, after the last byte was taken or the connection was lost; not at all when it is lost already.
    if (outgoing.destroyed) this.#pendingBytes -= bytes;
    else outgoing.once('close', () => (this.#pendingBytes -= bytes));
    send(outgoing, response);
  }
}

function tlsOptions(
  tls: TlsPair,
  limits: HttpLimits,
): { cert: Buffer; key: Buffer; handshakeTimeout: number } {
  return { cert: tls.cert, key: tls.key, handshakeTimeout: limits.headersTimeoutMs };
}

/** Whether a peer may go on; tells of one that may not. */
export function admitted(options: Pick<ListenOptions, 'admits' | 'onRefused'>, peer: string): boolean {
  if (options.admits === undefined || options.admits(peer)) return true;
  options.onRefused?.(peer);
  return false;
}

/** An IPv4 address that came over an IPv6 socket is shown as the IPv4 address it is. */
function peerOf(socket: Socket): string {
  return (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
}

function requestOf(incoming: IncomingMessage, body: Buffer): HttpRequest {
  const target = incoming.url ?? '/';
  const mark = target.indexOf('?');
  return {
    method: incoming.method ?? 'GET',
    path: mark === -1 ? target : target.slice(0, mark),
    query: mark === -1 ? '' : target.slice(mark + 1),
    contentType: mediaType(incoming.headers['content-type'] ?? ''),
    peer: peerOf(incoming.socket),
    body,
  };
}

/** A Content-Type in lower case without its parameters. */
export function mediaType(contentType: string): string {
  return contentType.split(';', 1)[0]!.trim().toLowerCase();
}

/** Reads a request's body whole. `gone`: the connection ended first. */
function readBody(incoming: IncomingMessage, bytesMax: number): Promise<Buffer | 'tooLong' | 'gone'> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    incoming.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= bytesMax) {
        chunks.push(chunk);
        return;
      }
      incoming.pause();
      resolve('tooLong');
    });
    incoming.on('end', () => resolve(Buffer.concat(chunks, bytes)));
    incoming.on('close', () => resolve('gone'));
  });
}

/** A handler that throws is a defect of ours; the peer gets a 500 and the server goes on. */
export async function answer(handler: HttpHandler, request: HttpRequest): Promise<HttpResponse> {
  try {
    return await handler(request);
  } catch (error) {
    return plain(500, `internal error: ${(error as Error).message}`);
  }
}

function send(outgoing: ServerResponse, response: HttpResponse): void {
  outgoing.writeHead(response.status, {
    ...response.headers,
    'Content-Type': response.contentType,
    'Content-Length': Buffer.byteLength(response.body),
  });
  outgoing.end(response.body);
}

/** A response of one line of text. */
export function plain(status: number, text: string): HttpResponse {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${text}\n` };
}
