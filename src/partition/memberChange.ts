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

/**
 * What the members that a snapshot tells make of `members`; null when they are the same. It tells ids alone: the address of one that is not known here is empty until
 * its own change, or somebody else, tells it.
 */
export function membersOfSnapshot(
  ids: readonly number[],
  members: Members,
): { peers: MetaPeer[]; hosts: string[] } | null {
  const known = new Map(members.peers.map((peer) => [peer.id, peer]));
  if (ids.length === known.size && ids.every((id) => known.has(id))) return null;
  const peers = ids.map((id) => known.get(id) ?? { id, addr: '' });
  const gone = members.peers.filter(({ id }) => !ids.includes(id)).map(({ addr }) => addr);
  // Fewer hosts than members would pass for a partition with fewer replicas.
  const unknown = peers.some(({ addr }) => addr === '');
  return { peers, hosts: members.hosts.filter((host) => unknown || !gone.includes(host)) };
}

const SAME: MembersAfter = { kind: 'same', problem: null };

/** What the data of an entry of type 1 makes of `members`. `nodeId`: this node's. */
export function membersAfter(data: Uint8Array, members: Members, nodeId: number): MembersAfter {
  const change = decodeConfigurationChange(data);
  if (!change.ok) return { kind: 'same', problem: change.message };
  const context = decodeMemberChange(change.value.context);
  if (!context.ok) return { kind: 'same', problem: context.message };
  const { addPeer, removePeer } = context.value;
  switch (change.value.type) {
    case CHANGE_TYPE.add: {
      const known = members.peers.find(({ id }) => id === addPeer.id);
      if (addPeer.id === 0 || addPeer.addr === known?.addr || (known?.addr ?? '') !== '') return SAME;
      return {
        kind: 'changed',
        peers: [...members.peers.filter((peer) => peer !== known), addPeer],
        hosts: [...members.hosts, addPeer.addr],
      };
    }
    case CHANGE_TYPE.remove: {
      if (!members.peers.some(({ id }) => id === removePeer.id)) return SAME;
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
