/**
 * Whatever way the HTTP thread or its process ends, with uWebSockets.js in it the process is not aborted: that library aborts it when a thread ends with open
 * sockets. Each case runs in a process of its own, with connections open and a request under way.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { UWS_SERVER, WHY_NO_UWS } from './servers.js';

const skip = UWS_SERVER === null ? WHY_NO_UWS : false;
const module = new URL('../../src/http/startHttp.js', import.meta.url).href;

/** Starts the thread with 20 connections, one of them with half a request; then does `ending` with `http` and `log`. */
function script(ending: string, server: string): string {
  return `
    import { connect } from 'node:net';
    import { startHttp } from '${module}';
    const log = { info() {}, warn() {}, error(fields, text) { console.log(text ?? fields); } };
    const http = await startHttp({
      listeners: [{ address: '127.0.0.1', port: 0, prof: true, exporter: false }],
      server: '${server}', tls: null, access: [], faultInjection: false, readiness: () => ({ ready: true, reason: '' }), log,
    });
    const sockets = [];
    for (let index = 0; index < 20; index++) {
      const socket = connect(http.prof, '127.0.0.1');
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('connect', resolve));
      sockets.push(socket);
    }
    sockets[0].write('POST /a HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 10\\r\\n\\r\\nabc');
    const answered = new Promise((resolve) => sockets[1].once('data', resolve));
    sockets[1].write('GET /readyz HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n');
    await answered;
    ${ending}
  `;
}

/** How a process with this end ends, and what it printed. */
function run(
  t: Test,
  ending: string,
  server = 'uws',
): Promise<{ code: number | null; signal: string | null; output: string }> {
  const path = join(t.testdir({ 'main.mjs': script(ending, server) }), 'main.mjs');
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal, output })));
}

t.test('process.exit with an open HTTP thread keeps its exit code', { skip }, async (t) => {
  t.match(await run(t, 'process.exit(7);'), { code: 7, signal: null });
});

t.test('an error that nobody caught ends the process with 1', { skip }, async (t) => {
  const ended = await run(t, "throw new Error('a defect');");
  t.match(ended, { code: 1, signal: null, output: /a defect/ });
});

t.test(
  'a thread that fails says so and ends alone; the process goes on and stops cleanly',
  { skip },
  async (t) => {
    const ended = await run(
      t,
      `
    const gone = new Promise((resolve) => sockets[0].once('close', resolve));
    http.setAccess(['no address']);
    await gone;
    http.setAccess([]);
    console.log('goes on');
    await http.close();
    process.exitCode = 5;
    for (const socket of sockets) socket.destroy();
  `,
    );
    t.match(ended, { code: 5, signal: null, output: /the HTTP thread ended; HTTP is gone until a restart/ });
    t.match(ended.output, /goes on/);
  },
);

t.test('a start that fails leaves a process that ends by itself', { skip }, async (t) => {
  const ended = await run(
    t,
    `
    const options = { listeners: [{ address: '127.0.0.1', port: http.prof, prof: true, exporter: false }] };
    const second = startHttp({ ...options, server: 'uws', tls: null, access: [], faultInjection: false, readiness() {}, log });
    console.log((await second.catch((error) => error)).message);
    await http.close();
    for (const socket of sockets) socket.destroy();
  `,
  );
  t.match(ended, { code: 0, signal: null, output: /^prof: cannot listen/ });
});

t.test('twenty threads one after the other and five at one time', { skip }, async (t) => {
  const ended = await run(
    t,
    `
    const options = { listeners: [{ address: '127.0.0.1', port: 0, prof: true, exporter: false }], server: 'uws', tls: null, access: [] };
    const start = () => startHttp({ ...options, faultInjection: false, readiness: () => ({ ready: true, reason: '' }), log });
    for (let index = 0; index < 20; index++) await (await start()).close();
    const five = await Promise.all([1, 2, 3, 4, 5].map(start));
    await Promise.all(five.map((one) => one.close()));
    await http.close();
    for (const socket of sockets) socket.destroy();
    console.log('all ended');
  `,
  );
  t.match(ended, { code: 0, signal: null, output: /all ended/ });
});

t.test('with node:http the same holds', async (t) => {
  t.match(await run(t, 'process.exit(7);', 'node'), { code: 7, signal: null });
});
