/** Followers that fail, in every way that a peer over a socket can: what the client of their primary is told, and that its links end. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import t, { type Test } from 'tap';
import { formatFollowers } from '../../src/protocol/followers.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { FollowerQueue } from '../../src/server/followerQueue.js';
import { FollowerReplies } from '../../src/server/followerReplies.js';
import { wireVector } from '../protocol/vectors.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { type FollowerWork, ok, reply } from './fakeFollower.js';
import type { FakeOptions } from './fakeNode.js';
import { append, withArg, withRig } from './forwardingRig.js';

t.test('a follower that is lost is answered as in the worked example W5', async (t) => {
  const close: FollowerWork = ({ socket }) => {
    socket.end();
    return null;
  };
  await withRig({}, [ok, close], async ({ client, arg, node }) => {
    node.network.routes.set(42, node.network.routes.get(1)!);
    client.send(withArg('W1', arg));
    const [got] = await client.take(1);
    t.equal(got!.raw.toString('hex'), wireVector('W5').hex);
    await client.until('FIN', () => client.ended);
    t.match(node.lost[0], /: EOF$/);
  });
});

/** A client's one append fails with `text`, and the connection ends. */

function fails(
  name: string,
  works: FollowerWork[],
  text: string | RegExp,
  options: Partial<FakeOptions> = {},
): void {
  t.test(name, async (t) => {
    await withRig(options, works, async ({ client, arg }) => {
      client.send(append(2, 100, arg));
      const [got] = await client.take(1);
      t.equal(got!.resultCode, RESULT.intraGroupNetErr);
      t.equal(got!.arg.length, 0);
      t.match(got!.body.toString(), text);
      await client.until('FIN', () => client.ended);
    });
  });
}

const silent: FollowerWork = () => null;

fails(
  'a follower’s error is passed on with its text',
  [ok, ({ raw }) => reply(raw, RESULT.diskNoSpaceErr, 'ActionPreparePkt_no space left on the device')],
  'ActionReceiveFromFollower_ActionPreparePkt_no space left on the device',
);

fails(
  'an error that comes in pieces',
  [
    ({ raw, socket }) => {
      const bytes = reply(raw, RESULT.intraGroupNetErr, 'a text');
      socket.write(bytes.subarray(0, 20));
      setTimeout(() => socket.write(bytes.subarray(20, 60)), 5);
      setTimeout(() => socket.write(bytes.subarray(60)), 10);
      return null;
    },
  ],
  'ActionReceiveFromFollower_a text',
);

for (const [field, at] of [
  ['checksum', 5],
  ['partition', 24],
  ['extent', 32],
  ['offset', 40],
  ['ReqID', 48],
] as const) {
  fails(
    `a reply with another ${field}`,
    [
      ({ raw }) => {
        const bytes = reply(raw, RESULT.ok);
        bytes[at]! ^= 1;
        return bytes;
      },
    ],
    /^ActionReceiveFromFollower_ActionCheckReply request\(Req\(2\)_Partition\(1\)_Extent\(1025\).*_Opcode\(OpWrite\)_CRC\(\d+\)\), reply\(Req\(\d+\)_.*\) {2}$/,
  );
}

fails('a reply with a bad magic', [() => Buffer.alloc(57, 7)], 'ActionReceiveFromFollower_Bad Magic 7');

fails(
  'a reply with a length out of all bounds',
  [
    ({ raw }) => {
      const bytes = reply(raw, RESULT.intraGroupNetErr);
      bytes.writeUInt32BE(0xffff_ffff, 9);
      return bytes;
    },
  ],
  'ActionReceiveFromFollower_reply with 4294967295 bytes, the limit is 131072',
);

fails(
  'a follower that resets the connection',
  [
    ({ socket }) => {
      socket.resetAndDestroy();
      return null;
    },
  ],
  /^ActionReceiveFromFollower_read tcp 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+: read: errno 104$/,
);

fails(
  'a follower that does not answer in time',
  [ok, silent],
  /^ActionReceiveFromFollower_read tcp 127\.0\.0\.1:\d+->127\.0\.0\.1:\d+: i\/o timeout$/,
  { replyMs: 200 },
);

fails(
  'a follower that sends half a reply and stops',
  [({ raw }) => ok({ raw }).subarray(0, 30)],
  /i\/o timeout$/,
  { replyMs: 200 },
);

/** A process that listens on loopback and stands still, with a full backlog: dials to it are not answered. */

async function deafServer(t: Test): Promise<string> {
  const code = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () { console.log(this.address().port) })`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  child.kill('SIGSTOP');
  const dials = Array.from({ length: 8 }, () => net.connect(port, '127.0.0.1'));
  t.teardown(() => {
    for (const socket of dials) socket.destroy();
  });
  for (const socket of dials) socket.on('error', () => {});
  await until('the backlog is full', () => dials.some((socket) => !socket.connecting));
  return `127.0.0.1:${port}`;
}

t.test('a follower that does not answer the dial', async (t) => {
  const address = await deafServer(t);
  await withRig({ dialMs: 300 }, [ok], async ({ client, node, arg }) => {
    client.send(append(2, 100_000, formatFollowers([address])));
    await until('a link is dialled', () => node.network.forwarding.links.open === 1);
    const other = new PacketClient(node.port);
    other.send(append(2, 100, arg));
    t.equal((await other.take(1))[0]!.resultCode, RESULT.ok, 'others are served meanwhile');
    const [got] = await client.take(1);
    t.equal(got!.body.toString(), `ActionSendToFollowers_dial tcp ${address}: i/o timeout`);
    t.strictSame(Buffer.from(got!.arg).toString(), `${address}/`);
    t.strictSame(node.network.forwarding.links.losses, [1, 0, 0, 0]);
    await other.end();
  });
});

t.test('a reply too many ends the link: the next packet fails', async (t) => {
  await withRig(
    {},
    [({ raw }) => Buffer.concat([ok({ raw }), ok({ raw })])],
    async ({ client, arg, node }) => {
      client.send(append(2, 100, arg));
      const [got] = await client.take(1);
      t.equal(got!.resultCode, RESULT.ok);
      await until('the link is lost', () => node.network.forwarding.links.open === 0);
      client.send(append(3, 100, arg));
      const [next] = await client.take(1);
      t.equal(next!.body.toString(), 'ActionReceiveFromFollower_a reply to no packet');
    },
  );
});

t.test('a reply before the packet has left is none', async (t) => {
  const headers = Buffer.from(append(2, 10, new Uint8Array(0)));
  const queue = new FollowerQueue();
  const done: number[] = [];
  const replies = new FollowerReplies(new DataView(headers.buffer, headers.byteOffset, headers.length), {
    expected: () => (queue.oldestHasLeft ? 0 : -1),
    done: () => done.push(queue.shift(0)),
    failed: (text) => t.fail(text),
  });
  const answer = ok({ raw: headers });
  queue.push(7);
  t.equal(replies.received(answer, answer.length), 'a reply to no packet', 'it waits');
  queue.handOver(0);
  t.equal(replies.received(answer, answer.length), 'a reply to no packet', 'the socket still has it');
  queue.left(queue.handed);
  t.equal(replies.received(answer, answer.length), null);
  t.strictSame(done, [7]);
  t.equal(replies.received(answer, answer.length), 'a reply to no packet', 'it was answered');
});

t.test('links are closed with the last reply, though the client keeps its side open', async (t) => {
  const fail: FollowerWork = ({ raw }) => reply(raw, RESULT.intraGroupNetErr, 'no');
  await withRig({ limits: { lingerMs: 60_000 } }, [fail, ok], async ({ arg, node }) => {
    const socket = net.connect({ port: node.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.resume();
    const ended = once(socket, 'end');
    socket.write(append(2, 100, arg));
    await ended;
    await until('the links are closed', () => node.network.forwarding.links.open === 0, 5_000);
    t.equal(node.listener.connectionCount, 2, 'both clients are there');
    socket.destroy();
  });
});
