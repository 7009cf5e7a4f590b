/** Rings, doorbells and tables between two real threads: this one and `peer.ts`. This thread blocks as a worker of extentd does. */
import assert from 'node:assert';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import t from 'tap';
import { native } from '../../bench/micro/optionalNative.js';
import { ByteRingProducer, createByteRing } from '../../src/shm/byteRing.js';
import { Counters, createCounters } from '../../src/shm/counters.js';
import {
  createDoorbell,
  Doorbell,
  DoorbellSleeper,
  OWNER,
  SLEEPING,
  WAIT,
  waitUntil,
} from '../../src/shm/doorbell.js';
import { createPoisonTable, PoisonTable } from '../../src/shm/poison.js';
import { createRing, RingConsumer, RingProducer } from '../../src/shm/ring.js';
import {
  type Bells,
  checkDescriptor,
  fillDescriptor,
  framePayload,
  pauseSometimes,
  type Report,
  randomFrom,
  type Scenario,
  SILENCE_MS,
  waitingOf,
} from './peer.js';

const peer = new Worker(new URL('./peer.js', import.meta.url));
t.teardown(() => peer.terminate());

/** Starts a scenario on the peer, does this thread's part, and returns both results. */
async function together<T>(scenario: Scenario, part: () => T): Promise<{ report: Report; own: T }> {
  const answer = once(peer, 'message');
  peer.postMessage(scenario);
  const own = part();
  const [report] = (await answer) as [Report];
  assert.equal(report.error, '', `the peer failed: ${report.error}`);
  return { report, own };
}

function newBells(withNative: boolean): Bells {
  return { main: createDoorbell(), peer: createDoorbell(), native: withNative };
}
/** Options of tests that need the addon. */
const onNative = { skip: native === null ? 'the addon is not built' : false };

interface RunOptions {
  slotCount: number;
  reservedSlots: number;
  count: number;
  seed: number;
  leafOnly: boolean;
  withNative: boolean;
}

/** Sends `count` messages in batches of random size, waiting when the ring is full. Returns the bell's counts and how often it was full. */
async function sendOneWay({ slotCount, reservedSlots, count, seed, leafOnly, withNative }: RunOptions) {
  const ring = createRing(slotCount, reservedSlots);
  const bells = newBells(withNative);
  const { report, own } = await together({ name: 'consume', ring, bells, count, seed }, () => {
    const producer = new RingProducer(ring);
    const sleeper = new DoorbellSleeper(bells.main, waitingOf(bells).wait);
    const bell = new Doorbell(bells.peer, waitingOf(bells).wake);
    const random = randomFrom(seed + 1);
    let full = 0;
    let batches = 0;
    for (let sent = 0; sent < count; ) {
      const leaf = leafOnly || random(2) === 0;
      let slot = -1;
      for (let batch = 1 + random(slotCount); batch > 0 && sent < count; batch--) {
        slot = producer.reserve(leaf);
        if (slot < 0) break;
        fillDescriptor(producer, slot, sent++);
      }
      if (producer.publish() > 0) {
        batches++;
        bell.ring();
      }
      if (slot < 0) {
        full++;
        const before = producer.unreadSlots();
        assert(
          waitUntil(sleeper, () => producer.unreadSlots() < before || before === 0, SILENCE_MS),
          `stuck after ${sent}`,
        );
      }
      pauseSometimes(random);
    }
    return { full, batches, rings: bell.rings, wakeUps: bell.wakeUps };
  });
  return { received: report.received, ...own };
}

t.test(
  'more than a million messages arrive once and in order, through wrap-around, full and empty',
  async (t) => {
    const count = 1_200_000;
    const startMs = performance.now();
    const run = await sendOneWay({
      slotCount: 1024,
      reservedSlots: 0,
      count,
      seed: 7,
      leafOnly: true,
      withNative: false,
    });
    const tookMs = performance.now() - startMs;
    t.equal(run.received, count);
    t.ok(run.full > 0, `met a full ring ${run.full} times`);
    t.equal(run.rings, run.batches, 'one ring a batch');
    t.ok(run.wakeUps <= run.batches, `${run.wakeUps} wake-ups for ${run.batches} batches`);
    t.comment(`${Math.round(count / tookMs)} k messages/s with pauses and checks`);
  },
);

t.test('any size of ring, reserve and batch keeps every message', async (t) => {
  const shape = fc.record({
    slotCount: fc.integer({ min: 1, max: 9 }).map((log2) => 2 ** log2),
    reserveShare: fc.constantFrom(0, 0.25, 0.5),
    seed: fc.integer(),
  });
  await fc.assert(
    fc.asyncProperty(shape, async ({ slotCount, reserveShare, seed }) => {
      const count = Math.min(20_000, slotCount * 400);
      const reservedSlots = Math.floor(slotCount * reserveShare);
      const run = await sendOneWay({
        slotCount,
        reservedSlots,
        count,
        seed,
        leafOnly: false,
        withNative: false,
      });
      assert.equal(run.received, count);
    }),
    { numRuns: 25 },
  );
  t.pass('25 random shapes');
});

t.test('every message of an echo comes back in order', async (t) => {
  const count = 50_000;
  const seed = 3;
  const there = createRing(64);
  const back = createRing(64);
  const bells = newBells(false);
  const { report, own } = await together({ name: 'echo', there, back, bells, count, seed }, () => {
    const producer = new RingProducer(there);
    const consumer = new RingConsumer(back);
    const sleeper = new DoorbellSleeper(bells.main, waitingOf(bells).wait);
    const bell = new Doorbell(bells.peer, waitingOf(bells).wake);
    const random = randomFrom(seed + 1);
    let sent = 0;
    let returned = 0;
    while (returned < count) {
      // Never more in flight than the way back holds.
      for (let batch = 1 + random(64); batch > 0 && sent < count && sent - returned < 64; batch--) {
        fillDescriptor(producer, producer.reserve(true), sent++);
      }
      if (producer.publish() > 0) bell.ring();
      assert(
        waitUntil(sleeper, () => consumer.available() > 0, SILENCE_MS),
        `no reply after ${returned}`,
      );
      for (let slot = consumer.next(); slot >= 0; slot = consumer.next())
        checkDescriptor(consumer, slot, returned++);
      consumer.release();
    }
    return returned;
  });
  t.equal(own, count);
  t.equal(report.received, count);
});

/** Puts the peer to sleep, sends 100 messages at once and rings 100 times; 20 rounds. Throws unless each cost one wake-up. */
async function burstsForSleeper(withNative: boolean): Promise<void> {
  for (let round = 0; round < 20; round++) {
    const ring = createRing(128);
    const bells = newBells(withNative);
    const { report, own } = await together({ name: 'sleepOnce', ring, bells }, () => {
      const deadlineMs = performance.now() + SILENCE_MS;
      while (Atomics.load(bells.peer, SLEEPING) !== OWNER.asleep)
        assert(performance.now() < deadlineMs, 'never slept');
      const producer = new RingProducer(ring);
      const bell = new Doorbell(bells.peer, waitingOf(bells).wake);
      for (let i = 0; i < 100; i++) fillDescriptor(producer, producer.reserve(true), i);
      producer.publish();
      for (let i = 0; i < 100; i++) bell.ring();
      return bell;
    });
    assert.equal(own.wakeUps, 1, `round ${round}`);
    assert.equal(report.received, 100, `round ${round}`);
    assert.notEqual(report.outcome, WAIT.timedOut, `round ${round}`);
  }
}

t.test('a burst for a sleeper costs one wake-up, however often the bell rings', async (t) => {
  await t.resolves(burstsForSleeper(false));
});

t.test("a burst for a sleeper in the addon's wait costs one wake-up", onNative, async (t) => {
  await t.resolves(burstsForSleeper(true));
});

t.test("messages arrive once and in order with the addon's wait and wake", onNative, async (t) => {
  const count = 300_000;
  const run = await sendOneWay({
    slotCount: 64,
    reservedSlots: 16,
    count,
    seed: 9,
    leafOnly: false,
    withNative: true,
  });
  t.equal(run.received, count);
  t.ok(run.wakeUps <= run.batches, `${run.wakeUps} wake-ups for ${run.batches} batches`);
});

t.test('frames of any length arrive whole and in order', async (t) => {
  let full = 0;
  for (const [sizeBytes, count, seed] of [
    [1024, 20_000, 1],
    [65_536, 60_000, 2],
  ] as const) {
    const ring = createByteRing(sizeBytes);
    const bells = newBells(false);
    const { report } = await together({ name: 'readFrames', ring, bells, count, seed }, () => {
      const producer = new ByteRingProducer(ring);
      const sleeper = new DoorbellSleeper(bells.main, waitingOf(bells).wait);
      const bell = new Doorbell(bells.peer, waitingOf(bells).wake);
      const lengths = randomFrom(seed);
      const random = randomFrom(seed + 2);
      for (let sent = 0; sent < count; sent++) {
        const payload = framePayload(sent, lengths, producer.payloadBytesMax);
        const write = (): boolean => producer.tryWrite(sent, sent / 3, payload.length, payload);
        if (!write()) {
          bell.ring();
          assert(waitUntil(sleeper, write, SILENCE_MS), `full for ever at frame ${sent}`);
        }
        if (random(10) === 0) bell.ring();
        pauseSometimes(random);
      }
      bell.ring();
      full += producer.refusals;
    });
    t.equal(report.received, count, `ring of ${sizeBytes} bytes`);
  }
  t.ok(full > 0, `met a full ring ${full} times`);
});

t.test('a reader of a counter never sees half a value', async (t) => {
  const counters = createCounters(['flips']);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  // Differ in every byte, so that half of one with half of the other would show.
  const values: [number, number] = [1.23456789012e-300, -9.87654321098e250];
  const { own } = await together({ name: 'flip', counters, values, stop }, () => {
    const reader = new Counters(counters);
    const seen = new Set<number>();
    const deadlineMs = performance.now() + SILENCE_MS;
    while (!values.every((value) => seen.has(value)) && performance.now() < deadlineMs)
      seen.add(reader.value(0));
    for (let i = 0; i < 1_000_000; i++) seen.add(reader.value(0));
    Atomics.store(stop, 0, 1);
    return seen;
  });
  own.delete(0);
  t.strictSame([...own].sort(), [...values].sort());
});

t.test('two threads that poison one connection leave the latest generation', async (t) => {
  const table = createPoisonTable(1);
  const random = randomFrom(11);
  const generations = Array.from({ length: 100_000 }, () => 1 + random(1_000_000));
  const ours = Array.from({ length: 100_000 }, () => 1 + random(1_000_000));
  await together({ name: 'poison', table, generations }, () => {
    const shared = new PoisonTable(table);
    for (const generation of ours) shared.poison(0, generation);
  });
  const latest = generations.concat(ours).reduce((x, y) => Math.max(x, y));
  t.ok(new PoisonTable(table).isPoisoned(0, latest));
});
