/** Responses on their way to masters that keep them waiting: bounds, heartbeats first, a stop. */
import t from 'tap';
import { AdminTasks } from '../../src/control/adminTasks.js';
import { ResponsePoster } from '../../src/control/responsePoster.js';
import { OP } from '../../src/protocol/opcodes.js';
import { FakeMaster } from './fakeMaster.js';
import { FakeView, partitionOf } from './fakeView.js';

const log = { debug() {}, info() {}, warn() {} };

function setUp(): { view: FakeView; master: FakeMaster; poster: ResponsePoster; tasks: AdminTasks } {
  const view = new FakeView();
  const master = new FakeMaster();
  const poster = new ResponsePoster({ master, log });
  const labels = { rack: 'rack-01', cell: '', zoneName: '' };
  return {
    view,
    master,
    poster,
    tasks: new AdminTasks({ nodeView: view, address: '10.0.0.1:17310', poster, labels: () => labels, log }),
  };
}

/** A master that keeps every call waiting until it is given up. */
function hang(master: FakeMaster): void {
  master.outcome = (signal) =>
    new Promise((resolve) => {
      signal.addEventListener('abort', () =>
        resolve({ ok: false, kind: 'aborted', message: 'aborted', detail: '' }),
      );
    });
}

t.test('responses under way are bounded in bytes, but for a lone one', async (t) => {
  const { master, poster } = setUp();
  master.outcome = () => new Promise(() => {});
  const large = Buffer.alloc(40 * 1024 * 1024, 0x20);
  poster.post('alone', large);
  poster.post('beside it', Buffer.alloc(1));
  t.equal(master.requests.length, 1);
});

t.test('a master that hangs holds a bounded number of responses, and a stop ends them', async (t) => {
  const { master, poster } = setUp();
  hang(master);
  for (let count = 0; count < 100; count++) poster.post('load', Buffer.from('{}'));
  t.equal(master.requests.length, 32);
  await poster.stop();
  poster.post('late', Buffer.from('{}'));
  poster.postHeartbeat('late', [Buffer.from('{}')]);
  t.equal(master.requests.length, 32);
});

t.test('pains 21: a pile of load responses at a hung master does not hold up heartbeats', async (t) => {
  const { view, master, tasks } = setUp();
  hang(master);
  view.partitionList = Array.from({ length: 100 }, (_, index) => partitionOf(index + 1));
  for (const { id } of view.partitionList) {
    const load = `{"ID":"load ${id}","OpCode":98,"Request":{"PartitionId":${id}}}`;
    await tasks.handle(OP.loadDataPartition, id, Buffer.from(load));
  }
  await new Promise((resolve) => setImmediate(resolve));
  t.equal(master.requests.length, 32, 'no more load responses are taken on');
  await tasks.handle(OP.dataNodeHeartbeat, 0, Buffer.from('{"ID":"beat","OpCode":99}'));
  t.match(JSON.parse(master.requests.at(-1)!.body), { ID: 'beat', Response: { Status: 1 } });
});

t.test('heartbeats under way are two at most: a third takes the place of the oldest', async (t) => {
  const { master, poster } = setUp();
  const aborted: number[] = [];
  master.outcome = (signal) =>
    new Promise((resolve) => {
      const number = master.requests.length;
      signal.addEventListener('abort', () => {
        aborted.push(number);
        resolve({ ok: false, kind: 'aborted', message: 'aborted', detail: '' });
      });
    });
  for (const text of ['1', '2', '3', '4']) poster.postHeartbeat(text, [Buffer.from(text)]);
  t.strictSame(aborted, [1, 2]);
  t.strictSame(
    master.requests.map(({ body }) => body),
    ['1', '2', '3', '4'],
  );
  await poster.stop();
  t.strictSame(aborted, [1, 2, 3, 4]);
});
