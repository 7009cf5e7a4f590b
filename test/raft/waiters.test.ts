/**
 * Proposals end once, and success means that their own entry was applied.
 */
import t from 'tap';
import { NOT_LEADER, type Proposal, Waiters } from '../../src/raft/waiters.js';

/** A proposal and the list of its ends. */
function proposal(ends: (string | null)[], type = 0): Proposal {
  return { type, data: new Uint8Array(1), done: (error) => void ends.push(error) };
}

/** Waiters with one proposal that has become the entry (5, term 2). */
function oneWaiting(): { waiters: Waiters; ends: (string | null)[] } {
  const waiters = new Waiters();
  const ends: (string | null)[] = [];
  waiters.leadership(true, 2, 0);
  waiters.add(proposal(ends));
  waiters.wait(waiters.take(10), 5, 2);
  return { waiters, ends };
}

t.test('its own entry was applied: the outcome is its outcome', async (t) => {
  const { waiters, ends } = oneWaiting();
  waiters.applied(4, 2, 'of another');
  t.same(ends, []);
  waiters.applied(5, 2, null);
  waiters.applied(5, 2, null);
  t.same(ends, [null]);
  t.equal(waiters.count, 0);
});

t.test('another entry was applied at its index: that is not it', async (t) => {
  const { waiters, ends } = oneWaiting();
  waiters.applied(5, 3, null);
  t.same(ends, [NOT_LEADER]);
});

t.test('the leadership ends: all that wait are told, those not yet proposed too', async (t) => {
  const { waiters, ends } = oneWaiting();
  waiters.add(proposal(ends));
  waiters.leadership(false, 2, 4);
  t.same(ends, [NOT_LEADER, NOT_LEADER]);
  t.equal(waiters.count, 0);
});

t.test('the leadership ends while its entry is being applied: it ends with that', async (t) => {
  for (const isLeader of [true, false]) {
    const { waiters, ends } = oneWaiting();
    waiters.leadership(isLeader, 4, 5);
    t.same(ends, []);
    waiters.applied(5, 2, null);
    t.same(ends, [null]);
  }
});

t.test('lost and won again between two looks: the entries of the earlier term are told', async (t) => {
  const { waiters, ends } = oneWaiting();
  waiters.leadership(true, 4, 4);
  t.same(ends, [NOT_LEADER]);
});

t.test('a batch is of one type, a configuration change goes alone, in order', async (t) => {
  const waiters = new Waiters();
  for (const type of [0, 0, 1, 1, 0]) waiters.add(proposal([], type));
  const batches: number[][] = [];
  for (let batch = waiters.take(10); batch.length > 0; batch = waiters.take(10))
    batches.push(batch.map(({ type }) => type));
  t.same(batches, [[0, 0], [1], [1], [0]]);
  for (let i = 0; i < 5; i += 1) waiters.add(proposal([]));
  t.equal(waiters.take(3).length, 3);
  t.equal(waiters.queuedCount, 2);
});
