/**
 * How long whoever sent a request waits for it. Pure; what is older is answered with an error instead of being executed. The node's own threads wait as long as it takes.
 */
import { ageMs } from '../partition/messages.js';
import type { Operation } from '../partition/operation.js';
import { OP } from '../protocol/opcodes.js';

export interface Patience {
  /** Clients, meta nodes and forwarding replicas, ms. */
  readonly requestAgeMsMax: number;
  /** Replicas that read for their repair, ms (`repair.md` 12). The records of tiny deletes they do not wait for any longer than clients do. */
  readonly repairReadAgeMsMax: number;
}

/** Whether nobody waits for `op` any more at `nowMs`, wall clock. */
export function isTooOld(op: Operation, nowMs: number, patience: Patience): boolean {
  const age = ageMs(op.issuedAtMs, nowMs);
  if (age <= patience.requestAgeMsMax || op.internal) return false;
  const isRepair = op.opcode === OP.extentRepairRead || op.opcode === OP.tinyExtentRepairRead;
  return !isRepair || age > patience.repairReadAgeMsMax;
}
