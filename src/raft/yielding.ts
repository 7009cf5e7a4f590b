/**
 * A leader whose disk has no room for what is committed, or for its log: nothing that it is asked for would come to an end, and a group with room elsewhere should not wait for one disk. It takes
 * nothing new, and when another member has all of its log it sends that one into an election, by the message of `raft.md` 4.5 with which a leader does so, votes for it, and does not stand
 * itself for a while. It goes on as a follower.
 *
 * Who else lacks room is not known. So nobody keeps quiet for ever, the next one who is asked is another, and a leader that comes back without room waits twice as long each time before it tries again.
 */
import type { GroupState } from './groupState.js';
import type { Progress } from './progress.js';

/** A follower without room campaigns so many times E later than it would. */
const QUIET_TIMES = 4;
/** The wait before a leader yields is doubled so often: 64 times E, a minute. */
const DOUBLINGS_MAX = 6;

/** Told before each tick. */
export function noteRoom(group: GroupState, lacksRoom: boolean): void {
  group.lacksRoom = lacksRoom;
  if (lacksRoom) return;
  group.roomlessTicks = 0;
  group.yields = 0;
}

/** Whether this replica had better not lead: it lacks room, and there are others. */
export function yields({ lacksRoom, members }: GroupState): boolean {
  return lacksRoom && members.length > 1;
}

/** At each tick of a leader: the member that is to lead from now on; null when this node stays. */
export function heirWhenDue(group: GroupState): number | null {
  if (!yields(group)) return null;
  group.roomlessTicks += 1;
  const { electionTicks } = group.limits;
  if (group.roomlessTicks < electionTicks << Math.min(group.yields, DOUBLINGS_MAX)) return null;
  const ready = group.members.filter((member) => isReady(group, member));
  if (ready.length === 0) return null;
  // Another one each time: who else lacks room is not known.
  const heir = ready[group.yields % ready.length]!;
  group.roomlessTicks = 0;
  group.yields += 1;
  return heir.nodeId;
}

/** Ticks by which a campaign of this follower is put off. */
export function quietTicks(group: GroupState): number {
  return yields(group) ? QUIET_TIMES * group.limits.electionTicks : 0;
}

/** It answers, and lacks nothing of the log: it gets the vote of this node. */
function isReady({ self, log, now, limits }: GroupState, member: Progress): boolean {
  const isHeard = now - member.heardAt <= 2 * limits.heartbeatTicks;
  return member !== self && isHeard && member.match === log.lastIndex;
}
