/** When a cluster has come to rest, and what it is told that has not. */
import t from 'tap';
import { type MemberView, notConverged } from './convergence.js';

function view(node: number, fields: Partial<MemberView> = {}): MemberView {
  return {
    ...{ node, isUp: true, isLeader: node === 1, term: 4, lastIndex: 9, committed: 9, applied: 9 },
    ...{ members: [1, 2, 3], stateDigest: 'abc' },
    ...fields,
  };
}

/** Three members, with the second as told. */
function second(fields: Partial<MemberView>): string | null {
  return notConverged([view(1), view(2, fields), view(3)]);
}

t.test('members in one state have converged', async (t) => {
  t.equal(second({}), null);
  const removed = view(4, { term: 2, lastIndex: 3, members: [1, 2, 3, 4], stateDigest: 'old' });
  t.equal(notConverged([view(1), view(2), view(3), removed]), null, 'whoever is no member does not count');
});

t.test('what is not so yet is told', async (t) => {
  t.equal(notConverged([]), 'there is no leader');
  t.equal(notConverged([view(1, { isLeader: false }), view(2), view(3)]), 'there is no leader');
  t.equal(notConverged([view(1, { isUp: false }), view(2), view(3)]), 'there is no leader');
  t.equal(notConverged([view(1), view(2)]), 'member 3 is not up');
  t.equal(second({ isLeader: true, term: 3 }), 'nodes 1 and 2 both lead');
  t.equal(second({ isUp: false }), 'member 2 is not up');
  t.equal(second({ term: 3 }), 'node 2 is in term 3, not 4');
  t.equal(second({ lastIndex: 10 }), 'node 2: lastIndex is 10, not 9');
  t.equal(second({ committed: 8 }), 'node 2: committed is 8, not 9');
  t.equal(second({ applied: 8 }), 'node 2: applied is 8, not 9');
  t.equal(second({ members: [1, 2] }), 'node 2 sees members 1,2, not 1,2,3');
  t.equal(second({ stateDigest: 'abd' }), 'node 2 has another state than the leader');
  t.equal(
    notConverged([view(1, { applied: 8 }), view(2), view(3)]),
    'node 1: applied is 8, not 9',
    'the leader too',
  );
});
