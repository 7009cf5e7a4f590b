/** The HTTP thread's ports and pages before and after the node serves: readiness, access, levels of the log, raft groups. */
import { createServer } from 'node:net';
import t from 'tap';
import type { Readiness } from '../../src/http/messages.js';
import { freePorts } from '../../src/standalone/standaloneConfig.js';
import { FakeView } from '../control/fakeView.js';
import { until, untilAnswer } from '../support/until.js';
import { FakeLog, startApi, startThread } from './apiThread.js';
import { fetchText, openSocket, untilClosed, untilText } from './client.js';
import { NODE_SERVER, onEachServer, UWS_SERVER } from './servers.js';

const TEXT = 'text/plain; charset=utf-8';

t.test(
  'before the node serves: /healthz is 200, /readyz says what it waits for, the pages of the node are not there',
  onEachServer(async (t, server) => {
    let readiness: Readiness = { ready: false, reason: 'registering with the master' };
    const http = await startThread(t, server, { readiness: () => readiness, setLogLevel: () => true });
    const port = http.prof!;
    const expect = async (path: string, status: number, text: string): Promise<void> => {
      t.strictSame(await fetchText(port, path), { status, contentType: TEXT, text }, path);
    };
    await expect('/healthz', 200, 'ok: starting: registering with the master\n');
    await expect('/readyz', 503, 'not ready: registering with the master\n');
    await expect('/', 503, 'not ready: registering with the master\n');
    for (const path of [
      '/disks',
      '/partitions',
      '/partition?id=1',
      '/stats',
      '/raftStatus?raftID=1',
      '/limits',
    ])
      await expect(path, 404, '404 page not found\n');
    t.equal((await fetchText(port, '/loglevel/set?level=debug')).status, 200);
    const view = new FakeView();
    http.open({
      nodeView: view,
      rack: () => 'r',
      identity: { address: '127.0.0.1:17310', cluster: 'c', nodeId: 5 },
      stats: () => {
        throw new Error('not asked');
      },
      limits: { view: () => [], change: async () => ({ ok: true, value: [] }) },
      checksums: { view: async () => [], scrub: async () => ({ ok: true, value: [] }) },
      repair: { view: async () => ({ ok: false, message: 'not asked' }) },
    });
    readiness = { ready: true, reason: '' };
    await expect('/readyz', 200, 'ready\n');
    await expect('/healthz', 200, 'ok: 2 of 2 disks usable\n');
    t.equal((await fetchText(port, '/disks')).status, 200);
    readiness = { ready: false, reason: 'stopping' };
    await expect('/readyz', 503, 'not ready: stopping\n');
  }),
);

t.test(
  '/loglevel/set passes on what it is told, and says in the words of the reference what there is',
  onEachServer(async (t, server) => {
    const levels: string[] = [];
    const setLogLevel = (level: string): boolean => {
      levels.push(level);
      return !['', 'verbose', 'critical'].includes(level);
    };
    const { port } = await startApi(t, server, new FakeView(), { setLogLevel });
    const good = {
      status: 200,
      contentType: TEXT,
      text: '{"code":200,"data":"set log level success","msg":""}',
    };
    for (const level of ['debug', 'info', 'read', 'write', 'warn', 'error', 'fatal', 'DEBUG'])
      t.strictSame(await fetchText(port, `/loglevel/set?level=${level}`), good, level);
    t.strictSame(levels, ['debug', 'info', 'read', 'write', 'warn', 'error', 'fatal', 'DEBUG']);
    const bad = {
      status: 400,
      contentType: TEXT,
      text: '{"code":400,"data":null,"msg":"level only can be set :debug,info,warn,error,critical,read,write,fatal"}',
    };
    for (const query of ['', '?level=', '?level=verbose', '?level=critical'])
      t.strictSame(await fetchText(port, `/loglevel/set${query}`), bad, query);
    t.match(await fetchText(port, '/loglevel/set?level=%zz'), {
      status: 400,
      text: '{"code":400,"data":null,"msg":"invalid URL escape \\"%zz\\""}',
    });
    const form = { method: 'POST', body: 'level=warn', contentType: 'application/x-www-form-urlencoded' };
    t.strictSame(await fetchText(port, '/loglevel/set', form), good);
  }),
);

t.test(
  '/raftStatus: no group runs, so each id is an unknown one; parse errors in the words of the reference',
  onEachServer(async (t, server) => {
    const { port } = await startApi(t, server, new FakeView());
    for (const [asked, id] of [
      ['7', '7'],
      ['007', '7'],
      ['18446744073709551615', '18446744073709551615'],
    ] as const) {
      t.strictSame(await fetchText(port, `/raftStatus?raftID=${asked}`), {
        status: 200,
        contentType: TEXT,
        text: `{"code":200,"data":{"ID":${id},"NodeID":5,"Leader":0,"Term":0,"Index":0,"Commit":0,"Applied":0,"Vote":0,"PendQueue":0,"RecvQueue":0,"AppQueue":0,"Stopped":true,"RestoringSnapshot":false,"State":"","Replicas":null},"msg":""}`,
      });
    }
    for (const [query, message] of [
      ['', 'parse param raftID fail: strconv.ParseUint: parsing "": invalid syntax'],
      ['?raftID=-1', 'parse param raftID fail: strconv.ParseUint: parsing "-1": invalid syntax'],
      [
        '?raftID=18446744073709551616',
        'parse param raftID fail: strconv.ParseUint: parsing "18446744073709551616": value out of range',
      ],
      ['?raftID=%g1', 'parse form fail: invalid URL escape "%g1"'],
    ] as const) {
      const text = `{"code":400,"data":null,"msg":${JSON.stringify(message)}}`;
      t.strictSame(
        await fetchText(port, `/raftStatus${query}`),
        { status: 400, contentType: TEXT, text },
        query,
      );
    }
  }),
);

t.test(
  'unclean paths are redirected, and profiles of the Go runtime are named as not there',
  onEachServer(async (t, server) => {
    const { port } = await startApi(t, server, new FakeView());
    t.match(await fetchText(port, '//disks'), {
      status: 301,
      text: '<a href="/disks">Moved Permanently</a>.\n\n',
    });
    t.match(await fetchText(port, '/%64isks'), { status: 200 });
    t.match(await fetchText(port, '//disks', { method: 'POST' }), { status: 301, text: '' });
    t.match(await fetchText(port, '/debug/pprof/heap'), { status: 404, text: /profiles of the Go runtime/ });
    t.match(await fetchText(port, '/disks%'), { status: 400, text: '400 Bad Request\n' });
  }),
);

t.test(
  'prof and exporterPort serve the same pages; one number is one socket; exporterPort alone will do',
  onEachServer(async (t, server) => {
    const [first, second] = await freePorts('127.0.0.1', 2);
    const prof = { address: '127.0.0.1', port: first!, prof: true, exporter: false };
    const exporter = { address: '127.0.0.1', port: second!, prof: false, exporter: true };
    const both = await startThread(t, server, { listeners: [prof, exporter] });
    t.strictSame([both.prof, both.exporter], [first, second]);
    for (const port of [first!, second!]) t.equal((await fetchText(port, '/readyz')).status, 200);
    await both.close();
    const one = await startThread(t, server, { listeners: [{ ...prof, exporter: true }] });
    t.strictSame([one.prof, one.exporter], [first, first]);
    await one.close();
    const alone = await startThread(t, server, { listeners: [exporter] });
    t.strictSame([alone.prof, alone.exporter], [null, second]);
    t.equal((await fetchText(second!, '/readyz')).status, 200);
  }),
);

t.test(
  'a taken port: without prof there is no start, without exporterPort there is a line in the log',
  onEachServer(async (t, server) => {
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    t.teardown(() => new Promise((resolve) => taken.close(resolve)));
    const { port } = taken.address() as { port: number };
    const prof = { address: '127.0.0.1', port, prof: true, exporter: false };
    await t.rejects(startThread(t, server, { listeners: [prof] }), {
      message: new RegExp(`^prof: cannot listen on 127\\.0\\.0\\.1:${port}: listen EADDRINUSE`),
    });
    const log = new FakeLog();
    const [free] = await freePorts('127.0.0.1', 1);
    const http = await startThread(t, server, {
      listeners: [
        { ...prof, port: free! },
        { ...prof, prof: false, exporter: true },
      ],
      log,
    });
    t.strictSame([http.prof, http.exporter], [free, null]);
    const errors = log.lines.filter(({ level }) => level === 'error').map(({ text }) => text);
    t.match(errors, [
      new RegExp(`^exporterPort: HTTP does not listen on 127\\.0\\.0\\.1:${port}: listen EADDRINUSE`),
    ]);
    await t.rejects(startThread(t, server, { listeners: [{ ...prof, address: '192.0.2.1' }] }), {
      message: /^prof: cannot listen on 192\.0\.2\.1:\d+: listen EADDRNOTAVAIL/,
    });
    // A port of another HTTP thread is as taken, whichever servers meet.
    await t.rejects(startThread(t, server, { listeners: [{ ...prof, port: free! }] }), {
      message: /EADDRINUSE/,
    });
  }),
);

t.test(
  'pains 27: who is not in access.admin is closed at once, counted, and told at a bounded rate; the list changes while it runs',
  onEachServer(async (t, server) => {
    const log = new FakeLog();
    const http = await startThread(t, server, { access: ['10.0.0.0/8'], log });
    const port = http.prof!;
    const refused = Array.from({ length: 40 }, () => {
      const socket = openSocket(t, port);
      socket.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
      return untilClosed(socket);
    });
    t.strictSame(new Set(await Promise.all(refused)), new Set(['']));
    await until('all are counted', () => http.refused === 40);
    const lines = log.lines.filter(({ level }) => level === 'warn');
    t.ok(lines.length <= 3, `${lines.length} lines`);
    t.match(lines[0]?.text, /"peer":"127\.0\.0\.1".*access\.admin/);

    // A new list takes a moment to reach the thread.
    const served = (): Promise<boolean> =>
      fetchText(port, '/readyz').then(
        () => true,
        () => false,
      );
    const whenServed = (wanted: boolean): Promise<boolean> =>
      untilAnswer('the list holds', async () => ((await served()) === wanted ? true : null));
    http.setAccess(['10.0.0.0/8', '127.0.0.0/8']);
    await whenServed(true);
    const kept = openSocket(t, port);
    const first = untilText(kept, /ready\n/);
    kept.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
    await first;
    http.setAccess(['10.0.0.0/8']);
    await whenServed(false);
    const second = untilClosed(kept);
    kept.write('GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n');
    t.match(
      await second,
      /^HTTP\/1\.1 403 Forbidden\r\n.*\r\n\r\nForbidden\n$/s,
      'an open connection is told and closed',
    );
    http.setAccess([]);
    await whenServed(true);
  }),
);

t.test('httpServer: auto takes uWebSockets.js where it loads, node never does', async (t) => {
  const log = new FakeLog();
  const auto = await startThread(t, NODE_SERVER, { server: 'auto', log });
  t.equal(auto.server, UWS_SERVER === null ? 'node:http' : 'uWebSockets.js');
  const fallbacks = log.lines.filter(({ text }) => text.startsWith('HTTP is served by node:http'));
  t.equal(fallbacks.length, UWS_SERVER === null ? 1 : 0);
  t.equal((await startThread(t, NODE_SERVER, { server: 'node' })).server, 'node:http');
});
