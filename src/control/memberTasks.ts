/**
 * The master's tasks of membership: decommission 0x66, add 0x67, remove 0x68, try to become leader 0x69 (`admin.md` 5.8), as far as they do without raft. Pure. Used by
 * `adminTasks.ts`.
 *
 * What only the partition's group could do is answered with an error, which the master does not take for success. The opcode inside the task is not looked at,
 * as in the reference.
 */
import { decodeAdminTask } from '../protocol/adminTask.js';
import { ERROR_TEXT, groupNotServed, partitionNotExist, samePeer } from '../protocol/errors.js';
import { decodeMemberRequest, type MemberChange } from '../protocol/memberChange.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import type { AdminReply, NodeView, Outcome, PartitionInfo } from './nodeView.js';

type MemberOpcode =
  | typeof OP.decommissionDataPartition
  | typeof OP.addDataPartitionRaftMember
  | typeof OP.removeDataPartitionRaftMember
  | typeof OP.dataPartitionTryToLeader;

/** Answers a task. `partitionId`: of the packet's header, which 0x69 goes by. */
export function answerMemberTask(
  opcode: MemberOpcode,
  partitionId: number,
  body: Uint8Array,
  nodeView: Pick<NodeView, 'partition'>,
): AdminReply {
  const action = actionOf(opcode);
  if (opcode === OP.dataPartitionTryToLeader) return replyOf(action, tryToLeader(partitionId, nodeView));
  const request = requestOf(body);
  if (!request.ok) return { ok: false, action, message: request.message };
  const change = request.value;
  const partition = nodeView.partition(change.partitionId);
  if (partition !== undefined) return replyOf(action, carryOut(opcode, change, partition), partition.id);
  // Two texts for one thing, and with them two codes, as in the reference.
  const isAdd = opcode === OP.addDataPartitionRaftMember;
  const message = isAdd ? ERROR_TEXT.partitionNotExists : partitionNotExist(change.partitionId);
  return { ok: false, action, message };
}

/**
 * Whether `addr` is a member of the partition's group. The reference asks the master's list, which may be ten minutes old: a replica that was removed and is added again within that
 * time is then "there already", and is never added.
 */
export function hasMember({ peers }: PartitionInfo, addr: string): boolean {
  return peers.some((peer) => peer.addr === addr);
}

function requestOf(body: Uint8Array): Outcome<MemberChange> {
  const task = decodeAdminTask(body);
  return task.ok ? decodeMemberRequest(task.value.request) : task;
}

/** The group of a lone replica has its leader in it. */
function tryToLeader(partitionId: number, nodeView: Pick<NodeView, 'partition'>): Outcome<null> {
  const partition = nodeView.partition(partitionId);
  if (partition === undefined) return { ok: false, message: partitionNotExist(partitionId) };
  return partition.isLeader ? DONE : { ok: false, message: groupNotServed(partitionId) };
}

function carryOut(
  opcode: Exclude<MemberOpcode, typeof OP.dataPartitionTryToLeader>,
  { addPeer, removePeer }: MemberChange,
  partition: PartitionInfo,
): Outcome<null> {
  const isThereAlready = opcode === OP.addDataPartitionRaftMember && hasMember(partition, addPeer.addr);
  const isGoneAlready = opcode === OP.removeDataPartitionRaftMember && !hasMember(partition, removePeer.addr);
  if (isThereAlready || isGoneAlready) return DONE;
  if (opcode === OP.decommissionDataPartition && addPeer.id === removePeer.id)
    return { ok: false, message: samePeer(addPeer, removePeer) };
  return { ok: false, message: groupNotServed(partition.id) };
}

const DONE: Outcome<null> = { ok: true, value: null };
const EMPTY = new Uint8Array(0);

/** `partitionId`: put into the reply's header (`wire.md` 3.4). */
function replyOf(action: string, outcome: Outcome<null>, partitionId?: number): AdminReply {
  const header = partitionId === undefined ? {} : { partitionId };
  return outcome.ok
    ? { ok: true, body: EMPTY, ...header }
    : { ok: false, action, message: outcome.message, ...header };
}
