/** Load tasks of the master, recorded and hand-made, over a fake node. */
import t from 'tap';
import { AdminTasks } from '../../src/control/adminTasks.js';
import { ResponsePoster } from '../../src/control/responsePoster.js';
import { OP } from '../../src/protocol/opcodes.js';
import { recordedResponses } from '../protocol/vectors.js';
import { FakeMaster } from './fakeMaster.js';
import { FakeView, partitionOf } from './fakeView.js';

const log = { debug() {}, info() {}, warn() {} };

function setUp(): { view: FakeView; master: FakeMaster; tasks: AdminTasks } {
  const view = new FakeView();
  const master = new FakeMaster();
  const poster = new ResponsePoster({ master, log });
  return {
    view,
    master,
    tasks: new AdminTasks({
      nodeView: view,
      address: '10.0.0.1:17310',
      poster,
      labels: () => ({ rack: '', cell: '', zoneName: '' }),
      log,
    }),
  };
}

/** Lets what has an answer go on. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

t.test(
  'recorded load tasks are answered at once, and the posted responses are the recorded ones',
  async (t) => {
    const { view, master, tasks } = setUp();
    view.partitionList = [3, 4].map((id) => partitionOf(id, { usedBytes: 0, status: 2 }));
    const recorded = recordedResponses().filter((text) => JSON.parse(text).OpCode === OP.loadDataPartition);
    t.equal(recorded.length, 4);
    for (const text of recorded) {
      const task = { ...JSON.parse(text), Response: null };
      const body = Buffer.from(JSON.stringify(task));
      t.same(await tasks.handle(OP.loadDataPartition, task.PartitionID, body), {
        ok: true,
        body: Buffer.alloc(0),
      });
      await turn();
    }
    t.strictSame(
      master.requests.map(({ body }) => body),
      recorded,
    );
  },
);

t.test('load: what cannot be loaded is posted as failed', async (t) => {
  const { view, master, tasks } = setUp();
  view.partitionList = [partitionOf(3)];
  const load = (fields: object): Buffer => Buffer.from(JSON.stringify({ ID: 'z', OpCode: 98, ...fields }));
  const cases: [string, Buffer, number, string][] = [
    ['unknown', load({ Request: { PartitionId: 99999 } }), 99999, 'DataPartition(99999) not found'],
    ['no request', load({}), 0, 'DataPartition(0) not found'],
    ['request of another kind', load({ Request: [3] }), 0, 'DataPartition(0) not found'],
    ['opcode of another task', load({ OpCode: 99, Request: { PartitionId: 3 } }), 0, 'illegal opcode'],
    ['disk out of service', load({ Request: { PartitionId: 3 } }), 3, 'disk has broken'],
  ];
  view.snapshotOutcome = async () => ({ ok: false, message: 'disk has broken' });
  for (const [name, body, partitionId, result] of cases) {
    t.ok((await tasks.handle(OP.loadDataPartition, 3, body)).ok, name);
    await turn();
    t.equal(
      JSON.stringify(JSON.parse(master.requests.at(-1)!.body).Response),
      `{"PartitionId":${partitionId},"Used":0,"PartitionSnapshot":[],"Status":2,"PartitionStatus":0,"Result":"${result}","VolName":""}`,
      name,
    );
  }
  t.equal(master.requests.length, cases.length);
  t.match(await tasks.handle(OP.loadDataPartition, 3, Buffer.from('{nope')), {
    ok: false,
    action: 'ActionLoadDataPartition',
    message: /^invalid character 'n'/,
  });
});

t.test('load: a partition is asked once at a time, and the newest task gets the files', async (t) => {
  const { view, master, tasks } = setUp();
  view.partitionList = [partitionOf(3, { usedBytes: 77, status: 1 })];
  const files = Buffer.from('[{"Name":"1025","Crc":1,"Size":2,"Modified":3}]');
  let asked = 0;
  let release = (): void => {};
  view.snapshotOutcome = (id) => {
    asked += 1;
    t.equal(id, 3);
    return new Promise((resolve) => {
      release = () => resolve({ ok: true, value: files });
    });
  };
  const load = (id: string): Buffer => Buffer.from(`{"ID":"${id}","OpCode":98,"Request":{"PartitionId":3}}`);
  for (const id of ['a', 'b', 'c']) t.ok((await tasks.handle(OP.loadDataPartition, 3, load(id))).ok);
  release();
  await turn();
  t.equal(asked, 1);
  t.strictSame(
    master.requests.map(({ body }) => JSON.parse(body).ID),
    ['c'],
  );
  t.strictSame(JSON.parse(master.requests[0]!.body).Response, {
    PartitionId: 3,
    Used: 77,
    PartitionSnapshot: JSON.parse(files.toString()),
    Status: 1,
    PartitionStatus: 1,
    Result: '',
    VolName: '',
  });
  await tasks.handle(OP.loadDataPartition, 3, load('d'));
  t.equal(asked, 2, 'and again afterwards');
  view.partitionList = [];
  release();
  await turn();
  t.equal(
    JSON.parse(master.requests[1]!.body).Response.Result,
    'DataPartition(3) not found',
    'deleted meanwhile',
  );
});
