/** A packet that a follower has failed is answered when its worker has ended it, and the worker's error comes first (`wire.md` 7.4): over real sockets, with workers that answer when told. */
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { RESULT_SKIPPED } from '../../src/partition/messages.js';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { FollowerQueue } from '../../src/server/followerQueue.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { type FollowerWork, ok, reply } from './fakeFollower.js';
import type { Seen } from './fakeNode.js';
import { append, type Rig, withRig } from './forwardingRig.js';
import { write } from './honest.js';

const BYTES = 100;
const GAP = 'ActionWrite:_parameter mismatch error';
const refuses: FollowerWork = ({ raw }) => reply(raw, RESULT.argMismatchErr, GAP);
const closes: FollowerWork = ({ socket }) => {
  socket.end();
  return null;
};
const tiny = { extentType: 0, extentId: 0, extentOffset: 0 };

/** A rig whose workers keep what they get in `held`. */
async function withHeld(
  works: FollowerWork[],
  run: (rig: Rig, held: Seen[]) => Promise<void>,
  workers = 1,
): Promise<void> {
  const held: Seen[] = [];
  const work = (request: Seen): null => {
    held.push(request);
    return null;
  };
  await withRig({ work, workers, replyMs: 30_000 }, works, (rig) => run(rig, held));
}

const done = (reqId: number) => ({
  code: RESULT.ok,
  bodyBytes: 0,
  crc: zlib.crc32(new Uint8Array(BYTES).fill(reqId)),
});
const failed = (text: string) => ({ code: RESULT.argMismatchErr, bodyBytes: text.length, text });
const refused = ({ node }: Rig) => node.network.forwarding.links.refusals > 0;
const lost = ({ node }: Rig) => node.lost.length > 0;

for (const [name, work, known] of [
  ['a follower’s error', refuses, refused],
  ['a lost link', closes, lost],
] as const) {
  t.test(`${name}, then the worker’s error: the worker’s, as if no follower had failed`, async (t) => {
    await withHeld([work, ok], async (rig, held) => {
      const { client, arg, node } = rig;
      client.send(append(2, BYTES, arg));
      await until('at the worker', () => held.length === 1);
      await until('the follower has failed it', () => known(rig));
      client.send(append(3, BYTES, arg));
      t.equal(client.replies.length, 0, 'the worker is waited for');
      node.answer(held[0]!, failed('ActionWrite:_gap'));
      const [got] = await client.take(1);
      t.equal(got!.body.toString(), 'ActionWrite:_gap');
      t.equal(got!.resultCode, RESULT.argMismatchErr);
      t.strictSame(got!.arg, Buffer.from(arg), 'and Arg is sent back');
      await client.until('FIN', () => client.ended);
      t.equal(held.length, 1, 'nothing behind the failure is executed');
    });
  });

  t.test(`${name}, then the worker’s OK: the follower’s`, async (t) => {
    await withHeld([ok, work], async (rig, held) => {
      const { client, arg, node } = rig;
      client.send(append(2, BYTES, arg));
      await until('the follower has failed it', () => held.length === 1 && known(rig));
      node.answer(held[0]!, done(2));
      const [got] = await client.take(1);
      t.match(
        got!.body.toString(),
        /^ActionReceiveFromFollower_(ActionWrite:_parameter mismatch error|EOF)$/,
      );
      t.equal(got!.resultCode, RESULT.intraGroupNetErr);
      t.equal(got!.arg.length, 0);
      await client.until('FIN', () => client.ended);
    });
  });
}

t.test('a lent extent is settled once, and not at all where the worker has failed its append', async (t) => {
  await withHeld([refuses], async ({ client, arg, node }, held) => {
    const second = new PacketClient(node.port);
    client.send(append(2, BYTES, arg, tiny));
    second.send(append(3, BYTES, arg, tiny));
    await until('at the worker', () => held.length === 2);
    node.assign(held[0]!, 7, 0, 1);
    node.assign(held[1]!, 8, 0, 2);
    await until('both have failed', () => node.network.forwarding.links.refusals === 2);
    t.strictSame(node.settles, []);
    const [first, other] = held[0]!.slot[0] === 2 ? [held[0]!, held[1]!] : [held[1]!, held[0]!];
    node.answer(first, failed('no'));
    node.answer(other, done(3));
    t.equal((await client.take(1))[0]!.body.toString(), 'no');
    t.equal((await second.take(1))[0]!.body.toString(), `ActionReceiveFromFollower_${GAP}`);
    await until('settled', () => node.settles.length > 0);
    second.socket.destroy();
    client.socket.destroy();
    await until('the links are closed', () => node.network.forwarding.links.open === 0);
    node.poll();
    t.strictSame(node.settles, [`${other.extentId}/${other.extentId - 6} broken`]);
  });
});

t.test(
  'a client that goes while the worker is waited for: everything is given back when it answers',
  async (t) => {
    await withHeld([refuses], async (rig, held) => {
      const { client, arg, node } = rig;
      client.send(append(2, BYTES, arg, tiny));
      await until('at the worker', () => held.length === 1);
      node.assign(held[0]!, 7, 0, 1);
      await until('the follower has failed it', () => refused(rig));
      client.socket.resetAndDestroy();
      await until('settled', () => node.settles.length === 1);
      t.equal(node.network.pending.inUse, 1, 'the worker has it');
      node.answer(held[0]!, failed('no'));
      await until('given back', () => node.network.pending.inUse === 0);
      t.strictSame(node.settles, ['7/1 broken']);
    });
  },
);

t.test('a disk that hangs: what a follower has failed is answered when the disk is given up', async (t) => {
  await withHeld([refuses], async (rig, held) => {
    const { client, arg, node } = rig;
    client.send(append(2, BYTES, arg));
    await until('the follower has failed it', () => held.length === 1 && refused(rig));
    t.equal(node.network.failPort(node.ports[0]!, 'disk /disk0 does not answer'), 1);
    t.equal((await client.take(1))[0]!.body.toString(), 'ActionWrite:_disk /disk0 does not answer');
    await client.until('FIN', () => client.ended);
    t.equal(node.network.failPort(node.ports[0]!, 'disk /disk0 does not answer'), 0, 'once');
    node.answer(held[0]!, done(2));
  });
});

t.test(
  'a disk that hangs before a failure at another: its request is answered, and the failure is not',
  async (t) => {
    await withHeld(
      [refuses],
      async (rig, held) => {
        const { client, arg, node } = rig;
        client.send(write(2, BYTES, 1));
        client.send(append(3, BYTES, arg, { partitionId: 2 }));
        client.send(write(4, BYTES, 1));
        await until('the follower has failed the second', () => held.length === 3 && refused(rig));
        // Both disks hang: the second is given up before the first.
        t.equal(node.network.failPort(node.ports[1]!, 'disk /disk1 does not answer'), 1);
        t.equal(client.replies.length, 0);
        t.equal(node.network.failPort(node.ports[0]!, 'disk /disk0 does not answer'), 1);
        const [got] = await client.take(1);
        t.equal(got!.reqId, 2);
        t.equal(got!.body.toString(), 'ActionWrite:_disk /disk0 does not answer');
        await client.until('FIN', () => client.ended);
        t.equal(client.replies.length, 1);
        for (const request of held) node.answer(request, { code: RESULT_SKIPPED, bodyBytes: 0 });
      },
      2,
    );
  },
);

t.test('a disk that hangs behind a failure owes nothing', async (t) => {
  await withHeld(
    [refuses],
    async (rig, held) => {
      const { client, arg, node } = rig;
      client.send(append(3, BYTES, arg, { partitionId: 2 }));
      client.send(write(4, BYTES, 1));
      await until('the follower has failed the first', () => held.length === 2 && refused(rig));
      t.equal(node.network.failPort(node.ports[0]!, 'disk /disk0 does not answer'), 0);
      node.answer(held.find(({ port }) => port === 1)!, done(3));
      t.equal((await client.take(1))[0]!.body.toString(), `ActionReceiveFromFollower_${GAP}`);
      await client.until('FIN', () => client.ended);
      node.answer(held.find(({ port }) => port === 0)!, { code: RESULT_SKIPPED, bodyBytes: 0 });
    },
    2,
  );
});

t.test('two disks that hang: the request that comes first is answered', async (t) => {
  await withHeld(
    [ok],
    async ({ client, node }, held) => {
      for (const port of [1, 2, 3]) client.send(write(port, BYTES, port));
      await until('at the workers', () => held.length === 3);
      t.equal(node.network.failPort(node.ports[1]!, 'disk /disk1 does not answer'), 1);
      t.equal(node.network.failPort(node.ports[2]!, 'disk /disk2 does not answer'), 0);
      node.answer(held.find(({ port }) => port === 0)!, done(1));
      const [good, bad] = await client.take(2);
      t.equal(good!.resultCode, RESULT.ok);
      t.equal(bad!.body.toString(), 'ActionWrite:_disk /disk1 does not answer');
      for (const request of held.filter(({ port }) => port > 0))
        node.answer(request, { code: RESULT_SKIPPED, bodyBytes: 0 });
    },
    3,
  );
});

t.test('the queue of a link is a list of which some packets are passed over', async (t) => {
  const steps = fc.array(fc.constantFrom('push', 'push', 'push', 'hand', 'pass', 'shift'), {
    maxLength: 400,
  });
  fc.assert(
    fc.property(steps, (names) => {
      const queue = new FollowerQueue();
      const waiting: number[] = [];
      const handed: number[] = [];
      let next = 0;
      for (const name of names) {
        if (name === 'push') {
          queue.push(next);
          waiting.push(next++);
        } else if (name === 'hand' && queue.waits) {
          if (queue.waiting !== waiting[0]) return false;
          handed.push(waiting.shift()!);
          queue.handOver(0);
          queue.left(queue.handed);
        } else if (name === 'pass' && queue.waits) {
          if (queue.passOver() !== waiting.shift()) return false;
        } else if (name === 'shift' && queue.oldestHasLeft) {
          if (queue.shift(0) !== handed.shift()) return false;
        }
        if (queue.length !== handed.length + waiting.length) return false;
        if (queue.waits !== waiting.length > 0 || queue.oldestHasLeft !== handed.length > 0) return false;
        if (queue.oldest !== (handed[0] ?? waiting[0] ?? -1)) return false;
      }
      return true;
    }),
  );
  t.pass('equal to a list');
});
