/**
 * The small HTTP server interface that the debug API and the embedded master are written against, and its implementation with node:http.
 *
 * A handler gets a whole request (headers and body read, within bounds) and returns a whole response. Everything a peer can do wrong is
 * bounded here: sizes, times, connections, and the bytes of responses that slow readers have not taken yet.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

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

/** A listening server. */
export interface HttpServer {
  /** The port it listens on. */
  readonly port: number;
  /** Stops listening, lets open requests end for `timeoutMs`, then cuts them. */
  close(timeoutMs: number): Promise<void>;
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
  /** 0: any free port. */
  port: number;
  limits: HttpLimits;
  handler: HttpHandler;
}

/** Starts listening. Rejects with the system's error when the address cannot be had. */
export async function listenHttp(options: ListenOptions): Promise<HttpServer> {
  const { limits } = options;
  let pendingBytes = 0;
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytesMax,
      headersTimeout: limits.headersTimeoutMs,
      requestTimeout: limits.requestTimeoutMs,
      keepAliveTimeout: limits.idleTimeoutMs,
      connectionsCheckingInterval: 1_000,
    },
    (incoming, outgoing) => void serve(incoming, outgoing),
  );
  server.maxConnections = limits.connectionsMax;
  server.setTimeout(limits.idleTimeoutMs, (socket) => socket.destroy());

  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    // A peer that goes away makes either side emit an error; the connection is closed by then.
    incoming.on('error', () => {});
    outgoing.on('error', () => {});
    const body = await readBody(incoming, limits.bodyBytesMax);
    if (body === 'gone') return;
    if (body === 'tooLong') {
      outgoing.setHeader('Connection', 'close');
      send(outgoing, plain(413, 'request body too long'));
      return;
    }
    if (pendingBytes > limits.pendingBytesMax) {
      send(outgoing, plain(503, 'too many responses in flight'));
      return;
    }
    const response = await answer(options.handler, requestOf(incoming, body));
    const bytes = response.body.length;
    pendingBytes += bytes;
    // 'close' comes exactly once, after the last byte was taken or the connection was lost; not at all when it is lost already.
    if (outgoing.destroyed) pendingBytes -= bytes;
    else outgoing.once('close', () => (pendingBytes -= bytes));
    send(outgoing, response);
  };

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.address, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  return { port, close: (timeoutMs) => closeServer(server, timeoutMs) };
}

function requestOf(incoming: IncomingMessage, body: Buffer): HttpRequest {
  const target = incoming.url ?? '/';
  const mark = target.indexOf('?');
  const contentType = incoming.headers['content-type'] ?? '';
  return {
    method: incoming.method ?? 'GET',
    path: mark === -1 ? target : target.slice(0, mark),
    query: mark === -1 ? '' : target.slice(mark + 1),
    contentType: contentType.split(';', 1)[0]!.trim().toLowerCase(),
    peer: (incoming.socket.remoteAddress ?? '').replace(/^::ffff:/, ''),
    body,
  };
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
async function answer(handler: HttpHandler, request: HttpRequest): Promise<HttpResponse> {
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

function closeServer(server: Server, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), timeoutMs);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
