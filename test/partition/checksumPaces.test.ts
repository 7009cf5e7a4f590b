/** Other paces for checksums and scrub while the worker runs (SIGHUP): faster, off, on again. */
import t from 'tap';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, run, SimRig } from './simRig.js';
import { pattern } from './storeRig.js';

const QUIET_MS = 601_000;
const OFF = { checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 0 };

/** A disk with extents of `blocks` blocks that were left alone, in a process that has just begun, and their ids. */
function quietExtents(settings: typeof OFF, blocks: number, count: number): [SimRig, number[]] {
  const rig = SimRig.start(OFF, 1);
  rig.create(ROOT);
  const ids = Array.from({ length: count }, (_, seed) => {
    const { extentId } = run(rig, rig.sendCreate());
    for (let block = 0; block < blocks; block += 1) {
      const body = pattern(BLOCK_BYTES, seed + 1);
      if (!run(rig, rig.sendWrite(extentId, block * BLOCK_BYTES, body)).ok) throw new Error('a write failed');
    }
    return extentId;
  });
  const next = rig.next(rig.sim.processEnd(1));
  Object.assign(next.settings, settings);
  next.simClock.advance(QUIET_MS);
  return [next, ids];
}

function computed(rig: SimRig): number {
  const { table } = rig.partitions.get(7)!.store;
  return [...table.ids].filter((_, row) => row < table.rowCount && table.crcs[row] !== 0).length;
}

/** Seconds until `done`, at most `most`; Infinity when it was not by then. */
function secondsUntil(rig: SimRig, done: () => boolean, most: number): number {
  const begun = rig.simClock.monotonicNs();
  const seconds = (): number => (rig.simClock.monotonicNs() - begun) / 1e9;
  while (!done()) {
    if (seconds() > most) return Number.POSITIVE_INFINITY;
    rig.stores.tick();
    rig.run();
    const waitMs = rig.stores.wakeInMs();
    rig.simClock.advance(Number.isFinite(waitMs) ? Math.max(1, waitMs) : 100);
  }
  return seconds();
}

t.test('a pace of 0 becomes one: the work begins, at that pace; and ends with 0 again', async (t) => {
  const [rig, ids] = quietExtents(OFF, 10, 4);
  t.equal(
    secondsUntil(rig, () => computed(rig) > 0, 5),
    Number.POSITIVE_INFINITY,
    'off',
  );
  rig.stores.checksums.setPaces({ ...OFF, checksumBytesPerSecond: 10 * BLOCK_BYTES });
  const seconds = secondsUntil(rig, () => computed(rig) === 2, 60);
  t.ok(seconds >= 1.4 && seconds <= 2.2, `20 blocks at 10 a second, a burst of 4: ${seconds} s`);
  rig.stores.checksums.setPaces(OFF);
  secondsUntil(rig, () => false, 5);
  t.ok(computed(rig) <= 3, 'the one under way, no more');
  t.equal(rig.stores.checksums.report().computing.bytesPerSecond, 0);
  rig.stores.checksums.setPaces({ ...OFF, checksumBytesPerSecond: 1000 * BLOCK_BYTES });
  t.ok(secondsUntil(rig, () => computed(rig) === ids.length, 5) < 1, 'faster from now on');
});

t.test('what is under way when its pace becomes 0 keeps the pace it had', async (t) => {
  const [rig] = quietExtents({ ...OFF, checksumBytesPerSecond: 10 * BLOCK_BYTES }, 40, 1);
  rig.stores.checksums.setPaces({ ...OFF, checksumBytesPerSecond: 10 * BLOCK_BYTES });
  rig.stores.tick();
  rig.run();
  t.ok(rig.stores.wakeInMs() > 0 && computed(rig) === 0, 'it waits for its pace');
  rig.stores.checksums.setPaces(OFF);
  const seconds = secondsUntil(rig, () => computed(rig) === 1, 60);
  t.ok(seconds > 3 && seconds < 5, `40 blocks at 10 a second, a burst of 4: ${seconds} s`);
});

t.test('a scrub that is switched on begins, and its pace is its own', async (t) => {
  const [rig] = quietExtents(OFF, 10, 2);
  t.notOk(rig.stores.checksums.scrubs);
  rig.stores.checksums.setPaces({
    ...OFF,
    scrubBytesPerSecond: 10 * BLOCK_BYTES,
    scrubIntervalMs: 1_000,
  });
  t.ok(rig.stores.checksums.scrubs);
  const { scrub } = rig.stores.checksums.report();
  t.match(scrub, { bytesPerSecond: 10 * BLOCK_BYTES, intervalMs: 1_000 });
  const seconds = secondsUntil(rig, () => rig.stores.checksums.report().scrub.extents === 2, 60);
  t.ok(seconds >= 1.4 && seconds <= 3, `20 blocks at 10 a second: ${seconds} s`);
});
