/**
 * The HTTP server interface with uWebSockets.js. Same bounds as node:http; runs on the HTTP thread.
 *
 * What is different here, because the library answers or acts before a handler is asked (`docs/http.md`, each with a test):
 * - HTTP/1.0, bytes that are not HTTP, and targets that are no path (`*`, `http://...`) are answered 505, with an HTML body.
 * - A request without Host, and one with more than about 100 headers, get no answer: the connection is closed after some 10 s.
 * - A request that comes before the response to the one before it (pipelining) closes the connection.
 * - Silent and idle connections, and bodies slower than 16 KB/s, are cut after 8 to 12 s, whatever `limits` say.
 * - A response to HEAD closes the connection: it could pile up unread, and its bytes cannot be counted.
 *
 * The one rule of its life: a thread that ends while an app is open aborts the process. So `cut` may be called at any time and leaves nothing open.
 */
import assert from 'node:assert';
import { STATUS_CODES } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import {
  admitted,
  answer,
  type HttpLoad,
  type HttpRequest,
  type HttpResponse,
  type HttpServer,
  type ListenOptions,
  mediaType,
  plain,
} from './httpServer.js';
import type { TlsPair } from './tlsFiles.js';
import type { Uws, UwsApp, UwsListenSocket, UwsRequest, UwsResponse } from './uwsAddon.js';

/** A port that was free may be taken by another process before we have it. */
const FREE_PORT_ATTEMPTS = 20;

/** One request, until its response was taken or its connection was lost. */
interface Exchange {
  readonly response: UwsResponse;
  readonly isHead: boolean;
  /** `response` may not be used any more. */
  over: boolean;
  /** Body of the response that counts as pending, bytes. */
  bytes: number;
  /** The connection is cut then, in ms of the monotonic clock. */
  deadlineMs: number;
}

interface Listening {
  app: UwsApp;
  socket: UwsListenSocket;
}

/** Starts listening with uWebSockets.js. Rejects with the system's error when the address cannot be had. */
export async function listenUws(uws: Uws, options: ListenOptions): Promise<HttpServer> {
  for (let attempt = 1; ; attempt++) {
    // Its listener on "any" port would lack SO_REUSEADDR, and could not be followed by another one at a change of the certificate.
    const port = options.port === 0 ? await tryPort(options.address, 0) : options.port;
    const server = UwsServer.listen(uws, options, port);
    if (server !== null) return server;
    // The library keeps the reason to itself; node:net tells it.
    if (options.port !== 0) await tryPort(options.address, port);
    if (attempt === FREE_PORT_ATTEMPTS) throw new Error(`cannot listen on ${options.address}:${port}`);
  }
}

/** Listens with node:net and stops again: gives the port, or the system's error. */
function tryPort(address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(port, address, () => {
      const bound = (server.address() as AddressInfo).port;
      server.close(() => resolve(bound));
    });
  });
}

class UwsServer implements HttpServer {
  readonly port: number;
  readonly #uws: Uws;
  readonly #options: ListenOptions;
  readonly #exchanges = new Set<Exchange>();
  readonly #sweep: NodeJS.Timeout;
  #listening: Listening | null = null;
  /** Has the certificate before: serves the connections that it has accepted, for a while. */
  #former: UwsApp | null = null;
  #formerTimer: NodeJS.Timeout | undefined;
  #connections = 0;
  #pendingBytes = 0;
  #whenIdle: (() => void) | null = null;

  /** Null: the address cannot be had. */
  static listen(uws: Uws, options: ListenOptions, port: number): UwsServer | null {
    const server = new UwsServer(uws, options, port);
    server.#listening = server.#listen(options.tls);
    if (server.#listening !== null) return server;
    server.cut();
    return null;
  }

  private constructor(uws: Uws, options: ListenOptions, port: number) {
    this.#uws = uws;
    this.#options = options;
    this.port = port;
    const { idleTimeoutMs, requestTimeoutMs } = options.limits;
    const everyMs = Math.min(1_000, Math.max(10, Math.min(idleTimeoutMs, requestTimeoutMs) / 4));
    this.#sweep = setInterval(() => this.#cutLate(), everyMs);
  }

  load(): HttpLoad {
    return { connections: this.#connections, pendingBytes: this.#pendingBytes };
  }

  setTls(tls: TlsPair): void {
    assert(this.#options.tls !== undefined, 'TLS was not configured');
    const before = this.#listening;
    if (before === null) return;
    const app = this.#newApp(tls);
    // Both in one tick: whoever connects meanwhile waits in the kernel for the next moment, or has to connect again.
    this.#uws.us_listen_socket_close(before.socket);
    const listening = this.#open(app);
    this.#listening = listening ?? this.#open(before.app);
    if (listening === null) {
      app.close();
      throw new Error(`cannot listen on ${this.#options.address}:${this.port} again`);
    }
    this.#endFormer();
    this.#former = before.app;
    this.#formerTimer = setTimeout(() => this.#endFormer(), this.#options.limits.idleTimeoutMs).unref();
  }

  close(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.cut();
        resolve();
      };
      const timer = setTimeout(end, timeoutMs);
      if (this.#listening !== null) this.#uws.us_listen_socket_close(this.#listening.socket);
      // Never inside a callback of the library, which still holds the connection.
      this.#whenIdle = () => setImmediate(end);
      if (this.#exchanges.size === 0) end();
    });
  }

  cut(): void {
    clearInterval(this.#sweep);
    this.#endFormer();
    const listening = this.#listening;
    this.#listening = null;
    listening?.app.close();
  }

  #endFormer(): void {
    clearTimeout(this.#formerTimer);
    this.#former?.close();
    this.#former = null;
  }

  #listen(tls: TlsPair | undefined): Listening | null {
    const app = this.#newApp(tls);
    const listening = this.#open(app);
    if (listening === null) app.close();
    return listening;
  }

  #newApp(tls: TlsPair | undefined): UwsApp {
    const app =
      tls === undefined
        ? this.#uws.App()
        : this.#uws.SSLApp({ cert_file_name: tls.certFile, key_file_name: tls.keyFile });
    app.filter((response, change) => this.#connectionChanged(response, change));
    return app.any('/*', (response, request) => this.#begin(response, request));
  }

  /** Exclusive: with SO_REUSEPORT, its default, a second node would share the port and nobody would notice. */
  #open(app: UwsApp): Listening | null {
    let listening: Listening | null = null;
    app.listen(this.#options.address, this.port, this.#uws.LIBUS_LISTEN_EXCLUSIVE_PORT, (socket) => {
      if (socket !== false) listening = { app, socket };
    });
    return listening;
  }

  /** For TLS it comes before the handshake. A connection that is closed in here comes back with -1 at once. */
  #connectionChanged(response: UwsResponse, change: number): void {
    this.#connections += change;
    if (change < 0) return;
    if (this.#connections > this.#options.limits.connectionsMax) response.close();
    else if (!admitted(this.#options, addressText(response.getRemoteAddress()))) response.close();
  }

  #begin(response: UwsResponse, incoming: UwsRequest): void {
    const { limits } = this.#options;
    const method = incoming.getCaseSensitiveMethod();
    const exchange: Exchange = {
      response,
      isHead: method === 'HEAD',
      over: false,
      bytes: 0,
      deadlineMs: performance.now() + limits.requestTimeoutMs,
    };
    this.#exchanges.add(exchange);
    response.onAborted(() => this.#end(exchange));
    const head = {
      method,
      path: incoming.getUrl(),
      query: incoming.getQuery() ?? '',
      contentType: mediaType(incoming.getHeader('content-type')),
      peer: addressText(response.getRemoteAddress()),
    };
    if (!admitted(this.#options, head.peer)) {
      this.#refuse(exchange, 403, 'Forbidden');
    } else if (headBytes(incoming, head.path, head.query) > limits.headerBytesMax) {
      this.#refuse(exchange, 431, 'request header too large');
    } else {
      this.#receive(exchange, head);
    }
  }

  #receive(exchange: Exchange, head: Omit<HttpRequest, 'body'>): void {
    const { limits } = this.#options;
    const chunks: Buffer[] = [];
    let bytes = 0;
    exchange.response.onData((chunk, isLast) => {
      if (exchange.over) return;
      bytes += chunk.byteLength;
      if (bytes > limits.bodyBytesMax) {
        this.#refuse(exchange, 413, 'request body too long');
        return;
      }
      // A copy: the chunk's memory is the library's.
      if (chunk.byteLength > 0) chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (!isLast) return;
      // What cannot be sent is a defect of ours, and costs its own connection only.
      this.#serve(exchange, { ...head, body: Buffer.concat(chunks, bytes) }).catch(() => {
        if (!exchange.over) exchange.response.close();
      });
    });
  }

  async #serve(exchange: Exchange, request: HttpRequest): Promise<void> {
    if (this.#pendingBytes > this.#options.limits.pendingBytesMax) {
      this.#send(exchange, plain(503, 'too many responses in flight'));
      return;
    }
    this.#progress(exchange);
    const response = await answer(this.#options.handler, request);
    if (!exchange.over) this.#send(exchange, response);
  }

  #send(exchange: Exchange, response: HttpResponse): void {
    const body = Buffer.from(response.body);
    const { response: outgoing } = exchange;
    exchange.bytes = body.length;
    this.#pendingBytes += body.length;
    this.#progress(exchange);
    outgoing.cork(() => {
      writeHead(outgoing, response);
      if (exchange.isHead) {
        outgoing.writeHeader('Connection', 'close').tryEnd('', body.length);
      } else if (body.length === 0) {
        outgoing.end('', true);
        this.#end(exchange);
      } else if (outgoing.tryEnd(body, body.length)[1]) {
        this.#end(exchange);
      } else {
        outgoing.onWritable((offset) => this.#sendMore(exchange, body, offset));
      }
    });
    // To the library the body is still to come. At the next turn the head is with the kernel, unless a reader takes nothing.
    if (exchange.isHead) setImmediate(() => exchange.over || outgoing.close());
  }

  #sendMore(exchange: Exchange, body: Buffer, offset: number): boolean {
    if (exchange.over) return true;
    this.#progress(exchange);
    const [took, complete] = exchange.response.tryEnd(body.subarray(offset), body.length);
    if (complete) this.#end(exchange);
    return took;
  }

  /** A short answer, after which the connection is closed, whatever else the peer is sending. */
  #refuse(exchange: Exchange, status: number, text: string): void {
    const response = plain(status, text);
    exchange.response.cork(() => {
      writeHead(exchange.response, response);
      exchange.response.end(response.body, true);
    });
    this.#end(exchange);
  }

  #progress(exchange: Exchange): void {
    exchange.deadlineMs = performance.now() + this.#options.limits.idleTimeoutMs;
  }

  /** May be called more than once. */
  #end(exchange: Exchange): void {
    exchange.over = true;
    this.#pendingBytes -= exchange.bytes;
    exchange.bytes = 0;
    this.#exchanges.delete(exchange);
    if (this.#exchanges.size === 0) this.#whenIdle?.();
  }

  /** Closing calls `onAborted`, which ends the exchange. */
  #cutLate(): void {
    const nowMs = performance.now();
    for (const exchange of [...this.#exchanges]) {
      if (!exchange.over && nowMs > exchange.deadlineMs) exchange.response.close();
    }
  }
}

function writeHead(outgoing: UwsResponse, response: HttpResponse): void {
  outgoing.writeStatus(`${response.status} ${STATUS_CODES[response.status] ?? 'Unknown'}`);
  for (const [name, value] of Object.entries(response.headers ?? {})) outgoing.writeHeader(name, value);
  outgoing.writeHeader('Content-Type', response.contentType);
}

/** Request line and headers, about as they came. */
function headBytes(request: UwsRequest, path: string, query: string): number {
  let bytes = path.length + query.length;
  request.forEach((name, value) => {
    bytes += name.length + value.length + 4;
  });
  return bytes;
}

/** An address of 4 or 16 bytes as text; IPv4 over an IPv6 socket as the IPv4 address it is. */
export function addressText(address: ArrayBuffer): string {
  const bytes = Buffer.from(address);
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.length !== 16) return '';
  if (bytes.subarray(0, 12).equals(MAPPED)) return bytes.subarray(12).join('.');
  return Array.from({ length: 8 }, (_, group) => bytes.readUInt16BE(2 * group).toString(16)).join(':');
}

const MAPPED = Buffer.from('00000000000000000000ffff', 'hex');
