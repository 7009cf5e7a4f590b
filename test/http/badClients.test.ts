/** Clients of the HTTP port that are slow, silent, greedy or wrong: others are served, and a close ends in time. */
import t, { type Test } from 'tap';
import { HTTP_LIMITS, type HttpHandler, type HttpServer } from '../../src/http/httpServer.js';
import { fetchText, openSocket, untilClosed } from './client.js';
import { onEachServer, type ServerKind } from './servers.js';

async function start(
  test: Test,
  kind: ServerKind,
  handler: HttpHandler,
  change: Partial<typeof HTTP_LIMITS> = {},
): Promise<HttpServer> {
  const server = await kind.listen({
    address: '127.0.0.1',
    port: 0,
    limits: { ...HTTP_LIMITS, ...change },
    handler,
  });
  test.teardown(() => server.close(0));
  return server;
}

const ok: HttpHandler = () => ({ status: 200, contentType: 'text/plain', body: 'fine' });

t.test(
  'half a request line, half a header and half a body do not keep others waiting',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, ok);
    for (const text of [
      'G',
      'GET / HTTP/1.1\r\nHo',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc',
    ]) {
      openSocket(t, port).write(text);
    }
    t.equal((await fetchText(port, '/')).text, 'fine');
  }),
);

t.test(
  'a silent connection is cut after the idle time',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, ok, { idleTimeoutMs: 50 });
    // uWebSockets.js has its own time for it: 8 to 12 s.
    t.equal(await untilClosed(openSocket(t, port)), '');
  }),
);

t.test(
  'a header that is too large is refused',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, ok);
    const socket = openSocket(t, port);
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(HTTP_LIMITS.headerBytesMax)}\r\n\r\n`);
    t.match(await untilClosed(socket), /^HTTP\/1\.1 431 /);
  }),
);

t.test(
  'a body that is too large is refused and not kept',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, ok, { bodyBytesMax: 1000 });
    const socket = openSocket(t, port);
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n${'y'.repeat(2000)}`);
    t.match(await untilClosed(socket), /^HTTP\/1\.1 413 /);
  }),
);

t.test(
  'bytes that are not HTTP get a 400 (uWebSockets.js: a 505) and a close',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, ok);
    const socket = openSocket(t, port);
    socket.write(Buffer.from('ff000100000000000000', 'hex'));
    t.match(await untilClosed(socket), server.choice === 'uws' ? /^HTTP\/1\.1 505 / : /^HTTP\/1\.1 400 /);
  }),
);

t.test(
  'connections past the limit are dropped, the others stay',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, ok, { connectionsMax: 3 });
    const kept = openSocket(t, port);
    kept.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => kept.once('data', resolve));
    openSocket(t, port).write('G');
    openSocket(t, port).write('G');
    const sockets = Array.from({ length: 5 }, () => openSocket(t, port));
    await Promise.any(sockets.map(untilClosed));
    kept.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const answer = await new Promise<Buffer>((resolve) => kept.once('data', resolve));
    t.match(answer.toString(), /fine/);
  }),
);

t.test(
  'readers that take nothing hold a bounded number of response bytes; then 503, and they are cut',
  onEachServer(async (t, server) => {
    const big = 'x'.repeat(8 * 1024 * 1024);
    const handler: HttpHandler = (request) => ({
      status: 200,
      contentType: 'text/plain',
      body: request.path === '/big' ? big : 'fine',
    });
    const { port } = await start(t, server, handler, {
      pendingBytesMax: 12 * 1024 * 1024,
      idleTimeoutMs: 1_000,
    });
    const slow = Array.from({ length: 2 }, () => openSocket(t, port));
    for (const socket of slow) {
      socket.pause();
      socket.write('GET /big HTTP/1.1\r\nHost: x\r\n\r\n');
    }
    let refused = false;
    for (let attempt = 0; attempt < 200 && !refused; attempt++) {
      refused = (await fetchText(port, '/')).status === 503;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    t.ok(refused, 'requests are refused while too much is pending');
    let served = false;
    for (let attempt = 0; attempt < 400 && !served; attempt++) {
      served = (await fetchText(port, '/')).status === 200;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    t.ok(served, 'the slow readers were cut and their bytes given back');
  }),
);

t.test(
  'a handler that throws is a 500, and the server goes on',
  onEachServer(async (t, server) => {
    let first = true;
    const { port } = await start(t, server, () => {
      if (!first) return { status: 200, contentType: 'text/plain', body: 'fine' };
      first = false;
      throw new Error('a defect');
    });
    t.strictSame(await fetchText(port, '/'), {
      status: 500,
      contentType: 'text/plain; charset=utf-8',
      text: 'internal error: a defect\n',
    });
    t.equal((await fetchText(port, '/')).text, 'fine');
  }),
);

t.test(
  'a request that nobody answers is cut after the idle time',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server, () => new Promise(() => {}), { idleTimeoutMs: 200 });
    const socket = openSocket(t, port);
    const text = untilClosed(socket);
    const startedMs = performance.now();
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    t.equal(await text, '');
    t.ok(performance.now() - startedMs >= 150, 'not before');
  }),
);

t.test(
  'close ends in time although a request never ends',
  onEachServer(async (t, server) => {
    let asked = (): void => {};
    const arrived = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const listening = await start(t, server, () => {
      asked();
      return new Promise(() => {});
    });
    const socket = openSocket(t, listening.port);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await arrived;
    const closed = untilClosed(socket);
    await listening.close(20);
    t.equal(await closed, '');
  }),
);
