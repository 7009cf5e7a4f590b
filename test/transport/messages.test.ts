/** Messages between two transports: from the rings of the workers of one node to those of the other, over real sockets. */
import t, { type Test } from 'tap';
import { RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { RAFT_IN, RAFT_OUT } from '../../src/raft/ports.js';
import { Random } from '../sim/random.js';
import { until } from '../support/until.js';
import { RawClient, RawPeer } from './rawPeer.js';
import { append, bodyOf, plain, startNodes, untilTold } from './rig.js';

const MiB = 1024 * 1024;

t.test('messages of all sizes arrive whole, both ways, those of a group in their order', (t) =>
  exchange(t, true),
);
t.test("the same where sockets are read by 'data' events", (t) => exchange(t, false));

async function exchange(t: Test, useOnread: boolean): Promise<void> {
  const [one, two] = await startNodes(t, { workers: 2, useOnread }, { workers: 2, useOnread });
  const random = new Random(7);
  const sent = new Map<string, Buffer[]>();
  let count = 0;
  for (let round = 0; round < 40; round += 1) {
    // One that is longer than half of a ring, or many short ones: a ring that is full is for another test.
    const sizes =
      round % 8 === 0 ? [MiB + random.below(3 * MiB)] : Array.from({ length: 30 }, () => random.below(6000));
    for (const [from, to] of [
      [one!, two!],
      [two!, one!],
    ] as const) {
      for (const bytes of sizes) {
        const group = random.below(12);
        const frame = append(group, from.nodeId, to.nodeId, count, bytes);
        t.ok(from.send(frame, to.nodeId, group % 2));
        const key = `${from.nodeId} ${group}`;
        sent.set(key, [...(sent.get(key) ?? []), Buffer.from(bodyOf(frame))]);
        count += 1;
      }
    }
    await until('the round has arrived', () => {
      const all = [one!, two!].flatMap(({ workers }) => workers.map(({ messages }) => messages.length));
      return all.reduce((sum, each) => sum + each) === count;
    });
  }
  for (const [key, bodies] of sent) {
    const [from, group] = key.split(' ').map(Number) as [number, number];
    const receiver = from === 1 ? two! : one!;
    const came = receiver.workers[group % 2]!.messages.filter((body) => groupOf(body) === group);
    t.ok(Buffer.concat(came).equals(Buffer.concat(bodies)), `group ${group} from ${from}`);
  }
  const { sent: out, drops } = one!.transport.figures;
  const { received } = two!.transport.figures;
  const appends = RAFT_MESSAGE.appendRequest;
  t.equal(out.messages[appends], count / 2);
  t.same([out.messages, out.bytes], [received.messages, received.bytes]);
  t.ok(Object.values(drops).every((dropped) => dropped === 0));
  t.equal(one!.transport.heldBytes(2), 0);
}

function groupOf(body: Uint8Array): number {
  return new DataView(body.buffer, body.byteOffset).getUint32(16);
}

t.test('heartbeats take their own port and go to every worker; a group is at one', async (t) => {
  const [one, two] = await startNodes(t, {}, { workers: 3 });
  one!.send(plain(RAFT_MESSAGE.heartbeatRequest, 0, 1, 2, Uint8Array.of(1, 1)), 2);
  one!.send(plain(RAFT_MESSAGE.heartbeatResponse, 0, 1, 2, Uint8Array.of(1)), 2);
  one!.send(append(7, 1, 2, 1), 2);
  for (const worker of two!.workers) await until('two heartbeats', () => worker.messages.length >= 2);
  await untilTold(two!.workers[1]!, RAFT_IN.message, 3);
  t.same(
    two!.workers.map(({ messages }) => messages.length),
    [2, 3, 2],
  );
  t.equal(two!.transport.figures.incoming.accepted, 2);
});

t.test(
  'a peer has one connection for heartbeats and five for the rest, each group on one of them',
  async (t) => {
    const heartbeats = await RawPeer.start(t);
    const replica = await RawPeer.start(t);
    const portsOfPeer = () => ({ heartbeat: heartbeats.port, replica: replica.port });
    const [one] = await startNodes(t, { portsOfPeer });
    one!.meet(2);
    t.equal(one!.transport.figures.outgoing.dials, 0, 'nothing is dialled before there is something to send');
    for (let index = 0; index < 20; index += 1) {
      for (let group = 0; group < 10; group += 1) one!.send(append(group, 1, 2, index), 2);
      one!.send(plain(RAFT_MESSAGE.heartbeatRequest, 0, 1, 2), 2);
    }
    await until('all have come', () => replica.bodies === 200 && heartbeats.bodies === 20);
    t.equal(heartbeats.accepted.length, 1);
    t.equal(replica.accepted.length, 5);
    for (const { bodies } of replica.accepted) {
      const lanes = new Set(bodies.map((body) => groupOf(body) % 5));
      t.equal(lanes.size, 1);
      for (const group of new Set(bodies.map(groupOf))) {
        const own = bodies.filter((body) => groupOf(body) === group);
        t.same(
          own.map((body) => body[59]),
          Array.from({ length: 20 }, (_, index) => index),
        );
      }
    }
  },
);

t.test('short and long messages that leave together keep their order', async (t) => {
  const replica = await RawPeer.start(t);
  const portsOfPeer = () => ({ heartbeat: replica.port, replica: replica.port });
  const [one] = await startNodes(t, { portsOfPeer });
  one!.meet(2);
  // All of them wait for the same dial.
  const sizes = [0, 0, 40_000, 0, 100, 300_000, 50_000, 0];
  const frames = sizes.map((bytes, index) => append(7, 1, 2, index, bytes));
  for (const frame of frames) one!.send(frame, 2);
  t.equal(one!.transport.figures.outgoing.open, 0);
  await until('all have come', () => replica.bodies === sizes.length);
  t.ok(Buffer.concat(replica.accepted[0]!.bodies).equals(Buffer.concat(frames.map(bodyOf))));
});

t.test('a worker is rung once for all that a turn has brought', async (t) => {
  const [one] = await startNodes(t, {});
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  client.write(...Array.from({ length: 100 }, (_, index) => append(7, 2, 1, index)));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 100);
  t.ok(one!.workers[0]!.rings <= 2, `${one!.workers[0]!.rings} rings`);
});

t.test('a worker that does not look loses what finds no room, and nothing of another worker', async (t) => {
  const limits = { ringWaitBytesMax: 10_000 };
  const [one] = await startNodes(t, { workers: 2, ringBytes: 64 * 1024, limits });
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  one!.workers[0]!.isAwake = false;
  for (let index = 0; index < 100; index += 1)
    client.write(append(0, 2, 1, index, 1000), append(1, 2, 1, index));
  await untilTold(one!.workers[1]!, RAFT_IN.message, 100);
  const { workerFull } = one!.transport.figures.drops;
  await until('what waited has come', () => {
    one!.workers[0]!.look();
    return one!.workers[0]!.messages.length === 100 - workerFull;
  });
  const came = one!.workers[0]!.messages;
  t.ok(came.length > 30 && came.length < 100, `${came.length} of 100`);
  t.same(
    came.map((body) => body[59]),
    came.map((_, index) => index),
    'the first ones, in order',
  );
  t.ok(workerFull > 0);
});

t.test('a message that waits for room comes to its end without further traffic', async (t) => {
  const [one] = await startNodes(t, { ringBytes: 64 * 1024 });
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  const [worker] = one!.workers;
  worker!.isAwake = false;
  const frame = append(0, 2, 1, 1, 200_000);
  client.write(frame);
  await until('it has come', () => {
    worker!.look();
    return worker!.messages.length === 1;
  });
  t.ok(Buffer.from(worker!.messages[0]!).equals(bodyOf(frame)));
});

t.test('long messages that come at once wait for room, in order, and none is lost', async (t) => {
  const [one] = await startNodes(t, {});
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  const frames = [0, 1, 2, 3, 4, 5].map((index) => append(0, 2, 1, index, MiB));
  client.write(...frames);
  await untilTold(one!.workers[0]!, RAFT_IN.message, 6);
  t.ok(Buffer.concat(one!.workers[0]!.messages).equals(Buffer.concat(frames.map(bodyOf))));
});

t.test('what is not for this node, not for the wire or longer than the rings take is dropped', async (t) => {
  const [one] = await startNodes(t, { workerOf: (group) => (group === 7 ? 0 : -1) });
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  client.write(
    append(8, 2, 1, 1),
    append(7, 2, 3, 1),
    plain(RAFT_MESSAGE.campaign, 7, 2, 1),
    plain(RAFT_MESSAGE.proposal, 7, 2, 1),
    plain(RAFT_MESSAGE.snapshotResponse, 7, 2, 1),
    append(7, 2, 1, 1, 16 * MiB),
    append(7, 2, 1, 2),
  );
  await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
  t.equal(one!.workers[0]!.messages[0]![59], 2, 'the last one alone');
  const { unknownGroup, otherNode, notForTheWire, tooLong } = one!.transport.figures.drops;
  t.same(
    { unknownGroup, otherNode, notForTheWire, tooLong },
    { unknownGroup: 1, otherNode: 1, notForTheWire: 3, tooLong: 1 },
  );
  t.ok(
    one!.lines.some(
      ({ level, fields }) => level === 'warn' && fields['reason'] === 'otherNode' && fields['to'] === 3,
    ),
  );
  t.notOk(client.isClosed);
});

t.test('a message for a node without an address is dropped, and said', async (t) => {
  const [one] = await startNodes(t, { portsOfPeer: () => ({ heartbeat: 5901, replica: 5902 }) });
  one!.send(append(7, 1, 9, 1), 9);
  one!.say(RAFT_OUT.address, 9, Buffer.from('no address'));
  one!.send(append(7, 1, 9, 1), 9);
  one!.say(RAFT_OUT.address, 9, new Uint8Array(0));
  one!.send(append(7, 1, 9, 1), 9);
  t.equal(one!.transport.figures.drops.unknownNode, 3);
  t.match(one!.lines.find(({ message }) => message === 'no such node')?.fields, { nodeId: 9, group: 7 });
  t.equal(one!.lines.filter(({ key }) => key === 'raft address').length, 2);
});
