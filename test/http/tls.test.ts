/** TLS on the HTTP ports, with both servers: only TLS is spoken, bad files are one clear line, a new certificate needs no restart. */
import { copyFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import t from 'tap';
import { HTTP_LIMITS } from '../../src/http/httpServer.js';
import { readTlsPair } from '../../src/http/tlsFiles.js';
import { FakeView } from '../control/fakeView.js';
import { startApi, startThread } from './apiThread.js';
import { HAS_OPENSSL, makeCertificate } from './certificates.js';
import { openSocket, untilClosed } from './client.js';
import { onEachServer } from './servers.js';

const skip = HAS_OPENSSL ? false : 'no openssl here';

/** A connection with its handshake done. */
function secure(port: number, keepAlive = false): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      if (!keepAlive) socket.destroy();
      resolve(socket);
    });
  });
}

async function commonName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
  });
}

function fetchSecure(port: number, path: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, rejectUnauthorized: false, agent: false };
    const outgoing = request(options, (reply) => {
      let text = '';
      reply.on('data', (chunk) => {
        text += chunk;
      });
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, text }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

t.test(
  'TLS only, from 1.2 on; plain HTTP gets nothing',
  { skip },
  onEachServer(async (t, server) => {
    const tls = makeCertificate(t.testdir(), 'one');
    const { port } = await startApi(t, server, new FakeView(), { tls });
    t.match(await fetchSecure(port, '/disks'), { status: 200, text: /^\{"code":200,/ });
    const plain = openSocket(t, port);
    const text = untilClosed(plain);
    plain.write('GET /disks HTTP/1.1\r\nHost: x\r\n\r\n');
    t.notMatch(await text, /HTTP\/1\.1 200/);
    const socket = await secure(port);
    t.match(socket.getProtocol() ?? 'TLSv1.3', /^TLSv1\.[23]$/);
    const old = connect({
      port,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.1',
      minVersion: 'TLSv1',
    });
    t.type(await new Promise((resolve) => old.once('error', resolve)), Error);
  }),
);

t.test(
  'a long answer arrives whole through TLS at a slow reader',
  { skip },
  onEachServer(async (t, server) => {
    const pair = readTlsPair(makeCertificate(t.testdir(), 'one'));
    if (!pair.ok) throw new Error(pair.message);
    const body = 'z'.repeat(3_000_000);
    const listening = await server.listen({
      address: '127.0.0.1',
      port: 0,
      limits: HTTP_LIMITS,
      handler: async () => ({ status: 200, contentType: 'text/plain', body }),
      tls: pair.value,
    });
    t.teardown(() => listening.close(0));
    const socket = await secure(listening.port, true);
    socket.pause();
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    let bytes = 0;
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      socket.pause();
      setImmediate(() => socket.resume());
    });
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    t.ok(bytes > body.length && bytes < body.length + 1000, `${bytes}`);
    t.equal(listening.load().pendingBytes, 0);
  }),
);

t.test(
  'a new certificate in the same files serves new connections after a reload; open ones go on; bad files change nothing',
  { skip },
  onEachServer(async (t, server) => {
    const folder = t.testdir();
    const one = makeCertificate(folder, 'one');
    const two = makeCertificate(folder, 'two');
    const tls = { certFile: join(folder, 'cert.pem'), keyFile: join(folder, 'key.pem') };
    const use = (pair: typeof one): void => {
      copyFileSync(pair.certFile, tls.certFile);
      copyFileSync(pair.keyFile, tls.keyFile);
    };
    use(one);
    const http = await startThread(t, server, { tls });
    const port = http.prof!;
    t.equal(await commonName(port), 'one');
    const open = await secure(port, true);
    for (const [pair, name] of [
      [two, 'two'],
      [one, 'one'],
      [two, 'two'],
    ] as const) {
      use(pair);
      t.strictSame(await http.reloadTls(tls), { ok: true, value: null });
      t.equal(await commonName(port), name);
    }
    open.destroy();
    const elsewhere = { certFile: one.certFile, keyFile: one.keyFile };
    t.match(await http.reloadTls(elsewhere), { ok: true });
    t.equal(await commonName(port), 'one', 'files of other names');
    t.match(await http.reloadTls(tls), { ok: true });
    const kept = await secure(port, true);
    copyFileSync(one.keyFile, tls.keyFile);
    t.match(await http.checkTls(tls), { ok: false, message: /does not go with/ });
    t.match(await http.reloadTls(tls), { ok: false, message: /^extentd\.tls\.keyFile: .*does not go with/ });
    t.equal(await commonName(port), 'two');
    use(one);
    t.match(await http.checkTls(tls), { ok: true });
    t.equal(await commonName(port), 'two', 'a look changes nothing');
    t.match(await http.reloadTls(tls), { ok: true });
    const answer = new Promise((resolve) => kept.once('data', (chunk) => resolve(String(chunk))));
    kept.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
    t.match(await answer, /^HTTP\/1\.1 200 /);
    kept.destroy();
    await http.close();
    t.match(await http.reloadTls(tls), { ok: false, message: 'the HTTP thread has ended' });
  }),
);

t.test('files that cannot be right: one line that names the key', { skip }, async (t) => {
  const folder = t.testdir({ empty: '', text: 'not a certificate', large: 'x'.repeat(1024 * 1024 + 1) });
  const { certFile, keyFile } = makeCertificate(folder, 'one');
  const other = makeCertificate(folder, 'two');
  const missing = join(folder, 'missing');
  const cases: [certFile: string, keyFile: string, message: RegExp][] = [
    [missing, keyFile, /^extentd\.tls\.certFile: .*missing cannot be read: ENOENT$/],
    [certFile, missing, /^extentd\.tls\.keyFile: .*missing cannot be read: ENOENT$/],
    [folder, keyFile, /^extentd\.tls\.certFile: .* cannot be read: EISDIR$/],
    [join(folder, 'large'), keyFile, /^extentd\.tls\.certFile: .*large has more than 1048576 bytes$/],
    [join(folder, 'empty'), keyFile, /^extentd\.tls\.certFile: .*empty is no PEM certificate: /],
    [join(folder, 'text'), keyFile, /^extentd\.tls\.certFile: .*text is no PEM certificate: /],
    [certFile, join(folder, 'text'), /^extentd\.tls\.keyFile: .*text is no PEM key without a passphrase: /],
    [certFile, other.keyFile, /^extentd\.tls\.keyFile: .* does not go with the certificate in /],
  ];
  for (const [cert, key, message] of cases) {
    const outcome = readTlsPair({ certFile: cert, keyFile: key });
    t.match(outcome, { ok: false, message });
    if (!outcome.ok) t.notMatch(outcome.message, /\n/);
  }
  t.match(readTlsPair({ certFile, keyFile }), { ok: true });
});

t.test(
  'a start with bad TLS files fails with that line',
  { skip },
  onEachServer(async (t, server) => {
    const tls = { certFile: '/nowhere/cert.pem', keyFile: '/nowhere/key.pem' };
    await t.rejects(startThread(t, server, { tls }), {
      message: 'extentd.tls.certFile: /nowhere/cert.pem cannot be read: ENOENT',
    });
  }),
);
