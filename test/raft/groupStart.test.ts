/**
 * What a group starts with when its files do not agree.
 */
import t from 'tap';
import { type StoredState, startState } from '../../src/raft/groupStart.js';

const STORED: StoredState = {
  ...{ nodeId: 9, stored: { term: 3, vote: 2, commit: 8 } },
  ...{ hardState: { term: 3, vote: 2, commit: 8 }, cutIndex: 4, lastIndex: 10, applied: 6, lost: false },
};

t.test('files that agree are taken as they are', async (t) => {
  t.same(startState(STORED), { term: 3, vote: 2, commit: 8, applied: 6, mayVote: true, notes: [] });
});

t.test('an empty folder starts at nothing, and says nothing', async (t) => {
  const hardState = { term: 0, vote: 0, commit: 0 };
  const state = startState({
    nodeId: 9,
    stored: hardState,
    hardState,
    cutIndex: 0,
    lastIndex: 0,
    applied: 0,
    lost: false,
  });
  t.same(state, { term: 0, vote: 0, commit: 0, applied: 0, mayVote: true, notes: [] });
});

t.test('applied above the commit raises the commit', async (t) => {
  const { commit, applied, mayVote } = startState({ ...STORED, applied: 9 });
  t.same({ commit, applied, mayVote }, { commit: 9, applied: 9, mayVote: true });
});

t.test('applied below the cut is raised to it: a snapshot was cut short', async (t) => {
  const { commit, applied, mayVote, notes } = startState({ ...STORED, applied: 2 });
  t.same({ commit, applied, mayVote }, { commit: 8, applied: 4, mayVote: true });
  t.match(notes[0], /applied 2 is below the cut 4/);
});

t.test('a commit above the log’s end is lowered, as a Go node does, and the replica votes', async (t) => {
  const hardState = { ...STORED.hardState, commit: 30 };
  const { commit, applied, mayVote, notes } = startState({ ...STORED, hardState });
  t.same({ commit, applied, mayVote }, { commit: 10, applied: 6, mayVote: true });
  t.match(notes[0], /commit 30 is above the end 10/);
});

t.test('applied above the log’s end proves a loss: no vote until caught up', async (t) => {
  const { commit, applied, mayVote, notes } = startState({ ...STORED, applied: 12 });
  t.same({ commit, applied, mayVote }, { commit: 8, applied: 8, mayVote: false });
  t.match(notes.join('\n'), /applied 12 is above the end 10/);
});

t.test('where entries are lost, those behind the commit need not be those that were applied', async (t) => {
  const { commit, applied, notes } = startState({ ...STORED, applied: 10, lost: true });
  t.same({ commit, applied }, { commit: 8, applied: 8 });
  t.match(notes.join('\n'), /applied 10 is lowered to the commit 8/);
  const cut = startState({ ...STORED, hardState: { term: 3, vote: 2, commit: 0 }, applied: 10, lost: true });
  t.same([cut.commit, cut.applied], [4, 4], 'up to the cut everything is committed and applied');
});

t.test('a term that only the log knows: the vote is taken, by this node itself', async (t) => {
  const { term, vote } = startState({ ...STORED, stored: { term: 2, vote: 4, commit: 8 } });
  t.same({ term, vote }, { term: 3, vote: 9 });
});

t.test('what recovery has proved lost takes the vote', async (t) => {
  const { mayVote, notes } = startState({ ...STORED, lost: true });
  t.equal(mayVote, false);
  t.match(notes[0], /no vote until caught up/);
});
