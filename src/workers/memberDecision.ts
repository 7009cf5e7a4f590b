/**
 * What a leader makes of a change of members that it is asked for (`admin.md` 5.8, `raft.md` 5.9). Pure; used by `memberChanges.ts`, which knows by then that this node leads.
 */

import type { MemberCommand } from '../partition/messages.js';
import { type DownMember, noMemberAddress, noSuchMember, tooManyDown } from '../protocol/errors.js';
import { encodeMemberChange, type MemberChange } from '../protocol/memberChange.js';
import { parsePeerAddress } from '../protocol/peerAddress.js';
import { CHANGE_TYPE, type ConfigurationChange } from '../protocol/raftStructs.js';

/** What the leader knows of its group. */
export interface LedGroup {
  /** Members by META. */
  readonly peers: readonly { id: number; addr: string }[];
  /** Members that count as down, whatever makes them so. */
  readonly down: readonly DownMember[];
}

/** Changes to be proposed one after the other; none: it is so already. */
export type ChangeDecision =
  | { ok: true; changes: readonly ConfigurationChange[] }
  | { ok: false; message: string };

/** What is to be proposed for `command`, in order, or why nothing is. That a decommission names two nodes was seen to before. */
export function decideChange({ kind, change }: MemberCommand, group: LedGroup): ChangeDecision {
  const { addPeer, removePeer } = change;
  const add = entry(CHANGE_TYPE.add, addPeer.id, change);
  const remove = entry(CHANGE_TYPE.remove, removePeer.id, change);
  const hasAddress = addPeer.id === 0 || parsePeerAddress(addPeer.addr) !== null;
  if (kind === 'remove') {
    if (!hasMember(group, removePeer.addr)) return NOTHING;
    const refusal = removalRefusal(removePeer, group);
    return refusal === null ? { ok: true, changes: remove } : { ok: false, message: refusal };
  }
  if (kind === 'add' && hasMember(group, addPeer.addr)) return NOTHING;
  if (!hasAddress) return { ok: false, message: noMemberAddress(addPeer) };
  return { ok: true, changes: kind === 'add' ? add : [...add, ...remove] };
}

/**
 * Why a member may not be removed; null when it may. A lone member stays in any case. Who is named must be a member by both id and address: META drops the member by its id and the host by its
 * address.
 */
export function removalRefusal(peer: { id: number; addr: string }, { peers, down }: LedGroup): string | null {
  if (!peers.some(({ id, addr }) => id === peer.id && addr === peer.addr)) return noSuchMember(peer, down);
  const count = peers.length;
  const up = count - down.filter(({ id }) => id !== peer.id).length;
  const majority = Math.floor(count / 2) + 1;
  const mayGo = count % 2 === 1 ? up > majority : up >= majority;
  return mayGo ? null : tooManyDown(peer, down);
}

const NOTHING: ChangeDecision = { ok: true, changes: [] };

function hasMember({ peers }: LedGroup, addr: string): boolean {
  return peers.some((peer) => peer.addr === addr);
}

/** Node id 0: nobody, so nothing to propose. */
function entry(type: number, nodeId: number, change: MemberChange): ConfigurationChange[] {
  if (nodeId === 0) return [];
  return [{ type, peer: { type: 0, priority: 0, nodeId }, context: encodeMemberChange(change) }];
}
