/**
 * Telling a sleeping thread that there is something in its rings, without a system call while it is awake.
 *
 * A doorbell is two shared words, `[sequence, sleeping]`. A ringer adds 1 to the sequence and makes the expensive call only when the
 * sleeper has declared that it sleeps. The sleeper must not miss a ring that comes between its last look and its falling asleep:
 *
 *     ringer                                  sleeper
 *     1. publish to the ring                  1. seen = sequence
 *     2. sequence += 1                        2. drain all rings; something found: act, start again
 *     3. sleeping set? then wake              3. sleeping = 1, sleep only if sequence is still `seen`
 *
 * All of it is sequentially consistent: if the sleeper's check in 3 still sees `seen`, the ringer's addition comes after it, so the ringer's
 * look at `sleeping` sees the 1 and wakes. One doorbell serves all rings of its sleeper, and any number of threads may ring it.
 *
 * A thread that is woken needs 10-55 µs to get going. Whoever rings in this time would find it asleep still and pay again; so the first ringer marks
 * the word `called`, and each sleep costs one wake-up however often the bell rings.
 *
 * `src/shm` does not know the addon: how to wake and how to wait are functions given from outside. `native.ringDoorbell` and
 * `native.waitDoorbell` fit (the first adds 1 to the sequence once more, which does no harm); `wakeWithAtomics` and `waitWithAtomics` fit
 * where there is no addon. The two kinds cannot be mixed on one doorbell: V8's Atomics.wait does not sleep on the kernel's futex.
 */
import assert from 'node:assert';
import { LINE_BYTES } from './layout.js';

/** Index of the word that counts rings. */
export const SEQUENCE = 0;
/** Index of the word that is not 0 while the owner sleeps or is in its event loop: an `OWNER` value. */
export const SLEEPING = 1;

/** The sleeping word. `called`: asleep, and somebody is waking it already, so nobody else has to pay for that. */
export const OWNER = { awake: 0, asleep: 1, called: 2 } as const;

/** Longest single wait, ms: whoever waits looks round at least this often. */
export const WAIT_MS_MAX = 60_000;

/** What ended a wait: nothing (time-out), a ring met while spinning or already there, or a ring that woke a sleeper. */
export const WAIT = { timedOut: 0, spun: 1, slept: 2 } as const;

/** Wakes whoever sleeps on `words`; called only while the sleeping word is set. */
export type Wake = (words: Int32Array) => void;
/** Waits until `words[SEQUENCE] !== seen`: spins up to `spinNs`, sleeps up to `timeoutMs`; returns a `WAIT` value. */
export type Wait = (words: Int32Array, seen: number, spinNs: number, timeoutMs: number) => number;

/** Makes a doorbell's two words. They lie on a cache line of their own; the SharedArrayBuffer is `.buffer`. */
export function createDoorbell(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(2 * LINE_BYTES), LINE_BYTES, 2);
}

/** Makes the word that holds the id of a sleeper's event loop, for those who wake it; -1 while it has none. */
export function createLoopWord(id: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(id);
}

/** The ringing end. Each ringing thread has its own. */
export class Doorbell {
  /** Calls of `ring` so far. */
  rings = 0;
  /** Those that found the owner asleep and paid for a wake-up. */
  wakeUps = 0;
  private readonly words: Int32Array;
  private readonly wake: Wake;

  /** `words`: as made by `createDoorbell`. `wake`: what a wake-up costs: a futex call, or `notifyLoop` for a thread with an event loop. */
  constructor(words: Int32Array, wake: Wake) {
    assert(
      words.length >= 2 && words.buffer instanceof SharedArrayBuffer,
      'doorbell: two shared words wanted',
    );
    this.words = words;
    this.wake = wake;
  }

  /** Says that there is something new. Call it once after a batch has been published, never per descriptor. */
  ring(): void {
    this.rings++;
    Atomics.add(this.words, SEQUENCE, 1);
    if (Atomics.load(this.words, SLEEPING) !== OWNER.asleep) return;
    if (Atomics.compareExchange(this.words, SLEEPING, OWNER.asleep, OWNER.called) !== OWNER.asleep) return;
    this.wakeUps++;
    this.wake(this.words);
  }
}

/** The waiting end. Owned by one thread. */
export class DoorbellSleeper {
  private readonly words: Int32Array;
  private readonly blockingWait: Wait;

  constructor(words: Int32Array, wait: Wait) {
    assert(
      words.length >= 2 && words.buffer instanceof SharedArrayBuffer,
      'doorbell: two shared words wanted',
    );
    this.words = words;
    this.blockingWait = wait;
  }

  /** The sequence now. Read it *before* looking into the rings, and give it to `wait`. */
  sequence(): number {
    return Atomics.load(this.words, SEQUENCE);
  }

  /**
   * Returns as soon as the sequence is not `seen`, at the latest after `spinNs` + `timeoutMs` (0..WAIT_MS_MAX; else an AssertionError): no
   * wait is without a bound. Returns a `WAIT` value. Blocks the thread.
   */
  wait(seen: number, spinNs: number, timeoutMs: number): number {
    assert(timeoutMs >= 0 && timeoutMs <= WAIT_MS_MAX, `doorbell: wait of ${timeoutMs} ms`);
    return this.blockingWait(this.words, seen, spinNs, timeoutMs);
  }

  /**
   * For a thread that sleeps in its event loop: asks to be woken from now on. Returns false, and asks nothing, when the sequence is no longer
   * `seen`: then drain again before going back to the loop.
   */
  arm(seen: number): boolean {
    Atomics.store(this.words, SLEEPING, OWNER.asleep);
    if (Atomics.load(this.words, SEQUENCE) === seen) return true;
    this.disarm();
    return false;
  }

  /** The thread is awake: rings cost nothing until it arms again. */
  disarm(): void {
    Atomics.store(this.words, SLEEPING, OWNER.awake);
  }
}

/**
 * Calls `condition` after every ring until it is true. Returns true, or false when `timeoutMs` are over: never hangs. Blocks the
 * thread: for start-up, stop and tests.
 */
export function waitUntil(sleeper: DoorbellSleeper, condition: () => boolean, timeoutMs: number): boolean {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const seen = sleeper.sequence();
    if (condition()) return true;
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) return false;
    sleeper.wait(seen, 0, Math.min(leftMs, WAIT_MS_MAX));
  }
}

/** `Wake` for sleepers in `waitWithAtomics`. */
export function wakeWithAtomics(words: Int32Array): void {
  Atomics.notify(words, SEQUENCE);
}

/** `Wait` without the addon. May not be called on a thread where Atomics.wait is forbidden (none in Node). */
export function waitWithAtomics(words: Int32Array, seen: number, spinNs: number, timeoutMs: number): number {
  if (Atomics.load(words, SEQUENCE) !== seen) return WAIT.spun;
  if (spinNs > 0) {
    const deadlineMs = performance.now() + spinNs / 1e6;
    do {
      if (Atomics.load(words, SEQUENCE) !== seen) return WAIT.spun;
    } while (performance.now() < deadlineMs);
  }
  Atomics.store(words, SLEEPING, OWNER.asleep);
  const outcome = Atomics.wait(words, SEQUENCE, seen, timeoutMs);
  Atomics.store(words, SLEEPING, OWNER.awake);
  return outcome === 'timed-out' ? WAIT.timedOut : WAIT.slept;
}
