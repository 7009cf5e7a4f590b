/** When the master is asked for replica lists: spread, few at a time, at most every 600 s, with growing pauses. */
import t from 'tap';
import { REPLICA_SCHEDULE, ReplicaSchedule } from '../../src/control/replicaSchedule.js';

const { intervalMs, firstMs, openMax, retryMs } = REPLICA_SCHEDULE;
const idsUpTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

/** A chance that is the same in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state / 0x8000_0000;
  };
}

/** Runs for `seconds`, answering at once; times of the questions, by partition. */
function run(
  schedule: ReplicaSchedule,
  ids: number[],
  seconds: number,
  answer: (id: number, nowMs: number) => void = (id, nowMs) => schedule.answered(id, nowMs),
): Map<number, number[]> {
  const times = new Map<number, number[]>();
  for (let nowMs = 0; nowMs < seconds * 1000; nowMs += 1000) {
    schedule.keep(ids, nowMs);
    schedule.tick(nowMs);
    for (let id = schedule.next(nowMs); id !== null; id = schedule.next(nowMs)) {
      times.set(id, [...(times.get(id) ?? []), nowMs]);
      answer(id, nowMs);
    }
  }
  return times;
}

t.test('every partition is asked for soon, and then once in ten minutes', async (t) => {
  const schedule = new ReplicaSchedule(seeded(1));
  const times = run(schedule, idsUpTo(50), 3_600);
  t.equal(times.size, 50);
  for (const asked of times.values()) {
    t.ok(asked[0]! <= firstMs + 1000);
    t.ok(asked.length >= 5 && asked.length <= 7, `${asked.length} questions in an hour`);
    for (let i = 1; i < asked.length; i++) {
      const gapMs = asked[i]! - asked[i - 1]!;
      t.ok(gapMs >= intervalMs && gapMs <= 1.1 * intervalMs + 1000, `${gapMs} ms apart`);
    }
  }
});

t.test('thousands of partitions are spread over the interval', async (t) => {
  const schedule = new ReplicaSchedule(seeded(2));
  const times = run(schedule, idsUpTo(6_000), 1_900);
  const perSecond = new Map<number, number>();
  for (const asked of times.values())
    for (const atMs of asked) perSecond.set(atMs, (perSecond.get(atMs) ?? 0) + 1);
  t.equal(times.size, 6_000);
  t.ok(Math.max(...perSecond.values()) < 60, `${Math.max(...perSecond.values())} in one second at most`);
});

t.test('a bounded number of questions is under way', async (t) => {
  const schedule = new ReplicaSchedule(() => 0);
  schedule.keep(idsUpTo(20), 0);
  schedule.tick(0);
  const open = idsUpTo(20).map(() => schedule.next(0));
  t.strictSame(
    open.filter((id) => id !== null),
    idsUpTo(openMax),
  );
  schedule.answered(1, 0);
  t.equal(schedule.next(0), openMax + 1, 'an answer makes room');
  t.equal(schedule.next(0), null);
});

t.test(
  'a partition that the master refuses is asked for at growing intervals, the others go on',
  async (t) => {
    const schedule = new ReplicaSchedule(() => 0);
    const times = run(schedule, [1, 2], 3_000, (id, nowMs) =>
      id === 1 ? schedule.refused(id, nowMs) : schedule.answered(id, nowMs),
    );
    const gaps = times
      .get(1)!
      .slice(1)
      .map((atMs, index) => atMs - times.get(1)![index]!);
    t.strictSame(
      gaps.slice(0, 5),
      [1, 2, 4, 8, 16].map((factor) => (factor * retryMs) / 2),
    );
    t.equal(Math.max(...gaps), intervalMs / 2, 'bounded');
    t.equal(times.get(2)!.length, 5);
  },
);

t.test(
  'without a master everybody waits, and a pause counts once for questions under way together',
  async (t) => {
    const schedule = new ReplicaSchedule(() => 0);
    schedule.keep(idsUpTo(10), 0);
    schedule.tick(0);
    const open = [schedule.next(0), schedule.next(0), schedule.next(0)] as number[];
    for (const id of open) schedule.unreachable(id, 0);
    const pauseMs = retryMs / 2;
    schedule.tick(pauseMs - 1);
    t.equal(schedule.next(pauseMs - 1), null);
    schedule.tick(pauseMs);
    const first = schedule.next(pauseMs);
    t.equal(first, 1, 'those that were not answered come again');
    schedule.unreachable(first!, pauseMs);
    schedule.tick(pauseMs + retryMs - 1);
    t.equal(schedule.next(pauseMs + retryMs - 1), null, 'twice as long');
    schedule.tick(pauseMs + retryMs);
    schedule.answered(schedule.next(pauseMs + retryMs)!, pauseMs + retryMs);
    schedule.unreachable(schedule.next(pauseMs + retryMs)!, pauseMs + retryMs);
    schedule.tick(2 * pauseMs + retryMs);
    t.ok(schedule.next(2 * pauseMs + retryMs) !== null, 'an answer makes pauses short again');
  },
);

t.test('partitions that go are forgotten, also while a question about them is under way', async (t) => {
  const schedule = new ReplicaSchedule(() => 0);
  schedule.keep([1, 2], 0);
  schedule.tick(0);
  t.equal(schedule.next(0), 1);
  schedule.keep([], 1);
  t.equal(schedule.next(1), null, 'not asked for although it was due');
  schedule.answered(1, 1);
  schedule.keep([1], 2);
  schedule.tick(2);
  t.equal(schedule.next(2), 1, 'one that comes again is new');
});

t.test('an answer makes the pauses after refusals short again', async (t) => {
  const schedule = new ReplicaSchedule(() => 0);
  const ask = (nowMs: number): number | null => {
    schedule.tick(nowMs);
    return schedule.next(nowMs);
  };
  schedule.keep([1], 0);
  let nowMs = 0;
  for (const pauseMs of [retryMs / 2, retryMs]) {
    t.equal(ask(nowMs), 1);
    schedule.refused(1, nowMs);
    nowMs += pauseMs;
  }
  t.equal(ask(nowMs), 1);
  schedule.answered(1, nowMs);
  nowMs += intervalMs;
  t.equal(ask(nowMs), 1);
  schedule.refused(1, nowMs);
  t.equal(ask(nowMs + retryMs / 2 - 1), null);
  t.equal(ask(nowMs + retryMs / 2), 1);
});

t.test('a partition that went and came again while it waited has a turn of its own', async (t) => {
  const chances = [0, 0.9];
  const schedule = new ReplicaSchedule(() => chances.shift() ?? 0);
  schedule.keep([1], 0);
  schedule.tick(0);
  schedule.keep([], 0);
  schedule.keep([1], 0);
  t.equal(schedule.next(0), null, 'not the turn of the one before');
  schedule.tick(firstMs);
  t.equal(schedule.next(firstMs), 1);
});
