/** The histogram against exact sorting of the same values. */
import t from 'tap';
import {
  BUCKET_COUNT,
  bucketFloorMs,
  bucketOf,
  HISTOGRAM_BYTES,
  Histogram,
  percentileOf,
} from '../../bench/histogram.js';

/** Half a bucket of a 64th, and the 100 ns of the finest ones. */
const RELATIVE_ERROR = 1 / 64;
const ABSOLUTE_ERROR_MS = 0.0001;

/** Values over six powers of ten, from a fixed generator. */
function values(count: number): number[] {
  let state = 12345;
  return Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return 10 ** ((state / 0x7fffffff) * 6 - 3);
  });
}

t.test('percentiles agree with exact sorting within the bucket width', async (t) => {
  for (const count of [1, 2, 10, 999, 20_000]) {
    const all = values(count);
    const histogram = new Histogram();
    for (const value of all) histogram.record(value);
    const sorted = [...all].sort((left, right) => left - right);
    for (const percent of [0, 1, 50, 90, 99, 99.9, 100]) {
      const exact = sorted[Math.max(1, Math.ceil((percent / 100) * count)) - 1]!;
      const found = histogram.percentile(percent);
      t.ok(
        Math.abs(found - exact) <= exact * RELATIVE_ERROR + ABSOLUTE_ERROR_MS,
        `p${percent} of ${count}: ${found} for ${exact}`,
      );
    }
    t.equal(histogram.count, count);
    t.equal(histogram.maxMs, sorted.at(-1), 'the maximum is exact');
    const mean = all.reduce((sum, value) => sum + value, 0) / count;
    t.ok(Math.abs(histogram.meanMs - mean) <= mean * 1e-9, 'the mean is exact');
  }
});

t.test('every bucket starts where the one before ends', async (t) => {
  for (let bucket = 0; bucket < BUCKET_COUNT; bucket++) {
    const inside = bucketFloorMs(bucket) + (bucketFloorMs(bucket + 1) - bucketFloorMs(bucket)) / 2;
    if (bucketOf(inside) !== bucket) t.equal(bucketOf(inside), bucket);
  }
  t.equal(bucketOf(0), 0);
  t.equal(bucketOf(-5), 0, 'a clock that goes back counts as no time');
  t.equal(bucketOf(1e12), BUCKET_COUNT - 1, 'what is too long goes to the last bucket');
});

t.test('an empty histogram answers zeros', async (t) => {
  const histogram = new Histogram();
  t.same([histogram.count, histogram.percentile(99), histogram.maxMs, histogram.meanMs], [0, 0, 0, 0]);
  t.equal(percentileOf(histogram.counts, 0, 50), 0);
});

t.test('merging equals recording everything in one', async (t) => {
  const all = values(3000);
  const whole = new Histogram();
  const halves = [new Histogram(), new Histogram()];
  for (const [index, value] of all.entries()) {
    whole.record(value);
    halves[index % 2]!.record(value);
  }
  const sum = new Histogram();
  for (const half of halves) sum.merge(half);
  t.same(sum.counts, whole.counts);
  t.equal(sum.maxMs, whole.maxMs);
  t.equal(sum.count, whole.count);
});

t.test('a second histogram over the same shared memory sees what the first records', async (t) => {
  const memory = new SharedArrayBuffer(8 + HISTOGRAM_BYTES);
  const writer = new Histogram(memory, 8);
  const reader = new Histogram(memory, 8);
  writer.record(2);
  writer.record(3);
  t.equal(reader.count, 2);
  t.equal(reader.maxMs, 3);
  writer.clear();
  t.equal(reader.count, 0);
});
