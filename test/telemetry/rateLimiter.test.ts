/**
 * The rate limiter against a plain twin, and its bounds.
 */
import fc from 'fast-check';
import t from 'tap';
import { OTHER_KEYS, RateLimiter } from '../../src/telemetry/rateLimiter.js';

const LIMITS = { messagesMax: 3, intervalMs: 1_000, keysMax: 2 };

t.test('so many pass a key and interval; the rest is summed up once', async (t) => {
  const limiter = new RateLimiter(LIMITS);
  const admitted = [0, 1, 2, 3, 4].map((nowMs) => limiter.admit('a', nowMs));
  t.strictSame(admitted, [true, true, true, false, false]);
  t.equal(limiter.admit('b', 5), true, 'another key has its own budget');
  t.strictSame(limiter.expire(999), [], 'the interval is not over');
  t.strictSame(limiter.expire(1_005), [{ key: 'a', count: 2 }], 'b held nothing back');
  t.equal(limiter.keyCount, 0);
  t.equal(limiter.admit('a', 1_006), true, 'a new interval');
});

t.test('without a tick, a key that held nothing back starts anew, one that did stays shut', async (t) => {
  const limiter = new RateLimiter(LIMITS);
  for (const nowMs of [0, 1, 2]) limiter.admit('a', nowMs);
  t.equal(limiter.admit('a', 1_000), true);
  for (const nowMs of [1_001, 1_002, 1_003]) limiter.admit('a', nowMs);
  t.equal(limiter.admit('a', 5_000), false);
  t.strictSame(limiter.expire(5_000), [{ key: 'a', count: 2 }]);
});

t.test('keys beyond the bound share one budget', async (t) => {
  const limiter = new RateLimiter(LIMITS);
  let passed = 0;
  for (let index = 0; index < 1_000; index += 1) passed += Number(limiter.admit(`key${index}`, 0));
  t.equal(passed, 2 + 3);
  t.equal(limiter.keyCount, 3);
  t.strictSame(limiter.expire(1_000), [{ key: OTHER_KEYS, count: 995 }]);
});

t.test(
  'with a tick an interval: never more than the budget passes, and no message is lost from the count',
  async (t) => {
    const gaps = fc.array(fc.integer({ min: 0, max: 700 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(gaps, (steps) => {
        const limiter = new RateLimiter(LIMITS);
        let nowMs = 0;
        let passed = 0;
        let held = 0;
        let windowPassed = 0;
        for (const step of steps) {
          nowMs += step;
          const before = limiter.keyCount;
          for (const { count } of limiter.expire(nowMs)) held += count;
          if (before === 1 && limiter.keyCount === 0) windowPassed = 0;
          if (!limiter.admit('a', nowMs)) continue;
          passed += 1;
          windowPassed += 1;
          if (windowPassed > LIMITS.messagesMax) return false;
        }
        for (const { count } of limiter.expire(nowMs + LIMITS.intervalMs)) held += count;
        return passed + held === steps.length;
      }),
    );
    t.pass('200 sequences at most each');
  },
);
