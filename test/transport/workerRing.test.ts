/** Main's end of the ring to one worker: what waits for room, in which order, and how much of it. */
import t from 'tap';
import { RAFT_IN } from '../../src/raft/ports.js';
import { noFigures } from '../../src/transport/figures.js';
import { WorkerRing } from '../../src/transport/workerRing.js';
import { FakeWorker } from './rig.js';

const RING_BYTES = 4096;

function ringOf(waitBytesMax: number) {
  const worker = new FakeWorker(RING_BYTES);
  worker.isAwake = false;
  const { drops } = noFigures();
  const lines: string[] = [];
  const log = { write: (_level: string, _key: string, message: string) => lines.push(message) };
  return { worker, drops, lines, ring: new WorkerRing(worker, waitBytesMax, drops, log) };
}

/** Messages of 500 bytes until one is dropped; how many were taken. */
function fill(ring: WorkerRing): number {
  let taken = 0;
  while (ring.write(RAFT_IN.message, taken, new Uint8Array(500))) taken += 1;
  return taken;
}

/** The worker looks until nothing waits. */
function empty(worker: FakeWorker, ring: WorkerRing): void {
  while (ring.waits) {
    worker.look();
    ring.flush();
  }
  worker.look();
}

t.test('what waits is bounded, comes in order, and makes room again when it has gone', async (t) => {
  const { worker, drops, lines, ring } = ringOf(5000);
  for (let round = 0; round < 3; round += 1) {
    const taken = fill(ring);
    t.ok(taken >= 8 + 6, `${taken} were taken`);
    t.equal(drops.workerFull, round + 1);
    t.equal(lines.length, round + 1, 'and told');
    empty(worker, ring);
    t.same(
      worker.told.splice(0).map(({ a }) => a),
      Array.from({ length: taken }, (_, index) => index),
    );
  }
});

t.test('what comes while something waits stands behind it, though the ring has room', async (t) => {
  const { worker, ring } = ringOf(5000);
  const taken = fill(ring);
  worker.look();
  ring.snapshotSent(77, 2, true);
  t.ok(ring.flush());
  worker.look();
  ring.write(RAFT_IN.reconnected, 99, new Uint8Array(0));
  empty(worker, ring);
  const last = worker.told.slice(taken).map(({ kind, a }) => [kind, a]);
  t.same(last, [
    [RAFT_IN.snapshotSent, 77],
    [RAFT_IN.reconnected, 99],
  ]);
});

t.test('the bell rings when something was written, and only then', async (t) => {
  const { worker, ring } = ringOf(5000);
  t.notOk(ring.flush());
  ring.write(RAFT_IN.message, 1, new Uint8Array(10));
  t.equal(worker.rings, 0);
  t.ok(ring.flush());
  t.equal(worker.rings, 1);
  fill(ring);
  t.ok(ring.flush());
  t.notOk(ring.flush(), 'no room, and so no news');
  t.equal(worker.rings, 2);
});
