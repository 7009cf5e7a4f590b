/** The worker's and the watcher's pure deciders: spinning, inline or threaded writes, stalled disks. */
import t from 'tap';
import { ageMs, issuedAt } from '../../src/partition/messages.js';
import { Operation } from '../../src/partition/operation.js';
import { OP } from '../../src/protocol/opcodes.js';
import { silentAfterLook, watchLife, watchWorker } from '../../src/server/diskWatch.js';
import {
  FAST_BATCHES,
  IoMode,
  SLOW_BATCH_NS,
  SLOW_BATCHES,
  STALLED_BATCH_NS,
} from '../../src/workers/ioMode.js';
import { isTooOld } from '../../src/workers/patience.js';
import { LoneWatch, SpinPolicy } from '../../src/workers/spin.js';

t.test('a thread spins for the next request only while one at a time comes, and soon', async (t) => {
  const policy = new SpinPolicy(50, 2);
  t.equal(policy.spinNs(true), 50_000);
  t.equal(policy.spinNs(false), 0, 'several in flight');
  for (let i = 0; i < 30; i++) policy.observe(80_000);
  t.equal(policy.spinNs(true), 50_000, 'spinning will shorten such gaps');
  for (let i = 0; i < 30; i++) policy.observe(10_000_000);
  t.equal(policy.spinNs(true), 0, 'rare work');
  for (let i = 0; i < 30; i++) policy.observe(20_000);
  t.equal(policy.spinNs(true), 50_000);
});

t.test('spins in vain are followed by pauses that grow, until spinning finds work again', async (t) => {
  const policy = new SpinPolicy(50, 2);
  const pauseAfterFailures = (): number => {
    while (policy.spinNs(true) > 0) policy.spun(false);
    let sleeps = 1;
    while (policy.spinNs(true) === 0) sleeps++;
    return sleeps;
  };
  const first = pauseAfterFailures();
  const second = pauseAfterFailures();
  t.ok(first >= 64 && second >= first * 2 - 2, `${first}, then ${second}`);
  for (let i = 0; i < 100; i++) policy.spun(true);
  t.ok(pauseAfterFailures() <= first + 2, 'short again after success');
});

t.test('nobody spins on one core, or when spinning is switched off', async (t) => {
  for (const policy of [new SpinPolicy(50, 1), new SpinPolicy(0, 8)]) {
    for (let i = 0; i < 30; i++) policy.observe(1_000);
    t.equal(policy.spinNs(true), 0);
  }
});

t.test('a lone request is recognised after a while of nothing else, and forgotten at once', async (t) => {
  const watch = new LoneWatch();
  for (let i = 0; i < 31; i++) t.notOk(watch.observe(1));
  t.ok(watch.observe(1), 'changes after 32 turns');
  t.ok(watch.lone);
  t.ok(watch.observe(2), 'changes at once');
  t.notOk(watch.lone);
  for (let i = 0; i < 31; i++) watch.observe(1);
  t.notOk(watch.lone, 'two were in flight within the window');
  for (let i = 0; i < 32; i++) watch.observe(1);
  t.ok(watch.lone);
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
  t.equal(watchWorker({ inFlight: 0, silentMs: 0, refusal: '' }, stallMs), 'unchanged', 'idle is fine');
  t.equal(watchWorker({ inFlight: 1, silentMs: 2_000, refusal: '' }, stallMs), 'unchanged');
  t.equal(watchWorker({ inFlight: 1, silentMs: 2_250, refusal: '' }, stallMs), 'stalled');
  t.equal(watchWorker({ inFlight: 1, silentMs: 3_000, refusal: 'x' }, stallMs), 'unchanged');
  t.equal(watchWorker({ inFlight: 1, silentMs: 0, refusal: 'x' }, stallMs), 'recovered');
  t.equal(watchWorker({ inFlight: 0, silentMs: 9_000, refusal: 'x' }, stallMs), 'recovered');
});

t.test('requests that wait for a limit alone are no silence, unless the worker is blocked', async (t) => {
  const look = (inFlight: number, limited: number, loopSilentMs = 0, silentMs = 500): number =>
    silentAfterLook({ inFlight, silentMs, loopSilentMs }, limited, 250);
  t.equal(look(3, 0), 750, 'three are owed');
  t.equal(look(3, 2), 750, 'one of three is owed');
  t.equal(look(3, 3), 0, 'all of them wait');
  t.equal(look(3, 3, 1_500), 0, 'a loop goes round once a second');
  t.equal(look(3, 3, 2_250), 750, 'what a blocked worker said does not count');
  t.equal(look(0, 0), 500, 'nothing is in flight: the watch knows that itself');
});

t.test('a request is too old when whoever sent it has given up', async (t) => {
  const patience = { requestAgeMsMax: 5_000, repairReadAgeMsMax: 55_000 };
  const nowMs = Date.UTC(2026, 10, 22);
  const old = (opcode: number, ms: number, internal = false): boolean => {
    const op = new Operation();
    Object.assign(op, { opcode, internal, issuedAtMs: issuedAt(nowMs - ms) });
    return isTooOld(op, nowMs, patience);
  };
  for (const opcode of [OP.write, OP.streamRead, OP.markDelete, OP.readTinyDeleteRecord]) {
    t.same([old(opcode, 5_000), old(opcode, 5_001)], [false, true], `opcode ${opcode}`);
  }
  for (const opcode of [OP.extentRepairRead, OP.tinyExtentRepairRead]) {
    t.same([old(opcode, 55_000), old(opcode, 55_001)], [false, true], `opcode ${opcode}`);
  }
  for (const opcode of [OP.write, OP.extentRepairRead]) {
    t.notOk(old(opcode, 3_600_000, true), 'this node waits for what it has asked of itself');
  }
});

t.test('a disk hangs while neither the loop nor the probe moves, and no longer', async (t) => {
  const life = { heartbeatMs: 0, loopSilentMs: 0, hung: false };
  const look = (heartbeatMs: number, probeMs: number): boolean =>
    watchLife(life, heartbeatMs, probeMs, 250, 1_000);
  t.notOk(look(1, 0));
  t.notOk(look(2, 900), 'a probe under way is fine');
  t.ok(look(3, 1_001));
  t.ok(life.hung);
  t.notOk(look(4, 1_500), 'told once');
  t.ok(look(5, 0), 'the probe has ended');
  t.notOk(life.hung);
  for (let i = 0; i < 4; i++) t.notOk(look(5, 0), 'the loop is silent for a second');
  t.ok(look(5, 0));
  t.ok(life.hung);
  t.ok(look(6, 0));
  t.notOk(life.hung);
  look(7, 600);
  t.notOk(look(7, 600), 'a probe of which a blocked loop tells nothing new goes on');
  t.ok(look(7, 600));
});

t.test('the age of a request survives the wrap of its clock', async (t) => {
  const now = Date.UTC(2026, 10, 22);
  t.equal(ageMs(issuedAt(now), now + 1234), 1234);
  t.equal(ageMs(issuedAt(now + 5), now), 0, 'clock set back');
  const wrap = 1_700_000_000_000 + 0x7fff_ffff * 40;
  t.equal(ageMs(issuedAt(wrap - 10), wrap + 10), 20);
});
