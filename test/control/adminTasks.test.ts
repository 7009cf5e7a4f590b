/** Master packets, recorded and hand-made, executed over a fake node. */
import t from 'tap';
import { AdminTasks } from '../../src/control/adminTasks.js';
import type { AdminReply, Outcome } from '../../src/control/nodeView.js';
import { ResponsePoster } from '../../src/control/responsePoster.js';
import { OP } from '../../src/protocol/opcodes.js';
import { resultCodeFor } from '../../src/protocol/resultCodes.js';
import { FakeMaster } from './fakeMaster.js';
import { diskOf, FakeView, partitionOf } from './fakeView.js';
import { recordedHttpBody, recordedPackets, recordedProbes } from './recorded.js';

const log = { debug() {}, info() {}, warn() {} };
const GiB = 1024 ** 3;

function setUp(): { view: FakeView; master: FakeMaster; poster: ResponsePoster; tasks: AdminTasks } {
  const view = new FakeView();
  const master = new FakeMaster();
  const poster = new ResponsePoster({ master, log });
  return {
    view,
    master,
    poster,
    tasks: new AdminTasks({
      nodeView: view,
      address: '10.0.0.1:17310',
      poster,
      labels: () => ({ rack: 'rack-01', cell: '', zoneName: '' }),
      log,
    }),
  };
}

function createBody(id: number, change: object = {}): Buffer {
  const Request = {
    PartitionType: '',
    PartitionId: id,
    PartitionSize: 10 * GiB,
    VolumeId: 'vol1',
    IsRandomWrite: false,
    Members: [{ id: 2, addr: '127.0.0.1:1' }],
    Hosts: ['127.0.0.1:1'],
    CreateType: 0,
    ...change,
  };
  return Buffer.from(
    JSON.stringify({ ID: `create ${id}`, PartitionID: id, OpCode: 96, Request, Response: null }),
  );
}

/** The reply's text and code as the server would send them; empty text for OK. */
function asPacket(reply: AdminReply): { resultCode: number; text: string } {
  if (reply.ok) return { resultCode: 0xf0, text: '' };
  if ('resultCode' in reply) throw new Error('nothing is passed on');
  return {
    resultCode: resultCodeFor(reply.action, reply.message),
    text: `${reply.action}_${reply.message}`,
  };
}

t.test('a recorded heartbeat is answered at once and the posted response is the recorded one', async (t) => {
  const { view, master, tasks } = setUp();
  view.diskList = [
    diskOf('/data/node/disks/d3', {
      total: 265142110536,
      used: 187541172224,
      available: 77600938312,
      allocated: 0,
      unallocated: 265142110536,
    }),
  ];
  const [heartbeat] = recordedPackets('heartbeat-create', 'request');
  t.equal(heartbeat!.opcode, OP.dataNodeHeartbeat);
  const reply = await tasks.handle(heartbeat!.opcode, 0, Buffer.from(heartbeat!.body));
  t.same(reply, { ok: true, body: Buffer.alloc(0) });
  t.equal(master.requests.length, 1);
  t.strictSame(master.requests[0], {
    method: 'POST',
    path: '/dataNode/response',
    body: recordedHttpBody('http-response.c2s.bin'),
  });
});

t.test('recorded creations are answered with the disk path, in the choice of the reference', async (t) => {
  const { view, tasks } = setUp();
  view.diskList = [diskOf('/data/node/disks/d3')];
  const requests = recordedPackets('heartbeat-create', 'request').slice(1);
  const replies = recordedPackets('heartbeat-create', 'reply').slice(1);
  t.equal(requests.length, 2);
  for (const [index, request] of requests.entries()) {
    const reply = await tasks.handle(request.opcode, request.partitionId, Buffer.from(request.body));
    t.ok(reply.ok);
    t.equal(reply.ok && Buffer.from(reply.body).toString(), replies[index]!.body);
    t.equal(reply.partitionId, replies[index]!.partitionId);
  }
  t.strictSame(view.created[0], {
    request: {
      partitionId: 5,
      sizeBytes: 10737418240,
      volume: 'vol1',
      members: [
        { id: 2, addr: '127.0.0.12:17312' },
        { id: 5, addr: '127.0.0.13:17313' },
        { id: 7, addr: '127.0.0.11:17311' },
      ],
      hosts: ['127.0.0.11:17311', '127.0.0.13:17313', '127.0.0.12:17312'],
      createType: 0,
    },
    diskPath: '/data/node/disks/d3',
  });
});

t.test('a recorded delete is executed and its response posted', async (t) => {
  const { view, master, tasks } = setUp();
  view.partitionList = [partitionOf(10)];
  const task = recordedPackets('delete', 'request').find(({ opcode }) => opcode === OP.deleteDataPartition)!;
  t.same(await tasks.handle(task.opcode, task.partitionId, Buffer.from(task.body)), {
    ok: true,
    body: Buffer.alloc(0),
  });
  t.strictSame(view.deleted, [10]);
  const posted = JSON.parse(master.requests[0]!.body);
  t.strictSame(posted, { ...JSON.parse(task.body), Response: { Status: 1, Result: '', PartitionId: 10 } });
  t.strictSame(Object.keys(posted), Object.keys(JSON.parse(task.body)), 'keys in the order of the task');
});

t.test('recorded mistakes get the recorded answers', async (t) => {
  const { view, tasks } = setUp();
  view.partitionList = [partitionOf(5)];
  const probes = recordedProbes();
  t.equal(probes.length, 7);
  for (const { note, opcode, partitionId, body, resultCode, text } of probes) {
    const reply = asPacket(await tasks.handle(opcode, partitionId, Buffer.from(body)));
    // How the task's Request is printed inside a text, and the place in its source, are Go's own and read by nobody.
    const expected = text.replace('Request[map[]]', 'Request[{}]').replace('[wrap_operator.go 800] ', '');
    t.strictSame(reply, { resultCode, text: expected }, note);
  }
});

t.test('the posted heartbeat lists partitions and bad disks', async (t) => {
  const { view, master, tasks } = setUp();
  view.diskList = [diskOf('/d1', { allocated: 5, partitionCount: 2 }), diskOf('/d2', { status: -1 })];
  view.partitionList = [
    partitionOf(7, { usedBytes: 4096, extentCount: 66 }),
    partitionOf(8, { diskPath: '/d2', isLeader: false, status: 2 }),
  ];
  const [heartbeat] = recordedPackets('heartbeat-create', 'request');
  await tasks.handle(OP.dataNodeHeartbeat, 0, Buffer.from(heartbeat!.body));
  const { Response } = JSON.parse(master.requests[0]!.body);
  t.strictSame(Response.BadDisks, ['/d2']);
  t.equal(Response.CreatedPartitionCnt, 2);
  t.equal(Response.MaxCapacity, 245 * GiB);
  t.equal(
    JSON.stringify(Response.PartitionReports[0]),
    `{"VolName":"vol1","PartitionID":7,"PartitionStatus":2,"Total":${120 * GiB},"Used":4096,"DiskPath":"/d1","IsLeader":true,"ExtentCount":66,"NeedCompare":true}`,
  );
  t.match(Response.PartitionReports[1], { PartitionID: 8, PartitionStatus: -1, IsLeader: false });
});

t.test('a heartbeat with the wrong opcode inside is answered OK and posted as failed', async (t) => {
  const { master, tasks } = setUp();
  const reply = await tasks.handle(OP.dataNodeHeartbeat, 0, Buffer.from('{"ID":"x","OpCode":96}'));
  t.ok(reply.ok);
  t.match(JSON.parse(master.requests[0]!.body), {
    ID: 'x',
    Response: { Status: 2, Result: 'illegal opcode' },
  });
});

t.test('create: an existing partition is answered with its disk and nothing is created', async (t) => {
  const { view, tasks } = setUp();
  view.partitionList = [partitionOf(3, { diskPath: '/d2' })];
  const reply = await tasks.handle(OP.createDataPartition, 3, createBody(3));
  t.equal(reply.ok && Buffer.from(reply.body).toString(), '/d2');
  t.strictSame(view.created, []);
});

t.test('create: disks share the load, counting what is still under way', async (t) => {
  const { view, tasks } = setUp();
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => (release = resolve));
  view.createOutcome = async (_request, diskPath) => {
    await gate;
    return { ok: true, value: diskPath };
  };
  const replies = [1, 2, 3, 4].map((id) => tasks.handle(OP.createDataPartition, id, createBody(id)));
  release();
  await Promise.all(replies);
  t.strictSame(view.created.map(({ diskPath }) => diskPath).sort(), ['/d1', '/d1', '/d2', '/d2']);
});

t.test('create: the same partition twice at one time is created once', async (t) => {
  const { view, tasks } = setUp();
  const replies = await Promise.all(
    [1, 1, 1].map((id) => tasks.handle(OP.createDataPartition, id, createBody(id))),
  );
  t.equal(view.created.length, 1);
  for (const reply of replies) t.equal(reply.ok && Buffer.from(reply.body).toString(), '/d1');
});

t.test('create and delete of one partition do not overlap', async (t) => {
  const { view, tasks } = setUp();
  const order: string[] = [];
  view.createOutcome = async (_request, diskPath) => {
    order.push('create begins');
    await new Promise((resolve) => setImmediate(resolve));
    order.push('create ends');
    return { ok: true, value: diskPath };
  };
  view.deleteOutcome = async () => {
    order.push('delete');
    return { ok: true, value: null };
  };
  const remove = Buffer.from('{"ID":"d","OpCode":97,"Request":{"PartitionId":4}}');
  await Promise.all([
    tasks.handle(OP.createDataPartition, 4, createBody(4)),
    tasks.handle(OP.deleteDataPartition, 4, remove),
  ]);
  t.strictSame(order, ['create begins', 'create ends', 'delete']);
});

t.test("create: failures in the reference's words", async (t) => {
  const cases: [string, Buffer, Outcome<string> | null, string][] = [
    ['not JSON', Buffer.from('{'), null, 'ActionCreateDataPartition_cannnot unmashal adminTask'],
    ['empty', Buffer.alloc(0), null, 'ActionCreateDataPartition_cannnot unmashal adminTask'],
    [
      'id missing',
      createBody(1, { PartitionId: 0 }),
      null,
      'cannot unmash CreateDataPartitionRequest struct',
    ],
    [
      'id not exact',
      createBody(1, { PartitionId: 2 ** 60 }),
      null,
      'cannot unmash CreateDataPartitionRequest struct',
    ],
    ['hosts no list', createBody(1, { Hosts: 'x' }), null, 'cannot unmash CreateDataPartitionRequest struct'],
    [
      'create type unknown',
      createBody(1, { CreateType: 7 }),
      null,
      'cannot unmash CreateDataPartitionRequest struct',
    ],
    [
      'owner refuses',
      createBody(1),
      { ok: false, message: 'disk has broken' },
      'cannot create Partition err(disk has broken)',
    ],
  ];
  for (const [name, body, outcome, text] of cases) {
    const { view, tasks } = setUp();
    if (outcome !== null) view.createOutcome = async () => outcome;
    const reply = asPacket(await tasks.handle(OP.createDataPartition, 1, body));
    t.ok(reply.text.includes(text), `${name}: ${reply.text}`);
    t.ok(reply.text.startsWith('ActionCreateDataPartition_'), name);
  }
});

t.test('create: no disk with room', async (t) => {
  const { view, tasks } = setUp();
  view.diskList = [diskOf('/d1', { available: 5 * GiB }), diskOf('/d2', { status: -1 })];
  const reply = await tasks.handle(OP.createDataPartition, 1, createBody(1));
  t.match(reply, { ok: false, message: /err\(No disk space to create a data partition\)$/, partitionId: 1 });
});

t.test('delete: failures are answered, and nothing is posted', async (t) => {
  const { view, master, tasks } = setUp();
  const wrong = asPacket(
    await tasks.handle(OP.deleteDataPartition, 1, Buffer.from('{"ID":"x","OpCode":96}')),
  );
  t.ok(wrong.text.includes('illegal opcode '));
  t.notOk((await tasks.handle(OP.deleteDataPartition, 1, Buffer.from('nonsense'))).ok);
  view.deleteOutcome = async () => ({ ok: false, message: 'input/output error' });
  const task = '{"ID":"x","OpCode":97,"OperatorAddr":"127.0.0.1:1","Request":{"PartitionId":1}}';
  t.strictSame(
    asPacket(await tasks.handle(OP.deleteDataPartition, 1, Buffer.from(task))).text,
    'ActionDeleteDataPartition_input/output error',
  );
  t.strictSame(master.requests, []);
});

t.test('delete: a task without id or operator is executed, but not posted', async (t) => {
  const { view, master, tasks } = setUp();
  const task = '{"OpCode":97,"Request":{"PartitionId":9}}';
  t.ok((await tasks.handle(OP.deleteDataPartition, 9, Buffer.from(task))).ok);
  t.strictSame(view.deleted, [9]);
  t.strictSame(master.requests, []);
});

t.test('opcodes that are no tasks answer unknown opcode', async (t) => {
  const { tasks } = setUp();
  for (const opcode of [0x64, 0x65, 0xff]) {
    t.match(
      asPacket(await tasks.handle(opcode, 1, Buffer.from('{}'))).text,
      /^unknown opcode_unknown opcode\d+$/,
    );
  }
});

t.test('no body of any task makes the node throw or leave it unanswered', async (t) => {
  let state = 7;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return Math.floor((state / 0x8000_0000) * below);
  };
  const seeds = [
    createBody(1).toString(),
    '{"ID":"x","PartitionID":3,"OpCode":102,"OperatorAddr":"a:1","Status":-1,"SendTime":1,"Request":{"PartitionId":3,"RemovePeer":{"id":7,"addr":"a:1"},"AddPeer":{"id":8,"addr":"b:1"}},"Response":null}',
    '{"ID":"x","OpCode":98,"Request":{"PartitionId":3}}',
    '{"ID":"x","OpCode":99,"Request":{"CurrTime":1,"MasterAddr":"m:1"},"Response":{"Status":1}}',
  ];
  const pieces = [
    'null',
    '1e400',
    '-1',
    '[]',
    '{}',
    '""',
    '18446744073709551615',
    '"\\ud800"',
    '{"id":',
    '\u0000',
    ',',
  ];
  const { view, tasks } = setUp();
  view.partitionList = [partitionOf(3)];
  let refused = 0;
  for (let round = 0; round < 4_000; round++) {
    const seed = seeds[random(seeds.length)]!;
    const from = random(seed.length);
    const text = seed.slice(0, from) + pieces[random(pieces.length)] + seed.slice(from + random(12));
    const opcode = [0x60, 0x61, 0x62, 0x63, 0x66, 0x67, 0x68, 0x69][random(8)]!;
    const reply = await tasks.handle(opcode, random(5), Buffer.from(text));
    if (reply.ok || 'resultCode' in reply) continue;
    refused += 1;
    if (reply.action === '' || reply.message === '') t.fail(`an empty refusal of ${text}`);
  }
  t.ok(refused > 1_000, `${refused} refusals`);
});
