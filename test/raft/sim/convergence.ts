/**
 * Whether a cluster has come to rest: once faults stop, and clients too, all members must soon be in one state. To be asked again until it says yes, up to a bound.
 */

/** What a member shows. */
export interface MemberView {
  node: number;
  isUp: boolean;
  isLeader: boolean;
  term: number;
  lastIndex: number;
  committed: number;
  applied: number;
  /** As it sees them, by node id. */
  members: readonly number[];
  /** Of everything that the state machine holds. */
  stateDigest: string;
}

/** Null when the members that the leader sees are all up and in one state; else what is not so yet. */
export function notConverged(views: readonly MemberView[]): string | null {
  const leaders = views.filter(({ isUp, isLeader }) => isUp && isLeader);
  const [leader] = leaders;
  if (leader === undefined) return 'there is no leader';
  if (leaders.length > 1) return `nodes ${leaders.map(({ node }) => node).join(' and ')} both lead`;
  const wanted = String(leader.members);
  for (const node of leader.members) {
    const view = views.find((each) => each.node === node);
    if (view === undefined || !view.isUp) return `member ${node} is not up`;
    if (view.term !== leader.term) return `node ${node} is in term ${view.term}, not ${leader.term}`;
    for (const key of ['lastIndex', 'committed', 'applied'] as const) {
      if (view[key] !== leader.lastIndex)
        return `node ${node}: ${key} is ${view[key]}, not ${leader.lastIndex}`;
    }
    if (String(view.members) !== wanted) return `node ${node} sees members ${view.members}, not ${wanted}`;
    if (view.stateDigest !== leader.stateDigest) return `node ${node} has another state than the leader`;
  }
  return null;
}
