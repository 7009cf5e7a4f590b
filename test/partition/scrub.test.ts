/**
 * Scrub (`docs/checksums.md`): when it begins, what it compares, how it goes on after a restart, and what it tells.
 */
import t from 'tap';
import { decodeScrub, encodeScrub, freshScrub, SCRUB_FILE_BYTES } from '../../src/partition/scrubState.js';
import type { StoreSettings } from '../../src/partition/storeHost.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern } from './storeRig.js';

const HOUR_MS = 3_600_000;

function rigWith(settings: Partial<StoreSettings> = {}): SimRig {
  const rig = SimRig.start({ scrubIntervalMs: HOUR_MS, ...settings }, 1);
  rig.create(ROOT);
  rig.stores.checksums.open(ROOT, 0);
  return rig;
}

/** Extents of so many whole blocks each. */
function extents(rig: SimRig, ...blocks: number[]): number[] {
  return blocks.map((count, seed) => {
    const created = rig.sendCreate();
    rig.run();
    for (let block = 0; block < count; block += 1) {
      const sent = rig.sendWrite(created.extentId, block * BLOCK_BYTES, pattern(BLOCK_BYTES, seed + block));
      rig.run();
      t.ok(sent.ok);
    }
    return created.extentId;
  });
}

/** The clock goes on and the job works, until `done`. */
function work(rig: SimRig, done: () => boolean): void {
  for (let turn = 0; !done(); turn += 1) {
    if (turn > 5000) throw new Error('it never comes to that');
    rig.stores.tick();
    rig.run();
    const waitMs = rig.stores.wakeInMs();
    rig.simClock.advance(Number.isFinite(waitMs) ? Math.max(1, waitMs) : 1000);
  }
}

function scrubOf(rig: SimRig) {
  return rig.stores.checksums.report().scrub;
}

t.test('a scrub begins an interval after the last one began, and compares every block', async (t) => {
  const rig = rigWith({ checksumBytesPerSecond: 0 });
  extents(rig, 1, 3);
  rig.stores.tick();
  rig.run();
  t.match(scrubOf(rig), { running: false, extents: 0, endedMs: 0, totalBytes: 4 * BLOCK_BYTES });
  const { nextMs } = scrubOf(rig);
  work(rig, () => scrubOf(rig).endedMs > 0);
  const { startedMs, endedMs } = scrubOf(rig);
  t.ok(startedMs >= nextMs && startedMs < nextMs + 2000 && endedMs >= startedMs);
  t.match(scrubOf(rig), { running: false, extents: 2, bytes: 4 * BLOCK_BYTES, skipped: 0 });
  t.equal(scrubOf(rig).nextMs, startedMs + HOUR_MS);
  work(rig, () => scrubOf(rig).startedMs > startedMs);
  work(rig, () => !scrubOf(rig).running);
  t.match(scrubOf(rig), { extents: 2, bytes: 4 * BLOCK_BYTES });
  t.same(rig.stores.checksums.report().findings, []);
});

t.test('its pace is its own', async (t) => {
  const rig = rigWith({ checksumBytesPerSecond: 0, scrubBytesPerSecond: 10 * BLOCK_BYTES });
  extents(rig, 20, 20);
  rig.stores.checksums.startScrub();
  const begun = rig.simClock.monotonicNs();
  work(rig, () => !scrubOf(rig).running);
  const seconds = (rig.simClock.monotonicNs() - begun) / 1e9;
  t.ok(seconds >= 3.5 && seconds <= 5, `40 blocks at 10 a second, a burst of 4: ${seconds} s`);
});

t.test(
  'a restart goes on with the extent that it had come to; after a kill some seconds of it come again',
  async (t) => {
    const blocks = [20, 20, 400, 20, 1];
    for (const clean of [true, false]) {
      const rig = rigWith({ checksumBytesPerSecond: 0, scrubBytesPerSecond: 10 * BLOCK_BYTES });
      extents(rig, ...blocks);
      rig.stores.checksums.startScrub();
      // The third one takes longer than the place goes unsaved.
      work(rig, () => scrubOf(rig).extents === (clean ? 2 : 4));
      if (clean) {
        rig.stores.stop();
        rig.run();
        t.same(rig.stop(), []);
        rig.stores.checksums.close();
      }
      const next = rig.next(rig.sim.processEnd(1));
      next.stores.checksums.open(ROOT, 0);
      const done = clean ? 2 : 3;
      const bytes = blocks.slice(0, done).reduce((sum, count) => sum + count, 0) * BLOCK_BYTES;
      t.match(scrubOf(next), { running: true, extents: done, bytes });
      work(next, () => !scrubOf(next).running);
      t.match(scrubOf(next), { extents: 5, bytes: 461 * BLOCK_BYTES, skipped: 0 }, `clean ${clean}`);
    }
  },
);

t.test('damage is found and listed; the pass goes on', async (t) => {
  const rig = rigWith({ checksumBytesPerSecond: 0 });
  const [, second] = extents(rig, 2, 3, 1);
  const { path } = rig.partitions.get(7)!.store;
  const fd = rig.sim.open(`${path}/${second}`, 2, 0);
  rig.sim.write(fd, new Uint8Array([1, 2, 3]), BLOCK_BYTES + 100);
  rig.sim.close(fd);
  rig.stores.checksums.startScrub();
  work(rig, () => !scrubOf(rig).running);
  t.match(scrubOf(rig), { extents: 3, skipped: 0 });
  const report = rig.stores.checksums.report();
  t.match(report, { damagedBlocks: 1, suspectBlocks: 0, findingsLeftOut: 0 });
  t.match(report.findings, [{ partitionId: 7, extentId: second, kind: 'damaged', blocks: [1] }]);
  rig.stores.checksums.startScrub();
  work(rig, () => !scrubOf(rig).running);
  t.equal(rig.stores.checksums.report().damagedBlocks, 1, 'the same block is one finding');
});

t.test('an extent that cannot be read is left out and counted', async (t) => {
  const rig = rigWith({ checksumBytesPerSecond: 0 });
  const ids = extents(rig, 1, 1);
  rig.sim.addFault({ call: 'pread', path: new RegExp(`/${ids[0]}$`), errno: 5, count: 1 });
  rig.stores.checksums.startScrub();
  work(rig, () => !scrubOf(rig).running);
  t.match(scrubOf(rig), { extents: 1, skipped: 1 });
});

t.test('with no interval a scrub comes only when it is asked for', async (t) => {
  const rig = rigWith({ scrubIntervalMs: 0 });
  extents(rig, 1);
  rig.simClock.advance(10_000 * HOUR_MS);
  rig.stores.tick();
  rig.run();
  t.match(scrubOf(rig), { running: false, endedMs: 0, nextMs: 0 });
  rig.stores.checksums.startScrub();
  work(rig, () => scrubOf(rig).endedMs > 0);
  t.match(scrubOf(rig), { running: false, extents: 1 });
});

t.test('the file of a scrub: a sector of text; what is torn or foreign says nothing', async (t) => {
  const state = {
    ...freshScrub(1e12),
    running: true,
    partitionId: 7,
    extentId: 1030,
    extents: 5,
    bytes: 2 ** 50,
  };
  const bytes = encodeScrub(state);
  t.equal(bytes.byteLength, SCRUB_FILE_BYTES);
  t.same(decodeScrub(bytes), state);
  const text = Buffer.from(bytes).toString();
  const changed = (from: string | RegExp, to: string): Uint8Array =>
    Buffer.from(text.replace(from, to).padEnd(SCRUB_FILE_BYTES).slice(0, SCRUB_FILE_BYTES));
  t.same(decodeScrub(changed('x', 'x')), state);
  for (const [from, to] of [
    ['"version":1', '"version":2'],
    ['"running":true', '"running":1'],
    ['"extents":5', '"extents":-5'],
    ['"extents":5', '"extents":0.5'],
    ['"extentId":1030', '"extentId":"1030"'],
    ['"extentId":1030,', ''],
    ['{', '['],
    [/.*/, 'null'],
  ] as const) {
    t.equal(decodeScrub(changed(from, to)), null, `${from} → ${to}`);
  }
  t.equal(decodeScrub(bytes.subarray(0, 511)), null);
  t.equal(decodeScrub(new Uint8Array(512)), null);
});
