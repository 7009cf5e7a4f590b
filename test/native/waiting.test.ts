/** Doorbells and event-loop wake-ups between real threads. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { native } from '../../src/native/addon.js';
import type { PeerData } from './peer.js';
import { waitForCount } from './waitForCount.js';

function peer(data: PeerData): Worker {
  return new Worker(new URL('./peer.js', import.meta.url), { workerData: data });
}

const doorbell = (): Int32Array => new Int32Array(new SharedArrayBuffer(8));

t.test('a wait ends by what happened', async (t) => {
  const bell = doorbell();
  t.equal(native.waitDoorbell(bell, 0, 0, 5), 0, 'time-out');
  t.equal(native.waitDoorbell(bell, 0, 1000, 0), 0, 'time-out without a sleep');
  t.equal(native.waitDoorbell(bell, 1, 0, 1000), 1, 'at once');
  t.equal(native.ringDoorbell(bell), false, 'nobody sleeps');
  t.same([...bell], [1, 0]);
  bell[1] = 1;
  t.equal(native.ringDoorbell(bell), true, 'somebody is said to sleep');
  t.equal(native.waitDoorbell(bell, -1, 0, 1000), 1);
  bell[0] = -5;
  t.equal(native.waitDoorbell(bell, -5, 0, 1), 0);
  t.throws(() => native.ringDoorbell(new Int32Array(1)), TypeError);
  t.throws(() => native.waitDoorbell(new Int32Array(1), 0, 0, 0), TypeError);
});

t.test('a spin ends when the word changes or the time is over', async (t) => {
  const words = new Int32Array(new SharedArrayBuffer(16));
  t.equal(native.spinWhileEqual(words, 3, 0, 1000), false);
  t.equal(native.spinWhileEqual(words, 3, 1, 1000), true);
  t.throws(() => native.spinWhileEqual(words, 4, 0, 1000), TypeError);
});

t.test('no wake-up is lost between two threads, whoever rings', async (t) => {
  const rounds = 20_000;
  const [there, back, counts] = [doorbell(), doorbell(), doorbell()];
  const worker = peer({ role: 'echo', there, back, counts, rounds });
  const exited = once(worker, 'exit');
  for (let round = 1; round <= rounds; round++) {
    Atomics.add(counts, 0, 1);
    if (round % 2 === 0) {
      native.ringDoorbell(there);
    } else {
      // As JavaScript rings: the call is made for a sleeper only, and rings once more.
      Atomics.add(there, 0, 1);
      if (Atomics.load(there, 1) !== 0) native.ringDoorbell(there);
    }
    if (!waitForCount(back, counts, 1, round)) t.fail(`wake-up ${round} was lost`);
  }
  t.same(await exited, [0]);
});

t.test('the callback sees what was done before the last notification', async (t) => {
  const times = 20_000;
  const counts = doorbell();
  let calls = 0;
  const seenAll = new Promise<void>((resolve) => {
    const loop = native.registerLoop(() => {
      calls++;
      if (Atomics.load(counts, 0) < 2 * times) return;
      native.unregisterLoop(loop);
      resolve();
    });
    peer({ role: 'notify', loop, times, counts });
    peer({ role: 'notify', loop, times, counts });
  });
  // A registered loop keeps no process alive.
  const keep = setInterval(() => {}, 1000);
  await seenAll;
  clearInterval(keep);
  t.ok(calls <= 2 * times, `${calls} calls`);
});

t.test('requests made before the callback runs are one call', async (t) => {
  let calls = 0;
  const keep = setInterval(() => {}, 1000);
  const ran = new Promise<void>((resolve) => {
    const loop = native.registerLoop(() => {
      calls++;
      if (calls === 1) {
        native.notifyLoop(loop);
        native.notifyLoop(loop);
      } else {
        native.unregisterLoop(loop);
        native.notifyLoop(loop);
        resolve();
      }
    });
    for (let time = 0; time < 100; time++) native.notifyLoop(loop);
  });
  await ran;
  await new Promise((resolve) => setImmediate(resolve));
  clearInterval(keep);
  t.equal(calls, 2);
});

t.test('a loop in a worker hears the main thread, and unknown ids are ignored', async (t) => {
  const bell = doorbell();
  const worker = peer({ role: 'loop', doorbell: bell });
  const [{ loop }] = (await once(worker, 'message')) as [{ loop: number }];
  native.notifyLoop(loop);
  t.not(native.waitDoorbell(bell, 0, 0, 20_000), 0);
  const exited = once(worker, 'exit');
  worker.postMessage('end');
  await exited;
  native.notifyLoop(loop);
  native.notifyLoop(4_000_000);
  native.unregisterLoop(4_000_000);
  t.throws(() => native.registerLoop(5 as unknown as () => void), TypeError);
});
