/** The descriptor ring against a plain queue, on one thread: order, wrap-around, full, empty, reserved descriptors. */
import fc from 'fast-check';
import t from 'tap';
import { DESCRIPTOR_F64, DESCRIPTOR_I32, LINE_BYTES } from '../../src/shm/layout.js';
import { createRing, RingConsumer, type RingMemory, RingProducer, ringFill } from '../../src/shm/ring.js';

/** Starts both indexes at `count`, as if so many descriptors had passed. */
function startAt(memory: RingMemory, count: number): void {
  const control = new Int32Array(memory.sab, 0, (2 * LINE_BYTES) / 4);
  control[0] = count;
  control[LINE_BYTES / 4] = count;
}

/** A queue that keeps the ring's rules the slow and obvious way. */
class RingTwin {
  readonly unread: { value: number; leaf: boolean }[] = [];
  hidden: { value: number; leaf: boolean }[] = [];
  private handedOut = 0;
  private readonly slotCount: number;
  private readonly reservedSlots: number;

  constructor(slotCount: number, reservedSlots: number) {
    this.slotCount = slotCount;
    this.reservedSlots = reservedSlots;
  }

  reserve(value: number, leaf: boolean): boolean {
    const all = [...this.unread, ...this.hidden];
    if (all.length >= this.slotCount) return false;
    if (!leaf && this.reservedSlots > 0) {
      if (all.length >= this.slotCount - this.reservedSlots) return false;
      if (all.filter((one) => !one.leaf).length >= this.slotCount / 2) return false;
    }
    this.hidden.push({ value, leaf });
    return true;
  }
  publish(): number {
    const count = this.hidden.length;
    this.unread.push(...this.hidden);
    this.hidden = [];
    return count;
  }
  next(): number {
    return this.unread[this.handedOut] === undefined ? -1 : this.unread[this.handedOut++]!.value;
  }
  release(): number {
    const count = this.handedOut;
    this.unread.splice(0, count);
    this.handedOut = 0;
    return count;
  }
  available(): number {
    return this.unread.length - this.handedOut;
  }
  freeSlots(): number {
    return this.slotCount - this.unread.length - this.hidden.length;
  }
}

type Step = ['reserve', boolean] | ['publish'] | ['next'] | ['release'] | ['available'] | ['freeSlots'];

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.boolean().map((leaf): Step => ['reserve', leaf]) },
  { weight: 2, arbitrary: fc.constant<Step>(['publish']) },
  { weight: 5, arbitrary: fc.constant<Step>(['next']) },
  { weight: 2, arbitrary: fc.constant<Step>(['release']) },
  { weight: 1, arbitrary: fc.constant<Step>(['available']) },
  { weight: 1, arbitrary: fc.constant<Step>(['freeSlots']) },
);

/** Sizes, reserve and a starting count; some of the counts pass the int32 border during the run. */
const shape = fc
  .integer({ min: 1, max: 5 })
  .chain((log2) =>
    fc.tuple(
      fc.constant(2 ** log2),
      fc.integer({ min: 0, max: 2 ** (log2 - 1) }),
      fc.constantFrom(0, -1, 2 ** 31 - 3, -(2 ** 31), 12345),
    ),
  );

t.test('the ring does what a plain queue with the same rules does', async (t) => {
  fc.assert(
    fc.property(
      shape,
      fc.array(step, { maxLength: 400, size: 'max' }),
      ([slotCount, reservedSlots, start], steps) => {
        const memory = createRing(slotCount, reservedSlots);
        startAt(memory, start);
        const producer = new RingProducer(memory);
        const consumer = new RingConsumer(memory);
        const twin = new RingTwin(slotCount, reservedSlots);
        let value = 1;
        for (const [action, leaf] of steps) {
          if (action === 'reserve') {
            const slot = producer.reserve(leaf);
            if (slot >= slotCount || slot < -1) throw new Error(`slot ${slot} of ${slotCount}`);
            if (slot >= 0 !== twin.reserve(value, leaf)) throw new Error(`reserve(${leaf}) gave ${slot}`);
            if (slot >= 0) {
              producer.i32[slot * DESCRIPTOR_I32 + 15] = value;
              producer.f64[slot * DESCRIPTOR_F64] = value / 3;
            }
            value++;
          } else if (action === 'next') {
            const slot = consumer.next();
            const wanted = twin.next();
            if (slot < 0 !== wanted < 0) throw new Error(`next gave ${slot}, wanted ${wanted}`);
            if (slot < 0) continue;
            const got = consumer.i32[slot * DESCRIPTOR_I32 + 15];
            if (got !== wanted) throw new Error(`got ${got}, wanted ${wanted}`);
            if (consumer.f64[slot * DESCRIPTOR_F64] !== wanted / 3) throw new Error('double field differs');
          } else if (producer[action as 'publish'] !== undefined) {
            const count = producer[action as 'publish' | 'freeSlots']();
            const wanted = twin[action as 'publish' | 'freeSlots']();
            if (count !== wanted) throw new Error(`${action} gave ${count}, wanted ${wanted}`);
          } else {
            const count = consumer[action as 'release' | 'available']();
            const wanted = twin[action as 'release' | 'available']();
            if (count !== wanted) throw new Error(`${action} gave ${count}, wanted ${wanted}`);
          }
        }
      },
    ),
    { numRuns: 500 },
  );
  t.pass('500 random histories agree');
});

t.test('a full ring refuses and takes again after one release', async (t) => {
  const memory = createRing(4);
  const producer = new RingProducer(memory);
  const consumer = new RingConsumer(memory);
  for (let i = 0; i < 4; i++) t.equal(producer.reserve(false), i);
  t.equal(producer.reserve(true), -1, 'full');
  t.equal(consumer.next(), -1, 'nothing is visible before publish');
  t.equal(producer.publish(), 4);
  t.equal(producer.publish(), 0, 'nothing new');
  t.equal(consumer.next(), 0);
  t.equal(producer.reserve(true), -1, 'taken is not yet given back');
  t.equal(consumer.release(), 1);
  t.equal(producer.reserve(true), 0, 'the first slot again');
  t.equal(producer.freeSlots(), 0);
});

t.test('primary work leaves the reserve and half of the ring to leaf work', async (t) => {
  const producer = new RingProducer(createRing(16, 4));
  let primary = 0;
  while (producer.reserve(false) >= 0) primary++;
  t.equal(primary, 8, 'half at most');
  let leaf = 0;
  while (producer.reserve(true) >= 0) leaf++;
  t.equal(leaf, 8, 'leaf work takes all the rest');

  const busy = new RingProducer(createRing(16, 4));
  for (let i = 0; i < 11; i++) busy.reserve(true);
  t.ok(busy.reserve(false) >= 0, 'five are free: one more than the reserve');
  t.equal(busy.reserve(false), -1, 'the last four are not for primary work');
  t.ok(busy.reserve(true) >= 0);
});

t.test('a ring without reserve gives all of itself to primary work', async (t) => {
  const producer = new RingProducer(createRing(8));
  let primary = 0;
  while (producer.reserve(false) >= 0) primary++;
  t.equal(primary, 8);
});

t.test('sizes that cannot work are refused', async (t) => {
  for (const slotCount of [0, 1, 3, 100, -4, 2.5, 2 ** 23, Number.NaN]) {
    t.throws(() => createRing(slotCount), { code: 'ERR_ASSERTION' }, `${slotCount} slots`);
  }
  for (const reservedSlots of [-1, 9, 1.5]) {
    t.throws(() => createRing(16, reservedSlots), { code: 'ERR_ASSERTION' }, `${reservedSlots} reserved`);
  }
});

t.test('an index that the other side cannot have written is a broken invariant', async (t) => {
  const memory = createRing(4);
  const consumer = new RingConsumer(memory);
  new Int32Array(memory.sab)[0] = 5;
  t.throws(() => consumer.next(), /write index out of range/);
  const producer = new RingProducer(createRing(4));
  const damaged = createRing(4);
  const other = new RingProducer(damaged);
  new Int32Array(damaged.sab)[LINE_BYTES / 4] = 1;
  t.throws(() => other.freeSlots(), /read index out of range/);
  t.equal(producer.freeSlots(), 4);
});

t.test('anybody may look how full a ring is', async (t) => {
  const memory = createRing(4);
  startAt(memory, 2 ** 31 - 2);
  const producer = new RingProducer(memory);
  const consumer = new RingConsumer(memory);
  t.equal(ringFill(memory), 0);
  for (let i = 0; i < 4; i++) producer.reserve(true);
  t.equal(ringFill(memory), 0, 'not published yet');
  producer.publish();
  t.equal(ringFill(memory), 4, 'across the wrap of the counts');
  consumer.next();
  t.equal(ringFill(memory), 4, 'taken, but not given back');
  consumer.release();
  t.equal(ringFill(memory), 3);
});
