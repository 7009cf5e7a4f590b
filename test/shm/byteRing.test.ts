/** The byte ring against a plain queue, on one thread. Two threads: `threads.test.ts`. */
import fc from 'fast-check';
import t from 'tap';
import {
  ByteRingConsumer,
  type ByteRingMemory,
  ByteRingProducer,
  createByteRing,
} from '../../src/shm/byteRing.js';
import { LINE_BYTES } from '../../src/shm/layout.js';

const RING_BYTES = 1024;
const EMPTY = new Uint8Array(0);

/** Starts both indexes at `units`, as if so many units had passed. */
function startAt(memory: ByteRingMemory, units: number): void {
  const control = new Int32Array(memory.sab, 0, (2 * LINE_BYTES) / 4);
  control[0] = units;
  control[LINE_BYTES / 4] = units;
}

interface Frame {
  kind: number;
  a: number;
  b: number;
  payload: Uint8Array;
}

const frame = fc.record({
  kind: fc.integer({ min: 0, max: 0xffffffff }),
  a: fc.double({ noNaN: true }),
  b: fc.double({ noNaN: true }),
  payload: fc.uint8Array({ maxLength: RING_BYTES / 4, size: 'max' }),
});
const step = fc.oneof(
  { weight: 3, arbitrary: frame.map((value) => ({ write: value, read: 0 })) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 6 }).map((read) => ({ write: null, read })) },
);

/** Copies a frame into the ring, or fills room that was reserved. */
function put(producer: ByteRingProducer, { kind, a, b, payload }: Frame): boolean {
  if (kind % 2 === 0) return producer.tryWrite(kind, a, b, payload);
  const into = producer.tryReserve(kind, a, b, payload.length);
  if (into === null) return false;
  // Reserved room that is not committed is as if nothing had happened.
  if (kind % 4 === 1) return producer.tryWrite(kind, a, b, payload);
  into.set(payload);
  producer.commit();
  return true;
}

t.test('frames come out as they went in, in order, and a refused one can be written later', async (t) => {
  let refused = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(0, -5, 2 ** 31 - 20),
      fc.array(step, { maxLength: 120, size: 'max' }),
      (start, steps) => {
        const memory = createByteRing(RING_BYTES);
        startAt(memory, start);
        const producer = new ByteRingProducer(memory);
        const consumer = new ByteRingConsumer(memory);
        const queue: Frame[] = [];
        const take = (kind: number, a: number, b: number, payload: Uint8Array): void => {
          const wanted = queue.shift();
          if (wanted === undefined) throw new Error('a frame that nobody wrote');
          const same = kind === wanted.kind && Object.is(a, wanted.a) && Object.is(b, wanted.b);
          if (!same || Buffer.compare(payload, wanted.payload) !== 0) throw new Error('frame differs');
        };
        for (const { write, read } of steps) {
          if (write === null) {
            const wanted = Math.min(read, queue.length);
            if (consumer.read(take, read) !== wanted) throw new Error('wrong number of frames');
          } else if (put(producer, write)) {
            queue.push(write);
          } else {
            refused++;
            const inUse = queue.reduce((sum, one) => sum + 24 + Math.ceil(one.payload.length / 8) * 8, 0);
            const frameBytes = 24 + Math.ceil(write.payload.length / 8) * 8;
            // Skips before this frame and before one that is still unread waste less than a frame each.
            if (inUse + 3 * (RING_BYTES / 4 + 24) + frameBytes < RING_BYTES)
              throw new Error('refused although there is room');
            if (queue.length === 0) throw new Error('refused by an empty ring');
          }
          if (consumer.isEmpty() !== (queue.length === 0)) throw new Error('isEmpty');
        }
        consumer.read(take);
        if (queue.length !== 0) throw new Error('frames lost');
      },
    ),
    { numRuns: 300 },
  );
  t.ok(refused > 100, `${refused} writes met a full ring`);
});

t.test('the longest payload fits into an empty ring wherever its indexes stand', async (t) => {
  for (let units = 0; units < RING_BYTES / 8; units++) {
    const memory = createByteRing(RING_BYTES);
    startAt(memory, units);
    const producer = new ByteRingProducer(memory);
    const payload = new Uint8Array(producer.payloadBytesMax).fill(units);
    if (!producer.tryWrite(1, 2, 3, payload)) t.fail(`refused at unit ${units}`);
    let length = 0;
    new ByteRingConsumer(memory).read((_kind, _a, _b, got) => {
      length = got.every((byte) => byte === units) ? got.length : -1;
    });
    if (length !== payload.length) t.fail(`damaged at unit ${units}`);
  }
  t.pass('every position');
});

t.test('a full ring keeps what it has and counts the refusal', async (t) => {
  const memory = createByteRing(RING_BYTES);
  const producer = new ByteRingProducer(memory);
  const consumer = new ByteRingConsumer(memory);
  let written = 0;
  while (producer.tryWrite(written, 0, 0, EMPTY)) written++;
  t.equal(written, Math.floor(RING_BYTES / 24));
  t.equal(producer.refusals, 1);
  const kinds: number[] = [];
  t.equal(
    consumer.read((kind) => kinds.push(kind), 1),
    1,
  );
  t.ok(producer.tryWrite(written, 0, 0, EMPTY), 'the room of one frame came back');
  consumer.read((kind) => kinds.push(kind));
  t.strictSame(
    kinds,
    Array.from({ length: written + 1 }, (_, i) => i),
  );
});

t.test('a callback that throws has consumed its frame', async (t) => {
  const memory = createByteRing(RING_BYTES);
  const producer = new ByteRingProducer(memory);
  const consumer = new ByteRingConsumer(memory);
  producer.tryWrite(1, 0, 0, EMPTY);
  producer.tryWrite(2, 0, 0, EMPTY);
  t.throws(
    () =>
      consumer.read(() => {
        throw new Error('bad command');
      }),
    /bad command/,
  );
  const kinds: number[] = [];
  consumer.read((kind) => kinds.push(kind));
  t.strictSame(kinds, [2]);
});

t.test('what can never be right throws', async (t) => {
  const producer = new ByteRingProducer(createByteRing(RING_BYTES));
  t.throws(() => producer.tryWrite(0, 0, 0, new Uint8Array(RING_BYTES / 4 + 1)), { code: 'ERR_ASSERTION' });
  for (const sizeBytes of [0, 512, 1000, 2 ** 31])
    t.throws(() => createByteRing(sizeBytes), { code: 'ERR_ASSERTION' });
  const damaged = createByteRing(RING_BYTES);
  new ByteRingProducer(damaged).tryWrite(0, 0, 0, EMPTY);
  new Uint32Array(damaged.sab, 2 * LINE_BYTES)[0] = 9999;
  t.throws(() => new ByteRingConsumer(damaged).read(() => {}), /broken frame/);
});
