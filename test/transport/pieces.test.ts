/** The pure pieces of the raft transport: what a queue takes, when is dialled, which connection, where to, how many snapshots. */
import t from 'tap';
import { RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { Counters } from '../../src/shm/counters.js';
import { DialBackOff } from '../../src/transport/dialBackOff.js';
import {
  createTransportCounters,
  noFigures,
  publishFigures,
  readFigures,
} from '../../src/transport/figures.js';
import { laneOf } from '../../src/transport/lanes.js';
import { OutputBuffers } from '../../src/transport/outputBuffers.js';
import { OutputQueue } from '../../src/transport/outputQueue.js';
import { ROUTE, routeOf } from '../../src/transport/routing.js';
import { RunningSnapshots } from '../../src/transport/runningSnapshots.js';
import { Random } from '../sim/random.js';

const frameOf = (bytes: number): Uint8Array => new Uint8Array(bytes);

t.test('every figure comes through shared memory as it is', async (t) => {
  const figures = noFigures();
  let next = 1;
  const { received, sent, ...rest } = figures;
  for (const { messages, bytes } of [received, sent]) {
    messages.forEach((_, type) => {
      messages[type] = next++;
    });
    bytes.forEach((_, type) => {
      bytes[type] = next++;
    });
  }
  for (const group of Object.values(rest) as Record<string, number>[])
    for (const name of Object.keys(group)) group[name] = next++;
  const memory = createTransportCounters();
  t.same(readFigures(new Counters(memory)), noFigures(), 'nothing before');
  publishFigures(figures, new Counters(memory));
  t.same(readFigures(new Counters(structuredClone(memory))), figures);
  t.equal(memory.names.length, next - 1);
});

t.test('heartbeats have a lane, the other types five, by group', async (t) => {
  for (const [name, type] of Object.entries(RAFT_MESSAGE)) {
    const isHeartbeat = name === 'heartbeatRequest' || name === 'heartbeatResponse';
    const lanes = [0, 1, 4, 5, 101, 2 ** 53 - 1].map((group) => laneOf(type, group));
    t.same(lanes, isHeartbeat ? [0, 0, 0, 0, 0, 0] : [1, 2, 5, 1, 2, 2], name);
  }
});

t.test('a queue refuses new frames beyond its bytes and its number, and keeps the old ones', async (t) => {
  const queue = new OutputQueue(100, 3, new OutputBuffers());
  t.ok(queue.push(frameOf(60)));
  t.notOk(queue.push(frameOf(41)), 'bytes');
  t.ok(queue.push(frameOf(40)), 'to the last byte');
  t.equal(queue.handOver()?.length, 100);
  const small = new OutputQueue(100, 3, new OutputBuffers());
  t.same(
    [1, 2, 3, 4].map((bytes) => small.push(frameOf(bytes))),
    [true, true, true, false],
    'number',
  );
  t.same([small.frames, small.bytes], [3, 6]);
});

t.test('what was handed over counts until it has left, and nothing is handed over meanwhile', async (t) => {
  const queue = new OutputQueue(100, 3, new OutputBuffers());
  queue.push(frameOf(90));
  t.ok(queue.handOver());
  t.notOk(queue.push(frameOf(11)));
  t.ok(queue.push(frameOf(10)));
  t.equal(queue.handOver(), null, 'the socket holds bytes');
  t.same([queue.frames, queue.bytes, queue.isHanded], [2, 100, true]);
  queue.left();
  t.same([queue.frames, queue.bytes, queue.isHanded], [1, 10, false]);
  t.ok(queue.handOver());
  queue.push(frameOf(5));
  t.equal(queue.clear(), 2, 'what is handed over is given up too');
  t.same([queue.frames, queue.bytes, queue.isHanded], [0, 0, false]);
});

t.test('frames leave behind each other, in the order they came, whatever their sizes', async (t) => {
  const random = new Random(3);
  const queue = new OutputQueue(8 << 20, 1000, new OutputBuffers());
  for (let round = 0; round < 20; round += 1) {
    const frames = Array.from({ length: 1 + random.below(60) }, (_, at) => {
      return Buffer.alloc(random.chance(0.1) ? random.below(200_000) : random.below(5000), 1 + at);
    });
    const isWhileHanded = round % 2 === 1;
    if (isWhileHanded) {
      queue.push(frameOf(10));
      queue.handOver();
    }
    for (const frame of frames) t.ok(queue.push(frame));
    if (isWhileHanded) queue.left();
    t.ok(Buffer.from(queue.handOver()!).equals(Buffer.concat(frames)), `round ${round}`);
    queue.left();
  }
});

t.test('buffers are used again, but not one that a socket was handed and has not taken', async (t) => {
  const buffers = new OutputBuffers();
  const queue = new OutputQueue(1 << 20, 10, buffers);
  queue.push(frameOf(5));
  const first = queue.handOver()!.buffer;
  queue.left();
  queue.push(frameOf(5));
  t.equal(queue.handOver()!.buffer, first);
  queue.clear();
  queue.push(frameOf(5));
  t.not(queue.handOver()!.buffer, first, 'the system may still read it');
  t.ok(buffers.take(1 << 20).byteLength >= 1 << 20, 'whatever is wanted');
});

t.test('a frame longer than the bound is taken alone', async (t) => {
  const queue = new OutputQueue(100, 3, new OutputBuffers());
  t.ok(queue.push(frameOf(500)));
  t.notOk(queue.push(frameOf(1)));
  queue.handOver();
  t.notOk(queue.push(frameOf(500)));
  queue.left();
  t.ok(queue.push(frameOf(500)));
});

t.test('dials that fail are made again after pauses that double up to a bound', async (t) => {
  const backOff = new DialBackOff({ pauseMsMin: 50, pauseMsMax: 2000 });
  let nowMs = 1000;
  t.ok(backOff.mayDial(nowMs));
  for (const pauseMs of [50, 100, 200, 400, 800, 1600, 2000, 2000]) {
    backOff.failed(nowMs);
    t.notOk(backOff.mayDial(nowMs + pauseMs - 1), `within ${pauseMs} ms`);
    backOff.failed(nowMs + pauseMs - 1);
    nowMs += pauseMs;
    t.ok(backOff.mayDial(nowMs), `after ${pauseMs} ms, another failure in the pause notwithstanding`);
  }
});

t.test('a connection that is made lets all be dialled, and one that lasted begins anew', async (t) => {
  const backOff = new DialBackOff({ pauseMsMin: 50, pauseMsMax: 2000 });
  for (const nowMs of [0, 50, 150]) backOff.failed(nowMs);
  t.notOk(backOff.mayDial(200));
  backOff.reached();
  t.ok(backOff.mayDial(200));
  backOff.lost(300, 200);
  t.notOk(backOff.mayDial(699), 'lost at once: as if it had not been reached');
  t.ok(backOff.mayDial(700));
  backOff.reached();
  backOff.lost(10_000, 700);
  t.ok(backOff.mayDial(10_000), 'it had lasted');
  backOff.failed(10_000);
  t.ok(backOff.mayDial(10_050), 'the first pause again');
});

t.test('where a message goes', async (t) => {
  const workerOf = (group: number): number => (group === 101 ? 3 : -1);
  const types = RAFT_MESSAGE;
  const rows: [string, type: number, group: number, to: number, atHeartbeatPort: boolean, route: number][] = [
    ['an append of a group of ours', types.appendRequest, 101, 2, false, 3],
    ['at the other port', types.appendRequest, 101, 2, true, 3],
    ['a vote for a group that is not here', types.voteRequest, 102, 2, false, ROUTE.unknownGroup],
    ['another node', types.appendRequest, 101, 3, false, ROUTE.otherNode],
    ['a heartbeat', types.heartbeatRequest, 0, 2, true, ROUTE.everyWorker],
    ['its answer, at the other port', types.heartbeatResponse, 0, 2, false, ROUTE.everyWorker],
    ['a heartbeat for another node', types.heartbeatRequest, 0, 3, true, ROUTE.otherNode],
    ['a snapshot', types.snapshot, 101, 2, false, 3],
    ['a snapshot of a group that is not here', types.snapshot, 102, 2, false, ROUTE.unknownGroup],
    ['a snapshot among heartbeats', types.snapshot, 101, 2, true, ROUTE.wrongPort],
    ['the end of a snapshot', types.snapshotResponse, 101, 2, false, ROUTE.localType],
    ['a call to campaign', types.campaign, 101, 2, false, ROUTE.localType],
    ['a proposal', types.proposal, 101, 2, false, ROUTE.localType],
    ['a lease message', types.leaseTimeout, 101, 2, false, 3],
    ['a question of a read', types.checkQuorumRequest, 101, 2, false, 3],
  ];
  for (const [what, type, group, to, atHeartbeatPort, route] of rows)
    t.equal(routeOf({ type, group, from: 1, to }, 2, atHeartbeatPort, workerOf), route, what);
});

t.test(
  'so many snapshots at a time; a newer one of the same group to the same node takes the place of the older',
  async (t) => {
    const running = new RunningSnapshots<string>(2);
    t.equal(running.start(101, 2, 'a'), null);
    t.equal(running.start(101, 3, 'b'), null);
    t.notOk(running.hasRoomFor(102, 2));
    t.throws(() => running.start(102, 2, 'c'));
    t.ok(running.hasRoomFor(101, 3));
    t.equal(running.start(101, 3, 'd'), 'b');
    running.end(101, 3, 'b');
    t.equal(running.count, 2, 'the one that was replaced ends nothing');
    running.end(101, 2, 'a');
    t.ok(running.hasRoomFor(102, 2));
    t.same(running.clear(), ['d']);
    t.equal(running.count, 0);
  },
);
