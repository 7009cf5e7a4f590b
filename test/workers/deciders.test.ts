/** The worker's and the watcher's pure deciders: spinning, inline or threaded writes, stalled disks. */
import t from 'tap';
import { ageMs, issuedAt } from '../../src/partition/messages.js';
import { watchWorker } from '../../src/server/diskWatch.js';
import {
  FAST_BATCHES,
  IoMode,
  SLOW_BATCH_NS,
  SLOW_BATCHES,
  STALLED_BATCH_NS,
} from '../../src/workers/ioMode.js';
import { SpinPolicy } from '../../src/workers/spin.js';

t.test(
  'spinning starts when small batches come soon after each other, and stops when they do not',
  async (t) => {
    const policy = new SpinPolicy(50, 2);
    t.equal(policy.spinNs(), 0, 'nothing is known yet');
    for (let i = 0; i < 30; i++) policy.observe(20_000, 1);
    t.equal(policy.spinNs(), 50_000);
    for (let i = 0; i < 30; i++) policy.observe(20_000, 32);
    t.equal(policy.spinNs(), 0, 'deep batches share a wake-up');
    for (let i = 0; i < 60; i++) policy.observe(20_000, 1);
    t.equal(policy.spinNs(), 50_000);
    for (let i = 0; i < 30; i++) policy.observe(10_000_000, 1);
    t.equal(policy.spinNs(), 0, 'rare work');
  },
);

t.test('nobody spins on one core, or when spinning is switched off', async (t) => {
  for (const policy of [new SpinPolicy(50, 1), new SpinPolicy(0, 8)]) {
    for (let i = 0; i < 30; i++) policy.observe(1_000, 1);
    t.equal(policy.spinNs(), 0);
  }
});

t.test(
  'writes move to the I/O thread when batches are slow, and back when they are fast for long',
  async (t) => {
    const mode = new IoMode('auto');
    for (let i = 1; i < SLOW_BATCHES; i++) t.notOk(mode.observe(SLOW_BATCH_NS), 'not yet');
    t.notOk(mode.observe(1_000), 'a fast one starts the count again');
    for (let i = 1; i < SLOW_BATCHES; i++) mode.observe(SLOW_BATCH_NS);
    t.ok(mode.observe(SLOW_BATCH_NS));
    t.ok(mode.threaded);
    for (let i = 1; i < FAST_BATCHES; i++) mode.observe(1_000);
    t.ok(mode.threaded);
    t.ok(mode.observe(1_000));
    t.notOk(mode.threaded);
    t.ok(mode.observe(STALLED_BATCH_NS), 'one stalled batch is enough');
  },
);

t.test('the settings always and never are kept whatever is measured', async (t) => {
  const always = new IoMode('always');
  const never = new IoMode('never');
  for (let i = 0; i < 300; i++) {
    t.notOk(always.observe(STALLED_BATCH_NS));
    t.notOk(never.observe(1));
  }
  t.notOk(always.threaded);
  t.ok(never.threaded);
});

t.test('a worker with work that answers nothing is stalled, and recovers when it answers', async (t) => {
  const stallMs = 2_000;
  t.equal(
    watchWorker({ inFlight: 0, progressMs: 0, refusal: '' }, 9_000, stallMs),
    'unchanged',
    'idle is fine',
  );
  t.equal(watchWorker({ inFlight: 1, progressMs: 8_000, refusal: '' }, 9_000, stallMs), 'unchanged');
  t.equal(watchWorker({ inFlight: 1, progressMs: 6_000, refusal: '' }, 9_000, stallMs), 'stalled');
  t.equal(watchWorker({ inFlight: 1, progressMs: 6_000, refusal: 'x' }, 9_000, stallMs), 'unchanged');
  t.equal(watchWorker({ inFlight: 1, progressMs: 8_500, refusal: 'x' }, 9_000, stallMs), 'recovered');
  t.equal(watchWorker({ inFlight: 0, progressMs: 1_000, refusal: 'x' }, 9_000, stallMs), 'recovered');
});

t.test('the age of a request survives the wrap of its clock', async (t) => {
  const now = Date.UTC(2026, 10, 22);
  t.equal(ageMs(issuedAt(now), now + 1234), 1234);
  t.equal(ageMs(issuedAt(now + 5), now), 0, 'clock set back');
  const wrap = 1_700_000_000_000 + 0x7fff_ffff * 40;
  t.equal(ageMs(issuedAt(wrap - 10), wrap + 10), 20);
});
