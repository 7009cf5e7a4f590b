/** The raft ports against whoever connects: access lists, garbage, and bounds of number and memory. */

import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import t from 'tap';
import { decodeMessage, encodeSnapshotBlock } from '../../src/protocol/raftMessage.js';
import { RAFT_IN, RAFT_OUT } from '../../src/raft/ports.js';
import { unhex } from '../protocol/vectors.js';
import { until } from '../support/until.js';
import { RawClient } from './rawPeer.js';
import { append, bodyOf, FakeNode, startNodes, untilTold } from './rig.js';

const LISTS = { accessClients: [], accessMasters: [] };

t.test('only peers of the lists connect, and lists that change close what they leave out', async (t) => {
  const [one] = await startNodes(t, { peers: ['10.0.0.0/8'] });
  const { transport } = one!;
  for (const port of [transport.ports.heartbeat, transport.ports.replica]) {
    const stranger = await RawClient.dial(t, port);
    stranger.write(append(7, 2, 1, 1));
    await stranger.untilClosed();
  }
  t.equal(transport.figures.incoming.notAdmitted, 2);
  t.equal(one!.lines.filter(({ message }) => message === 'a raft connection is not admitted').length, 2);
  transport.setAccess({ ...LISTS, accessPeers: ['127.0.0.0/8'] });
  const peer = await RawClient.dial(t, transport.ports.replica);
  peer.write(append(7, 2, 1, 2));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
  t.equal(one!.workers[0]!.messages[0]![59], 2, 'nothing of those who were not admitted');
  transport.setAccess({ ...LISTS, accessPeers: ['127.0.0.1'] });
  peer.write(append(7, 2, 1, 3));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 2);
  transport.setAccess({ ...LISTS, accessPeers: ['10.0.0.0/8'] });
  await peer.untilClosed();
  await until('forgotten', () => transport.figures.incoming.open === 0);
  t.equal(transport.figures.incoming.notAdmitted, 3);
});

t.test('a client of the data port is no peer', async (t) => {
  const [one] = await startNodes(t, { peers: ['10.0.0.0/8'] });
  one!.transport.setAccess({
    accessClients: ['127.0.0.1'],
    accessMasters: ['127.0.0.1'],
    accessPeers: ['10.0.0.0/8'],
  });
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  await client.untilClosed();
  t.equal(one!.transport.figures.incoming.accepted, 0);
});

t.test('what is no raft closes its connection with one line, and no other', async (t) => {
  const [one] = await startNodes(t, {});
  const { ports, figures } = one!.transport;
  const good = await RawClient.dial(t, ports.replica);
  const otherVersion = append(7, 2, 1, 1);
  otherVersion[4] = 2;
  const garbage: [Uint8Array, RegExp][] = [
    [Buffer.from('GIOP\x01\x00\x01\x00'), /1195986768 bytes, at most 67108864/],
    [Uint8Array.of(255, 255, 255, 255), /4294967295 bytes/],
    [otherVersion, /version 2/],
    [encodeSnapshotBlock(new Uint8Array(20).fill(1)), /20 bytes/],
  ];
  for (const [index, [bytes, reason]] of garbage.entries()) {
    const bad = await RawClient.dial(t, index % 2 === 0 ? ports.replica : ports.heartbeat);
    bad.write(bytes, append(7, 2, 1, 9));
    await bad.untilClosed();
    const lines = one!.lines.filter(({ message }) => message === 'a raft connection is closed');
    t.equal(lines.length, index + 1);
    t.match(lines.at(-1), { level: 'warn', fields: { remote: /^127\.0\.0\.1:\d+$/, reason } });
  }
  good.write(append(7, 2, 1, 1));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
  t.equal(one!.workers[0]!.messages.length, 1, 'nothing behind garbage is taken');
  t.same([figures.incoming.bad, figures.incoming.open], [4, 1]);
});

t.test('a stream that a worker complains of is closed, with its reason', async (t) => {
  const [one] = await startNodes(t, {});
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  client.write(append(7, 2, 1, 1));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
  one!.say(RAFT_OUT.badStream, one!.workers[0]!.told[0]!.a, Buffer.from('entry 0 of 1: 3 bytes'));
  await client.untilClosed();
  t.ok(one!.lines.some(({ fields }) => fields['reason'] === 'entry 0 of 1: 3 bytes'));
  one!.say(RAFT_OUT.badStream, 99, Buffer.from('a stream that is gone'));
});

t.test('a message that is cut off by the end of its connection is none', async (t) => {
  const [one] = await startNodes(t, {});
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  const frame = append(7, 2, 1, 1, 1000);
  client.write(frame, frame.subarray(0, 500));
  client.socket.end();
  await client.untilClosed();
  await until('forgotten', () => one!.transport.figures.incoming.open === 0);
  t.equal(one!.workers[0]!.messages.length, 1);
  t.equal(one!.transport.figures.incoming.cutOff, 1);
  t.equal(one!.transport.incomingBytes, 0);
});

t.test('a message that does not go on is given up, an idle connection is kept', async (t) => {
  const [one] = await startNodes(t, { limits: { frameProgressMs: 50 } });
  const idle = await RawClient.dial(t, one!.transport.ports.replica);
  idle.write(append(7, 2, 1, 1));
  const slow = await RawClient.dial(t, one!.transport.ports.replica);
  slow.write(append(7, 2, 1, 2, 1000).subarray(0, 3));
  await slow.untilClosed();
  idle.write(append(7, 2, 1, 3));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 2);
  t.equal(one!.transport.incomingBytes, 0);
});

t.test('messages under way take bounded memory: the one with most of it goes', async (t) => {
  const [one] = await startNodes(t, { limits: { frameBytesMax: 600_000 } });
  const announce = Uint8Array.of(0x03, 0xff, 0xff, 0xff);
  const scanners = [];
  for (let i = 0; i < 4; i += 1) scanners.push(await RawClient.dial(t, one!.transport.ports.replica));
  for (const scanner of scanners) scanner.write(announce, Uint8Array.of(1));
  await until('all are under way', () => one!.transport.incomingBytes === 4 * 64 * 1024);
  t.equal(scanners.filter(({ isClosed }) => isClosed).length, 0, 'a length alone takes little');
  scanners[0]!.write(new Uint8Array(400_000));
  await scanners[0]!.untilClosed();
  await until('its memory is free', () => one!.transport.incomingBytes === 3 * 64 * 1024);
  t.ok(one!.lines.some(({ fields }) => /frames under way take \d+ bytes/.test(String(fields['reason']))));
  const frame = append(7, 2, 1, 1, 100_000);
  const peer = await RawClient.dial(t, one!.transport.ports.replica);
  peer.write(frame);
  await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
  t.ok(Buffer.from(one!.workers[0]!.messages[0]!).equals(bodyOf(frame)));
});

t.test('so many connections and no more', async (t) => {
  const [one] = await startNodes(t, { limits: { connectionsMax: 3 } });
  const { ports, figures } = one!.transport;
  const clients = [];
  for (const port of [ports.heartbeat, ports.replica, ports.replica])
    clients.push(await RawClient.dial(t, port));
  await until('three', () => figures.incoming.open === 3);
  const more = await RawClient.dial(t, ports.heartbeat);
  await more.untilClosed();
  t.equal(figures.incoming.refused, 1);
  clients[0]!.socket.destroy();
  await until('two', () => figures.incoming.open === 2);
  const again = await RawClient.dial(t, ports.replica);
  again.write(append(7, 2, 1, 1));
  await untilTold(one!.workers[0]!, RAFT_IN.message, 1);
});

t.test('every message of a recorded cluster arrives byte for byte, at either port', async (t) => {
  const url = new URL('../../../test/vectors/raft/trace.json', import.meta.url);
  const trace = JSON.parse(readFileSync(url, 'utf8')) as {
    messages: { to: number; socket: number; hex: string }[];
  };
  const node = new FakeNode(3, {}, () => ({ heartbeat: 1, replica: 1 }));
  await node.transport.listen();
  t.teardown(() => node.transport.close());
  const { ports, figures } = node.transport;
  for (const socket of [0, 1]) {
    const own = trace.messages.filter((message) => message.to === 3 && message.socket === socket);
    const client = await RawClient.dial(t, socket === 0 ? ports.heartbeat : ports.replica);
    // A snapshot would end its connection.
    const frames = own.map(({ hex }) => unhex(hex)).filter((frame) => frame[5] !== 3);
    t.ok(frames.length > 0);
    client.write(...frames);
    const [worker] = node.workers;
    await until('all have come', () => worker!.messages.length === frames.length);
    t.ok(Buffer.concat(worker!.messages).equals(Buffer.concat(frames.map(bodyOf))));
    t.ok(worker!.messages.every((body) => decodeMessage(body).ok));
    worker!.told.splice(0);
  }
  t.equal(figures.incoming.bad, 0);
});

t.test('both ports or none; and nothing is left behind a close', async (t) => {
  const [taken, free] = [createServer(), createServer()];
  for (const server of [taken, free])
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const replica = (taken.address() as AddressInfo).port;
  const heartbeat = (free.address() as AddressInfo).port;
  await new Promise((resolve) => free.close(resolve));
  const node = new FakeNode(1, { ports: { heartbeat, replica } }, () => ({ heartbeat: 1, replica: 1 }));
  await t.rejects(node.transport.listen(), { code: 'EADDRINUSE', port: replica });
  t.equal(await dialError(heartbeat), 'ECONNREFUSED');
  node.transport.close();
  const [one] = await startNodes(t, {});
  const client = await RawClient.dial(t, one!.transport.ports.replica);
  const { ports } = one!.transport;
  one!.transport.close();
  await client.untilClosed();
  t.equal(await dialError(ports.replica), 'ECONNREFUSED');
});

/** Why a port of this machine cannot be dialled; undefined: it can. */
async function dialError(port: number): Promise<string | undefined> {
  const socket = connect({ host: '127.0.0.1', port });
  return new Promise((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    socket.on('connect', () => {
      socket.destroy();
      resolve(undefined);
    });
  });
}
