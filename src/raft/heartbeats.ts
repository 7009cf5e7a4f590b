/**
 * One heartbeat a node, not a group (`raft.md` 2.5). Pure: which messages go out for the groups that this node leads, and which groups a message is for.
 *
 * A heartbeat has no term and no group of its own. Its answer says which groups live at the other node, nothing of their state: a node always answers, whoever
 * it takes for the leader, because the sender's lease depends on it.
 */
import { decodeHeartbeatContext, encodeHeartbeatContext } from '../protocol/heartbeatContext.js';
import type { Decoded } from '../protocol/jsonText.js';
import { RAFT_MESSAGE, type RaftMessage } from '../protocol/raftMessage.js';
import type { RaftPeer } from '../protocol/raftStructs.js';
import { emptyMessage } from './outbox.js';

/** A group that this node leads, as a `RaftCore` is one. */
export interface LedGroup {
  readonly group: number;
  members(): readonly RaftPeer[];
}

/** A request that came in. */
export interface HeardHeartbeat {
  /** Groups of this node that are listed: each core gets `heartbeatRequest(from)`. */
  groups: readonly number[];
  /** To be sent back, whatever those cores make of it. */
  answer: RaftMessage;
}

/** The requests of one heartbeat tick, ordered by node: one to each other node that is a member of a group of `led`. */
export function heartbeatRequests(nodeId: number, led: Iterable<LedGroup>): RaftMessage[] {
  const groupsOf = new Map<number, number[]>();
  for (const core of led) {
    for (const { nodeId: to } of core.members()) {
      if (to === nodeId) continue;
      const groups = groupsOf.get(to);
      if (groups === undefined) groupsOf.set(to, [core.group]);
      else groups.push(core.group);
    }
  }
  const targets = [...groupsOf].sort(([a], [b]) => a - b);
  return targets.map(([to, groups]) => heartbeat(RAFT_MESSAGE.heartbeatRequest, nodeId, to, groups));
}

/** What a request of type 2 is for, and its answer. A list that cannot be read is refused with the codec's words; such a connection is closed. */
export function onHeartbeat(
  nodeId: number,
  request: RaftMessage,
  isHosted: (group: number) => boolean,
): Decoded<HeardHeartbeat> {
  const hosted = hostedGroups(request, isHosted);
  if (!hosted.ok) return hosted;
  const answer = heartbeat(RAFT_MESSAGE.heartbeatResponse, nodeId, request.from, hosted.value);
  return { ok: true, value: { groups: hosted.value, answer } };
}

/** The groups of this node that a message of type 2 or 7 lists, ascending, each once. */
export function hostedGroups(
  message: RaftMessage,
  isHosted: (group: number) => boolean,
): Decoded<readonly number[]> {
  const listed = decodeHeartbeatContext(message.context);
  if (!listed.ok) return listed;
  const { value } = listed;
  return { ok: true, value: value.filter((group, i) => group !== value[i - 1] && isHosted(group)) };
}

function heartbeat(type: number, from: number, to: number, groups: readonly number[]): RaftMessage {
  const message = emptyMessage(type, 0, from, to, 0);
  message.context = encodeHeartbeatContext(groups);
  return message;
}
