/** Peers that are away, come back, take nothing, or are elsewhere: what is lost, what it costs, who is told. */

import type { Socket } from 'node:net';
import t from 'tap';
import { RAFT_MESSAGE } from '../../src/protocol/raftMessage.js';
import { RAFT_IN } from '../../src/raft/ports.js';
import { until } from '../support/until.js';
import { RawPeer } from './rawPeer.js';
import { append, FakeNode, plain, startNodes, untilTold } from './rig.js';

const MiB = 1024 * 1024;
const QUICK = { dialPauseMsMin: 5, dialPauseMsMax: 20 };

t.test(
  'a peer that was away is found again by the next messages, and every worker is told once',
  async (t) => {
    const [one, two] = await startNodes(t, { workers: 2, limits: QUICK }, {});
    one!.send(append(7, 1, 2, 1), 2);
    await untilTold(two!.workers[0]!, RAFT_IN.message, 1);
    t.equal(
      one!.workers[0]!.of(RAFT_IN.reconnected).length,
      0,
      'the first connection is none that was made anew',
    );
    const { ports } = two!.transport;
    two!.transport.close();
    const { figures } = one!.transport;
    await until('its end is noticed', () => figures.outgoing.open === 0);
    t.equal(figures.outgoing.losses, 1);
    await until('dials fail', () => {
      for (const group of [5, 6, 7, 8, 9]) one!.send(append(group, 1, 2, 2), 2);
      return figures.outgoing.dialFailures >= 3;
    });
    t.ok(figures.drops.unreachable > 0);
    await until('nothing is held', () => one!.transport.heldBytes(2) === 0);
    const again = new FakeNode(2, { ports }, () => one!.transport.ports);
    await again.transport.listen();
    t.teardown(() => again.transport.close());
    await until('a message arrives', () => {
      for (const group of [5, 6, 7, 8, 9]) one!.send(append(group, 1, 2, 3), 2);
      return again.workers[0]!.messages.length > 0;
    });
    await until('all five are there', () => figures.outgoing.open === 5);
    for (const worker of one!.workers) {
      await untilTold(worker, RAFT_IN.reconnected, 1);
      t.same(
        worker.of(RAFT_IN.reconnected).map(({ a }) => a),
        [2],
      );
    }
    t.equal(figures.outgoing.reconnects, 1);
  },
);

t.test('a peer that is not there is dialled by pauses, and nothing is kept for it', async (t) => {
  const gone = await RawPeer.start(t);
  gone.close();
  const portsOfPeer = () => ({ heartbeat: gone.port, replica: gone.port });
  const [one] = await startNodes(t, { portsOfPeer, limits: { dialPauseMsMin: 20, dialPauseMsMax: 40 } });
  one!.meet(2);
  const { figures } = one!.transport;
  const startMs = performance.now();
  let sent = 0;
  await until('ten dials', () => {
    one!.send(append(7, 1, 2, 1, 1000), 2);
    sent += 1;
    return figures.outgoing.dialFailures >= 10;
  });
  t.ok(performance.now() - startMs >= 20 + 8 * 40, 'no dial before its pause');
  await until('the last dial has failed', () => figures.outgoing.dials === figures.outgoing.dialFailures);
  t.equal(figures.drops.unreachable, sent);
  t.equal(one!.transport.heldBytes(2), 0);
});

t.test('a peer that closes what it accepts is not dialled without end', async (t) => {
  const shy = await RawPeer.start(t, (socket) => socket.destroy());
  const portsOfPeer = () => ({ heartbeat: shy.port, replica: shy.port });
  const [one] = await startNodes(t, { portsOfPeer, limits: { dialPauseMsMin: 20, dialPauseMsMax: 400 } });
  one!.meet(2);
  const { figures } = one!.transport;
  const startMs = performance.now();
  await until('six dials', () => {
    one!.send(append(7, 1, 2, 1), 2);
    return figures.outgoing.dials >= 6;
  });
  t.ok(performance.now() - startMs >= 20 + 40 + 80 + 160 + 320);
});

t.test('a connection that is made lets the others be dialled at once', async (t) => {
  const heartbeats = await RawPeer.start(t);
  const gone = await RawPeer.start(t);
  gone.close();
  const portsOfPeer = () => ({ heartbeat: heartbeats.port, replica: gone.port });
  const [one] = await startNodes(t, {
    portsOfPeer,
    limits: { dialPauseMsMin: 60_000, dialPauseMsMax: 60_000 },
  });
  one!.meet(2);
  const { outgoing } = one!.transport.figures;
  // Both are dialled in one turn; a refusal on loopback is known before a connection.
  one!.send(append(7, 1, 2, 1), 2);
  one!.send(plain(RAFT_MESSAGE.heartbeatRequest, 0, 1, 2), 2);
  await until('one fails, one is made', () => outgoing.dialFailures === 1 && outgoing.open === 1);
  one!.send(append(7, 1, 2, 1), 2);
  await until('the other is dialled again', () => outgoing.dialFailures === 2);
  one!.send(append(7, 1, 2, 1), 2);
  t.equal(outgoing.dials, 3, 'and then waits for its pause');
});

t.test('a peer that takes nothing costs a bound, and loses its connection when nothing moves', async (t) => {
  const stuck: Socket[] = [];
  const dead = await RawPeer.start(t, (socket) => stuck.push(socket.pause()));
  const portsOfPeer = () => ({ heartbeat: dead.port, replica: dead.port });
  const limits = { ...QUICK, outputProgressMs: 300, outputBytesMax: 2 * MiB, outputFramesMax: 100 };
  const [one] = await startNodes(t, { portsOfPeer, limits });
  one!.meet(2);
  const { figures } = one!.transport;
  let mostBytes = 0;
  await until('it is full', () => {
    one!.send(append(7, 1, 2, 1, 200_000), 2);
    mostBytes = Math.max(mostBytes, one!.transport.heldBytes(2));
    return figures.drops.queueFull >= 20;
  });
  t.ok(mostBytes > MiB && mostBytes <= 2 * MiB, `${mostBytes} bytes`);
  await until('many small ones are bounded too', () => {
    one!.send(append(8, 1, 2, 1), 2);
    return figures.outgoing.losses >= 1;
  });
  t.match(
    one!.lines.find(({ message }) => message.includes('is lost')),
    { fields: { text: 'the peer takes nothing' } },
  );
  t.ok(figures.drops.lost > 0);
});

t.test('a peer that takes little at a time gets everything, by one connection', async (t) => {
  let taken = 0;
  const slow = await RawPeer.start(t, (socket) => {
    socket.on('data', (chunk) => {
      taken += chunk.length;
      socket.pause();
      setTimeout(() => socket.resume(), 1);
    });
  });
  const portsOfPeer = () => ({ heartbeat: slow.port, replica: slow.port });
  const [one] = await startNodes(t, { portsOfPeer, limits: { outputProgressMs: 20_000 } });
  one!.meet(2);
  for (let index = 0; index < 7; index += 1) one!.send(append(7, 1, 2, index, MiB), 2);
  await until('all is taken', () => taken >= 7 * MiB, 30_000);
  t.equal(one!.transport.figures.outgoing.losses, 0);
  await until('nothing is held', () => one!.transport.heldBytes(2) === 0);
});

t.test(
  'what a peer sends on a connection that is not read is thrown away, and its end is noticed',
  async (t) => {
    const chatty = await RawPeer.start(t, (socket) => {
      socket.resume();
      socket.end(Buffer.alloc(100_000, 7));
    });
    const portsOfPeer = () => ({ heartbeat: chatty.port, replica: chatty.port });
    const [one] = await startNodes(t, { portsOfPeer });
    one!.meet(2);
    one!.send(append(7, 1, 2, 1), 2);
    await until('its end is noticed', () => one!.transport.figures.outgoing.losses === 1);
    t.equal(one!.workers[0]!.told.length, 0);
  },
);

t.test('another address of a node ends the connections to the old one', async (t) => {
  const before = await RawPeer.start(t);
  const after = await RawPeer.start(t, undefined, '127.0.0.2', before.port);
  const portsOfPeer = () => ({ heartbeat: before.port, replica: before.port });
  const [one] = await startNodes(t, { portsOfPeer });
  one!.meet(2, '127.0.0.1');
  one!.send(append(7, 1, 2, 1), 2);
  await until('it came', () => before.bodies === 1);
  one!.meet(2, '127.0.0.1');
  one!.send(append(7, 1, 2, 2), 2);
  await until('it came by the same connection', () => before.bodies === 2);
  t.equal(one!.transport.figures.outgoing.dials, 1);
  one!.meet(2, '127.0.0.2');
  one!.send(plain(RAFT_MESSAGE.voteResponse, 7, 1, 2), 2);
  await until('it came elsewhere', () => after.bodies === 1);
  await until('the old one is closed', () => before.accepted[0]!.socket.destroyed);
  t.equal(one!.transport.figures.outgoing.open, 1);
});
