/**
 * Slow, rude and greedy clients, on both servers: what they cost is bounded and given back, and nobody else notices (`pains.md` 27). Where they
 * differ is in `differences.test.ts`.
 */
import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import {
  HTTP_LIMITS,
  type HttpHandler,
  type HttpLimits,
  type HttpServer,
} from '../../src/http/httpServer.js';
import { until } from '../support/until.js';
import { fetchText, openSocket, untilClosed, untilText } from './client.js';
import { onEachServer, type ServerKind } from './servers.js';

const HOST = 'Host: x\r\n\r\n';
const MiB = 1024 ** 2;

async function start(
  test: Test,
  kind: ServerKind,
  handler: HttpHandler,
  change: Partial<HttpLimits> = {},
): Promise<HttpServer> {
  const limits = { ...HTTP_LIMITS, ...change };
  const server = await kind.listen({ address: '127.0.0.1', port: 0, limits, handler });
  test.teardown(() => server.close(0));
  return server;
}

const big = 'x'.repeat(8 * MiB);

/** Bodies by path; all after a turn of the event loop, as those of the debug API are. */
const pages: HttpHandler = async ({ path, body }) => {
  await new Promise((resolve) => setImmediate(resolve));
  const text = path === '/big' ? big : path === '/echo' ? String(body.length) : `page ${path}`;
  return { status: 200, contentType: 'text/plain', body: text };
};

/** Says one byte after the other, until the connection is closed. Resolves with what was answered. */
async function dribble(socket: Socket, first: string, rest: string, everyMs: number): Promise<string> {
  socket.write(first);
  let sent = 0;
  const timer = setInterval(() => socket.write(rest[sent++ % rest.length]!), everyMs);
  const text = await untilClosed(socket);
  clearInterval(timer);
  return text;
}

t.test(
  'pains 27: clients that never finish a header or a body are cut, and others are served meanwhile',
  onEachServer(async (t, server) => {
    const listening = await start(t, server, pages, { headersTimeoutMs: 1_000, requestTimeoutMs: 1_500 });
    const { port } = listening;
    const cut = [
      ...Array.from({ length: 20 }, () => dribble(openSocket(t, port), 'GET /a HTTP/1.1\r\nX: ', 'y', 100)),
      ...Array.from({ length: 20 }, () =>
        dribble(openSocket(t, port), `POST /a HTTP/1.1\r\nContent-Length: 5000\r\n${HOST}`, 'y', 100),
      ),
      dribble(
        openSocket(t, port),
        `POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${HOST}`,
        '1\r\na\r\n',
        50,
      ),
    ];
    let open = true;
    const all = Promise.all(cut).then((answers) => {
      open = false;
      return answers;
    });
    let served = 0;
    while (open) {
      t.equal((await fetchText(port, '/b')).text, 'page /b');
      served++;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    t.ok(served > 1, `${served} served`);
    for (const text of await all) t.match(text, /^(HTTP\/1\.1 408 |$)/);
    await until('nothing is left of them', () => listening.load().connections === 0);
  }),
);

t.test(
  'a reader that is slow gets every byte of a long answer',
  onEachServer(async (t, server) => {
    const listening = await start(t, server, pages);
    const socket = openSocket(t, listening.port);
    socket.pause();
    socket.write(`GET /big HTTP/1.1\r\nConnection: close\r\n${HOST}`);
    await until('the answer waits for its reader', () => listening.load().pendingBytes > 0);
    const hash = createHash('sha256');
    let bytes = 0;
    let headEnd = -1;
    socket.on('data', (chunk) => {
      if (headEnd === -1) {
        headEnd = chunk.indexOf('\r\n\r\n');
        t.match(chunk.toString('latin1', 0, headEnd), new RegExp(`^content-length: ${big.length}$`, 'im'));
        chunk = chunk.subarray(headEnd + 4);
      }
      bytes += chunk.length;
      hash.update(chunk);
      socket.pause();
      setImmediate(() => socket.resume());
    });
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    t.equal(bytes, big.length);
    t.equal(hash.digest('hex'), createHash('sha256').update(big).digest('hex'));
    await until('nothing is pending', () => listening.load().pendingBytes === 0);
  }),
);

t.test(
  'a client that goes away in the middle of an answer or of the work for it gives everything back',
  onEachServer(async (t, server) => {
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    let asked = 0;
    const handler: HttpHandler = async (request) => {
      asked++;
      if (request.path === '/wait') await released;
      return pages(request);
    };
    const listening = await start(t, server, handler, { pendingBytesMax: 1024 * MiB });
    const sockets = Array.from({ length: 30 }, (_, index) => {
      const socket = openSocket(t, listening.port);
      socket.pause();
      socket.write(`GET ${index % 2 === 0 ? '/big' : '/wait'} HTTP/1.1\r\n${HOST}`);
      return socket;
    });
    await until('all were asked', () => asked === sockets.length);
    await until('answers wait for their readers', () => listening.load().pendingBytes > 0);
    for (const socket of sockets) socket.resetAndDestroy();
    await until('all connections are gone', () => listening.load().connections === 0);
    release();
    await until('nothing is pending', () => listening.load().pendingBytes === 0);
    t.equal((await fetchText(listening.port, '/after')).text, 'page /after');
  }),
);

t.test(
  'ten thousand requests leave nothing behind',
  onEachServer(async (t, server) => {
    const listening = await start(t, server, pages);
    const { port } = listening;
    const agent = new Agent({ keepAlive: true, maxSockets: 16 });
    const body = 'y'.repeat(500);
    const one = (): Promise<void> =>
      new Promise((resolve, reject) => {
        const options = { host: '127.0.0.1', port, path: '/echo', method: 'POST', agent };
        const outgoing = request({ ...options, headers: { 'Content-Length': body.length } }, (reply) => {
          let text = '';
          reply.on('data', (chunk) => (text += chunk));
          reply.on('end', () => (text === '500' ? resolve() : reject(new Error(text))));
        });
        outgoing.on('error', reject);
        outgoing.end(body);
      });
    let left = 10_000;
    const lane = async (): Promise<void> => {
      while (left-- > 0) await one();
    };
    await Promise.all(Array.from({ length: 16 }, lane));
    t.equal(listening.load().pendingBytes, 0);
    t.ok(listening.load().connections <= 16);
    agent.destroy();
    await until('the connections are gone', () => listening.load().connections === 0);
  }),
);

t.test(
  'a body in chunks that is too long is refused, as is one with a wrong length',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, pages, { bodyBytesMax: 10_000 });
    const chunked = openSocket(t, port);
    const refused = untilClosed(chunked);
    chunked.write(`POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${HOST}`);
    for (let chunk = 0; chunk < 20; chunk++) chunked.write(`3e8\r\n${'y'.repeat(1000)}\r\n`);
    t.match(await refused, /^HTTP\/1\.1 413 /);
    for (const headers of [
      'Content-Length: -4\r\n',
      'Content-Length: 99999999999999999999999\r\n',
      'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n',
    ]) {
      const socket = openSocket(t, port);
      const text = untilClosed(socket);
      socket.write(`POST /echo HTTP/1.1\r\n${headers}${HOST}`);
      t.match(await text, /^HTTP\/1\.1 (400|413) /, headers);
    }
    t.equal((await fetchText(port, '/echo', { method: 'POST', body: 'y'.repeat(10_000) })).text, '10000');
  }),
);

t.test(
  'a header up to the limit is taken in pieces too; one beyond it is not',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, pages);
    for (const [bytes, status] of [
      [12_000, 200],
      [20_000, 431],
    ] as const) {
      for (const pieces of [1, 4]) {
        const socket = openSocket(t, port);
        const text = untilText(socket, /\r\n\r\n/);
        socket.write('GET /a HTTP/1.1\r\nConnection: close\r\n');
        for (let piece = 0; piece < pieces; piece++) {
          socket.write(`X-${piece}: ${'y'.repeat(bytes / pieces)}\r\n`);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        socket.write(HOST);
        t.match(await text, new RegExp(`^HTTP/1\\.1 ${status} `), `${bytes} bytes in ${pieces} pieces`);
      }
    }
  }),
);

/** Numbers from a seed: the same requests each time. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

t.test(
  'two thousand damaged requests harm nobody else',
  onEachServer(async (t, server) => {
    const listening = await start(t, server, pages, { idleTimeoutMs: 2_000 });
    const { port } = listening;
    const next = numbers(7);
    const good = [
      `GET /a%20b?x=1 HTTP/1.1\r\nAccept: */*\r\n${HOST}`,
      `POST //echo?q HTTP/1.1\r\nContent-Length: 5\r\n${HOST}hello`,
      `POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n${HOST}5\r\nhello\r\n0\r\n\r\n`,
    ].map((text) => Buffer.from(text));
    const one = async (): Promise<void> => {
      const bytes = Buffer.from(good[next(good.length)]!);
      for (let change = 0; change <= next(4); change++) bytes[next(bytes.length)] = next(256);
      const cut = next(3) === 0 ? next(bytes.length) : bytes.length;
      const socket = openSocket({ teardown: () => {} }, port);
      await new Promise((resolve) => socket.once('connect', resolve));
      socket.write(bytes.subarray(0, cut));
      await new Promise((resolve) => setTimeout(resolve, next(5)));
      if (next(2) === 0) socket.resetAndDestroy();
      else socket.destroy();
    };
    for (let round = 0; round < 100; round++) {
      await Promise.all(Array.from({ length: 20 }, one));
      if (round % 10 === 0) t.equal((await fetchText(port, '/b')).text, 'page /b');
    }
    await until('nothing is left of them', () => listening.load().connections === 0);
    t.equal(listening.load().pendingBytes, 0);
  }),
);
