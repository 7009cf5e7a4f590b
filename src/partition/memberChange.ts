/**
 * What a committed member change makes of a partition's members (`raft.md` 5.9). Pure; every replica decides alike, at a replay too.
 *
 * The JSON of the entry's context decides, as in the reference, not the member that stands before it (that one is for the core of raft).
 */
import { decodeMemberChange } from '../protocol/memberChange.js';
import { CHANGE_TYPE, decodeConfigurationChange } from '../protocol/raftStructs.js';
import type { MetaPeer } from '../storage/metaFile.js';

export interface Members {
  readonly peers: readonly MetaPeer[];
  readonly hosts: readonly string[];
}

export type MembersAfter =
  /** Nothing to do: it is so already, or an unsupported kind, or (`problem`) nothing that can be read. */
  | { kind: 'same'; problem: string | null }
  | { kind: 'changed'; peers: MetaPeer[]; hosts: string[] }
  /** This node is no member any more: its replica is to be taken away. */
  | { kind: 'removedHere' };

const SAME: MembersAfter = { kind: 'same', problem: null };

/** What the data of an entry of type 1 makes of `members`. `nodeId`: this node's. */
export function membersAfter(data: Uint8Array, members: Members, nodeId: number): MembersAfter {
  const change = decodeConfigurationChange(data);
  if (!change.ok) return { kind: 'same', problem: change.message };
  const context = decodeMemberChange(change.value.context);
  if (!context.ok) return { kind: 'same', problem: context.message };
  const { addPeer, removePeer } = context.value;
  const isMember = (id: number): boolean => members.peers.some((peer) => peer.id === id);
  switch (change.value.type) {
    case CHANGE_TYPE.add: {
      if (addPeer.id === 0 || isMember(addPeer.id)) return SAME;
      return {
        kind: 'changed',
        peers: [...members.peers, addPeer],
        hosts: [...members.hosts, addPeer.addr],
      };
    }
    case CHANGE_TYPE.remove: {
      if (!isMember(removePeer.id)) return SAME;
      if (removePeer.id === nodeId) return { kind: 'removedHere' };
      return {
        kind: 'changed',
        peers: members.peers.filter(({ id }) => id !== removePeer.id),
        hosts: members.hosts.filter((host) => host !== removePeer.addr),
      };
    }
    default:
      return SAME;
  }
}
