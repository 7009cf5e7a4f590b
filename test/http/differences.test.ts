/**
 * Where the two servers differ in what a client sees. `docs/http.md` has the same list; a difference that is not in it is a defect.
 */
import t, { type Test } from 'tap';
import { HTTP_LIMITS, type HttpHandler, type HttpServer } from '../../src/http/httpServer.js';
import { openSocket, untilClosed, untilText } from './client.js';
import { onEachServer, type ServerKind } from './servers.js';

const HOST = 'Host: x\r\n\r\n';

/** Answers what it was asked, after 100 ms where the path says so. */
const echo: HttpHandler = async ({ method, path, query }) => {
  if (path === '/slow') await new Promise((resolve) => setTimeout(resolve, 100));
  return { status: 200, contentType: 'text/plain; charset=utf-8', body: `${method} ${path} ${query}` };
};

async function start(test: Test, kind: ServerKind): Promise<HttpServer> {
  const server = await kind.listen({ address: '127.0.0.1', port: 0, limits: HTTP_LIMITS, handler: echo });
  test.teardown(() => server.close(0));
  return server;
}

/** Says `text` on a connection of its own; what comes back until it is closed. */
function say(test: Test, port: number, text: string): Promise<string> {
  const socket = openSocket(test, port);
  const answer = untilClosed(socket);
  socket.write(text);
  return answer;
}

t.test(
  'what is the same: status line, type, length, method and query as sent, close when asked for',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server);
    for (const method of ['GET', 'PUT', 'OPTIONS', 'PROPFIND']) {
      const text = await say(t, port, `${method} /a%20b?x=%31&y HTTP/1.1\r\nConnection: close\r\n${HOST}`);
      t.match(text, /^HTTP\/1\.1 200 OK\r\n/, method);
      t.match(text, /\r\nContent-Type: text\/plain; charset=utf-8\r\n/);
      t.match(text, /\r\nDate: /);
      const body = `${method} /a%20b x=%31&y`;
      t.match(text, new RegExp(`\\r\\nContent-Length: ${body.length}\\r\\n`));
      t.equal(text.slice(text.indexOf('\r\n\r\n') + 4), body);
    }
  }),
);

t.test(
  'HEAD has the length and no body; uWebSockets.js closes the connection after it',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server);
    const request = `HEAD /a HTTP/1.1\r\n${HOST}`;
    const expected = /^HTTP\/1\.1 200 OK\r\n(.*\r\n)*Content-Length: 8\r\n(.*\r\n)*\r\n$/;
    if (server.choice === 'uws') {
      const startedMs = performance.now();
      const text = await say(t, port, request);
      t.ok(performance.now() - startedMs < 5_000, 'at once, not after the time for idle connections');
      t.match(text, expected);
      t.match(text, /\r\nConnection: close\r\n/);
      return;
    }
    const socket = openSocket(t, port);
    const head = untilText(socket, /\r\n\r\n/);
    socket.write(request);
    t.match(await head, expected);
    const next = untilText(socket, /GET \/b/);
    socket.write(`GET /b HTTP/1.1\r\n${HOST}`);
    await next;
  }),
);

t.test(
  'HTTP/1.0 and targets that are no path: answered by node:http, 505 from uWebSockets.js',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server);
    for (const request of [
      'GET /a HTTP/1.0\r\n\r\n',
      `OPTIONS * HTTP/1.1\r\nConnection: close\r\n${HOST}`,
      `GET http://x/a HTTP/1.1\r\nConnection: close\r\n${HOST}`,
    ]) {
      const status = server.choice === 'uws' ? 505 : 200;
      t.match(await say(t, port, request), new RegExp(`^HTTP/1\\.1 ${status} `), request);
    }
  }),
);

t.test(
  'methods that nobody has registered: 400 from node:http, uWebSockets.js takes any word',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server);
    const text = await say(t, port, `FOO /a HTTP/1.1\r\nConnection: close\r\n${HOST}`);
    t.match(text, server.choice === 'uws' ? /^HTTP\/1\.1 200 .*FOO \/a $/s : /^HTTP\/1\.1 400 /);
  }),
);

t.test(
  'no Host, and very many headers: 400 and an answer from node:http, a close after a while from uWebSockets.js',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server);
    const many = `GET /a HTTP/1.1\r\nConnection: close\r\n${'X: y\r\n'.repeat(200)}${HOST}`;
    const [noHost, headers] = await Promise.all([
      say(t, port, 'GET /a HTTP/1.1\r\n\r\n'),
      say(t, port, many),
    ]);
    if (server.choice === 'uws') {
      t.strictSame([noHost, headers], ['', '']);
      return;
    }
    t.match(noHost, /^HTTP\/1\.1 400 /);
    t.match(headers, /^HTTP\/1\.1 200 /);
  }),
);

t.test(
  'what is the same: a client that closes its half before the answer gets none',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server);
    const socket = openSocket(t, port);
    const text = untilClosed(socket);
    socket.end(`GET /slow HTTP/1.1\r\nConnection: close\r\n${HOST}`);
    t.equal(await text, '');
  }),
);

t.test(
  'requests in one go: node:http answers each in order, uWebSockets.js closes at the second',
  onEachServer(async (t, server) => {
    const { port } = await start(t, server);
    const three = `GET /slow HTTP/1.1\r\n${HOST}GET /2 HTTP/1.1\r\n${HOST}GET /3 HTTP/1.1\r\nConnection: close\r\n${HOST}`;
    const bodies = [...(await say(t, port, three)).matchAll(/GET \/\w+/g)].map(String);
    t.strictSame(bodies, server.choice === 'uws' ? [] : ['GET /slow', 'GET /2', 'GET /3']);
  }),
);
