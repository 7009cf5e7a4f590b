/**
 * The context of a member change (`raft.md` 5.9): the master's request as JSON, which every replica applies. Keys are sorted, as the reference writes them.
 */
import type { Peer } from './adminBodies.js';
import { ADDRESS_CHARACTERS_MAX } from './extentInfo.js';
import { decodeBody, decodeValue, struct, text, u64 } from './jsonCodec.js';
import type { Decoded, JsonValue } from './jsonText.js';

/** Node id 0: nobody. */
export interface MemberChange {
  addPeer: Peer;
  partitionId: number;
  removePeer: Peer;
}

/** What a task of membership asks for (`admin.md` 5.8): the second member instead of the first, one more, one less. */
export type MemberChangeKind = 'decommission' | 'add' | 'remove';

/** Three numbers and two addresses are far below. */
const CONTEXT_BYTES_MAX = 64 * 1024;

const sortedPeer = struct<Peer>({ addr: ['addr', text(ADDRESS_CHARACTERS_MAX)], id: ['id', u64] });

const memberChange = struct<MemberChange>({
  addPeer: ['AddPeer', sortedPeer],
  partitionId: ['PartitionId', u64],
  removePeer: ['RemovePeer', sortedPeer],
});

/** The context; a peer of node id 0 is left out. */
export function encodeMemberChange(change: MemberChange): Uint8Array {
  const members = [
    change.addPeer.id === 0 ? '' : `"AddPeer":${sortedPeer.encode(change.addPeer)}`,
    `"PartitionId":${u64.encode(change.partitionId)}`,
    change.removePeer.id === 0 ? '' : `"RemovePeer":${sortedPeer.encode(change.removePeer)}`,
  ];
  return Buffer.from(`{${members.filter((member) => member !== '').join(',')}}`);
}

/** Reads a context. Missing members are zero, unknown ones are passed over; what is no such JSON is refused, and then changes nothing. */
export function decodeMemberChange(context: Uint8Array): Decoded<MemberChange> {
  if (context.byteLength > CONTEXT_BYTES_MAX)
    return { ok: false, message: `member change of ${context.byteLength} bytes` };
  return decodeBody(memberChange, context);
}

/** Reads the Request of a task of membership (`admin.md` 5.8): the same object, in any order of keys. What is not there is zero. */
export function decodeMemberRequest(request: JsonValue): Decoded<MemberChange> {
  return decodeValue(memberChange, request);
}
