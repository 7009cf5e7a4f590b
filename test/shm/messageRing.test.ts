/** Messages over a byte ring, on one thread: against a plain queue. */
import assert from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { createByteRing } from '../../src/shm/byteRing.js';
import { MessageRingConsumer, MessageRingProducer } from '../../src/shm/messageRing.js';

const RING_BYTES = 1024;

interface Message {
  kind: number;
  a: number;
  bytes: Uint8Array;
}

function told(kind: number, a: number, bytes: Uint8Array): string {
  return `${kind} ${a} ${Buffer.from(bytes).toString('hex')}`;
}

/** Copies a message into the ring, or fills room that was reserved, where there is some. */
function put(producer: MessageRingProducer, { kind, a, bytes }: Message): boolean {
  const into = kind % 2 === 0 ? null : producer.reserve(kind, a, bytes.length);
  if (into === null) return producer.write(kind, a, bytes);
  into.set(bytes);
  producer.commit();
  return true;
}

const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.integer({ min: 0, max: 9 }),
      a: fc.integer(),
      bytes: fc.uint8Array({ maxLength: 3 * RING_BYTES, size: 'max' }),
    }),
  },
  { weight: 2, arbitrary: fc.integer({ min: 1, max: 4 }) },
);

t.test(
  'messages of any length come out whole and in order; what finds no room is refused whole',
  async (t) => {
    let refused = 0;
    let long = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const memory = createByteRing(RING_BYTES);
        const producer = new MessageRingProducer(memory);
        const consumer = new MessageRingConsumer(memory);
        const sent: string[] = [];
        const got: string[] = [];
        const take = (frames?: number): number =>
          consumer.read((...message) => got.push(told(...message)), frames);
        for (const step of steps) {
          producer.flush();
          if (typeof step === 'number') take(step);
          else if (put(producer, step)) {
            sent.push(told(step.kind, step.a, step.bytes));
            if (step.bytes.length > RING_BYTES) long++;
          } else refused++;
        }
        while (producer.waits || !consumer.isEmpty()) {
          producer.flush();
          take();
        }
        assert.deepEqual(got, sent);
      }),
      { seed: 20_261_127, numRuns: 300 },
    );
    t.ok(refused > 1_000 && long > 50, `both happen: ${refused} refused, ${long} longer than the ring`);
  },
);

t.test('an empty ring takes every message up to half of its size at once', async (t) => {
  for (let passed = 0; passed < RING_BYTES; passed += 24) {
    const memory = createByteRing(RING_BYTES);
    const producer = new MessageRingProducer(memory);
    const consumer = new MessageRingConsumer(memory);
    for (let at = 0; at < passed; at += 24) {
      producer.write(1, 0, new Uint8Array(0));
      consumer.read(() => {});
    }
    t.ok(producer.write(2, 7, new Uint8Array(RING_BYTES / 2)) && !producer.waits, `after ${passed} bytes`);
    const lengths: number[] = [];
    consumer.read((_kind, _a, bytes) => lengths.push(bytes.length));
    t.strictSame(lengths, [RING_BYTES / 2]);
  }
});

t.test('a flush says whether it has written anything', async (t) => {
  const memory = createByteRing(RING_BYTES);
  const producer = new MessageRingProducer(memory);
  const consumer = new MessageRingConsumer(memory);
  t.notOk(producer.flush(), 'nothing waits');
  t.ok(producer.write(1, 0, new Uint8Array(3 * RING_BYTES)));
  t.notOk(producer.flush(), 'no room');
  consumer.read(() => {});
  t.ok(producer.flush());
  t.ok(producer.waits);
});
