/**
 * The other thread of `threads.test.ts`: runs one scenario for each message and posts back what it saw. All waits are bounded; a wait
 * that runs out is an error that the test sees.
 */
import assert from 'node:assert';
import { parentPort } from 'node:worker_threads';
import { atomicsWaiting, bestWaiting, type Waiting } from '../../bench/micro/optionalNative.js';
import { ByteRingConsumer, type ByteRingMemory } from '../../src/shm/byteRing.js';
import { Counters, type CountersMemory } from '../../src/shm/counters.js';
import { Doorbell, DoorbellSleeper, waitUntil } from '../../src/shm/doorbell.js';
import { DESCRIPTOR_F64, DESCRIPTOR_I32 } from '../../src/shm/layout.js';
import { type PoisonMemory, PoisonTable } from '../../src/shm/poison.js';
import { RingConsumer, type RingMemory, RingProducer } from '../../src/shm/ring.js';

/** Longest silence of the other side that a test accepts. */
export const SILENCE_MS = 8_000;

/** The bells of both threads, as words, and whether they are the addon's. */
export interface Bells {
  main: Int32Array;
  peer: Int32Array;
  native: boolean;
}
export function waitingOf(bells: Bells): Waiting {
  return bells.native ? bestWaiting : atomicsWaiting;
}
export type Scenario =
  | { name: 'consume'; ring: RingMemory; bells: Bells; count: number; seed: number }
  | { name: 'echo'; there: RingMemory; back: RingMemory; bells: Bells; count: number; seed: number }
  | { name: 'sleepOnce'; ring: RingMemory; bells: Bells }
  | { name: 'readFrames'; ring: ByteRingMemory; bells: Bells; count: number; seed: number }
  | { name: 'flip'; counters: CountersMemory; values: [number, number]; stop: Int32Array }
  | { name: 'poison'; table: PoisonMemory; generations: number[] };
/** `received`: messages or frames, all right and in order; `outcome`: what the one wait of `sleepOnce` returned. */
export interface Report {
  received: number;
  wakeUps: number;
  outcome: number;
  error: string;
}

/** A small generator (mulberry32): the same numbers in both threads from one seed. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Now and then loses some time, so that the threads meet each other in every position. */
export function pauseSometimes(random: (below: number) => number): void {
  const dice = random(400);
  if (dice === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.2);
  else if (dice < 20) for (let left = random(3000); left > 0; left--) Atomics.load(spinWord, 0);
}
const spinWord = new Int32Array(new SharedArrayBuffer(4));

/** Fields of message number `i`. */
export function fillDescriptor(producer: RingProducer, slot: number, i: number): void {
  producer.i32[slot * DESCRIPTOR_I32] = i;
  producer.f64[slot * DESCRIPTOR_F64 + 3] = i / 7;
  producer.i32[slot * DESCRIPTOR_I32 + DESCRIPTOR_I32 - 1] = ~i;
}
export function checkDescriptor(consumer: RingConsumer, slot: number, i: number): void {
  const right =
    consumer.i32[slot * DESCRIPTOR_I32] === i &&
    consumer.f64[slot * DESCRIPTOR_F64 + 3] === i / 7 &&
    consumer.i32[slot * DESCRIPTOR_I32 + DESCRIPTOR_I32 - 1] === ~i;
  if (!right) assert.fail(`message ${i}: found ${consumer.i32[slot * DESCRIPTOR_I32]}`);
}

function consume({ ring, bells, count, seed }: Scenario & { name: 'consume' }): Report {
  const consumer = new RingConsumer(ring);
  const sleeper = new DoorbellSleeper(bells.peer, waitingOf(bells).wait);
  const bell = new Doorbell(bells.main, waitingOf(bells).wake);
  const random = randomFrom(seed);
  let received = 0;
  while (received < count) {
    assert(
      waitUntil(sleeper, () => consumer.available() > 0, SILENCE_MS),
      `nothing after ${received} messages`,
    );
    for (let batch = 1 + random(ring.slotCount); batch > 0; batch--) {
      const slot = consumer.next();
      if (slot < 0) break;
      checkDescriptor(consumer, slot, received++);
    }
    consumer.release();
    bell.ring();
    pauseSometimes(random);
  }
  assert.equal(consumer.available(), 0, 'more messages than were sent');
  return { received, wakeUps: bell.wakeUps, outcome: 0, error: '' };
}

function echo({ there, back, bells, count, seed }: Scenario & { name: 'echo' }): Report {
  const consumer = new RingConsumer(there);
  const producer = new RingProducer(back);
  const sleeper = new DoorbellSleeper(bells.peer, waitingOf(bells).wait);
  const bell = new Doorbell(bells.main, waitingOf(bells).wake);
  const random = randomFrom(seed);
  let received = 0;
  while (received < count) {
    assert(
      waitUntil(sleeper, () => consumer.available() > 0, SILENCE_MS),
      `nothing after ${received} messages`,
    );
    for (let slot = consumer.next(); slot >= 0; slot = consumer.next()) {
      const reply = producer.reserve(true);
      assert(reply >= 0, 'the way back is as long as the way there: never full');
      for (let word = 0; word < DESCRIPTOR_I32; word++) {
        producer.i32[reply * DESCRIPTOR_I32 + word] = consumer.i32[slot * DESCRIPTOR_I32 + word]!;
      }
      received++;
    }
    consumer.release();
    producer.publish();
    bell.ring();
    pauseSometimes(random);
  }
  return { received, wakeUps: bell.wakeUps, outcome: 0, error: '' };
}

function sleepOnce({ ring, bells }: Scenario & { name: 'sleepOnce' }): Report {
  const consumer = new RingConsumer(ring);
  const sleeper = new DoorbellSleeper(bells.peer, waitingOf(bells).wait);
  const seen = sleeper.sequence();
  assert.equal(consumer.available(), 0, 'the test publishes only when we sleep');
  const outcome = sleeper.wait(seen, 0, SILENCE_MS);
  let received = 0;
  while (consumer.next() >= 0) received++;
  consumer.release();
  return { received, wakeUps: 0, outcome, error: '' };
}

/** Payload of frame `i`: its length comes from `random`, its bytes from its number. */
export function framePayload(i: number, random: (below: number) => number, bytesMax: number): Uint8Array {
  const payload = new Uint8Array(random(20) === 0 ? random(bytesMax + 1) : random(Math.min(bytesMax, 100)));
  for (let at = 0; at < payload.length; at++) payload[at] = i + at * 3;
  return payload;
}

function readFrames({ ring, bells, count, seed }: Scenario & { name: 'readFrames' }): Report {
  const consumer = new ByteRingConsumer(ring);
  const sleeper = new DoorbellSleeper(bells.peer, waitingOf(bells).wait);
  const bell = new Doorbell(bells.main, waitingOf(bells).wake);
  const lengths = randomFrom(seed);
  const random = randomFrom(seed + 1);
  let received = 0;
  const take = (kind: number, a: number, b: number, payload: Uint8Array): void => {
    const wanted = framePayload(received, lengths, ring.sizeBytes / 4);
    assert(
      kind === received >>> 0 && a === received / 3 && b === wanted.length,
      `frame ${received}: kind ${kind}`,
    );
    assert(Buffer.compare(payload, wanted) === 0, `frame ${received}: payload differs`);
    received++;
  };
  while (received < count) {
    assert(
      waitUntil(sleeper, () => !consumer.isEmpty(), SILENCE_MS),
      `nothing after ${received} frames`,
    );
    consumer.read(take, 1 + random(20));
    bell.ring();
    pauseSometimes(random);
  }
  return { received, wakeUps: bell.wakeUps, outcome: 0, error: '' };
}

function flip({ counters, values, stop }: Scenario & { name: 'flip' }): Report {
  const own = new Counters(counters);
  const deadlineMs = performance.now() + 2 * SILENCE_MS;
  let received = 0;
  while (Atomics.load(stop, 0) === 0) {
    for (let i = 0; i < 1000; i++) own.set(0, values[received++ & 1]!);
    assert(performance.now() < deadlineMs, 'nobody stops us');
  }
  return { received, wakeUps: 0, outcome: 0, error: '' };
}

function poisonAll({ table, generations }: Scenario & { name: 'poison' }): Report {
  const shared = new PoisonTable(table);
  for (const generation of generations) shared.poison(0, generation);
  return { received: generations.length, wakeUps: 0, outcome: 0, error: '' };
}

function run(scenario: Scenario): Report {
  switch (scenario.name) {
    case 'consume':
      return consume(scenario);
    case 'echo':
      return echo(scenario);
    case 'sleepOnce':
      return sleepOnce(scenario);
    case 'readFrames':
      return readFrames(scenario);
    case 'flip':
      return flip(scenario);
    case 'poison':
      return poisonAll(scenario);
  }
}

parentPort?.on('message', (scenario: Scenario) => {
  try {
    parentPort!.postMessage(run(scenario));
  } catch (error) {
    parentPort!.postMessage({ received: 0, wakeUps: 0, outcome: 0, error: String(error) } satisfies Report);
  }
});
