/** Snapshots: a connection each, a verdict, one byte back, and an end that the leader's worker always hears of. */
import t from 'tap';
import { encodeSnapshotBlock, SNAPSHOT_ACK } from '../../src/protocol/raftMessage.js';
import { RAFT_IN, RAFT_OUT } from '../../src/raft/ports.js';
import { raftVectors } from '../protocol/raftVectors.js';
import { unhex } from '../protocol/vectors.js';
import { until } from '../support/until.js';
import { RawClient, RawPeer } from './rawPeer.js';
import { append, bodyOf, type FakeNode, plain, snapshotHeader, startNodes, untilTold } from './rig.js';

const TAKEN = Uint8Array.of(1);
const REFUSED = Uint8Array.of(0);

/** Ends of snapshots as a worker was told: group, receiver, taken. */
function ends(node: FakeNode): [group: number, to: number, taken: number][] {
  return node.workers.flatMap((worker) =>
    worker
      .of(RAFT_IN.snapshotSent)
      .map(({ a, bytes }) => [a, Number(Buffer.from(bytes).readBigUInt64BE()), bytes[8]!]),
  );
}

t.test('a snapshot is taken or refused by its group, and its leader hears which', async (t) => {
  const [one, two] = await startNodes(t, { workers: 2 }, {});
  for (const [verdict, expected] of [
    [TAKEN, 1],
    [REFUSED, 0],
  ] as const) {
    const header = snapshotHeader(7, 1, 2);
    one!.send(header, 2, 1);
    await until('the header has come', () => two!.workers[0]!.messages.length > 0);
    const [told] = two!.workers[0]!.told.splice(0);
    t.ok(Buffer.from(told!.bytes).equals(bodyOf(header)));
    t.equal(one!.transport.figures.snapshots.running, 1);
    two!.say(RAFT_OUT.verdict, told!.a, verdict);
    await untilTold(one!.workers[1]!, RAFT_IN.snapshotSent, 1);
    t.same(ends(one!), [[7, 2, expected]]);
    one!.workers[1]!.told.splice(0);
    await until('its connection is closed', () => two!.transport.figures.incoming.open === 0);
  }
  const { received, acknowledged } = two!.transport.figures.snapshots;
  const { running, taken, failed } = one!.transport.figures.snapshots;
  t.same(
    { received, acknowledged, running, taken, failed },
    { received: 2, acknowledged: 1, running: 0, taken: 1, failed: 1 },
  );
});

t.test('ten at a time: one more fails at once with the words of the reference', async (t) => {
  const [one, two] = await startNodes(t, {}, {});
  for (let group = 0; group < 11; group += 1) one!.send(snapshotHeader(group, 1, 2), 2);
  await untilTold(one!.workers[0]!, RAFT_IN.snapshotSent, 1);
  t.same(ends(one!), [[10, 2, 0]]);
  t.ok(one!.lines.some(({ fields }) => fields['fault'] === 'snapshot concurrency exceed the limit 10.'));
  await untilTold(two!.workers[0]!, RAFT_IN.message, 10);
  two!.say(RAFT_OUT.verdict, two!.workers[0]!.told[0]!.a, TAKEN);
  await untilTold(one!.workers[0]!, RAFT_IN.snapshotSent, 2);
  one!.send(snapshotHeader(11, 1, 2), 2);
  await untilTold(two!.workers[0]!, RAFT_IN.message, 11);
  t.equal(one!.transport.figures.snapshots.tooMany, 1);
});

t.test(
  'a newer snapshot of the same group to the same node ends the older one, of which nobody hears',
  async (t) => {
    const replica = await RawPeer.start(t);
    const [one] = await startNodes(t, {
      portsOfPeer: () => ({ heartbeat: replica.port, replica: replica.port }),
    });
    one!.meet(2);
    one!.send(snapshotHeader(7, 1, 2), 2);
    await until('the first', () => replica.bodies === 1);
    one!.send(snapshotHeader(7, 1, 2), 2);
    await until('the second', () => replica.bodies === 2);
    await until('the first is closed', () => replica.accepted[0]!.socket.destroyed);
    t.equal(one!.transport.figures.snapshots.running, 1);
    replica.accepted[1]!.socket.write(Uint8Array.of(SNAPSHOT_ACK));
    await untilTold(one!.workers[0]!, RAFT_IN.snapshotSent, 1);
    t.same(ends(one!), [[7, 2, 1]]);
  },
);

t.test('how a receiver may answer: the recorded byte, another one, or none', async (t) => {
  const ack = unhex(raftVectors('snapshot_stream').find(({ name }) => name === 'ack')!.hex);
  const replica = await RawPeer.start(t);
  const limits = { snapshotAckMs: 100 };
  const portsOfPeer = () => ({ heartbeat: replica.port, replica: replica.port });
  const [one] = await startNodes(t, { portsOfPeer, limits });
  one!.meet(2);
  const answers: [string, (index: number) => void, number][] = [
    [
      'taken, then a reset',
      (i) => replica.accepted[i]!.socket.write(ack, () => replica.accepted[i]!.socket.resetAndDestroy()),
      1,
    ],
    ['another byte', (i) => replica.accepted[i]!.socket.write(Uint8Array.of(2)), 0],
    ['an end', (i) => replica.accepted[i]!.socket.end(), 0],
    ['silence', () => {}, 0],
  ];
  for (const [index, [what, answer, taken]] of answers.entries()) {
    one!.send(snapshotHeader(7, 1, 2), 2);
    await until('the header has come', () => replica.bodies === index + 1);
    answer(index);
    await untilTold(one!.workers[0]!, RAFT_IN.snapshotSent, index + 1);
    t.equal(ends(one!)[index]![2], taken, what);
  }
  t.ok(
    replica.accepted.every(({ bodies }) => bodies.length === 1),
    'neither blocks nor their end are sent',
  );
});

t.test('a snapshot that reaches nobody fails', async (t) => {
  const gone = await RawPeer.start(t);
  gone.close();
  const [one] = await startNodes(t, { portsOfPeer: () => ({ heartbeat: gone.port, replica: gone.port }) });
  one!.send(snapshotHeader(7, 1, 2), 2);
  await untilTold(one!.workers[0]!, RAFT_IN.snapshotSent, 1);
  one!.meet(2);
  one!.send(snapshotHeader(7, 1, 2), 2);
  await untilTold(one!.workers[0]!, RAFT_IN.snapshotSent, 2);
  t.same(ends(one!), [
    [7, 2, 0],
    [7, 2, 0],
  ]);
  t.same([one!.transport.figures.drops.unknownNode, one!.transport.figures.snapshots.running], [1, 0]);
});

t.test('the end of a snapshot waits until the ring has room', async (t) => {
  const [one, two] = await startNodes(t, { ringBytes: 64 * 1024, limits: { ringWaitBytesMax: 0 } }, {});
  const [worker] = one!.workers;
  worker!.isAwake = false;
  one!.send(snapshotHeader(7, 1, 2), 2);
  await untilTold(two!.workers[0]!, RAFT_IN.message, 1);
  for (let index = 0; index < 100; index += 1) two!.send(append(7, 2, 1, index, 1000), 1);
  await until('the ring is full', () => one!.transport.figures.drops.workerFull > 0);
  two!.say(RAFT_OUT.verdict, two!.workers[0]!.told[0]!.a, TAKEN);
  await until('the snapshot has ended', () => one!.transport.figures.snapshots.taken === 1);
  t.equal(ends(one!).length, 0);
  worker!.isAwake = true;
  worker!.look();
  await untilTold(worker!, RAFT_IN.snapshotSent, 1);
  t.same(ends(one!), [[7, 2, 1]]);
});

t.test(
  'a snapshot of a group that is not here, or at the heartbeat port, closes its connection',
  async (t) => {
    const [one] = await startNodes(t, { workerOf: (group) => (group === 7 ? 0 : -1) });
    const { ports, figures } = one!.transport;
    const stranger = await RawClient.dial(t, ports.replica);
    stranger.write(snapshotHeader(8, 2, 1));
    await stranger.untilClosed();
    const wrongPort = await RawClient.dial(t, ports.heartbeat);
    wrongPort.write(snapshotHeader(7, 2, 1));
    await wrongPort.untilClosed();
    t.equal(one!.workers[0]!.told.length, 0);
    t.same([figures.drops.unknownGroup, figures.drops.notForTheWire, figures.snapshots.received], [1, 1, 0]);
  },
);

t.test(
  'a v1.4.0 leader, which sends blocks without end, is held back until the verdict and stopped by it',
  async (t) => {
    // What stops it is the verdict alone.
    const [one] = await startNodes(t, { limits: { lingerMs: 60_000 } });
    const vector = (name: string) =>
      unhex(raftVectors('snapshot_stream').find((each) => each.name === name)!.hex);
    const client = await RawClient.dial(t, one!.transport.ports.replica);
    // The recorded header goes to node 3; this one is to node 1.
    client.write(snapshotHeader(7, 2, 1));
    const blocks = Buffer.concat(Array.from({ length: 20_000 }, () => vector('data_node_block')));
    const pour = (): void => {
      while (!client.isClosed && client.socket.writable && client.socket.write(blocks));
    };
    client.socket.on('drain', pour);
    pour();
    await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
    let before = -1;
    let looked = performance.now();
    await until('nothing is read any more', () => {
      if (performance.now() - looked < 200) return false;
      const now = client.socket.bytesWritten;
      const stands = now === before;
      before = now;
      looked = performance.now();
      return stands;
    });
    t.ok(one!.transport.incomingBytes <= 8, 'no more than the block that is cut is kept');
    one!.say(RAFT_OUT.verdict, one!.workers[0]!.told[0]!.a, TAKEN);
    await client.untilClosed();
    t.equal(one!.transport.figures.snapshots.acknowledged, 1);
  },
);

t.test(
  'a sender that ends its blocks and waits gets the byte, then the end; one that stays is cut',
  async (t) => {
    const [one] = await startNodes(t, { limits: { lingerMs: 10 } });
    const client = await RawClient.dial(t, one!.transport.ports.replica, true);
    client.write(
      snapshotHeader(7, 2, 1),
      encodeSnapshotBlock(Uint8Array.of(1, 2, 3)),
      Uint8Array.of(0, 0, 0, 0),
    );
    await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
    one!.say(RAFT_OUT.verdict, one!.workers[0]!.told[0]!.a, TAKEN);
    await until('the byte has come', () => client.received.length > 0);
    t.same(client.received, [SNAPSHOT_ACK]);
    await until('forgotten', () => one!.transport.figures.incoming.open === 0);
  },
);

t.test('a verdict that does not come, comes twice, or too late', async (t) => {
  const [one] = await startNodes(t, { limits: { verdictMs: 50 } });
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  client.write(snapshotHeader(7, 2, 1));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
  await client.untilClosed();
  t.same(client.received, []);
  const { a } = one!.workers[0]!.told[0]!;
  one!.say(RAFT_OUT.verdict, a, TAKEN);
  one!.say(RAFT_OUT.verdict, a, TAKEN);
  t.equal(one!.transport.figures.snapshots.acknowledged, 0);
  const other = await RawClient.dial(t, one!.transport.ports.replica);
  other.write(plain(1, 7, 2, 1));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 2);
  one!.say(RAFT_OUT.verdict, one!.workers[0]!.told[1]!.a, TAKEN);
  other.write(plain(1, 7, 2, 1));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 3);
  t.same(other.received, [], 'a verdict on a stream without a snapshot is none');
});
