/** Heartbeat responses made in slices: the same bytes as in one go, one at a time, labels as they are now. */
import t from 'tap';
import { buildHeartbeat, type NodeLabels } from '../../src/control/heartbeat.js';
import { Heartbeats, SLICE_PARTITIONS } from '../../src/control/heartbeats.js';
import { encodeAdminResponse, newAdminTask } from '../../src/protocol/adminTask.js';
import { heartbeatResponse } from '../../src/protocol/heartbeat.js';
import { OP } from '../../src/protocol/opcodes.js';
import { diskOf, FakeView, partitionOf } from './fakeView.js';

const task = newAdminTask(OP.dataNodeHeartbeat, '10.0.0.1:17310', undefined, 1573600000, {
  CurrTime: 1573600000,
  MasterAddr: '10.0.0.9:17010',
});
const LABELS: NodeLabels = { rack: 'rack-01', cell: '', zoneName: '' };

function setUp(partitions: number) {
  const view = new FakeView();
  view.partitionList = Array.from({ length: partitions }, (_, index) =>
    partitionOf(index + 1, { volume: `vol<${index % 7}>`, usedBytes: index * 4096 }),
  );
  const posts: { id: string; text: string }[] = [];
  const state = { labels: LABELS, turns: 0, turn: (): void => {} };
  const heartbeats = new Heartbeats({
    nodeView: view,
    poster: {
      postHeartbeat: (id, pieces) => {
        posts.push({ id, text: Buffer.concat(pieces).toString() });
      },
    },
    labels: () => state.labels,
    nextTurn: async () => {
      state.turns += 1;
      state.turn();
    },
  });
  return { view, posts, state, heartbeats };
}

/** Lets a response be finished. */
async function finish(posts: unknown[], count: number): Promise<void> {
  for (let turn = 0; turn < 1000 && posts.length < count; turn += 1) await Promise.resolve();
}

t.test('slices make the bytes that one go makes', async (t) => {
  const counts = [
    0,
    1,
    SLICE_PARTITIONS - 1,
    SLICE_PARTITIONS,
    SLICE_PARTITIONS + 1,
    3 * SLICE_PARTITIONS + 5,
  ];
  for (const count of counts) {
    const { view, posts, state, heartbeats } = setUp(count);
    heartbeats.take(task);
    await finish(posts, 1);
    const whole = encodeAdminResponse(
      task,
      heartbeatResponse,
      buildHeartbeat(view.disks(), view.partitions(), LABELS),
    );
    t.ok(posts[0]?.text === Buffer.from(whole).toString(), `${count} partitions`);
    t.equal(state.turns, Math.max(0, Math.ceil(count / SLICE_PARTITIONS) - 1), 'a turn between two slices');
  }
});

t.test('sent again while its response is being made, a task gets one response', async (t) => {
  const { posts, state, heartbeats } = setUp(2 * SLICE_PARTITIONS);
  state.turn = () => heartbeats.take({ ...task, sendCount: 1 });
  heartbeats.take(task);
  await finish(posts, 1);
  t.equal(posts.length, 1);
  t.match(posts[0]?.text, '"SendCount":1', 'the newest one');
  state.turn = () => {};
  heartbeats.take(task);
  await finish(posts, 2);
  t.equal(posts.length, 2, 'and the next one its own');
});

t.test('partitions that go between two slices are left out', async (t) => {
  const { view, posts, state, heartbeats } = setUp(SLICE_PARTITIONS + 2);
  state.turn = () => {
    view.partitionList = view.partitionList.filter(({ id }) => id !== SLICE_PARTITIONS + 1);
  };
  heartbeats.take(task);
  await finish(posts, 1);
  const { Response } = JSON.parse(posts[0]!.text) as {
    Response: { PartitionReports: { PartitionID: number }[] };
  };
  t.equal(Response.PartitionReports.length, SLICE_PARTITIONS + 1);
  t.equal(Response.PartitionReports.at(-1)?.PartitionID, SLICE_PARTITIONS + 2);
});

t.test('a disk that fails between two slices is bad in all that follows', async (t) => {
  const { view, posts, state, heartbeats } = setUp(SLICE_PARTITIONS + 1);
  state.turn = () => {
    view.diskList = [diskOf('/d1', { status: -1 })];
  };
  heartbeats.take(task);
  await finish(posts, 1);
  const { Response } = JSON.parse(posts[0]!.text) as {
    Response: { PartitionReports: { PartitionStatus: number }[]; BadDisks: string[] };
  };
  t.equal(Response.PartitionReports.at(-1)?.PartitionStatus, -1);
  t.strictSame(Response.BadDisks, ['/d1']);
});

t.test('cell and zone stand behind the rack when configured, and may change while running', async (t) => {
  const { posts, state, heartbeats } = setUp(0);
  heartbeats.take(task);
  t.match(posts[0]?.text, '"RackName":"rack-01","PartitionReports":[]', 'the bytes of v1.4.0 without them');
  state.labels = { rack: 'r', cell: 'c', zoneName: 'z' };
  heartbeats.take(task);
  t.match(posts[1]?.text, '"RackName":"r","CellName":"c","ZoneName":"z","PartitionReports":[]');
  state.labels = { rack: 'r', cell: '', zoneName: 'z' };
  heartbeats.take(task);
  t.match(posts[2]?.text, '"RackName":"r","ZoneName":"z","PartitionReports":[]');
});
