/** Whose round is next: order, kinds, bounds, and what becomes of partitions that come and go. */
import fc from 'fast-check';
import t from 'tap';
import { RETRIES_MS, RepairSchedule, ROUND_INTERVAL_MS, roundEnd } from '../../src/repair/schedule.js';

const LIMITS = { perDiskMax: 1, inAllMax: 2 };

t.test(
  'the first two rounds come at once, one behind the other; then one each minute, in turns',
  async (t) => {
    const schedule = new RepairSchedule(LIMITS);
    t.equal(schedule.next(0), null);
    schedule.add(7, 0, 1000);
    t.same(schedule.next(1000), { partitionId: 7, kind: 'normal' });
    schedule.ended(7, 'done', 1500);
    t.same(schedule.next(1500), { partitionId: 7, kind: 'tiny' });
    schedule.ended(7, 'done', 1600);
    t.equal(schedule.next(1600), null);
    t.equal(schedule.wakeInMs(1600), ROUND_INTERVAL_MS - 100);
    const later = 1500 + ROUND_INTERVAL_MS;
    t.same(schedule.next(later), { partitionId: 7, kind: 'normal' });
    schedule.ended(7, 'done', later + 1);
    t.equal(schedule.next(later + 1), null, 'the second pair keeps its minute');
    t.same(schedule.next(later + ROUND_INTERVAL_MS), { partitionId: 7, kind: 'tiny' });
  },
);

t.test('a round that takes longer than a minute is followed at once, by the other kind', async (t) => {
  const schedule = new RepairSchedule(LIMITS);
  schedule.add(7, 0, 0);
  schedule.next(0);
  schedule.ended(7, 'done', 0);
  schedule.next(0);
  schedule.ended(7, 'done', 0);
  schedule.next(ROUND_INTERVAL_MS);
  schedule.ended(7, 'done', 5 * ROUND_INTERVAL_MS);
  t.same(schedule.next(5 * ROUND_INTERVAL_MS), { partitionId: 7, kind: 'tiny' });
});

t.test('one that was left unfinished goes on, behind those that have waited longer', async (t) => {
  const schedule = new RepairSchedule({ perDiskMax: 1, inAllMax: 1 });
  schedule.add(7, 0, 0);
  schedule.add(8, 0, 5);
  t.match(schedule.next(10), { partitionId: 7 });
  schedule.ended(7, 'unfinished', 10);
  t.match(schedule.next(10), { partitionId: 8 });
  schedule.ended(8, 'done', 11);
  t.same(schedule.next(11), { partitionId: 7, kind: 'normal' }, 'the same kind again');
});

t.test('disks and the node have bounds; a disk that is busy holds up no other', async (t) => {
  const schedule = new RepairSchedule(LIMITS);
  for (const [id, disk] of [
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 2],
  ] as const)
    schedule.add(id, disk, id);
  t.match(schedule.next(9), { partitionId: 1 });
  t.match(schedule.next(9), { partitionId: 3 }, 'the second of disk 0 waits');
  t.equal(schedule.next(9), null, 'two in all');
  schedule.ended(3, 'done', 9);
  t.match(schedule.next(9), { partitionId: 4 });
  schedule.ended(1, 'done', 9);
  t.match(schedule.next(9), { partitionId: 2 });
  t.equal(schedule.running, 2);
});

t.test(
  'a partition that leaves in the middle of its round is gone when that ends, unless it has come back',
  async (t) => {
    const schedule = new RepairSchedule(LIMITS);
    schedule.add(1, 0, 0);
    schedule.next(0);
    schedule.remove(1);
    t.equal(schedule.next(0), null);
    schedule.ended(1, 'done', 1);
    t.equal(schedule.size, 0);
    schedule.add(1, 0, 2);
    schedule.next(2);
    schedule.remove(1);
    schedule.add(1, 0, 2);
    schedule.ended(1, 'done', 3);
    t.equal(schedule.size, 1);
    schedule.remove(1);
    schedule.remove(1);
    t.equal(schedule.size, 0);
    t.equal(schedule.wakeInMs(5), Number.POSITIVE_INFINITY);
  },
);

t.test('who is hastened is due now', async (t) => {
  const schedule = new RepairSchedule(LIMITS);
  schedule.add(1, 0, 0);
  schedule.next(0);
  schedule.ended(1, 'done', 0);
  schedule.next(0);
  schedule.ended(1, 'done', 0);
  t.equal(schedule.next(1), null);
  schedule.hasten(1, 1);
  schedule.hasten(99, 1);
  t.match(schedule.next(1), { partitionId: 1 });
});

t.test(
  'one that finds a member back is followed by the other kind at once, and then by a minute',
  async (t) => {
    const schedule = new RepairSchedule(LIMITS);
    const runs = (nowMs: number, kind: 'normal' | 'tiny', end: 'done' | 'memberBack'): void => {
      t.same(schedule.next(nowMs), { partitionId: 7, kind });
      schedule.ended(7, end, nowMs + 1);
    };
    schedule.add(7, 0, 0);
    runs(0, 'normal', 'done');
    runs(1, 'tiny', 'done');
    runs(1 + ROUND_INTERVAL_MS, 'normal', 'memberBack');
    runs(2 + ROUND_INTERVAL_MS, 'tiny', 'done');
    t.equal(schedule.next(1 + 2 * ROUND_INTERVAL_MS), null);
    runs(2 + 2 * ROUND_INTERVAL_MS, 'normal', 'done');
    runs(2 + 3 * ROUND_INTERVAL_MS, 'tiny', 'memberBack');
    runs(3 + 3 * ROUND_INTERVAL_MS, 'normal', 'done');
  },
);

t.test('one that misses a host is followed sooner by the next, a few times', async (t) => {
  const schedule = new RepairSchedule(LIMITS);
  let nowMs = 0;
  let kind: 'normal' | 'tiny' = 'normal';
  const runs = (end: 'done' | 'absent' | 'memberBack', pauseMs: number): void => {
    t.equal(schedule.next(nowMs - 1), null, 'not before its time');
    t.same(schedule.next(nowMs), { partitionId: 7, kind });
    schedule.ended(7, end, nowMs);
    kind = kind === 'normal' ? 'tiny' : 'normal';
    nowMs += pauseMs;
  };
  schedule.add(7, 0, 0);
  runs('absent', 0);
  for (const pauseMs of RETRIES_MS) runs('absent', pauseMs);
  runs('absent', ROUND_INTERVAL_MS);
  runs('memberBack', 0);
  runs('done', ROUND_INTERVAL_MS);
  runs('absent', RETRIES_MS[0]!);
  runs('done', ROUND_INTERVAL_MS);
});

t.test('a member is back when it takes part and did not before', async (t) => {
  const hosts = ['a', 'b', 'c'];
  for (const [before, now, leftOut, expected] of [
    ['', '', 0, 'done'],
    ['', 'b', 0, 'absent'],
    ['b', 'b', 0, 'absent'],
    ['', 'd', 0, 'done'],
    ['b', '', 0, 'memberBack'],
    ['b c', 'c', 0, 'memberBack'],
    ['b', 'c', 0, 'memberBack'],
    ['d', '', 0, 'done'],
    ['b', '', 3, 'unfinished'],
    ['', '', 3, 'unfinished'],
  ] as const) {
    const [absentBefore, absent] = [new Set(before.split(' ')), new Set(now.split(' '))];
    t.equal(roundEnd(leftOut, hosts, absentBefore, absent), expected, `${before} - ${now} - ${leftOut}`);
  }
});

t.test('nobody starves: with rounds of any length every partition has its next one in the end', async (t) => {
  const check = fc.check(
    fc.property(
      fc.array(fc.record({ disk: fc.nat({ max: 2 }), takesMs: fc.integer({ min: 0, max: 200_000 }) }), {
        minLength: 1,
        maxLength: 8,
      }),
      (partitions) => {
        const schedule = new RepairSchedule(LIMITS);
        for (const [id, { disk }] of partitions.entries()) schedule.add(id, disk, 0);
        const counts = partitions.map(() => 0);
        const ends: { id: number; atMs: number }[] = [];
        for (let now = 0; now < 40 * 200_000; now += 10_000) {
          for (const end of ends.splice(0)) {
            if (end.atMs <= now) schedule.ended(end.id, 'done', now);
            else ends.push(end);
          }
          for (let due = schedule.next(now); due !== null; due = schedule.next(now)) {
            counts[due.partitionId]! += 1;
            ends.push({ id: due.partitionId, atMs: now + partitions[due.partitionId]!.takesMs });
          }
          const disks = ends.map(({ id }) => partitions[id]!.disk);
          if (ends.length > LIMITS.inAllMax || new Set(disks).size !== disks.length) return false;
        }
        return counts.every((count) => count >= 3);
      },
    ),
  );
  t.notOk(check.failed, JSON.stringify(check.counterexample));
});
