/** A message ring whose sender lets things wait: against a plain queue, and what is never dropped. */
import assert from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { createByteRing } from '../../src/shm/byteRing.js';
import { MessageRingConsumer } from '../../src/shm/messageRing.js';
import { WaitingRing } from '../../src/shm/waitingRing.js';

const RING_BYTES = 1024;
const WAIT_BYTES = 4000;

function rig() {
  const memory = createByteRing(RING_BYTES);
  const ring = new WaitingRing(memory, WAIT_BYTES);
  const consumer = new MessageRingConsumer(memory);
  const got: string[] = [];
  const take = (frames?: number): number =>
    consumer.read((kind, a, bytes) => got.push(`${kind} ${a} ${bytes.length}`), frames);
  const empty = (): void => {
    while (ring.waits || !consumer.isEmpty()) {
      ring.flush();
      take();
    }
  };
  return { ring, got, take, empty };
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      isKept: fc.boolean(),
      bytes: fc.integer({ min: 0, max: 3 * RING_BYTES }),
    }),
  },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 4 }) },
);

t.test(
  'what was taken comes in order, what is kept always does, and the bound holds for the rest',
  async (t) => {
    let dropped = 0;
    let kept = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const { ring, got, take, empty } = rig();
        const sent: string[] = [];
        for (const [at, step] of steps.entries()) {
          if (typeof step === 'number') {
            take(step);
            ring.flush();
            continue;
          }
          const bytes = new Uint8Array(step.bytes);
          const before = ring.dropped;
          const into = step.isKept || at % 2 === 0 ? null : ring.reserve(1, at, bytes.length);
          if (into !== null) ring.commit();
          const isTaken = step.isKept || into !== null || ring.write(1, at, bytes);
          if (step.isKept) ring.keep(1, at, bytes);
          assert.equal(ring.dropped, before + (isTaken ? 0 : 1), 'what is dropped is counted');
          if (isTaken) sent.push(`1 ${at} ${step.bytes}`);
          if (step.isKept) kept += 1;
        }
        dropped += ring.dropped;
        empty();
        assert.deepEqual(got, sent);
      }),
      { seed: 20_261_127, numRuns: 300 },
    );
    t.ok(dropped > 500 && kept > 500, `both happen: ${dropped} dropped, ${kept} kept`);
  },
);

t.test('nothing is dropped before its bound is used up, and empty messages use it too', async (t) => {
  const { ring, got, empty } = rig();
  let taken = 0;
  while (ring.write(2, taken, new Uint8Array(0))) taken += 1;
  // Frames of 24 bytes; what waits takes 64 each.
  t.equal(taken, Math.floor(RING_BYTES / 24) + Math.floor(WAIT_BYTES / 64));
  ring.keep(3, 7, new Uint8Array(5));
  t.notOk(ring.write(2, 0, new Uint8Array(0)), 'what is kept counts against the others');
  empty();
  t.equal(got.length, taken + 1);
  t.equal(got.at(-1), '3 7 5');
  t.equal(ring.dropped, 2);
});

t.test('it is dirty when something has come into the ring, not when it waits', async (t) => {
  const { ring, take } = rig();
  t.notOk(ring.dirty);
  while (!ring.waits) ring.write(1, 0, new Uint8Array(200));
  t.ok(ring.dirty);
  ring.dirty = false;
  ring.keep(1, 0, new Uint8Array(1));
  t.notOk(ring.flush(), 'there is no room');
  t.notOk(ring.dirty);
  take();
  t.ok(ring.flush());
  t.ok(ring.dirty, 'its reader has to be woken for what waited');
});
