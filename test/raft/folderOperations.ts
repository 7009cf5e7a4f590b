/**
 * Random operations on a group's folder, as a raft core may ask for them, for the folder and for its twin.
 */
import type { HardState, RaftEntry } from '../../src/protocol/raftStructs.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import type { Random } from '../sim/random.js';
import { append, entry } from './folderRig.js';
import type { GoTwin } from './goTwin.js';

export type Operation =
  | { kind: 'append'; entries: RaftEntry[] }
  | { kind: 'cut'; index: number; term: number }
  | { kind: 'reset'; index: number; term: number; hardState: HardState }
  | { kind: 'hardState'; hardState: HardState };

/** Carries it out on the folder. 0 or a negated errno. */
export function perform(folder: GroupFolder, operation: Operation): number {
  if (operation.kind === 'append') return append(folder, operation.entries);
  if (operation.kind === 'cut') return folder.cut(operation.index, operation.term);
  if (operation.kind === 'reset') return folder.reset(operation.index, operation.term, operation.hardState);
  return folder.setHardState(operation.hardState);
}

/** Carries it out on the twin. */
export function mirror(twin: GoTwin, operation: Operation): void {
  if (operation.kind === 'append') twin.append(operation.entries);
  else if (operation.kind === 'cut') twin.cut(operation.index, operation.term);
  else if (operation.kind === 'reset') twin.reset(operation.index, operation.term, operation.hardState);
  else twin.setHardState(operation.hardState);
}

/** One that raft may ask for in the twin's state: nothing committed is replaced, terms do not go back, no entry is of a later term than the hard state. */
export function randomOperation(random: Random, twin: GoTwin): Operation {
  const { commit, term } = twin.hardState;
  const dice = random.below(20);
  if (dice === 0) {
    const index = Math.max(commit, twin.cutIndex) + 1 + random.below(twin.lastIndex - commit + 6);
    return { kind: 'reset', index, term: term + 1, hardState: { term: term + 1, vote: 0, commit: index } };
  }
  if (dice < 4 && commit > twin.cutIndex) {
    const index = twin.cutIndex + 1 + random.below(commit - twin.cutIndex);
    return { kind: 'cut', index, term: twin.term(index) };
  }
  if (dice < 8) {
    const next = { term: term + random.below(2), vote: random.below(4), commit };
    next.commit += random.below(twin.lastIndex - commit + 1);
    return { kind: 'hardState', hardState: next };
  }
  return { kind: 'append', entries: randomEntries(random, twin) };
}

/** Entries behind the last one, or from an uncommitted one on. */
function randomEntries(random: Random, twin: GoTwin): RaftEntry[] {
  const { commit, term } = twin.hardState;
  const lastTerm = twin.term(twin.lastIndex);
  const conflict = twin.lastIndex > commit && term > lastTerm && random.chance(0.6);
  const first = conflict ? commit + 1 + random.below(twin.lastIndex - commit) : twin.lastIndex + 1;
  const newTerm = conflict ? term : lastTerm + random.below(term - lastTerm + 1);
  return Array.from({ length: 1 + random.below(6) }, (_, at) =>
    entry(first + at, newTerm, randomData(random), random.chance(0.1) ? 1 : 0),
  );
}

function randomData(random: Random): Uint8Array {
  const bytes = random.chance(0.05) ? 100 + random.below(300) : random.below(40);
  return Uint8Array.from({ length: random.chance(0.2) ? 0 : bytes }, () => random.below(256));
}
