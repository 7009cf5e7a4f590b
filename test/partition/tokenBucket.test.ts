/**
 * The rate limiter of disks: its mean is its rate, its burst is bounded, and it can be changed at any time.
 */
import fc from 'fast-check';
import t from 'tap';
import { TokenBucket } from '../../src/partition/tokenBucket.js';

t.test('what is taken over any time is at most rate × time, one burst and one overdraft', (t) => {
  const step = fc.record({ ms: fc.integer({ min: 0, max: 500 }), count: fc.integer({ min: 1, max: 5000 }) });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 10_000 }),
      fc.array(step),
      (rate, burst, steps) => {
        const bucket = new TokenBucket(rate, burst);
        let nowMs = 1000;
        let taken = 0;
        for (const { ms, count } of steps) {
          nowMs += ms;
          if (bucket.take(count, nowMs)) taken += count;
          if (taken > burst + 5000 + (rate * nowMs) / 1000) return false;
        }
        return true;
      },
    ),
  );
  t.pass('for every run of steps');
  t.end();
});

t.test('after the wait that it names a bucket gives again, and not much sooner', (t) => {
  const bucket = new TokenBucket(1000, 100);
  t.ok(bucket.take(600, 0), 'overdrawn once');
  t.notOk(bucket.take(1, 0), 'then nothing');
  const waitMs = bucket.waitMs(0);
  t.equal(waitMs, 501, 'the debt of 500 at 1000 a second');
  t.notOk(bucket.take(1, waitMs - 2));
  t.ok(bucket.take(1, waitMs));
  t.end();
});

t.test('a rate of 0 is no limit, and a rate can change while there is debt', (t) => {
  const bucket = new TokenBucket(0, 1);
  t.ok(bucket.take(1e9, 0));
  t.equal(bucket.waitMs(0), 0);
  bucket.setRate(10, 1, 0);
  t.ok(bucket.take(11, 0), 'the savings of one');
  t.equal(bucket.waitMs(0), 1100);
  bucket.setRate(1000, 10, 0);
  t.equal(bucket.waitMs(0), 11, 'the same debt at another rate');
  t.end();
});

t.test('a clock that stands still or goes back gives nothing', (t) => {
  const bucket = new TokenBucket(1000, 1);
  t.ok(bucket.take(1000, 5000));
  t.notOk(bucket.take(1, 1000));
  t.notOk(bucket.take(1, 5000));
  t.ok(bucket.take(1, 6001));
  t.end();
});
