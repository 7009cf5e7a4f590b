/**
 * Who belongs to a group (`raft.md` 4.8). A change takes effect when its entry is handed to the state machine: it is committed then, and its entry durable here.
 */
import {
  CHANGE_TYPE,
  type ConfigurationChange,
  decodeConfigurationChange,
  ENTRY_TYPE,
  type RaftEntry,
} from '../protocol/raftStructs.js';
import type { GroupState } from './groupState.js';
import { advanceCommit, broadcastAppends } from './replication.js';
import { becomeFollower } from './roles.js';

/** The changes among these entries take effect. One that cannot be read changes nothing, here as on every replica. */
export function changeMembers(group: GroupState, handedOver: readonly RaftEntry[]): void {
  for (const entry of handedOver) {
    if (entry.type !== ENTRY_TYPE.configurationChange) continue;
    const change = decodeConfigurationChange(entry.data);
    if (change.ok) changeMember(group, change.value);
  }
}

function changeMember(group: GroupState, { type, peer }: ConfigurationChange): void {
  if (peer.nodeId === 0) return;
  const member = group.member(peer.nodeId);
  if (type === CHANGE_TYPE.add && member === null) group.addMember(peer);
  else if (type === CHANGE_TYPE.update && member !== null) group.updateMember(member, peer);
  else if (type === CHANGE_TYPE.remove && member !== null) remove(group, peer.nodeId);
}

/** Fewer members may have committed more. */
function remove(group: GroupState, nodeId: number): void {
  group.removeMember(nodeId);
  if (nodeId === group.nodeId) becomeFollower(group, group.term, 0);
  else if (group.isLeader && advanceCommit(group)) broadcastAppends(group);
}
