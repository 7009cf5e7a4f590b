/** The network thread over real sockets with fake workers: framing across any split, order of replies, failure, back-pressure, deadlines. */
import zlib from 'node:zlib';
import fc from 'fast-check';
import t from 'tap';
import { RESULT } from '../../src/protocol/resultCodes.js';
import { PacketClient } from '../support/packetClient.js';
import { until } from '../support/until.js';
import { type Answer, FakeNode, type Seen } from './fakeNode.js';
import { fill, honest, read, withNode, write } from './honest.js';

for (const useOnread of [true, false]) {
  t.test(`packets split anywhere are answered once and in order (onread ${useOnread})`, async (t) => {
    await withNode(new FakeNode({ work: honest, workers: 2, useOnread }), async (node) => {
      const sizes = fc.array(
        fc.oneof(
          fc.record({
            kind: fc.constant('write' as const),
            bytes: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 30_000, max: 300_000 })),
            partition: fc.integer({ min: 1, max: 4 }),
          }),
          fc.record({
            kind: fc.constant('read' as const),
            bytes: fc.integer({ min: 1, max: 400_000 }),
            partition: fc.integer({ min: 1, max: 4 }),
          }),
        ),
        { minLength: 1, maxLength: 24 },
      );
      await fc.assert(
        fc.asyncProperty(
          sizes,
          fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 8 }),
          async (ops, cuts) => {
            const bytes = Buffer.concat(
              ops.map((op, i) =>
                op.kind === 'write'
                  ? write(i + 2, op.bytes, op.partition)
                  : read(i + 2, i, op.bytes, op.partition),
              ),
            );
            const client = new PacketClient(node.port);
            for (let at = 0, c = 0; at < bytes.length; c++) {
              const piece = bytes.subarray(at, at + cuts[c % cuts.length]!);
              at += piece.length;
              await new Promise((resolve) => client.socket.write(piece, resolve));
            }
            const expected = ops.flatMap((op, i) =>
              op.kind === 'write' ? [i + 2] : Array<number>(Math.ceil(op.bytes / 131_072)).fill(i + 2),
            );
            await until('all replies', () => client.replies.length >= expected.length);
            t.strictSame(
              client.replies.map(({ reqId }) => reqId),
              expected,
            );
            checkContents(ops, client);
            client.socket.destroy();
            await until('connection gone', () => node.listener.connectionCount === 0);
            return node.network.pending.inUse === 0 && node.network.inFlight === 0;
          },
        ),
        { numRuns: 25, seed: 7 },
      );
    });
  });
}

function checkContents(ops: { kind: 'write' | 'read'; bytes: number }[], client: PacketClient): void {
  let at = 0;
  for (const [i, op] of ops.entries()) {
    if (op.kind === 'write') {
      const reply = client.replies[at++]!;
      const crc = zlib.crc32(new Uint8Array(op.bytes).fill((i + 2) & 0xff));
      if (reply.resultCode !== RESULT.ok || reply.crc !== crc)
        throw new Error(`write ${i}: body was not received whole`);
      continue;
    }
    for (let done = 0; done < op.bytes; done += 131_072) {
      const reply = client.replies[at++]!;
      const want = new Uint8Array(Math.min(131_072, op.bytes - done));
      fill(want, want.length, 7, i + done);
      if (!reply.body.equals(want) || reply.crc !== zlib.crc32(want) || reply.extentOffset !== i + done)
        throw new Error(`read ${i}: wrong data at ${done}`);
    }
  }
}

t.test('replies leave in request order though workers answer in another', async (t) => {
  const held: Seen[] = [];
  const node = new FakeNode({
    workers: 2,
    work: (request) => {
      if (request.port !== 0) return honest(request);
      held.push(request);
      return null;
    },
  });
  await withNode(node, async () => {
    const client = new PacketClient(node.port);
    client.socket.write(Buffer.concat([write(2, 10, 1), write(3, 10, 2), write(4, 10, 1), write(5, 10, 2)]));
    await until('all requests taken', () => node.seen.length === 4);
    t.equal(client.replies.length, 0, 'nothing overtakes the first');
    node.answer(held[1]!, { code: RESULT.ok, bodyBytes: 0 });
    node.answer(held[0]!, { code: RESULT.ok, bodyBytes: 0 });
    await until('replies', () => client.replies.length === 4);
    t.strictSame(
      client.replies.map(({ reqId }) => reqId),
      [2, 3, 4, 5],
    );
    client.socket.destroy();
  });
});

t.test('nothing behind a failed request is executed; FIN follows the error reply', async (t) => {
  const work = (request: Seen): Answer => {
    if (request.size !== 13) return honest(request);
    request.slot.set(Buffer.from('ActionWrite:_EOF'));
    return { code: RESULT.intraGroupNetErr, bodyBytes: 16 };
  };
  await withNode(new FakeNode({ work }), async (node) => {
    const client = new PacketClient(node.port);
    const packets = [write(2, 10), write(3, 13), write(4, 11), write(5, 200_000)];
    client.socket.write(Buffer.concat(packets));
    await until('FIN', () => client.ended);
    t.strictSame(
      client.replies.map(({ reqId, resultCode }) => [reqId, resultCode]),
      [
        [2, RESULT.ok],
        [3, RESULT.intraGroupNetErr],
      ],
    );
    t.equal(client.replies[1]!.body.toString(), 'ActionWrite:_EOF');
    t.strictSame(
      node.seen.map(({ size }) => size),
      [10, 13],
      'the packets behind were not executed',
    );
    client.socket.end();
    await until('slots back', () => node.network.pending.inUse === 0);
  });
});

t.test('a failure does not reach back: what stands before it at another worker is executed', async (t) => {
  const held: Seen[] = [];
  const work = (request: Seen): Answer | null => {
    if (request.port === 0) {
      held.push(request);
      return null;
    }
    return { code: RESULT.intraGroupNetErr, bodyBytes: 0 };
  };
  const node = new FakeNode({ workers: 2, work });
  await withNode(node, async () => {
    const client = new PacketClient(node.port);
    client.socket.write(Buffer.concat([write(2, 10, 1), write(3, 10, 2), write(4, 10, 2)]));
    await until('both workers have seen their first', () => node.seen.length === 2);
    node.answer(held[0]!, { code: RESULT.ok, bodyBytes: 0 });
    await until('FIN', () => client.ended);
    t.strictSame(
      client.replies.map(({ reqId, resultCode }) => [reqId, resultCode]),
      [
        [2, RESULT.ok],
        [3, RESULT.intraGroupNetErr],
      ],
    );
    client.socket.destroy();
    await until('slots back', () => node.network.pending.inUse === 0);
  });
});

t.test('a full slab stops reading and loses nothing', async (t) => {
  const node = new FakeNode({ work: honest, slots4k: 8, slots128k: 4 });
  await withNode(node, async () => {
    const clients = [1, 2, 3].map(() => new PacketClient(node.port));
    node.hung = true;
    const packets = Buffer.concat(
      Array.from({ length: 60 }, (_, i) => write(i + 2, i % 3 === 0 ? 100_000 : 3000)),
    );
    for (const client of clients) client.socket.write(packets);
    await until('slab is full', () => node.slab.refusals > 0);
    node.hung = false;
    await until('all answered', () => clients.every(({ replies }) => replies.length === 60));
    for (const client of clients) {
      t.ok(client.replies.every(({ resultCode }) => resultCode === RESULT.ok));
      client.socket.destroy();
    }
    await until('slots back', () => node.network.pending.inUse === 0);
  });
});

t.test('reads find room in the slab when writes have taken all they may', async (t) => {
  const node = new FakeNode({ work: honest, slots4k: 8, slots128k: 4 });
  await withNode(node, async () => {
    node.hung = true;
    const writer = new PacketClient(node.port);
    writer.socket.write(Buffer.concat(Array.from({ length: 60 }, (_, i) => write(i + 2, 3000))));
    await until('writes blocked', () => node.slab.refusals > 0);
    const before = node.network.inFlight;
    const reader = new PacketClient(node.port);
    reader.socket.write(read(2, 0, 1000));
    await until('read taken on', () => node.network.inFlight === before + 1);
    t.pass('the read is at its worker');
    node.hung = false;
    await until('all answered', () => writer.replies.length === 60 && reader.replies.length === 1);
    for (const client of [writer, reader]) client.socket.destroy();
    await until('slots back', () => node.network.pending.inUse === 0);
  });
});

t.test('an answer that comes just after its disk was given up does not strand the connection', async (t) => {
  const node = new FakeNode({ work: honest });
  await withNode(node, async () => {
    const client = new PacketClient(node.port);
    node.hung = true;
    client.socket.write(Buffer.concat([write(2, 10), write(3, 10)]));
    await until('dispatched', () => node.network.inFlight === 2);
    node.network.failPort(node.ports[0]!, 'disk /disk0 does not answer');
    node.hung = false;
    node.poll();
    await until('error and FIN', () => client.ended);
    t.strictSame(
      client.replies.map(({ reqId, resultCode }) => [reqId, resultCode]),
      [[2, RESULT.intraGroupNetErr]],
    );
    client.socket.destroy();
    await until('slots back', () => node.network.pending.inUse === 0);
  });
});

t.test(
  'requests at a hung worker are answered with errors; its slots come back when it answers',
  async (t) => {
    const node = new FakeNode({ work: honest, workers: 2 });
    await withNode(node, async () => {
      const client = new PacketClient(node.port);
      node.hung = true;
      client.socket.write(Buffer.concat([write(2, 10, 1), write(3, 10, 1)]));
      await until('dispatched', () => node.network.inFlight === 2);
      node.ports[0]!.refusal = 'disk /disk0 does not answer';
      t.equal(node.network.failPort(node.ports[0]!, node.ports[0]!.refusal), 1);
      await until('error and FIN', () => client.ended);
      t.strictSame(
        client.replies.map(({ reqId, resultCode }) => [reqId, resultCode]),
        [[2, RESULT.intraGroupNetErr]],
      );
      t.match(client.replies[0]!.body.toString(), 'ActionWrite:_disk /disk0 does not answer');
      const second = new PacketClient(node.port);
      second.socket.write(write(9, 10, 1));
      await until('refused at once', () => second.replies.length === 1);
      t.equal(second.replies[0]!.resultCode, RESULT.intraGroupNetErr);
      t.equal(node.network.pending.inUse, 2, 'the hung requests keep their slots');
      node.hung = false;
      await until('slots back', () => node.network.pending.inUse === 0);
      client.socket.destroy();
      second.socket.destroy();
    });
  },
);

t.test(
  'a packet that does not progress, and replies that are not taken, end the connection; idle ones stay',
  async (t) => {
    const node = new FakeNode({
      work: honest,
      limits: { requestProgressMs: 50, replyProgressMs: 50, replyBufferBytesMax: 1 << 20 },
    });
    await withNode(node, async () => {
      const idle = new PacketClient(node.port);
      idle.socket.write(write(2, 10));
      await until('idle one served', () => idle.replies.length === 1);
      const starts = new PacketClient(node.port);
      starts.socket.write(write(3, 100).subarray(0, 1));
      const half = new PacketClient(node.port);
      half.socket.write(write(4, 100_000).subarray(0, 50_000));
      const greedy = new PacketClient(node.port);
      greedy.socket.pause();
      for (let i = 0; i < 400; i++) greedy.socket.write(read(i + 2, 0, 131_072));
      await until('three closed', () => node.closed.length === 3, 20_000);
      t.equal(node.closed.filter((reason) => reason.includes('did not progress')).length, 2);
      t.equal(node.closed.filter((reason) => reason.includes('not taken')).length, 1);
      idle.socket.write(write(5, 10));
      await until('idle one still served', () => idle.replies.length === 2);
      for (const client of [idle, starts, half, greedy]) client.socket.destroy();
      await until('slots back', () => node.network.pending.inUse === 0);
    });
  },
);
