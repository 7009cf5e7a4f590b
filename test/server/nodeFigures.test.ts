/** Main's own figures, as the metrics page finds them. */
import t from 'tap';
import { FIGURE, FOLLOWER_FAILURES, figureIndexes } from '../../src/http/metricsSource.js';
import { NodeFigures } from '../../src/server/nodeFigures.js';
import { WorkerPort } from '../../src/server/workerPort.js';
import { Counters } from '../../src/shm/counters.js';
import { createDoorbell } from '../../src/shm/doorbell.js';
import { SharedHistogram } from '../../src/shm/histogram.js';
import { createRing } from '../../src/shm/ring.js';
import { createSlab, Slab } from '../../src/shm/slab.js';
import { SLOT_KIND } from '../../src/shm/slabShare.js';
import { until } from '../support/until.js';

const CLASSES = [
  { bytes: 4096, slots: 16 },
  { bytes: 8192, slots: 8 },
];

function rig(t: { teardown(handler: () => void): void }) {
  const slab = new Slab(createSlab({ classes: CLASSES }));
  const ports = [0, 1, 2].map((index) => {
    const rings = { requests: createRing(8), replies: createRing(8), requestsMax: 4 };
    return new WorkerPort(index, index >> 1, '/d', rings, createDoorbell(), () => {});
  });
  const figures = new NodeFigures(CLASSES, 2, 3);
  t.teardown(() => figures.close());
  return {
    figures,
    slab,
    ports,
    publish: () =>
      figures.publish({
        ...{ connections: 11, inFlight: 12, abandoned: 13, alarms: 14 },
        forwarding: { open: 15, links: { open: 16, losses: [17, 18, 19, 20], refusals: 21 } },
        slab,
        ports,
        diskStatus: (disk) => (disk === 0 ? 2 : -1),
      }),
  };
}

t.test('what is in plain memory here stands where the page looks for it', async (t) => {
  const { figures, slab, ports, publish } = rig(t);
  slab.acquire(10, 0, SLOT_KIND.leaf);
  slab.acquire(10, 0, SLOT_KIND.leaf);
  slab.acquire(8000, 1, SLOT_KIND.reply);
  ports[1]!.hung = true;
  ports[2]!.refusal = 'disk has broken';
  publish();
  const reader = new Counters(structuredClone(figures.memory));
  const at = figureIndexes(CLASSES.length, 2);
  const of = (indexes: readonly number[]): number[] => indexes.map((index) => reader.value(index));
  t.strictSame(of([FIGURE.connections, FIGURE.inFlight, FIGURE.abandoned, FIGURE.alarms]), [11, 12, 13, 14]);
  t.strictSame(of([FIGURE.replicating, FIGURE.followerLinks]), [15, 16]);
  t.strictSame(
    FOLLOWER_FAILURES.map(([reason, figure]) => `${reason} ${reader.value(figure)}`),
    ['dial 17', 'closed 18', 'timeout 19', 'mismatch 20', 'error 21'],
  );
  t.strictSame(of([at.slabUsed(0), at.slabUsed(1)]), [2, 1]);
  t.strictSame(of([at.diskStatus(0), at.diskStatus(1)]), [2, -1]);
  t.strictSame(of([0, 1, 2].map(at.hung)), [0, 1, 0]);
  t.strictSame(of([0, 1, 2].map(at.refusing)), [0, 0, 1]);
  t.equal(reader.names[at.refusing(2)], 'refusing2', 'names and places agree');
});

t.test('a main thread that stood still shows in the lag of its loop', async (t) => {
  const { figures } = rig(t);
  const lag = new SharedHistogram(figures.loopLag);
  const worstUs = (): number => lag.snapshot().maxUs;
  await until('the loop is looked at', () => lag.snapshot().count > 1);
  const endMs = performance.now() + 400;
  while (performance.now() < endMs);
  await until('the pause is seen', () => worstUs() > 300_000);
  t.ok(worstUs() > 300_000, `${worstUs()} µs`);
});
