/** The master client over real sockets against masters that misbehave in every way that must not matter. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  type AddressInfo,
  createServer as createTcpServer,
  type LookupFunction,
  type Socket,
} from 'node:net';
import t from 'tap';
import { MasterClient } from '../../src/control/masterClient.js';
import { untilAnswer } from '../support/until.js';

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
  t.equal(
    master.requests.length,
    2,
    'first as the leader, then in its turn; the address it names is not a configured one',
  );
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

t.test('a redirect is followed with method and body', async (t) => {
  const good = await startMaster(t, (response) => success(response));
  const front = await startMaster(t, (response) => {
    response.writeHead(307, { Location: `http://${good.host}/dataNode/response?x=1` });
    response.end();
  });
  const client = new MasterClient({ masters: [front.host] });
  const pieces = [Buffer.from('{"a":'), Buffer.from('1}')];
  const request = { method: 'POST' as const, path: '/dataNode/response', body: pieces };
  t.strictSame(await client.call(request, never), { ok: true, data: 7 });
  t.match(good.requests, [{ method: 'POST', url: '/dataNode/response?x=1', body: '{"a":1}' }]);
  t.match(good.requests[0]?.headers, { 'content-length': '7' });
});

t.test('a whole call is bounded, however many masters hang', async (t) => {
  const silent = await Promise.all(Array.from({ length: 5 }, () => startRaw(t, () => {})));
  const client = new MasterClient({ masters: silent, tryTimeoutMs: 60, callTimeoutMs: 100 });
  t.match(await client.call({ method: 'GET', path: '/admin/getIp' }, never), {
    ok: false,
    kind: 'noMaster',
    detail: /: no reply within \d+ ms; the call has taken 100 ms$/,
  });
});

t.test('a machine that takes no connection costs less than one that thinks', async (t) => {
  // A name that is never resolved is as silent as a machine that is down.
  const lookup: LookupFunction = () => {};
  const masters = ['master.example:17010'];
  const client = new MasterClient({ masters, connectTimeoutMs: 50, tryTimeoutMs: 20_000, lookup });
  t.match(await client.call({ method: 'GET', path: '/admin/getIp' }, never), {
    ok: false,
    kind: 'noMaster',
    detail: 'master.example:17010: no connection within 50 ms',
  });
});

t.test('a master that is connected may think for longer than a connection may take', async (t) => {
  const slow = await startMaster(t, (response) => setTimeout(() => success(response), 120));
  const client = new MasterClient({ masters: [slow.host], connectTimeoutMs: 60, tryTimeoutMs: 20_000 });
  t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 7 });
});

t.test('a name with several addresses: all of them are tried', async (t) => {
  const good = await startMaster(t, (response) => success(response));
  const port = good.host.split(':')[1];
  const lookup: LookupFunction = (_name, options, callback) => {
    t.ok(options.all, 'all addresses are wanted');
    callback(
      null,
      ['127.0.0.77', '127.0.0.1'].map((address) => ({ address, family: 4 })),
    );
  };
  const client = new MasterClient({ masters: [`master.example:${port}`], lookup });
  t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 7 });
  const nobody = await startRaw(t, () => {});
  const unused = Number(nobody.split(':')[1]);
  const none: LookupFunction = (_name, _options, callback) => {
    callback(
      null,
      ['127.0.0.77', '127.0.0.78'].map((address) => ({ address, family: 4 })),
    );
  };
  const other = new MasterClient({ masters: [`master.example:${unused}`], lookup: none });
  t.match(await other.call({ method: 'GET', path: '/admin/getIp' }, never), {
    ok: false,
    detail: /127\.0\.0\.77.*; .*127\.0\.0\.78/,
  });
});

t.test('an IPv6 master', async (t) => {
  const server = createServer((_request, response) => success(response));
  const listens = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(0, '::1', () => resolve(true));
  });
  t.teardown(() => server.close());
  const port = listens ? (server.address() as AddressInfo).port : 1;
  const client = new MasterClient({ masters: [`[::1]:${port}`] });
  const outcome = await client.call({ method: 'GET', path: '/admin/getIp' }, never);
  if (listens) t.strictSame(outcome, { ok: true, data: 7 });
  else
    t.match(outcome, { kind: 'noMaster', detail: /^\[::1\]:1: / }, 'the machine has no IPv6: it was tried');
});

t.test('other masters while running: the next call asks them, and an old leader is forgotten', async (t) => {
  const first = await startMaster(t, (response) => success(response, '1'));
  const second = await startMaster(t, (response) => success(response, '2'));
  const client = new MasterClient({ masters: [first.host] });
  t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 1 });
  client.setMasters([first.host, second.host]);
  t.equal(client.leader, first.host, 'a leader that is still one stays');
  client.setMasters([second.host]);
  t.equal(client.leader, null);
  t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 2 });
  t.equal(first.requests.length, 1);
});

t.test('a master that is taken off the list during a call does not become the leader', async (t) => {
  const second = await startMaster(t, (response) => success(response, '2'));
  const first = await startMaster(t, (response) => {
    client.setMasters([second.host]);
    success(response, '1');
  });
  const client: MasterClient = new MasterClient({ masters: [first.host] });
  t.strictSame(await client.call({ method: 'GET', path: '/admin/getIp' }, never), { ok: true, data: 1 });
  t.equal(client.leader, null);
});

t.test(
  'a master that hangs costs its time once: calls that begin later go to another one first',
  async (t) => {
    const good = await startMaster(t, (response) => success(response));
    let hangs = false;
    const other = await startMaster(t, (response) => {
      if (!hangs) success(response);
    });
    const masters = [good.host, other.host];
    const client = new MasterClient({ masters, hangingMs: 20, tryTimeoutMs: 20_000 });
    const ask = () => client.call({ method: 'GET', path: '/admin/getIp' }, never);
    t.match(await ask(), { ok: true });
    t.equal(client.leader, other.host, 'the last of the list is asked first');
    hangs = true;
    const giveUp = new AbortController();
    const waiting = client.call({ method: 'GET', path: '/admin/getIp' }, giveUp.signal);
    const answered = await untilAnswer('a call that does not wait for it', async () => {
      const quick = new AbortController();
      const timer = setTimeout(() => quick.abort(), 500);
      const outcome = await client.call({ method: 'GET', path: '/admin/getIp' }, quick.signal);
      clearTimeout(timer);
      return outcome.ok ? outcome : null;
    });
    t.match(answered, { ok: true });
    t.equal(client.leader, good.host);
    giveUp.abort();
    t.match(await waiting, { kind: 'aborted' });
  },
);

t.test(
  'only masters that hang: they are asked all the same, and one that answers again is like any other',
  async (t) => {
    let hangs = true;
    const held: ServerResponse[] = [];
    const only = await startMaster(t, (response) => {
      if (hangs) held.push(response);
      else success(response);
    });
    const client = new MasterClient({ masters: [only.host], hangingMs: 5, tryTimeoutMs: 60 });
    const ask = () => client.call({ method: 'GET', path: '/admin/getIp' }, never);
    t.match(await ask(), { kind: 'noMaster' });
    t.match(await ask(), { kind: 'noMaster' });
    t.equal(held.length, 2, 'asked each time');
    hangs = false;
    t.match(await ask(), { ok: true });
  },
);
