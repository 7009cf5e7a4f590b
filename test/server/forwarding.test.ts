/** The network thread with fake workers and followers over real sockets: what followers get, what the client gets, and that everything is given back. */
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { RESULT_SKIPPED } from '../../src/partition/messages.js';
import { formatFollowers } from '../../src/protocol/followers.js';
import { OP } from '../../src/protocol/opcodes.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { FollowerQueue } from '../../src/server/followerQueue.js';
import { wireVector } from '../protocol/vectors.js';
import { type Ask, PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { type FollowerWork, ok } from './fakeFollower.js';
import type { FakeNode, Seen } from './fakeNode.js';
import { append, withArg, withRig } from './forwardingRig.js';
import { honest } from './honest.js';

/** A follower that does not answer. */
const none: FollowerWork = () => null;

t.test(
  'a write, a create and a tiny delete reach the followers as in the worked examples W1 to W4, C1 to C3, D1 and D2',
  async (t) => {
    const work = (request: Seen): null => {
      queueMicrotask(() => {
        if (request.opcode === OP.createExtent) node!.assign(request, 1025, 0, 0);
        if (request.opcode === OP.markDelete) {
          const body = Buffer.from(wireVector('D2').hex, 'hex').subarray(57);
          request.slot.set(body);
          node!.assign(request, request.extentId, 0, 0, body.length);
        }
        const crc = request.opcode === OP.write ? 0xd441d872 : 0;
        node!.answer(request, { code: RESULT.ok, bodyBytes: 0, crc });
      });
      return null;
    };
    let node: FakeNode | undefined;
    await withRig({ work }, [ok, ok], async (rig) => {
      node = rig.node;
      node.network.routes.set(42, node.network.routes.get(1)!);
      for (const [sent, forwarded, answered] of [
        ['W1', 'W2', 'W4'],
        ['C1', 'C2', 'C3'],
        ['D1', 'D2', null],
      ] as const) {
        rig.client.send(withArg(sent, rig.arg));
        const [got] = await rig.client.take(1);
        for (const follower of rig.followers)
          t.equal(follower.seen.at(-1)!.raw.toString('hex'), wireVector(forwarded).hex);
        if (answered !== null) t.equal(got!.raw.toString('hex'), wireVector(answered).hex);
        t.equal(got!.resultCode, RESULT.ok);
      }
    });
  },
);

t.test('packets of any size, split anywhere, reach each follower whole and in order', async (t) => {
  const packets = fc.array(
    fc.record({
      bytes: fc.oneof(fc.integer({ min: 1, max: 6000 }), fc.integer({ min: 30_000, max: 300_000 })),
      replicated: fc.boolean(),
    }),
    { minLength: 1, maxLength: 20 },
  );
  const cuts = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 8 });
  await withRig({ workers: 2 }, [ok, ok], async ({ node, followers, arg }) => {
    const property = fc.asyncProperty(packets, cuts, async (asked, pieces) => {
      for (const follower of followers) follower.seen.length = 0;
      const none = new Uint8Array(0);
      const bytes = Buffer.concat(
        asked.map(({ bytes, replicated }, i) => append(i + 2, bytes, replicated ? arg : none)),
      );
      const client = new PacketClient(node.port);
      for (let at = 0, c = 0; at < bytes.length; c++) {
        const piece = bytes.subarray(at, at + pieces[c % pieces.length]!);
        at += piece.length;
        await new Promise((resolve) => client.socket.write(piece, resolve));
      }
      await until('all replies', () => client.replies.length === asked.length);
      client.socket.destroy();
      if (client.replies.some(({ reqId, resultCode }, i) => reqId !== i + 2 || resultCode !== RESULT.ok))
        return false;
      const expected = asked.flatMap(({ bytes, replicated }, i) =>
        replicated ? [append(i + 2, bytes, none, { remainingFollowers: 0 })] : [],
      );
      await until('connection gone', () => node.network.forwarding.links.open === 0);
      return followers.every(({ seen }) =>
        Buffer.concat(seen.map(({ raw }) => raw)).equals(Buffer.concat(expected)),
      );
    });
    await fc.assert(property, { numRuns: 25, seed: 11 });
    t.pass('all of them');
  });
});

t.test('a queue of many packets keeps their order when it grows', async (t) => {
  const queue = new FollowerQueue();
  const order: number[] = [];
  let next = 0;
  for (let round = 0; round < 300; round++) {
    for (let i = 0; i < 3; i++) queue.push(next++);
    while (queue.waits) queue.handOver(round);
    order.push(queue.shift(round));
  }
  while (queue.length > 0) order.push(queue.shift(300));
  t.strictSame(
    order,
    Array.from({ length: 900 }, (_, i) => i),
  );
  t.equal(queue.oldest, -1);
});

t.test(
  'what the worker fails is answered with its text and the Arg, without waiting for followers',
  async (t) => {
    const work = (request: Seen) => ({
      ...honest(request),
      code: RESULT.notExistErr,
      bodyBytes: 9,
      text: 'the text!',
    });
    await withRig({ work }, [none, none], async ({ client, arg, node }) => {
      client.send(append(2, 100_000, arg));
      const [got] = await client.take(1);
      t.equal(got!.resultCode, RESULT.notExistErr);
      t.equal(got!.body.toString(), 'the text!');
      t.strictSame(Buffer.from(got!.arg), Buffer.from(arg));
      t.match(node.failures, [{ text: 'the text!' }]);
    });
  },
);

t.test('a slot is given back when the worker and every socket have let go of it', async (t) => {
  const held: Seen[] = [];
  const work = (request: Seen): null => {
    held.push(request);
    return null;
  };
  await withRig({ work, replyMs: 30_000 }, [ok, none], async ({ client, arg, node, followers }) => {
    client.send(append(2, 100_000, arg));
    await until('both followers and the worker have it', () => {
      return held.length === 1 && followers.every(({ seen }) => seen.length === 1);
    });
    t.equal(node.slab.bytesInUse(), 131_072);
    node.answer(held[0]!, {
      code: RESULT.ok,
      bodyBytes: 0,
      crc: zlib.crc32(new Uint8Array(100_000).fill(2)),
    });
    await until('the worker has let go', () => node.network.inFlight === 0);
    t.equal(node.slab.bytesInUse(), 131_072, 'the second follower has not answered');
    t.equal(client.replies.length, 0);
    followers[1]!.sockets[0]!.write(ok(followers[1]!.seen[0]!));
    await client.take(1);
    t.equal(node.slab.bytesInUse(), 0);

    // The client goes while its packet is on its way everywhere.
    client.send(append(3, 100_000, arg));
    await until('on its way', () => held.length === 2 && followers[1]!.seen.length === 2);
    client.socket.resetAndDestroy();
    await until('the links are closed', () => node.network.forwarding.links.open === 0);
    t.equal(node.slab.bytesInUse(), 131_072, 'the worker may still write');
    node.answer(held[1]!, { code: RESULT.ok, bodyBytes: 0 });
  });
});

t.test('behind a failure nothing is forwarded and no lent extent stays lent', async (t) => {
  const held: Seen[] = [];
  const work = (request: Seen): null => {
    held.push(request);
    return null;
  };
  await withRig({ work, workers: 2, replyMs: 30_000 }, [ok], async ({ client, arg, node, followers }) => {
    const tiny = { extentType: 0, extentId: 0, extentOffset: 0 };
    // The first two go to different workers, so they may end in any order.
    client.send(append(2, 100, arg, { partitionId: 1, ...tiny }));
    client.send(append(3, 100, arg, { partitionId: 2 }));
    client.send(append(4, 100, arg, { partitionId: 1, ...tiny }));
    await until('at the workers, and the second at the follower', () => {
      return held.length === 3 && followers[0]!.seen.length === 1;
    });
    const [first, third] = held.filter(({ port }) => port === 0) as [Seen, Seen];
    const second = held.find(({ port }) => port === 1)!;
    node.answer(second, { code: RESULT.intraGroupNetErr, bodyBytes: 4, text: 'fail' });
    node.assign(first, 7, 4096, 1);
    node.assign(third, 8, 8192, 2);
    await until('the third is settled', () => node.settles.length === 1);
    t.strictSame(node.settles, ['8/2 broken']);
    node.answer(first, { code: RESULT.ok, bodyBytes: 0, crc: zlib.crc32(new Uint8Array(100).fill(2)) });
    const [good, bad] = await client.take(2);
    t.equal(good!.resultCode, RESULT.ok);
    t.equal(good!.extentId, 7);
    t.equal(good!.extentOffset, 4096);
    t.equal(bad!.body.toString(), 'fail');
    await until('the first is settled', () => node.settles.length === 2);
    t.equal(node.settles[1], '7/1 whole');
    t.strictSame(
      followers[0]!.seen.map(({ raw }) => raw[48]),
      [3, 2],
      'the second was sent before it failed, the first when it was assigned',
    );
    node.answer(third, { code: RESULT.ok, bodyBytes: 0 });
  });
});

t.test('one connection a client connection and follower, closed with it', async (t) => {
  await withRig({}, [ok, ok], async ({ client, arg, node, followers }) => {
    const other = new PacketClient(node.port);
    const ask: Ask = {
      opcode: OP.write,
      extentType: 1,
      partitionId: 1,
      extentId: 1,
      remainingFollowers: 2,
      arg,
    };
    for (let i = 0; i < 3; i++) for (const one of [client, other]) await one.ask(ask);
    t.strictSame(
      followers.map(({ sockets }) => sockets.length),
      [2, 2],
    );
    // Another list with one of them: no new connection.
    await client.ask({ ...ask, remainingFollowers: 1, arg: formatFollowers([followers[1]!.address]) });
    t.equal(followers[1]!.sockets.length, 2);
    t.equal(node.network.forwarding.links.open, 4);
    await other.end();
    await until('its links are closed', () => node.network.forwarding.links.open === 2);
    await until('followers see it', () => followers.every(({ openSockets }) => openSockets === 1));
  });
});

t.test('a full partition, a broken disk and a bad checksum: refused before a follower is told', async (t) => {
  await withRig({}, [ok], async ({ arg, node, followers }) => {
    const asked = async (bytes: Uint8Array): Promise<string> => {
      const one = new PacketClient(node.port);
      one.send(bytes);
      const [got] = await one.take(1);
      await one.end();
      return got!.body.toString();
    };
    node.full.add(1);
    t.equal(await asked(append(2, 10, arg)), 'ActionPreparePkt_no space left on the device');
    t.equal(await asked(append(2, 10, arg, { crc: 1 })), 'ActionPreparePkt_packet Crc is incorrect');
    const create = { opcode: OP.createExtent, extentId: 0, extentOffset: 0 };
    t.equal(await asked(append(2, 8, arg, create)), 'ActionPreparePkt_no space left on the device');
    node.ports[0]!.refusal = 'disk has broken';
    t.equal(await asked(append(2, 10, arg, { partitionId: 2 })), 'ActionWrite:_disk has broken');
    node.ports[0]!.refusal = '';
    t.equal(
      await asked(append(2, 10, arg, { partitionId: 99 })),
      'ActionPreparePkt_data partition not exists',
    );
    t.equal(followers[0]!.sockets.length, 0, 'nobody was dialled');
    // A delete makes room.
    const gone = { opcode: OP.markDelete };
    t.equal(await asked(append(2, 0, arg, gone)), '');
    t.equal(followers[0]!.seen.length, 1);
  });
});

t.test(
  'small packets that a slow follower has not taken reach it whole, what stands behind a failure not at all, and what stands before it all the same',
  async (t) => {
    const held: Seen[] = [];
    const count = 3_000;
    const limits = { inFlightBytesMax: 1 << 26, inFlightPacketsMax: count + 1 };
    const work = (request: Seen): null => {
      held.push(request);
      return null;
    };
    const options = { work, limits, slots4k: 4 * count, ringSlots: 16_384, replyMs: 30_000 };
    // The second follower is fast: what is staged for it must not get into what the first has not taken.
    await withRig(options, [() => null, ok], async ({ client, arg, node, followers }) => {
      // The first packet makes the connection, which is then not read.
      client.send(append(0, 10, arg));
      await until('the links are up', () => followers.every(({ seen }) => seen.length === 1));
      const [socket] = followers[0]!.sockets;
      socket!.pause();
      const sent: Buffer[] = [];
      const create = { opcode: OP.createExtent, extentId: 0, extentOffset: 0 };
      sent.push(Buffer.from(append(count, 8, arg, create)));
      for (let reqId = 1; reqId < count; reqId++) sent.push(Buffer.from(append(reqId, 4000, arg)));
      client.send(Buffer.concat(sent));
      await until('all are at the worker', () => held.length === count + 1);
      const [created] = held.splice(1, 1);
      await until('the fast follower has all of them', () => followers[1]!.seen.length === count, 20_000);
      node.answer(held[count - 100]!, { code: RESULT.intraGroupNetErr, bodyBytes: 4, text: 'fail' });
      // On the link it comes behind what is not sent any more.
      node.assign(created!, 1026, 0, 0);
      socket!.resume();
      const { seen } = followers[0]!;
      await until(
        'the follower has all before the failure',
        () => seen.at(-1)?.opcode === OP.createExtent,
        20_000,
      );
      const last = seen.pop()!;
      t.ok(seen.length < count, `${seen.length} packets were sent`);
      for (const [reqId, { raw }] of seen.entries()) {
        const whole = append(reqId, reqId === 0 ? 10 : 4000, new Uint8Array(0), { remainingFollowers: 0 });
        if (!raw.equals(whole)) throw new Error(`packet ${reqId} is not what was sent`);
      }
      for (const request of [created!, ...held.slice(0, count - 100)]) node.answer(request, honest(request));
      for (const packet of [...seen, last]) socket!.write(ok(packet));
      await until('all replies', () => client.replies.length === count - 98, 20_000);
      t.equal(client.replies.at(-1)!.body.toString(), 'fail');
      await until('the link is closed', () => node.network.forwarding.links.open === 0);
      for (const request of held.slice(count - 99))
        node.answer(request, { code: RESULT_SKIPPED, bodyBytes: 0 });
    });
  },
);
