/** The debug API over a real HTTP thread, with a fake node behind it. */
import t from 'tap';
import { UNLIMITED } from '../../src/config/diskLimits.js';
import type { Outcome } from '../../src/control/nodeView.js';
import type { FaultRequest } from '../../src/http/messages.js';
import { diskOf, FakeView, partitionOf } from '../control/fakeView.js';
import { recordedHttpBody, shapeOf } from '../control/recorded.js';
import { FakeChecksums, FakeLimits, startApi } from './apiThread.js';
import { fetchText } from './client.js';
import { onEachServer } from './servers.js';

const GiB = 1024 ** 3;
const TEXT = 'text/plain; charset=utf-8';

const extent = { fileId: 1025, size: 4096, Crc: 7, deleted: false, modTime: 1600000000, src: '' };

function viewWithPartition(): FakeView {
  const view = new FakeView();
  view.diskList = [diskOf('/d1', { allocated: 120 * GiB, partitionCount: 1 })];
  view.partitionList = [partitionOf(42, { usedBytes: 4096 })];
  view.queryOutcome = async (kind, _partitionId, extentId) => {
    if (kind === 'partition') return { ok: true, value: { extents: [extent], tinyDeleteRecordSize: 24 } };
    if (extentId !== 1025)
      return { ok: false, message: `e extent 42_${extentId} not exist`, httpStatus: 500 };
    return { ok: true, value: kind === 'extent' ? extent : [{ BlockNo: 0, Crc: 123 }] };
  };
  return view;
}

t.test(
  'bodies, keys and their order',
  onEachServer(async (t, server) => {
    const { port } = await startApi(t, server, viewWithPartition());
    const cases: [string, string][] = [
      [
        '/disks',
        `{"code":200,"data":{"disks":[{"path":"/d1","total":${245 * GiB},"used":${100 * GiB},"available":${145 * GiB},"unallocated":${245 * GiB},"allocated":${120 * GiB},"status":2,"restSize":${5 * GiB},"partitions":1,"readErrCnt":0,"writeErrCnt":0,"responsive":true}],"rack":"rack-01"},"msg":""}`,
      ],
      [
        '/partitions',
        `{"code":200,"data":{"partitions":[{"id":42,"size":${120 * GiB},"used":4096,"status":2,"path":"/d1/datapartition_42_${120 * GiB}","replicas":["127.0.0.1:17310"]}],"partitionCount":1},"msg":""}`,
      ],
      [
        '/partition?id=42',
        `{"code":200,"data":{"VolName":"vol1","id":42,"size":${120 * GiB},"used":4096,"status":2,"path":"/d1/datapartition_42_${120 * GiB}","extents":[${JSON.stringify(extent)}],"fileCount":1,"replicas":["127.0.0.1:17310"],"tinyDeleteRecordSize":24,"RaftStatus":null},"msg":""}`,
      ],
      ['/extent?partitionID=42&extentID=1025', `{"code":200,"data":${JSON.stringify(extent)},"msg":""}`],
      ['/block?partitionID=42&extentID=1025', '{"code":200,"data":[{"BlockNo":0,"Crc":123}],"msg":""}'],
    ];
    for (const [path, body] of cases) {
      t.strictSame(await fetchText(port, path), { status: 200, contentType: TEXT, text: body }, path);
    }
  }),
);

t.test(
  '/checksums shows every disk, /checksums/scrub begins one',
  onEachServer(async (t, server) => {
    const fake = new FakeChecksums();
    const { port } = await startApi(t, server, new FakeView(), { checksums: fake });
    const body = '{"code":200,"data":{"disks":[{"path":"/d1","workers":[{"damagedBlocks":2}]}]},"msg":""}';
    t.strictSame(await fetchText(port, '/checksums'), { status: 200, contentType: TEXT, text: body });
    t.strictSame(fake.scrubbed, []);
    t.strictSame(await fetchText(port, '/checksums/scrub'), { status: 200, contentType: TEXT, text: body });
    t.match(await fetchText(port, '/checksums/scrub?disk=/d1'), { status: 200, text: body });
    t.match(await fetchText(port, '/checksums/scrub?disk=9'), { status: 400, text: /there is no disk/ });
    t.match(await fetchText(port, '/checksums/scrub?disk='), { status: 400, text: /leave it out/ });
    t.strictSame(fake.scrubbed, ['', '/d1', '9']);
  }),
);

t.test(
  '/limits shows every disk, /limits/set hands disk and changes on',
  onEachServer(async (t, server) => {
    const fake = new FakeLimits();
    const { port } = await startApi(t, server, new FakeView(), { limits: fake });
    const lane = '{"waiting":3,"running":1,"passedOps":20,"passedBytes":4096}';
    const lanes = `{"read":${lane},"write":${lane}}`;
    const body = `{"code":200,"data":{"disks":[{"path":"/d1","limits":${JSON.stringify(UNLIMITED)},"waiting":6,"clients":${lanes},"background":${lanes}}]},"msg":""}`;
    t.strictSame(await fetchText(port, '/limits'), { status: 200, contentType: TEXT, text: body });
    const set = '/limits/set?disk=/d1&clients.readOpsPerSecond=5&background.readsAtOnce=1';
    t.strictSame(await fetchText(port, set), { status: 200, contentType: TEXT, text: body });
    t.equal((await fetchText(port, '/limits/set?clients.readOpsPerSecond=x')).status, 200);
    const bad = await fetchText(port, '/limits/set?disk=9&clients.readOpsPerSecond=5');
    t.strictSame(
      [bad.status, bad.text],
      [400, '{"code":400,"data":null,"msg":"disk: there is no disk \\"9\\""}'],
    );
    t.match(await fetchText(port, '/limits/set?disk=&clients.readOpsPerSecond=5'), { status: 400 });
    t.match(await fetchText(port, '/limits/set?disk=%zz'), { status: 400, text: /invalid URL escape/ });
    t.strictSame(fake.asked, [
      [
        '/d1',
        [
          ['clients.readOpsPerSecond', '5'],
          ['background.readsAtOnce', '1'],
        ],
      ],
      ['', [['clients.readOpsPerSecond', 'x']]],
      ['9', [['clients.readOpsPerSecond', '5']]],
    ]);
  }),
);

t.test(
  '/stats is the recorded heartbeat response in keys, order and types',
  onEachServer(async (t, server) => {
    const { port } = await startApi(t, server, new FakeView());
    const reply = await fetchText(port, '/stats');
    const { code, data, msg } = JSON.parse(reply.text);
    t.strictSame([reply.contentType, code, msg], [TEXT, 200, '']);
    t.strictSame(shapeOf(data), shapeOf(JSON.parse(recordedHttpBody('http-response.c2s.bin')).Response));
  }),
);

t.test(
  'errors: status line, code and text agree',
  onEachServer(async (t, server) => {
    const { port } = await startApi(t, server, viewWithPartition());
    const cases: [string, number, string][] = [
      ['/partition', 400, 'parse param id fail: strconv.ParseUint: parsing "": invalid syntax'],
      ['/partition?id=x', 400, 'parse param id fail: strconv.ParseUint: parsing "x": invalid syntax'],
      ['/partition?id=%zz', 400, 'parse form fail: invalid URL escape "%zz"'],
      ['/partition?id=7', 404, 'partition not exist'],
      ['/partition?id=18446744073709551615', 404, 'partition not exist'],
      ['/extent?partitionID=x&extentID=1', 400, 'strconv.ParseUint: parsing "x": invalid syntax'],
      ['/extent?partitionID=42', 400, 'strconv.Atoi: parsing "": invalid syntax'],
      ['/extent?partitionID=7&extentID=1', 404, 'partition not exist'],
      ['/extent?partitionID=42&extentID=9', 500, 'e extent 42_9 not exist'],
      ['/extent?partitionID=42&extentID=-1', 500, 'e extent 42_18446744073709551615 not exist'],
      ['/block?partitionID=42&extentID=z', 400, 'strconv.Atoi: parsing "z": invalid syntax'],
    ];
    for (const [path, status, message] of cases) {
      const expected = `{"code":${status},"data":null,"msg":${JSON.stringify(message)}}`;
      t.strictSame(await fetchText(port, path), { status, contentType: TEXT, text: expected }, path);
    }
  }),
);

t.test(
  'any method; parameters from a form body',
  onEachServer(async (t, server) => {
    const { port } = await startApi(t, server, viewWithPartition());
    const reply = await fetchText(port, '/extent', {
      method: 'POST',
      body: 'partitionID=42&extentID=1025',
      contentType: 'application/x-www-form-urlencoded; charset=utf-8',
    });
    t.equal(reply.text, `{"code":200,"data":${JSON.stringify(extent)},"msg":""}`);
    t.equal((await fetchText(port, '/disks', { method: 'DELETE' })).status, 200);
  }),
);

t.test(
  'strings are escaped as by the reference, and stay the same values',
  onEachServer(async (t, server) => {
    const view = new FakeView();
    view.diskList = [diskOf('/d<1>&\u2028')];
    const { port } = await startApi(t, server, view);
    const { text } = await fetchText(port, '/disks');
    t.ok(text.includes('"path":"/d\\u003c1\\u003e\\u0026\\u2028"'));
    t.equal(JSON.parse(text).data.disks[0].path, '/d<1>&\u2028');
  }),
);

t.test(
  'unknown paths',
  onEachServer(async (t, server) => {
    const { port } = await startApi(t, server, new FakeView());
    for (const path of ['/nowhere', '/disks/', '/debug/fault', '/loglevel/set']) {
      t.strictSame(
        await fetchText(port, path),
        { status: 404, contentType: TEXT, text: '404 page not found\n' },
        path,
      );
    }
  }),
);

t.test(
  'the status page shows disks and partitions, escaped, and links to the JSON',
  onEachServer(async (t, server) => {
    const view = viewWithPartition();
    view.diskList = [diskOf('/d<b>1'), diskOf('/d2', { responsive: false }), diskOf('/d3', { status: -1 })];
    const hosts = ['127.0.0.2:17310', '127.0.0.1:17310', '<b>:1'];
    view.partitionList = [partitionOf(42, { usedBytes: 4096, hosts })];
    view.connections = 17;
    const { port } = await startApi(t, server, view);
    const { status, contentType, text } = await fetchText(port, '/');
    t.equal(status, 200);
    t.equal(contentType, 'text/html; charset=utf-8');
    for (const part of [
      '/d&lt;b&gt;1',
      'hanging',
      'unavailable',
      '>17<',
      'href="/partition?id=42"',
      '127.0.0.2:17310, <strong>127.0.0.1:17310</strong>, &lt;b&gt;:1',
      'peer01',
    ]) {
      t.ok(text.includes(part), part);
    }
    t.notOk(text.includes('<b>'));
  }),
);

t.test(
  '/healthz: ok while a disk is usable',
  onEachServer(async (t, server) => {
    const view = new FakeView();
    const { port } = await startApi(t, server, view);
    t.strictSame(await fetchText(port, '/healthz'), {
      status: 200,
      contentType: TEXT,
      text: 'ok: 2 of 2 disks usable\n',
    });
    view.diskList = [diskOf('/d1', { status: -1 }), diskOf('/d2', { responsive: false })];
    t.strictSame(await fetchText(port, '/healthz'), {
      status: 503,
      contentType: TEXT,
      text: 'failing: 0 of 2 disks usable\n',
    });
  }),
);

t.test(
  'a partition whose owner does not answer costs its own request a 504, not the others',
  onEachServer(async (t, server) => {
    const view = viewWithPartition();
    view.queryOutcome = () => new Promise<Outcome<unknown>>(() => {});
    const { port } = await startApi(t, server, view, { answerTimeoutMs: 100 });
    const hanging = fetchText(port, '/partition?id=42');
    t.equal((await fetchText(port, '/disks')).status, 200);
    const reply = await hanging;
    t.equal(reply.status, 504);
    t.match(JSON.parse(reply.text), { code: 504, data: null, msg: 'no answer from the node within 100 ms' });
  }),
);

t.test(
  'requests for the same partition share an answer while one is being made',
  onEachServer(async (t, server) => {
    const view = viewWithPartition();
    let made = 0;
    view.queryOutcome = async () => {
      made++;
      await new Promise((resolve) => setTimeout(resolve, 200));
      return { ok: true, value: { extents: [extent], tinyDeleteRecordSize: 24 } };
    };
    const { port } = await startApi(t, server, view);
    const replies = await Promise.all(Array.from({ length: 40 }, () => fetchText(port, '/partition?id=42')));
    t.equal(new Set(replies.map(({ text }) => text)).size, 1);
    t.match(replies[0]!.text, /"fileCount":1/);
    t.ok(made >= 1 && made <= 5, `${made} answers for 40 requests`);
  }),
);

t.test(
  'at most 64 questions wait at one time; more are answered 503',
  onEachServer(async (t, server) => {
    const view = viewWithPartition();
    let release = (): void => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    view.queryOutcome = async () => {
      await released;
      return { ok: true, value: extent };
    };
    const { port } = await startApi(t, server, view);
    const path = '/extent?partitionID=42&extentID=1025';
    const settled = new Map<number, number>();
    const requests = Array.from({ length: 80 }, async () => {
      const { status } = await fetchText(port, path);
      settled.set(status, (settled.get(status) ?? 0) + 1);
      // Sixteen are refused while the others wait; then those are let go.
      if (settled.get(503) === 16) release();
    });
    await Promise.all(requests);
    t.strictSame([settled.get(200), settled.get(503)], [64, 16]);
    t.equal((await fetchText(port, '/disks')).status, 200);
  }),
);

t.test(
  'an answer that cannot be made is a 500',
  onEachServer(async (t, server) => {
    const view = new FakeView();
    view.disks = () => {
      throw new Error('table is broken');
    };
    const { port } = await startApi(t, server, view);
    t.match(JSON.parse((await fetchText(port, '/disks')).text), {
      code: 500,
      msg: 'internal error: table is broken',
    });
  }),
);

t.test(
  'fault injection: only when configured, by POST, checked',
  onEachServer(async (t, server) => {
    const faults: FaultRequest[] = [];
    const setFault = (fault: FaultRequest): Outcome<null> => {
      faults.push(fault);
      return { ok: true, value: null };
    };
    const { port } = await startApi(t, server, new FakeView(), { setFault });
    const post = (query: string) => fetchText(port, `/debug/fault?${query}`, { method: 'POST' });
    t.strictSame(await post('disk=1&kind=delay&value=20&codes=1,2&count=3'), {
      status: 200,
      contentType: TEXT,
      text: '{"code":200,"data":null,"msg":""}',
    });
    t.equal((await post('disk=0&kind=clear')).status, 200);
    t.strictSame(faults, [
      { disk: 1, kind: 'delay', value: 20, codes: [1, 2], count: 3 },
      { disk: 0, kind: 'clear', value: 0, codes: [], count: 0 },
    ]);
    for (const query of [
      '',
      'disk=0&kind=burn',
      'kind=hang',
      'disk=-1&kind=hang',
      'disk=2&kind=hang',
      'disk=0&kind=hang&codes=a',
    ]) {
      t.equal((await post(query)).status, 400, query);
    }
    t.equal((await fetchText(port, '/debug/fault?disk=0&kind=hang')).status, 405);
    t.equal(faults.length, 2);
  }),
);

t.test(
  'close may be called twice and ends the port',
  onEachServer(async (t, server) => {
    const http = await startApi(t, server, new FakeView());
    await fetchText(http.port, '/disks');
    await Promise.all([http.close(), http.close()]);
    await t.rejects(fetchText(http.port, '/disks'), { code: 'ECONNREFUSED' });
  }),
);
