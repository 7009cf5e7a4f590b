/** Simulated time: order of events against a sorted list, and a node's clock that runs fast, pauses and jumps. */
import fc from 'fast-check';
import t from 'tap';
import { EventQueue, NodeClock } from './events.js';

t.test(
  'events happen by moment, and at the same moment in the order in which they were asked for',
  async (t) => {
    fc.assert(
      fc.property(fc.array(fc.nat(20), { maxLength: 60 }), fc.nat(59), (moments, batch) => {
        const events = new EventQueue();
        const happened: string[] = [];
        const ask = (moment: number, i: number): void =>
          events.at(moment, () => happened.push(`${events.nowMs}:${i}`));
        const first = moments.slice(0, batch);
        for (const [i, moment] of first.entries()) ask(moment, i);
        events.runUntil(10);
        for (const [i, moment] of moments.slice(batch).entries()) ask(Math.max(10, moment), batch + i);
        while (events.step());
        const expected = moments
          .map((moment, i) => ({ moment: i < batch ? moment : Math.max(10, moment), i }))
          .sort((a, b) => a.moment - b.moment || a.i - b.i)
          .map(({ moment, i }) => `${moment}:${i}`);
        t.same(happened, expected);
        t.equal(events.happened, moments.length);
        t.equal(events.size, 0);
      }),
      { seed: 2, numRuns: 300 },
    );
  },
);

t.test('running until a moment takes what is due, and what that asks for', async (t) => {
  const events = new EventQueue();
  const happened: number[] = [];
  const again = (): void => {
    happened.push(events.nowMs);
    events.after(3, again);
  };
  events.at(0, again);
  events.runUntil(7);
  t.same(happened, [0, 3, 6]);
  t.equal(events.nowMs, 7);
  t.equal(events.nextMs, 9);
  t.throws(() => events.at(6, again), { code: 'ERR_ASSERTION' }, 'the past is over');
  t.throws(() => events.at(8.5, again), { code: 'ERR_ASSERTION' });
  t.notOk(new EventQueue().step(), 'nothing to do');
  t.equal(new EventQueue().nextMs, Infinity);
});

t.test('a fast clock ticks more often, a slow one less; a change counts from then on', async (t) => {
  const events = new EventQueue();
  const ticks = { fast: 0, slow: 0 };
  const fast = new NodeClock(events, 1.25);
  const slow = new NodeClock(events, 0.8);
  fast.every(300, () => {
    ticks.fast += 1;
  });
  slow.every(300, () => {
    ticks.slow += 1;
  });
  events.runUntil(30_000);
  t.same(ticks, { fast: 125, slow: 80 });
  t.equal(fast.monotonicNs(), 37_500 * 1e6);
  t.equal(slow.nowMs() - Date.UTC(2019, 10, 13, 10, 20, 30), 24_000);
  fast.setRate(0.5);
  events.runUntil(40_000);
  t.equal(fast.monotonicNs(), 42_500 * 1e6);
});

t.test('a wall clock that is set leaves monotonic time alone', async (t) => {
  const events = new EventQueue();
  const clock = new NodeClock(events);
  events.runUntil(1000);
  const before = clock.nowMs();
  clock.jump(-5000);
  t.equal(clock.nowMs(), before - 5000);
  t.equal(clock.monotonicNs(), 1000 * 1e6);
});

t.test('a pause holds everything back, in order, and a timer comes once', async (t) => {
  const events = new EventQueue();
  const clock = new NodeClock(events);
  const log: string[] = [];
  clock.every(100, () => log.push(`tick ${events.nowMs}`));
  for (const at of [150, 250, 400])
    events.at(at, () => clock.run(() => log.push(`message of ${at} at ${events.nowMs}`)));
  events.at(120, () => clock.pause(280));
  events.at(130, () => clock.pause(10));
  events.at(140, () => t.ok(clock.paused));
  events.runUntil(550);
  t.notOk(clock.paused);
  t.same(log, [
    'tick 100',
    'message of 150 at 400',
    'tick 400',
    'message of 250 at 400',
    'message of 400 at 400',
    'tick 500',
  ]);
});

t.test(
  'a longer pause during a pause lasts longer; one in the middle of what was held back holds the rest',
  async (t) => {
    const events = new EventQueue();
    const clock = new NodeClock(events);
    const log: string[] = [];
    clock.pause(100);
    events.at(50, () => clock.pause(200));
    events.at(60, () =>
      clock.run(() => {
        log.push(`first at ${events.nowMs}`);
        clock.pause(30);
      }),
    );
    events.at(70, () => clock.run(() => log.push(`second at ${events.nowMs}`)));
    events.runUntil(1000);
    t.same(log, ['first at 250', 'second at 280']);
  },
);

t.test('a life that is over does nothing any more, paused or not', async (t) => {
  const events = new EventQueue();
  for (const paused of [false, true]) {
    const clock = new NodeClock(events);
    clock.every(10, () => t.fail('a timer of a dead node'));
    if (paused) clock.pause(5);
    clock.run(() => t.ok(!paused, 'before its end'));
    clock.end();
    clock.run(() => t.fail('a message to a dead node'));
    clock.pause(10);
    events.runUntil(events.nowMs + 100);
  }
  t.equal(events.nowMs, 200);
});
