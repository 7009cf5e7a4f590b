/** What a leader knows of a member: numbers that always fit together, old answers, the window. */
import fc from 'fast-check';
import t from 'tap';
import { InflightWindow, Progress } from '../../src/raft/progress.js';

const INFLIGHT_MAX = 3;

function probing(match: number, next: number): Progress {
  const member = new Progress({ type: 0, priority: 0, nodeId: 2 }, INFLIGHT_MAX);
  member.reset(next, 0);
  member.match = match;
  return member;
}

t.test('a probe that is refused goes back to where the member ends, or one entry', async (t) => {
  const behind = probing(0, 10);
  t.ok(behind.refused(9, 4, 2));
  t.strictSame([behind.next, behind.committed, behind.paused], [5, 2, false]);
  const parted = probing(0, 10);
  t.ok(parted.refused(9, 20, 0));
  t.equal(parted.next, 9);
  const empty = probing(0, 1);
  t.ok(empty.refused(0, 0, 0));
  t.equal(empty.next, 1, 'but not before the first');
});

t.test('an answer to an older probe says nothing', async (t) => {
  const member = probing(0, 10);
  member.paused = true;
  t.notOk(member.refused(8, 3, 1));
  t.strictSame([member.next, member.committed, member.paused], [10, 0, true]);
});

t.test('who refuses what it acknowledged has lost it', async (t) => {
  const member = probing(5, 6);
  t.ok(member.refused(5, 9, 0));
  t.strictSame([member.match, member.next], [4, 5]);
  const replicating = probing(8, 9);
  replicating.becomeReplicate();
  replicating.sent(12);
  t.notOk(replicating.refused(8, 8, 0), 'its log has it all: an old answer');
  t.ok(replicating.refused(8, 6, 0));
  t.strictSame([replicating.state, replicating.match, replicating.next], ['probe', 6, 7]);
});

t.test('a member that waits for a snapshot is sent nothing, whatever it answers', async (t) => {
  const member = probing(0, 3);
  member.becomeSnapshot(20);
  t.ok(member.isPaused);
  t.notOk(member.refused(2, 0, 0));
  t.throws(() => member.sent(4), /snapshot/);
  member.becomeProbe();
  t.strictSame([member.next, member.snapshotIndex, member.isPaused], [21, 0, false]);
});

const answer = fc.record({
  reject: fc.boolean(),
  index: fc.nat({ max: 12 }),
  last: fc.nat({ max: 12 }),
  commit: fc.nat({ max: 12 }),
});
const act = fc.oneof(
  answer.map(({ reject, index, last, commit }) => (member: Progress) => {
    if (reject) member.refused(index, last, commit);
    else member.acknowledged(index, commit);
  }),
  fc.nat({ max: 3 }).map((count) => (member: Progress) => {
    if (!member.isPaused && count > 0) member.sent(member.next + count - 1);
  }),
  fc.constantFrom(
    (member: Progress) => member.becomeReplicate(),
    (member: Progress) => member.becomeProbe(),
    (member: Progress) => member.becomeSnapshot(7),
    (member: Progress) => member.window.full && member.window.freeFirst(),
  ),
);

t.test('match stays below next, whatever comes in whatever order', async (t) => {
  const { failed, counterexample } = fc.check(
    fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
      const member = probing(0, 1);
      for (const one of acts) {
        one(member);
        if (member.match >= member.next || member.window.count > INFLIGHT_MAX) return false;
      }
      return true;
    }),
  );
  t.notOk(failed, `it does, but for ${JSON.stringify(counterexample)}`);
});

t.test('the window is a queue of last indexes', async (t) => {
  const { failed, counterexample } = fc.check(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 5 })), { maxLength: 60 }), (steps) => {
      const window = new InflightWindow(INFLIGHT_MAX);
      let queue: number[] = [];
      let last = 0;
      for (const [adds, by] of steps) {
        if (adds && queue.length < INFLIGHT_MAX) {
          last += by;
          window.add(last);
          queue.push(last);
        } else {
          window.freeTo(last - by);
          queue = queue.slice(queue.filter((index) => index <= last - by).length);
        }
        if (window.count !== queue.length || window.full !== (queue.length === INFLIGHT_MAX)) return false;
      }
      return true;
    }),
  );
  t.notOk(failed, `it is, but for ${JSON.stringify(counterexample)}`);
  const full = new InflightWindow(1);
  full.add(1);
  t.throws(() => full.add(2), /full/);
});
