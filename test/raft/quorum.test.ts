/** Majorities and the commit rule against twins that are too simple to be wrong. */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { ENTRY_TYPE } from '../../src/protocol/raftStructs.js';
import { leaseElection } from '../../src/raft/election.js';
import { GroupState } from '../../src/raft/groupState.js';
import { leaseHolds } from '../../src/raft/lease.js';
import { RaftLog } from '../../src/raft/log.js';
import { majorityReaches, quorumOf } from '../../src/raft/quorum.js';
import { advanceCommit } from '../../src/raft/replication.js';

const NO_BYTES = new Uint8Array(0);

function holds<Values>(t: Test, property: fc.IProperty<Values>): void {
  const { failed, counterexample } = fc.check(property);
  t.notOk(failed, `it does, but for ${JSON.stringify(counterexample)}`);
}

t.test('a quorum is the smallest number of members of which two always share one', async (t) => {
  for (let count = 1; count <= 9; count += 1) {
    const quorum = quorumOf(count);
    t.ok(2 * quorum > count, `two quorums of ${count} meet`);
    t.notOk(2 * (quorum - 1) > count, `one less of ${count} is not enough`);
  }
});

t.test('what a majority reaches is what sorting says', async (t) => {
  holds(
    t,
    fc.property(fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 7 }), (numbers) => {
      const descending = numbers.toSorted((a, b) => b - a);
      return majorityReaches(numbers, (n) => n) === descending[Math.floor(numbers.length / 2)];
    }),
  );
});

t.test('a majority of nobody reaches nothing', async (t) => {
  t.equal(
    majorityReaches([], () => 1),
    0,
  );
});

/** A leader of `members` in the last of the entries' terms, entry i + 1 of term `terms[i]`. */
function leaderOf(members: number, terms: readonly number[]): GroupState {
  const log = new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 0, runs: [] });
  log.append(terms.map((term, i) => ({ type: ENTRY_TYPE.normal, term, index: i + 1, data: NO_BYTES })));
  const group = new GroupState({
    nodeId: 1,
    group: 1,
    peers: Array.from({ length: members }, (_, i) => ({ type: 0, priority: 0, nodeId: i + 1 })),
    hardState: { term: terms.at(-1)!, commit: 0, vote: 1 },
    log,
    applied: 0,
    election: leaseElection,
    random: () => 0,
    mayVote: true,
  });
  group.state = 'leader';
  group.leader = 1;
  return group;
}

const termsOfALog = fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 8 }).map((steps) => {
  let term = 1;
  return steps.map((step) => (term += step));
});

t.test('committed is the last entry of the own term that a majority has, and nothing else', async (t) => {
  holds(
    t,
    fc.property(
      termsOfALog,
      fc.array(fc.nat({ max: 8 }), { minLength: 1, maxLength: 5 }),
      fc.nat({ max: 8 }),
      (terms, matches, committed) => {
        const group = leaderOf(matches.length, terms);
        group.log.commitTo(Math.min(committed, terms.length));
        for (const [i, member] of group.members.entries()) member.match = Math.min(matches[i]!, terms.length);
        let expected = group.log.committed;
        for (let index = expected + 1; index <= terms.length; index += 1) {
          const count = group.members.filter(({ match }) => match >= index).length;
          if (2 * count > matches.length && terms[index - 1] === group.term) expected = index;
        }
        const before = group.log.committed;
        return advanceCommit(group) === expected > before && group.log.committed === expected;
      },
    ),
  );
});

t.test('a lease holds when a majority was heard; asking starts the count anew', async (t) => {
  holds(
    t,
    fc.property(
      fc.array(fc.record({ active: fc.boolean(), snapshot: fc.boolean() }), { minLength: 1, maxLength: 6 }),
      (others) => {
        const group = leaderOf(others.length + 1, [1]);
        for (const [i, { active, snapshot }] of others.entries()) {
          const member = group.members[i + 1]!;
          member.active = active;
          if (snapshot) member.becomeSnapshot(1);
        }
        const count = (heard: (other: { active: boolean; snapshot: boolean }) => boolean): number =>
          1 + others.filter(heard).length;
        const members = others.length + 1;
        return (
          leaseHolds(group) === 2 * count(({ active, snapshot }) => active || snapshot) > members &&
          leaseHolds(group) === 2 * count(({ snapshot }) => snapshot) > members
        );
      },
    ),
  );
});
