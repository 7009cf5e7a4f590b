/** The master client over real sockets against masters that misbehave in every way that must not matter. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import t from 'tap';
import { MasterClient } from '../../src/control/masterClient.js';
import { noIPv6 } from '../support/nodeFiles.js';
import { until } from '../support/until.js';

const never = new AbortController().signal;

interface Master {
  host: string;
  requests: { method: string; url: string; headers: IncomingMessage['headers']; body: string }[];
}

/** A master that answers by `reply`. */
async function startMaster(
  test: { teardown(end: () => void): void },
  reply: (response: ServerResponse, count: number) => void,
  address = '127.0.0.1',
): Promise<Master> {
  const requests: Master['requests'] = [];
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      requests.push({ method: request.method!, url: request.url!, headers: request.headers, body });
      reply(response, requests.length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  test.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const host = address.includes(':') ? `[${address}]` : address;
  return { host: `${host}:${(server.address() as AddressInfo).port}`, requests };
}

/** A TCP server that does `onConnection` and nothing else. */
async function startRaw(
  test: { teardown(end: () => void): void },
  onConnection: (socket: Socket) => void,
): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const success = (response: ServerResponse, data = '7'): void => {
  response.end(`{"code":0,"msg":"success","data":${data}}`);
};

t.test("a GET looks like the reference's, with escaped values", async (t) => {
  const master = await startMaster(t, (response) => success(response));
  const client = new MasterClient({ masters: [master.host] });
  const outcome = await client.call(
    { method: 'GET', path: '/dataPartition/get', query: { id: '1', name: 'a b&c=d' } },
    never,
  );
  t.strictSame(outcome, { ok: true, data: 7 });
  t.equal(client.leader, master.host);
  const request = master.requests[0]!;
  t.equal(request.url, '/dataPartition/get?id=1&name=a%20b%26c%3Dd');
  t.match(request.headers, { connection: 'close', 'content-type': 'application/json' });
});

t.test('a POST carries the body and its length; an empty one has length 0', async (t) => {
  const master = await startMaster(t, (response) => success(response, '"200"'));
  const client = new MasterClient({ masters: [master.host] });
  await client.call({ method: 'POST', path: '/dataNode/response', body: '{"ID":"ü"}' }, never);
  await client.call({ method: 'POST', path: '/dataNode/add', query: { addr: '127.0.0.1:1' } }, never);
  t.match(master.requests[0], { method: 'POST', body: '{"ID":"ü"}', headers: { 'content-length': '11' } });
  t.match(master.requests[1], { method: 'POST', body: '', headers: { 'content-length': '0' } });
});

t.test(
  'goes past a refused connection, a 400, garbage and a cut reply, and remembers who answered',
  async (t) => {
    const refused = await startRaw(t, (socket) => socket.destroy());
    const garbage = await startRaw(t, (socket) => socket.end('\u0000\u0001 not http\r\n\r\n'));
    const cut = await startRaw(t, (socket) =>
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"code":0'),
    );
    const candidate = await startMaster(t, (response) => {
      response.statusCode = 400;
      response.end('no leader');
    });
    const good = await startMaster(t, (response) => success(response));
    const masters = [garbage, cut, candidate.host, good.host, refused];
    const client = new MasterClient({ masters });
    t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 7 });
    t.equal(client.leader, good.host);
    t.equal(candidate.requests.length, 1);
    await client.call({ method: 'GET', path: '/admin/getIp' }, never);
    t.equal(candidate.requests.length, 1, 'the second call goes straight to the leader');
    t.equal(good.requests.length, 2);
  },
);

t.test('a master that always answers 403 is asked a bounded number of times', async (t) => {
  const master = await startMaster(t, (response) => {
    response.statusCode = 403;
    response.end('127.0.0.1:1');
  });
  const client = new MasterClient({ masters: [master.host] });
  t.match(await client.call({ method: 'GET', path: '/admin/getIp' }, never), {
    ok: false,
    message: 'no valid master',
  });
  t.equal(master.requests.length, 4);
});

t.test('a silent master costs one time-out a try', async (t) => {
  const silent = await startRaw(t, () => {});
  const good = await startMaster(t, (response) => success(response));
  const client = new MasterClient({ masters: [good.host, silent], tryTimeoutMs: 50 });
  t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 7 });
});

t.test('a master that dribbles its reply is cut off at the time-out', async (t) => {
  const slow = await startRaw(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n');
    const timer = setInterval(() => socket.write('x'), 5);
    socket.on('close', () => clearInterval(timer));
  });
  const client = new MasterClient({ masters: [slow], tryTimeoutMs: 60 });
  t.match(await client.call({ method: 'GET', path: '/admin/getIp' }, never), {
    ok: false,
    detail: `${slow}: no reply within 60 ms`,
  });
});

t.test('a reply longer than the cap is not taken', async (t) => {
  const master = await startMaster(t, (response) => success(response, `"${'x'.repeat(100_000)}"`));
  const client = new MasterClient({ masters: [master.host], replyBytesMax: 50_000 });
  t.match(await client.call({ method: 'GET', path: '/dataNode/get' }, never), {
    ok: false,
    detail: /reply longer than 50000 bytes/,
  });
});

t.test('an abort ends a call that hangs, at once', async (t) => {
  const connected = new AbortController();
  const silent = await startRaw(t, () => connected.abort());
  const client = new MasterClient({ masters: [silent, silent, silent] });
  t.match(await client.call({ method: 'GET', path: '/admin/getIp' }, connected.signal), {
    ok: false,
    kind: 'aborted',
  });
});

t.test('an unusable master address is a value, not an exception', async (t) => {
  const client = new MasterClient({ masters: ['not a host:xyz'] });
  t.match(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: false, kind: 'noMaster' });
});

t.test(
  'other masters hold from the next call on, and the leader is forgotten unless it is among them',
  async (t) => {
    const [first, second] = [
      await startMaster(t, (response) => success(response)),
      await startMaster(t, (response) => success(response)),
    ];
    const client = new MasterClient({ masters: [first.host] });
    const ask = () => client.call({ method: 'GET', path: '/admin/getIp' }, never);
    t.match(await ask(), { ok: true });
    client.setMasters([second.host, first.host]);
    t.equal(client.leader, first.host, 'still one of them');
    client.setMasters([second.host]);
    t.equal(client.leader, null);
    t.match(await ask(), { ok: true });
    t.equal(client.leader, second.host);
    t.strictSame([first.requests.length, second.requests.length], [1, 1]);
  },
);

t.test('a master that answers after it was taken off the list is not the leader', async (t) => {
  let answer = (): void => {};
  const gone = await startMaster(t, (response) => {
    answer = () => success(response);
  });
  const client = new MasterClient({ masters: [gone.host] });
  const asked = client.call({ method: 'GET', path: '/admin/getIp' }, never);
  await until('it was asked', () => gone.requests.length === 1);
  client.setMasters(['127.0.0.1:1']);
  answer();
  t.match(await asked, { ok: true }, 'its answer counts');
  t.equal(client.leader, null);
});

t.test('a master with an IPv6 address, in brackets', { skip: noIPv6() }, async (t) => {
  const master = await startMaster(t, (response) => success(response), '::1');
  t.match(master.host, /^\[::1\]:\d+$/);
  const client = new MasterClient({ masters: [master.host] });
  t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 7 });
  t.equal(master.requests[0]!.headers.host, master.host);
});
