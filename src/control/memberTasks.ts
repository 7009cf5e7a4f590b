/**
 * The master's tasks of membership: decommission 0x66, add 0x67, remove 0x68, try to become leader 0x69 (`admin.md` 5.8). What is decided here is pure; `answerMemberTask` acts on it. Used by
 * `adminTasks.ts`.
 *
 * Only the worker knows who leads, and only a leader decides: a follower's list of members may be an older one. What it does not lead is passed on to the leader's data port, once: two nodes that each take
 * the other for the leader would send a packet to and fro. The opcode inside the task is not looked at, as in the reference.
 */
import { decodeAdminTask, forwardedBy, markForwarded } from '../protocol/adminTask.js';
import { ERROR_TEXT, partitionNotExist, samePeer } from '../protocol/errors.js';
import { decodeMemberRequest, type MemberChange, type MemberChangeKind } from '../protocol/memberChange.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import { RESULT } from '../protocol/resultCodes.js';
import { askLeader, LEADER_LIMITS, type LeaderAnswer, type LeaderLimits } from './leaderCall.js';
import type { AdminReply, NodeView, Outcome } from './nodeView.js';

type MemberOpcode =
  | typeof OP.decommissionDataPartition
  | typeof OP.addDataPartitionRaftMember
  | typeof OP.removeDataPartitionRaftMember
  | typeof OP.dataPartitionTryToLeader;

export interface MemberTaskOptions {
  readonly nodeView: Pick<NodeView, 'partition' | 'changeMembers' | 'tryToLead'>;
  /** `ip:port` of this node's data port. */
  readonly address: string;
  /** How long a leader may take; tests give it less. */
  readonly leaderLimits?: LeaderLimits;
}

/** What a packet asks for. */
export type MemberStep =
  | { kind: 'refused'; message: string; partitionId?: number }
  | { kind: 'change'; what: MemberChangeKind; change: MemberChange; passedOn: boolean };

/** What is to be done when the worker has answered. */
export type AfterChange =
  | { kind: 'done' }
  | { kind: 'refused'; message: string }
  | { kind: 'passOn'; to: string };

/** Answers a task. `partitionId`: of the packet's header, which 0x69 goes by. */
export async function answerMemberTask(
  opcode: MemberOpcode,
  partitionId: number,
  body: Uint8Array,
  options: MemberTaskOptions,
): Promise<AdminReply> {
  const { nodeView } = options;
  if (opcode === OP.dataPartitionTryToLeader) return replyOf(opcode, await tryToLead(partitionId, nodeView));
  const step = memberStep(opcode, body, nodeView);
  if (step.kind === 'refused') {
    const { message, partitionId } = step;
    return {
      ...replyOf(opcode, { ok: false, message }),
      ...(partitionId === undefined ? {} : { partitionId }),
    };
  }
  const { what, change, passedOn } = step;
  const header = { partitionId: change.partitionId };
  const outcome = await withinBound(nodeView.changeMembers(what, change), limitsOf(options).totalMs);
  const after = afterChange(outcome, passedOn, options.address);
  if (after.kind === 'done') return { ...replyOf(opcode, DONE), ...header };
  if (after.kind === 'refused')
    return { ...replyOf(opcode, { ok: false, message: after.message }), ...header };
  const marked = markForwarded(body, options.address);
  const answer = await askLeader(after.to, { opcode, partitionId, body: marked }, limitsOf(options));
  return { ...answerOf(opcode, answer), ...header };
}

/** What a packet of these kinds asks for, as far as its body and the partitions of this node say. */
export function memberStep(
  opcode: Exclude<MemberOpcode, typeof OP.dataPartitionTryToLeader>,
  body: Uint8Array,
  nodeView: Pick<NodeView, 'partition'>,
): MemberStep {
  const task = decodeAdminTask(body);
  if (!task.ok) return { kind: 'refused', message: task.message };
  const request = decodeMemberRequest(task.value.request);
  if (!request.ok) return { kind: 'refused', message: request.message };
  const change = request.value;
  const { partitionId, addPeer, removePeer } = change;
  if (nodeView.partition(partitionId) !== undefined) {
    // Whoever leads would say the same.
    if (opcode === OP.decommissionDataPartition && addPeer.id === removePeer.id)
      return { kind: 'refused', message: samePeer(addPeer, removePeer), partitionId };
    return { kind: 'change', what: KINDS[opcode], change, passedOn: forwardedBy(body) !== '' };
  }
  // Two texts for one thing, and with them two codes, as in the reference.
  const isAdd = opcode === OP.addDataPartitionRaftMember;
  const message = isAdd ? ERROR_TEXT.partitionNotExists : partitionNotExist(partitionId);
  return { kind: 'refused', message };
}

/** What follows from the worker's answer: whose group is led elsewhere is asked there, unless the packet was passed on already, or the leader is said to be this node, which denies it. */
export function afterChange(outcome: Outcome<string>, passedOn: boolean, address: string): AfterChange {
  if (!outcome.ok) return { kind: 'refused', message: outcome.message };
  const leader = outcome.value;
  if (leader === '') return { kind: 'done' };
  if (passedOn || leader === address) return { kind: 'refused', message: ERROR_TEXT.notRaftLeader };
  return { kind: 'passOn', to: leader };
}

const KINDS = {
  [OP.decommissionDataPartition]: 'decommission',
  [OP.addDataPartitionRaftMember]: 'add',
  [OP.removeDataPartitionRaftMember]: 'remove',
} as const satisfies Record<number, MemberChangeKind>;

const DONE: Outcome<null> = { ok: true, value: null };
const EMPTY = new Uint8Array(0);

function limitsOf({ leaderLimits }: MemberTaskOptions): LeaderLimits {
  return leaderLimits ?? LEADER_LIMITS;
}

async function tryToLead(
  partitionId: number,
  nodeView: MemberTaskOptions['nodeView'],
): Promise<Outcome<null>> {
  if (nodeView.partition(partitionId) !== undefined) return nodeView.tryToLead(partitionId);
  return { ok: false, message: partitionNotExist(partitionId) };
}

/** A change that a majority does not take stays proposed; whoever has asked hears no more of it. */
async function withinBound(asked: Promise<Outcome<string>>, ms: number): Promise<Outcome<string>> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome<string>>((resolve) => {
    timer = setTimeout(
      () => resolve({ ok: false, message: `the change was not applied within ${ms} ms` }),
      ms,
    );
  });
  const outcome = await Promise.race([asked, late]);
  clearTimeout(timer);
  return outcome;
}

function answerOf(opcode: MemberOpcode, answer: LeaderAnswer): AdminReply {
  if (!answer.ok) return replyOf(opcode, answer);
  const { resultCode, body } = answer;
  return resultCode === RESULT.ok ? { ok: true, body } : { ok: false, resultCode, body };
}

function replyOf(opcode: MemberOpcode, outcome: Outcome<null>): AdminReply {
  if (outcome.ok) return { ok: true, body: EMPTY };
  return { ok: false, action: actionOf(opcode), message: outcome.message };
}
