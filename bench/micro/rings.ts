/**
 * Micro-benchmark of `src/shm`: what a descriptor, a wake-up, a slot and a counter cost. `node dist/bench/micro/rings.js [seconds per row]`.
 *
 * Rows with two threads mean something only on two idle cores, and even there the kernel likes to start a woken thread on the core of the one that woke
 * it; then the two take turns, and a spin only delays the other (a round trip of about twice the spin). So such a row is run five times; the median
 * and the best are printed. The wait is the addon's where it is built, else Atomics.wait.
 */
import assert from 'node:assert';
import { once } from 'node:events';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { ByteRingConsumer, ByteRingProducer, createByteRing } from '../../src/shm/byteRing.js';
import { Counters, createCounters } from '../../src/shm/counters.js';
import { createDoorbell, Doorbell, DoorbellSleeper } from '../../src/shm/doorbell.js';
import { createHistogram, SharedHistogram } from '../../src/shm/histogram.js';
import { DESCRIPTOR_F64, DESCRIPTOR_I32 } from '../../src/shm/layout.js';
import { createRing, RingConsumer, type RingMemory, RingProducer } from '../../src/shm/ring.js';
import { createSlab, Slab } from '../../src/shm/slab.js';
import { SLOT_KIND } from '../../src/shm/slabShare.js';
import { bestWaiting, native } from './optionalNative.js';

const BATCH = 64;
const WAIT_MS = 5_000;
const RUNS = 5;

/** What the other thread has to do: count descriptors, or send each back, until one with a first word of -1 comes. */
interface Task {
  there: RingMemory;
  back: RingMemory | null;
  bells: [main: Int32Array, peer: Int32Array];
  spinNs: number;
}

const { wait, wake } = bestWaiting;

/** Eight words and three doubles: as much as a real descriptor carries. */
function fill(producer: RingProducer, slot: number, i: number): void {
  const word = slot * DESCRIPTOR_I32;
  for (let at = 0; at < 8; at++) producer.i32[word + at] = i;
  const cell = slot * DESCRIPTOR_F64;
  for (let at = 4; at < 7; at++) producer.f64[cell + at] = i;
}

function sumOf(consumer: RingConsumer, slot: number): number {
  let sum = 0;
  const word = slot * DESCRIPTOR_I32;
  for (let at = 1; at < 8; at++) sum += consumer.i32[word + at]!;
  const cell = slot * DESCRIPTOR_F64;
  for (let at = 4; at < 7; at++) sum += consumer.f64[cell + at]!;
  return sum;
}

/** Blocks until `consumer` has something; throws after WAIT_MS of silence. */
function awaitMessage(consumer: RingConsumer, sleeper: DoorbellSleeper, spinNs: number): void {
  for (;;) {
    const seen = sleeper.sequence();
    if (consumer.available() > 0) return;
    assert(sleeper.wait(seen, spinNs, WAIT_MS) !== 0, 'the other thread is silent');
  }
}

function serve({ there, back, bells, spinNs }: Task): { received: number; sum: number; wakeUps: number } {
  const consumer = new RingConsumer(there);
  const replies = back === null ? null : new RingProducer(back);
  const sleeper = new DoorbellSleeper(bells[1], wait);
  const bell = new Doorbell(bells[0], wake);
  let received = 0;
  let sum = 0;
  for (;;) {
    awaitMessage(consumer, sleeper, spinNs);
    for (let slot = consumer.next(); slot >= 0; slot = consumer.next()) {
      if (consumer.i32[slot * DESCRIPTOR_I32] === -1) return { received, sum, wakeUps: bell.wakeUps };
      sum += sumOf(consumer, slot);
      if (replies !== null) fill(replies, replies.reserve(true), received);
      received++;
    }
    consumer.release();
    if (replies !== null) replies.publish();
    bell.ring();
  }
}

function say(name: string, value: string): void {
  process.stdout.write(`${name.padEnd(58)} ${value}\n`);
}
function perSecond(count: number, ms: number): string {
  return `${((count / ms) * 1000).toLocaleString('en', { maximumFractionDigits: 0 }).padStart(14)} /s ${((ms * 1e6) / count).toFixed(1).padStart(9)} ns`;
}

/** Runs `body(10000)` until `seconds` have passed and prints the rate. */
function measure(name: string, seconds: number, body: (times: number) => void): void {
  const step = 10_000;
  body(step);
  const startMs = performance.now();
  let count = 0;
  while (performance.now() - startMs < seconds * 1000) {
    body(step);
    count += step;
  }
  say(name, perSecond(count, performance.now() - startMs));
}

/** Descriptors through a ring with both ends on this thread: what they cost in CPU. */
function ringOneThread(seconds: number): void {
  const memory = createRing(1024, 256);
  const producer = new RingProducer(memory);
  const consumer = new RingConsumer(memory);
  let sum = 0;
  measure(`descriptor, both ends on one thread, batches of ${BATCH}`, seconds, (times) => {
    for (let sent = 0; sent < times; ) {
      for (let i = 0; i < BATCH; i++) fill(producer, producer.reserve((i & 1) === 0), sent++);
      producer.publish();
      for (let slot = consumer.next(); slot >= 0; slot = consumer.next()) sum += sumOf(consumer, slot);
      consumer.release();
    }
  });
  assert(sum > 0);
}

/** Runs `run` RUNS times for a share of `seconds`; prints median and best of the ns a message it returns. */
async function repeat(
  name: string,
  seconds: number,
  run: (seconds: number) => Promise<number>,
): Promise<void> {
  const costsNs: number[] = [];
  for (let i = 0; i < RUNS; i++) costsNs.push(await run(seconds / RUNS));
  costsNs.sort((x, y) => x - y);
  const [bestNs, medianNs] = [costsNs[0]!, costsNs[RUNS >> 1]!];
  say(name, `${perSecond(1e6, medianNs)}   best ${perSecond(1e6, bestNs).trim()}`);
}

/** Sends batches for `seconds`; returns ns a descriptor. */
async function oneWay(worker: Worker, seconds: number): Promise<number> {
  const there = createRing(1024);
  const bells: Task['bells'] = [createDoorbell(), createDoorbell()];
  const answer = once(worker, 'message');
  worker.postMessage({ there, back: null, bells, spinNs: 20_000 } satisfies Task);
  const producer = new RingProducer(there);
  const sleeper = new DoorbellSleeper(bells[0], wait);
  const bell = new Doorbell(bells[1], wake);
  const reserve = (): number => {
    for (;;) {
      const seen = sleeper.sequence();
      const slot = producer.reserve(true);
      if (slot >= 0) return slot;
      if (producer.publish() > 0) bell.ring();
      assert(sleeper.wait(seen, 20_000, WAIT_MS) !== 0, 'the other thread is silent');
    }
  };
  const startMs = performance.now();
  let sent = 0;
  while (performance.now() - startMs < seconds * 1000) {
    for (let i = 0; i < BATCH; i++) fill(producer, reserve(), sent++);
    producer.publish();
    bell.ring();
  }
  producer.i32[reserve() * DESCRIPTOR_I32] = -1;
  producer.publish();
  bell.ring();
  const [report] = (await answer) as [{ received: number }];
  assert.equal(report.received, sent);
  return ((performance.now() - startMs) * 1e6) / sent;
}

/** Sends one message after the other's reply for `seconds`; returns ns a round trip. */
async function roundTrips(worker: Worker, seconds: number, spinNs: number): Promise<number> {
  const there = createRing(64);
  const back = createRing(64);
  const bells: Task['bells'] = [createDoorbell(), createDoorbell()];
  const answer = once(worker, 'message');
  worker.postMessage({ there, back, bells, spinNs } satisfies Task);
  const producer = new RingProducer(there);
  const consumer = new RingConsumer(back);
  const sleeper = new DoorbellSleeper(bells[0], wait);
  const bell = new Doorbell(bells[1], wake);
  const startMs = performance.now();
  let count = 0;
  for (; performance.now() - startMs < seconds * 1000; count++) {
    fill(producer, producer.reserve(true), count);
    producer.publish();
    bell.ring();
    awaitMessage(consumer, sleeper, spinNs);
    consumer.next();
    consumer.release();
  }
  const tookMs = performance.now() - startMs;
  producer.i32[producer.reserve(true) * DESCRIPTOR_I32] = -1;
  producer.publish();
  bell.ring();
  await answer;
  return (tookMs * 1e6) / count;
}

function slab(seconds: number): void {
  const own = new Slab(
    createSlab({
      classes: [
        { bytes: 4096, slots: 256 },
        { bytes: 131_072, slots: 16 },
      ],
    }),
  );
  measure('slab slot: acquire, hand over, take back, release', seconds, (times) => {
    for (let i = 0; i < times; i++) {
      const handle = own.acquire(4096, i & 3, SLOT_KIND.leaf);
      own.handOver(handle);
      own.takeBack(handle);
      own.release(handle);
    }
  });
}

function others(seconds: number): void {
  const memory = createByteRing(1 << 16);
  const producer = new ByteRingProducer(memory);
  const consumer = new ByteRingConsumer(memory);
  const payload = new Uint8Array(100).fill(1);
  let bytes = 0;
  measure('byte-ring frame of 100 bytes, both ends on one thread', seconds, (times) => {
    for (let i = 0; i < times; i++) {
      producer.tryWrite(i, i, i, payload);
      consumer.read((_kind, _a, _b, view) => {
        bytes += view.length;
      });
    }
  });
  const counters = new Counters(createCounters(['a', 'b']));
  measure('counter: add', seconds, (times) => {
    for (let i = 0; i < times; i++) counters.add(i & 1, 1);
  });
  const histogram = new SharedHistogram(createHistogram());
  measure('histogram: record', seconds, (times) => {
    for (let i = 0; i < times; i++) histogram.record(i * 1.5);
  });
  assert(bytes > 0 && counters.value(0) > 0);
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 1);
  assert(seconds > 0 && seconds <= 60, 'seconds per row: 0..60');
  say('wait and wake-up', native === null ? 'Atomics.wait (addon not built)' : 'addon');
  ringOneThread(seconds);
  const worker = new Worker(new URL(import.meta.url));
  await once(worker, 'message');
  await repeat(`descriptor one way between threads, batches of ${BATCH}`, seconds, (share) =>
    oneWay(worker, share),
  );
  for (const spinNs of [0, 50_000]) {
    const name = `round trip, one in flight, spin ${spinNs / 1000} µs`;
    await repeat(name, seconds, (share) => roundTrips(worker, share, spinNs));
  }
  await worker.terminate();
  slab(seconds);
  others(seconds);
}

if (isMainThread) {
  await main();
} else {
  parentPort!.on('message', (task: Task) => parentPort!.postMessage(serve(task)));
  parentPort!.postMessage('ready');
}
