/** What a worker keeps in its own hands: frames for main that the event ring has no room for, and the pool of its operations. */
import t from 'tap';
import { COMMAND, EVENT } from '../../src/partition/messages.js';
import { ByteRingConsumer, createByteRing } from '../../src/shm/byteRing.js';
import { EventQueue } from '../../src/workers/eventQueue.js';
import { OperationPool } from '../../src/workers/operationPool.js';

const RING_BYTES = 1024;

interface Taken {
  kind: number;
  a: number;
  b: number;
  text: string;
}

function rig(): { queue: EventQueue; take: () => Taken[] } {
  const memory = createByteRing(RING_BYTES);
  const queue = new EventQueue(memory);
  const ring = new ByteRingConsumer(memory);
  const take = (): Taken[] => {
    const taken: Taken[] = [];
    ring.read((kind, a, b, payload) =>
      taken.push({ kind, a, b, text: Buffer.from(payload.slice()).toString() }),
    );
    return taken;
  };
  return { queue, take };
}

/** Everything that comes out while the queue is flushed until nothing waits. */
function takeAll({ queue, take }: ReturnType<typeof rig>): Taken[] {
  const taken = take();
  for (let round = 0; round < 10_000 && queue.waiting > 0; round++) {
    queue.flush();
    taken.push(...take());
  }
  return taken;
}

t.test('frames that the event ring has no room for wait and leave in order', async (t) => {
  const both = rig();
  for (let i = 0; i < 100; i++) both.queue.json(EVENT.answer, i, { ok: true, value: 'x'.repeat(i) });
  t.ok(both.queue.waiting > 0, 'the ring is full');
  const taken = takeAll(both);
  t.same(
    taken.map(({ a }) => a),
    Array.from({ length: 100 }, (_, i) => i),
  );
  t.equal(taken[99]?.text, JSON.stringify({ ok: true, value: 'x'.repeat(99) }));
});

t.test('a payload longer than a frame travels in pieces that add up', async (t) => {
  const both = rig();
  const body = Buffer.from(Array.from({ length: 1000 }, (_, i) => 97 + (i % 26)));
  both.queue.bytes(EVENT.bodyPiece, 5, body);
  const pieces = takeAll(both);
  t.ok(pieces.length > 1);
  let at = 0;
  for (const { a, b, text } of pieces) {
    t.equal(a, 5);
    t.equal(b, at, 'a body piece tells its offset');
    at += text.length;
  }
  t.equal(pieces.map(({ text }) => text).join(''), body.toString());
  both.queue.bytes(EVENT.answer, 6, body);
  const left = takeAll(both).map(({ b }) => b);
  t.equal(left.at(-1), 0, 'an answer tells what is still to come');
  t.ok(left.slice(0, -1).every((bytes) => bytes > 0));
});

t.test('log records beyond the bound are dropped and counted, other frames are not', async (t) => {
  const both = rig();
  for (let i = 0; i < 1000; i++) both.queue.log('warn', `line ${i}`, undefined);
  both.queue.json(EVENT.answer, 7, {});
  t.ok(both.queue.waiting < 300, `${both.queue.waiting} frames are kept`);
  const first = takeAll(both);
  const logs = first.filter(({ kind }) => kind === EVENT.log);
  t.equal(first.at(-1)?.a, 7, 'the answer came through');
  both.queue.log('warn', 'room again', undefined);
  const [last] = takeAll(both);
  t.equal(last?.a, 1000 - logs.length, 'the next record tells how many were lost');
});

t.test('an operation ends once, and no more are handed out than the rings can hold', async (t) => {
  const pool = new OperationPool(2);
  const first = pool.acquire();
  const second = pool.acquire();
  t.equal(pool.inUse, 2);
  t.throws(() => pool.acquire(), /no more requests than ring slots/);
  second.replyBytes = 9;
  second.ioError = -5;
  pool.release(second);
  t.match(pool.acquire(), { replyBytes: 0, ioError: 0, handler: null }, 'with the outcome of a new one');
  pool.release(first);
  pool.release(second);
  t.throws(() => pool.release(first), /an operation ends once/);
});

t.test('commands and events have numbers of their own', async (t) => {
  for (const table of [COMMAND, EVENT]) {
    const numbers = Object.values(table);
    t.equal(new Set(numbers).size, numbers.length);
  }
});
