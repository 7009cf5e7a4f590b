/** What waits for followers stays in its share: a follower that hangs, and nodes that are primaries for each other. */
import zlib from 'node:zlib';
import t from 'tap';
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodeRequest } from '../../src/protocol/packet.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { FakeFollower, type FollowerWork, ok } from './fakeFollower.js';
import { FakeNode, type Seen } from './fakeNode.js';
import { honest } from './honest.js';

function append(reqId: number, bytes: number, ...followers: string[]): Uint8Array {
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
    ...(followers.length > 0
      ? { remainingFollowers: followers.length, arg: formatFollowers(followers) }
      : {}),
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
        await node.start(4, '0.0.0.0');
      }
      // Under several addresses, because one alone is not given all.
      const address = (node: FakeNode, index: number) => `127.0.0.${1 + (index % 3)}:${node.port}`;
      const clients = nodes.flatMap((node, i) =>
        Array.from({ length: CLIENTS }, (_, index) => {
          const client = new PacketClient(node.port);
          for (let reqId = 2; reqId < 2 + PACKETS; reqId++)
            client.send(append(reqId, bytes, address(nodes[1 - i]!, index)));
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

/** Longer than any test: a follower's deadline passes when the clock is told to jump. */
const REPLY_MS = 600_000;

/** A node whose deadlines for followers pass when it is told so. */
interface Deadlines {
  node: FakeNode;
  hanging: FakeFollower[];
  healthy: FakeFollower[];
  pass(ms: number): void;
  /** A client that sends `packets` packets to these followers; with small and large bodies in turn unless `bytes` says how large. */
  client(followers: readonly FakeFollower[], packets: number, bytes?: number): PacketClient;
}

const SIZES = [1000, 100_000];

async function withDeadlines(run: (rig: Deadlines) => Promise<void>, slots = 16): Promise<void> {
  let passedMs = 0;
  const clock = (): number => performance.now() + passedMs;
  const node = new FakeNode({
    work: honest,
    slots4k: slots,
    slots128k: slots,
    ringSlots: 4 * slots,
    clock,
    replyMs: REPLY_MS,
  });
  await node.start();
  const start = (work: FollowerWork) => Promise.all([1, 2, 3].map(() => new FakeFollower(work).start()));
  const [hanging, healthy] = [await start(() => null), await start(ok)];
  const clients: PacketClient[] = [];
  await run({
    ...{ node, hanging, healthy },
    pass: (ms) => {
      passedMs += ms;
    },
    client: (followers, packets, bytes) => {
      const client = new PacketClient(node.port);
      clients.push(client);
      const addresses = followers.map(({ address }) => address);
      for (let reqId = 2; reqId < 2 + packets; reqId++)
        client.send(append(reqId, bytes ?? SIZES[reqId % 2]!, ...addresses));
      return client;
    },
  });
  for (const { socket } of clients) socket.destroy();
  await until('all is given back', () => {
    // Connections that wait are not read: their ends are seen when the followers are given up.
    passedMs += REPLY_MS;
    return node.network.pending.inUse === 0 && node.slab.bytesInUse() === 0;
  });
  for (const follower of [...hanging, ...healthy]) follower.stop();
  node.stop();
}

/** Clients whose packets go to `followers`, more than these may hold, half of them with small bodies and half with large ones. */
const crowd = ({ client }: Deadlines, followers: FakeFollower[]) =>
  Array.from({ length: CLIENTS }, (_, i) => client(followers, PACKETS, SIZES[i % 2]!));

/** Slots in use of the class for small bodies, and of that for large ones. */
const used = ({ slab }: FakeNode) => [slab.classUsedSlots(0), slab.classUsedSlots(2)];
/** Of the eight slots of primary work, in each of the two classes, what one follower may hold. */
const SHARE = [5, 5];
const hasShare = (node: FakeNode) => used(node).every((slots, i) => slots === SHARE[i]);
const isDone = ({ replies }: PacketClient) =>
  replies.length === 98 && replies.every(({ resultCode }) => resultCode === RESULT.ok);

t.test(
  'pains 18: a follower that hangs leaves the others their share, and costs its clients an error at the deadline',
  async (t) => {
    await withDeadlines(async (rig) => {
      const { node, hanging, healthy, pass, client } = rig;
      const victims = crowd(rig, hanging.slice(0, 1));
      await until('the follower holds its share', () => hasShare(node));
      const others = [[], healthy.slice(0, 1), healthy].map((followers) => client(followers, 98));
      await until('other followers, and work without any, go on', () => others.every(isDone));
      t.strictSame(used(node), SHARE, 'while the follower hangs');
      t.notOk(node.network.starving, 'nobody waits for what others hold');
      t.ok(victims.every(({ replies }) => replies.length === 0));

      await until('each victim gets an error, when those before it have', () => {
        pass(REPLY_MS);
        return victims.every(({ ended }) => ended);
      });
      for (const { replies } of victims) {
        t.equal(replies.length, 1);
        t.equal(replies[0]!.resultCode, RESULT.intraGroupNetErr);
        t.match(replies[0]!.body.toString(), /^ActionReceiveFromFollower_read tcp .*: i\/o timeout$/);
      }
    });
  },
);

t.test('several followers that hang leave something too', async (t) => {
  await withDeadlines(async (rig) => {
    const { node, hanging, healthy, client } = rig;
    for (const one of hanging) crowd(rig, [one]);
    await until('they have packets', () => hanging.every(({ seen }) => seen.length > 0));
    const others = healthy.map((one) => client([one], 98));
    await until('other followers go on', () => others.every(isDone));
    t.ok(hanging.every(({ openSockets }) => openSockets === CLIENTS));
    t.ok(used(node).every((slots) => slots < 32));
  }, 64);
});

t.test(
  'a packet counts for the follower that holds it up, and not for those that have answered',
  async (t) => {
    await withDeadlines(async (rig) => {
      const { node, hanging, healthy, client } = rig;
      crowd(rig, [hanging[0]!, healthy[0]!]);
      await until('the follower holds its share', () => hasShare(node));
      await until('the other has answered', () => healthy[0]!.seen.length === 10);
      const other = client([healthy[0]!], 98);
      await until('its clients go on', () => isDone(other));
      t.strictSame(used(node), SHARE);
    });
  },
);

t.test(
  'who waits for a follower goes on when it has answered, though another holds up the same packets',
  async (t) => {
    await withDeadlines(async (rig) => {
      const { node, hanging, client } = rig;
      const late = hanging[0]!;
      crowd(rig, [late, hanging[1]!]);
      await until('both hold their share', () => hasShare(node) && late.seen.length === 10);
      const waiting = client([late], 98);
      await until('it is dialled', () => late.sockets.length === CLIENTS + 1);
      t.equal(waiting.replies.length, 0);
      late.work = ok;
      for (const packet of late.seen.slice()) packet.socket.write(ok(packet));
      await until('the client goes on', () => isDone(waiting));
      t.ok(hasShare(node), 'while the other still hangs');
    });
  },
);

t.test('what never gets to a follower does not count for it any longer', async () => {
  await withDeadlines(async (rig) => {
    const { node, hanging, client } = rig;
    // Its share lives as long as there is a link to it.
    client(hanging.slice(0, 1), 3, 1000);
    await until('its share is kept', () => hanging[0]!.seen.length === 3);
    for (let i = 0; i < 3; i++) {
      const half = client([], 0);
      half.send(append(3, 100_000, hanging[0]!.address).subarray(0, 50_000));
      await until('a slot is taken', () => node.slab.classUsedSlots(2) === 1);
      half.socket.destroy();
      await until('and given back', () => node.slab.classUsedSlots(2) === 0);
    }
    crowd(rig, hanging.slice(0, 1));
    await until('it holds its share', () => hasShare(node));
  });
});

t.test('clients that send a part of a packet each do not keep a follower’s share from others', async (t) => {
  await withDeadlines(async ({ node, healthy, client }) => {
    const slow = Array.from({ length: CLIENTS }, () => client([], 0));
    const part = append(2, 100_000, healthy[0]!.address).subarray(0, 50_000);
    for (const one of slow) one.send(part);
    await until('their packets have all that they may', () => node.slab.classUsedSlots(2) === 5);
    const other = client([healthy[0]!], 98, 100_000);
    await until('others wait for them', () => node.network.starving);
    t.equal(other.replies.length, 0);
    await until('they are given up', () => isDone(other));
    t.ok(node.closed.length > 0);
  });
});

t.test('an address that is none leaves nothing behind', async (t) => {
  await withDeadlines(async ({ node }) => {
    const client = new PacketClient(node.port);
    client.send(append(2, 1000, 'nowhere'));
    const [got] = await client.take(1);
    t.match(got!.body.toString(), 'missing port in address');
    await until('no link is left', () => node.network.forwarding.links.open === 0);
    client.socket.destroy();
  });
});

t.test(
  'replicas that read for their repair, and take nothing of it, leave clients what is theirs; none is cut off',
  async (t) => {
    const [readersCount, chunk, slots] = [4, 131_072, 32];
    // More than the buffers of the system hold for one connection.
    const chunks = 256;
    const node = new FakeNode({
      ...{ slots128k: slots, ringSlots: 64 },
      work: (request) =>
        request.opcode === OP.extentRepairRead
          ? { code: RESULT.ok, bodyBytes: request.size, crc: request.extentOffset / chunk }
          : honest(request),
    });
    await node.start();
    const follower = await new FakeFollower(ok).start();
    const fields = {
      opcode: OP.extentRepairRead,
      extentType: 1,
      partitionId: 1,
      extentId: 7,
      extentOffset: 0,
    };
    const readers = Array.from({ length: readersCount }, () => {
      const reader = new PacketClient(node.port);
      reader.socket.pause();
      reader.send(encodeRequest({ ...fields, reqId: 2, size: chunks * chunk }));
      return reader;
    });
    const stands = (index: number): boolean => node.network.connectionAt(index)?.replies.outputWaits ?? false;
    await until(
      'all stand',
      () => Array.from({ length: readersCount }, (_, i) => stands(i)).every((is) => is),
      20_000,
    );
    t.ok(node.slab.classUsedSlots(2) > 0);
    t.ok(node.slab.classUsedSlots(2) <= slots / 4, `${node.slab.classUsedSlots(2)} slots are held`);
    t.notOk(node.network.starving, 'nobody is to be dropped for it');

    const client = new PacketClient(node.port);
    for (let reqId = 2; reqId < 2 + slots; reqId++) client.send(append(reqId, 100_000, follower.address));
    await until('a client appends meanwhile', () => client.replies.length === slots);
    t.ok(client.replies.every(({ resultCode }) => resultCode === RESULT.ok));

    const [first, ...others] = readers;
    const whole = first!.take(chunks);
    first!.socket.resume();
    const got = (await whole).map(({ crc }) => crc);
    t.strictSame(
      got,
      Array.from({ length: chunks }, (_, i) => i),
      'who goes on gets every chunk in order',
    );
    for (const { socket } of [client, first!, ...others]) socket.destroy();
    await until('all is given back', () => node.network.pending.inUse === 0 && node.slab.bytesInUse() === 0);
    follower.stop();
    node.stop();
  },
);

t.test(
  'a repair read of small packets goes on when its peer does, with nothing else to wake the node',
  async (t) => {
    // Small enough to be copied, so that no slot is held for them; more than the buffers of the system hold.
    const [bytes, packets] = [16_384, 2048];
    const node = new FakeNode({
      work: ({ extentOffset }) => ({
        code: RESULT.ok,
        bodyBytes: bytes,
        crc: 0,
        remainingBytes: packets * bytes - extentOffset,
      }),
    });
    await node.start();
    const reader = new PacketClient(node.port);
    reader.socket.pause();
    const fields = { opcode: OP.tinyExtentRepairRead, partitionId: 1, extentId: 1, extentOffset: 0 };
    reader.send(encodeRequest({ ...fields, reqId: 2, size: packets * bytes }));
    await until('it stands', () => node.network.connectionAt(0)?.replies.outputWaits ?? false, 20_000);
    t.ok(node.seen.length < packets);
    const whole = reader.take(packets);
    reader.socket.resume();
    t.equal((await whole).length, packets);
    reader.socket.destroy();
    await until('all is given back', () => node.network.pending.inUse === 0);
    node.stop();
  },
);
