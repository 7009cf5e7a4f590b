/**
 * Random writes of clients (0x0F, 0x12; `raft.md` 5.2): checked here, carried out by the group, answered when they were applied here. What becomes of a committed one is `raftApply.ts`'s.
 *
 * The body is copied out of its slot, because an entry is kept until every replica has it. A connection that is gone does not take its proposal back.
 */
import { ERROR_TEXT } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { marshalRandWriteRaftLog } from '../protocol/randWrite.js';
import type { Operation } from './operation.js';
import type { Partition } from './partition.js';

/** Takes a random write whose checksum was computed (`Operation.bodyCrc`). Adds nothing to the batch. */
export function proposeRandomWrite(partition: Partition, op: Operation): void {
  const { host } = partition;
  const action = actionOf(op.opcode);
  const refusal = refusalOf(partition, op);
  if (refusal !== null) return host.fail(op, action, refusal);
  const { opcode, extentId, extentOffset, size, region, bufferOffset, crc } = op;
  const body = host.regions[region]!.subarray(bufferOffset, bufferOffset + size);
  const command = marshalRandWriteRaftLog(opcode, extentId, extentOffset, body, crc);
  partition.raft!.propose(command, (problem) => {
    if (problem === null) host.finish(op);
    else host.fail(op, action, problemText(problem));
  });
}

/** Who leads comes first, as in the reference: a client goes on to the leader, which says what is wrong. */
function refusalOf({ raft, raftApply, isLone }: Partition, op: Operation): string | null {
  if (raft !== null && raft.ending !== null) return raft.ending;
  if (raft === null || raftApply === null || raft.failure !== null)
    return isLone ? ERROR_TEXT.raftNotStarted : ERROR_TEXT.notRaftLeader;
  // The only member leads as soon as it may.
  if (!raft.isLeader && !isLone) return ERROR_TEXT.notRaftLeader;
  const { extentId, extentOffset, size: sizeBytes, crc, bodyCrc } = op;
  return raftApply.proposalRefusal({ extentId, extentOffset, sizeBytes, crc, bodyCrc });
}

/** Whatever tells of a lost lead is exactly that text (`raft.md` 5.2). */
function problemText(problem: string): string {
  return problem.includes(ERROR_TEXT.notRaftLeader) ? ERROR_TEXT.notRaftLeader : problem;
}
