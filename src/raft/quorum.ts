/**
 * Majorities (`raft.md` 4.3, 4.6, 4.7). Pure, and without allocation: a leader asks at every answer.
 */

/** Members that must agree among `count`. */
export function quorumOf(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * The highest number that a majority of the members reaches: of their matches the index that may be committed, of the ticks at which they were heard the
 * last one at which a majority was there. 0 without members.
 */
export function majorityReaches<M>(members: readonly M[], numberOf: (member: M) => number): number {
  const quorum = quorumOf(members.length);
  let reached = 0;
  for (const member of members) {
    const candidate = numberOf(member);
    if (candidate <= reached) continue;
    let count = 0;
    for (const other of members) if (numberOf(other) >= candidate) count += 1;
    if (count >= quorum) reached = candidate;
  }
  return reached;
}
