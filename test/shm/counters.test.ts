/** Shared counters and histograms; the histogram against an exact sort. */
import fc from 'fast-check';
import t from 'tap';
import { Counters, createCounters } from '../../src/shm/counters.js';
import { createDiskWork, DISK_WORK, DiskWork } from '../../src/shm/diskWork.js';
import {
  addSnapshots,
  bucketStartUs,
  countsBelow,
  createHistogram,
  HISTOGRAM_BUCKETS,
  quantileUs,
  SharedHistogram,
  subtractSnapshot,
} from '../../src/shm/histogram.js';
import { createOperationTable, OperationTable } from '../../src/shm/operationTable.js';

t.test('what the owner adds, a reader of the same memory sees', async (t) => {
  const memory = createCounters(['requests', 'bytes', 'connections']);
  const owner = new Counters(memory);
  const reader = new Counters(structuredClone(memory));
  owner.add(0, 1);
  owner.add(0, 2);
  owner.add(1, 2 ** 40);
  owner.set(2, 7);
  t.strictSame(
    [0, 1, 2].map((index) => reader.value(index)),
    [3, 2 ** 40, 7],
  );
  t.equal(reader.indexOf('bytes'), 1);
  t.throws(() => reader.value(3), /out of range/);
  t.throws(() => reader.indexOf('none'), /no counter none/);
  t.throws(() => createCounters(['a', 'a']), /twice/);
});

t.test('operations: results, bytes and durations of each kind in a row of their own', async (t) => {
  const memory = createOperationTable(3);
  const owner = new OperationTable(memory);
  const reader = new OperationTable(structuredClone(memory));
  owner.ended(1, 0xf0, 100);
  owner.ended(1, 0xf5, 40);
  owner.ended(1, 0xff, 20);
  owner.moved(1, 2 ** 40, 7);
  owner.moved(1, 1, 1);
  owner.ended(2, 0xf0, 5);
  t.strictSame(
    [0, 5, 15].map((result) => reader.count(1, result)),
    [1, 1, 1],
  );
  t.strictSame([reader.bytesIn(1), reader.bytesOut(1), reader.lastUs(1)], [2 ** 40 + 1, 8, 20]);
  t.match(reader.durations(1), { count: 3, sumUs: 160, maxUs: 100 });
  t.strictSame([reader.count(2, 0), reader.bytesIn(2), reader.lastUs(2)], [1, 0, 5]);
  t.strictSame([reader.count(0, 0), reader.durations(0).count], [0, 0]);
  t.throws(() => reader.lastUs(3), /no such row/);
});

t.test('a worker’s figures', async (t) => {
  const memory = createDiskWork();
  const owner = new DiskWork(memory);
  const reader = new DiskWork(structuredClone(memory));
  owner.reads.record(5);
  owner.counters.add(DISK_WORK.errors, 2);
  t.equal(reader.reads.snapshot().count, 1);
  t.equal(reader.writes.snapshot().count, 0);
  t.strictSame(
    Object.values(DISK_WORK).map((counter) => reader.counters.value(counter)),
    [0, 0, 0, 2, 0, 0, 0, 0, 0, 0],
  );
});

const valueUs = fc.oneof(
  fc.double({ min: 0.6, max: 100, noNaN: true }),
  fc.double({ min: 100, max: 1e7, noNaN: true }),
  fc.integer({ min: 1, max: 2 ** 25 }),
);

t.test('quantiles are within 3 % of an exact sort', async (t) => {
  const quantiles = [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1];
  let worst = 0;
  fc.assert(
    fc.property(fc.array(valueUs, { minLength: 1, maxLength: 500, size: 'max' }), (values) => {
      const histogram = new SharedHistogram(createHistogram());
      for (const value of values) histogram.record(value);
      const snapshot = histogram.snapshot();
      const sorted = values.toSorted((x, y) => x - y);
      for (const q of quantiles) {
        const exact = sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1]!;
        const error = Math.abs(quantileUs(snapshot, q) - exact) / exact;
        worst = Math.max(worst, error);
        if (error > 0.03) throw new Error(`q ${q}: ${quantileUs(snapshot, q)}, exact ${exact}`);
      }
      if (snapshot.count !== values.length || snapshot.maxUs !== sorted.at(-1))
        throw new Error('count or maximum');
    }),
    { numRuns: 300 },
  );
  t.ok(worst > 0.001, `the worst error was ${(worst * 100).toFixed(2)} %`);
});

t.test('buckets touch each other and hold what they say', async (t) => {
  for (let bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
    const start = bucketStartUs(bucket);
    if (!(bucketStartUs(bucket + 1) > start)) t.fail(`bucket ${bucket} is empty`);
    const histogram = new SharedHistogram(createHistogram());
    histogram.record(start);
    if (histogram.snapshot().buckets[bucket] !== 1) t.fail(`${start} µs is not in bucket ${bucket}`);
  }
  t.equal(bucketStartUs(HISTOGRAM_BUCKETS), 2 ** 26);
  t.throws(() => bucketStartUs(HISTOGRAM_BUCKETS + 1), /out of range/);
});

t.test('values outside the bounds are counted at the ends', async (t) => {
  const histogram = new SharedHistogram(createHistogram());
  histogram.record(-5);
  histogram.record(0);
  histogram.record(1e12);
  histogram.record(Number.POSITIVE_INFINITY);
  const { buckets, count, maxUs } = histogram.snapshot();
  t.strictSame(
    [buckets[0], buckets[HISTOGRAM_BUCKETS - 1], count, maxUs],
    [2, 2, 4, Number.POSITIVE_INFINITY],
  );
  t.throws(() => histogram.record(Number.NaN), /NaN/);
});

t.test('snapshots add up, subtract and count up to a bound', async (t) => {
  const one = new SharedHistogram(createHistogram());
  const two = new SharedHistogram(createHistogram());
  for (let us = 1; us <= 100; us++) one.record(us);
  const before = one.snapshot();
  for (let i = 0; i < 50; i++) one.record(8);
  two.record(4000);
  const since = subtractSnapshot(one.snapshot(), before);
  t.strictSame([since.count, since.sumUs], [50, 400]);
  t.ok(Math.abs(quantileUs(since, 0.5) - 8) < 0.24);
  const sum = addSnapshots([one.snapshot(), two.snapshot()]);
  t.strictSame([sum.count, sum.sumUs, sum.maxUs], [151, 5050 + 400 + 4000, 4000]);
  t.strictSame(countsBelow(before, [1, 64, 1024]), [0, 63, 100], 'a value on the bound is not below it');
  t.strictSame(countsBelow(sum, [2 ** 30]), [151]);
});

t.test('an empty histogram has zero quantiles', async (t) => {
  t.equal(quantileUs(new SharedHistogram(createHistogram()).snapshot(), 0.99), 0);
});
