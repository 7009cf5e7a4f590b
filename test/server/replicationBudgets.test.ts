/** What waits for followers stays in its share: a follower that hangs, and nodes that are primaries for each other. */
import zlib from 'node:zlib';
import t from 'tap';
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { FakeFollower } from './fakeFollower.js';
import { FakeNode, type Seen } from './fakeNode.js';
import { honest } from './honest.js';

function append(reqId: number, bytes: number, follower: string): Uint8Array {
  const body = new Uint8Array(bytes).fill(reqId);
  return encodeRequest({
    ...{
      opcode: OP.write,
      extentType: 1,
      reqId,
      partitionId: 1,
      extentId: 1025,
      crc: zlib.crc32(body),
      body,
    },
    ...(follower === '' ? {} : { remainingFollowers: 1, arg: formatFollowers([follower]) }),
  });
}

const CLIENTS = 6;
const PACKETS = 8;

for (const bytes of [1000, 100_000]) {
  t.test(
    `two nodes that are primaries for each other, with all budgets used up, do not wait in a circle (${bytes} bytes)`,
    async (t) => {
      let released = false;
      const held: { node: FakeNode; request: Seen }[] = [];
      const nodes: FakeNode[] = [];
      for (let i = 0; i < 2; i++) {
        const node: FakeNode = new FakeNode({
          ...{ slots4k: 16, slots128k: 16, ringSlots: 16 },
          work: (request) => {
            if (released || !request.forwarded) return honest(request);
            held.push({ node, request });
            return null;
          },
        });
        nodes.push(node);
        await node.start();
      }
      const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`);
      const clients = nodes.flatMap((node, i) =>
        Array.from({ length: CLIENTS }, () => {
          const client = new PacketClient(node.port);
          for (let reqId = 2; reqId < 2 + PACKETS; reqId++)
            client.send(append(reqId, bytes, addresses[1 - i]!));
          return client;
        }),
      );
      const forwarded = (node: FakeNode) => node.seen.filter((one) => one.forwarded).length;
      const leaf = (node: FakeNode) => node.seen.length - forwarded(node);
      await until('the budgets of both are used up', () => nodes.every(({ network }) => network.starving));
      await until('what was forwarded is done by the other all the same', () =>
        nodes.every((node, i) => forwarded(node) > 0 && forwarded(node) === leaf(nodes[1 - i]!)),
      );
      for (const node of nodes) t.ok(forwarded(node) < CLIENTS * PACKETS, 'primary work waits');
      released = true;
      for (const { node, request } of held) node.answer(request, honest(request));
      await until('all is acknowledged', () => clients.every(({ replies }) => replies.length === PACKETS));
      t.ok(clients.every(({ replies }) => replies.every(({ resultCode }) => resultCode === RESULT.ok)));
      for (const client of clients) client.socket.destroy();
      await until('all is given back', () => nodes.every(({ network }) => network.pending.inUse === 0));
      for (const node of nodes) node.stop();
    },
  );
}

t.test(
  'pains 18: a follower that hangs holds its share and no more, and costs its clients an error within the deadline',
  async (t) => {
    const replyMs = 700;
    const node = new FakeNode({ work: honest, slots4k: 16, slots128k: 16, ringSlots: 64, replyMs });
    await node.start();
    const [hanging, healthy] = [await new FakeFollower(() => null).start(), await new FakeFollower().start()];
    const startMs = performance.now();
    const victims = Array.from({ length: CLIENTS }, (_, i) => {
      const client = new PacketClient(node.port);
      for (let reqId = 2; reqId < 2 + PACKETS; reqId++) {
        client.send(append(reqId, i % 2 === 0 ? 1000 : 100_000, hanging.address));
      }
      return client;
    });
    await until('the share of primary work is used up', () => node.network.starving);
    t.ok(node.slab.bytesInUse() <= node.slab.totalBytes / 2);
    const others = new PacketClient(node.port);
    for (let reqId = 2; reqId < 100; reqId++)
      others.send(append(reqId, reqId % 2 === 0 ? 1000 : 100_000, ''));
    await until('work without followers goes on', () => others.replies.length === 98);
    t.ok(node.network.starving, 'while the follower hangs');
    t.ok(performance.now() - startMs < replyMs, 'and does not wait for it');

    await until('each victim gets an error', () => victims.every(({ ended }) => ended));
    for (const { replies } of victims) {
      t.equal(replies.length, 1);
      t.equal(replies[0]!.resultCode, RESULT.intraGroupNetErr);
      t.match(replies[0]!.body.toString(), /^ActionReceiveFromFollower_read tcp .*: i\/o timeout$/);
    }
    const again = new PacketClient(node.port);
    for (let reqId = 2; reqId < 30; reqId++) again.send(append(reqId, 100_000, healthy.address));
    await until('other followers are served', () => again.replies.length === 28);
    t.ok(again.replies.every(({ resultCode }) => resultCode === RESULT.ok));
    for (const client of [...victims, others, again]) client.socket.destroy();
    await until('all is given back', () => node.network.pending.inUse === 0 && node.slab.bytesInUse() === 0);
    hanging.stop();
    healthy.stop();
    node.stop();
  },
);
