/** Doorbells on one thread: counted wake-ups, bounded waits, arming for an event loop. Two threads: `threads.test.ts`. */
import t from 'tap';
import {
  createDoorbell,
  Doorbell,
  DoorbellSleeper,
  SEQUENCE,
  SLEEPING,
  WAIT,
  WAIT_MS_MAX,
  waitUntil,
  waitWithAtomics,
  wakeWithAtomics,
} from '../../src/shm/doorbell.js';

t.test('a ring wakes only while the owner sleeps', async (t) => {
  const words = createDoorbell();
  let woken = 0;
  const doorbell = new Doorbell(words, () => woken++);
  const sleeper = new DoorbellSleeper(words, waitWithAtomics);
  doorbell.ring();
  doorbell.ring();
  t.equal(woken, 0, 'awake: no call');
  t.ok(sleeper.arm(sleeper.sequence()));
  doorbell.ring();
  t.equal(woken, 1, 'asleep: one call');
  sleeper.disarm();
  doorbell.ring();
  t.equal(woken, 1);
  t.match(doorbell, { rings: 4, wakeUps: 1 });
  t.equal(sleeper.sequence(), 4);
});

t.test('arming fails when something came after the last look', async (t) => {
  const words = createDoorbell();
  const sleeper = new DoorbellSleeper(words, waitWithAtomics);
  const seen = sleeper.sequence();
  new Doorbell(words, () => t.fail('nobody sleeps')).ring();
  t.equal(sleeper.arm(seen), false);
  t.equal(words[SLEEPING], 0, 'nothing asked');
});

t.test('a wait ends at once when the bell has rung already', async (t) => {
  const words = createDoorbell();
  const sleeper = new DoorbellSleeper(words, waitWithAtomics);
  const seen = sleeper.sequence();
  new Doorbell(words, wakeWithAtomics).ring();
  t.equal(sleeper.wait(seen, 0, WAIT_MS_MAX), WAIT.spun);
});

t.test('waits are bounded', async (t) => {
  const words = createDoorbell();
  const sleeper = new DoorbellSleeper(words, waitWithAtomics);
  t.equal(sleeper.wait(sleeper.sequence(), 50_000, 5), WAIT.timedOut);
  t.equal(words[SLEEPING], 0, 'awake again');
  t.equal(
    waitUntil(sleeper, () => false, 10),
    false,
    'a condition that never holds',
  );
  t.equal(
    waitUntil(sleeper, () => true, 0),
    true,
  );
  for (const timeoutMs of [Number.POSITIVE_INFINITY, WAIT_MS_MAX + 1, -1, Number.NaN]) {
    t.throws(() => sleeper.wait(0, 0, timeoutMs), { code: 'ERR_ASSERTION' }, `${timeoutMs} ms`);
  }
});

t.test('the sequence passes the int32 border', async (t) => {
  const words = createDoorbell();
  words[SEQUENCE] = 2 ** 31 - 1;
  const sleeper = new DoorbellSleeper(words, waitWithAtomics);
  const seen = sleeper.sequence();
  new Doorbell(words, wakeWithAtomics).ring();
  t.equal(words[SEQUENCE], -(2 ** 31));
  t.equal(sleeper.wait(seen, 0, 1000), WAIT.spun);
});

t.test('words that no other thread could see are refused', async (t) => {
  t.throws(() => new Doorbell(new Int32Array(2), wakeWithAtomics), /two shared words/);
  t.throws(() => new DoorbellSleeper(createDoorbell().subarray(1), waitWithAtomics), /two shared words/);
});
