/**
 * What the data path asks of whoever repairs (`repair/startRepair.ts`): a seam, so that the two rooms know each other's shapes only. Called on the network thread.
 */
import type { AdminReply } from '../control/nodeView.js';
import type { BlockPlace } from '../partition/messages.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import type { RepairPartition } from '../repair/messages.js';

/** Hears of partitions as they come, change and go. */
export interface PartitionWatcher {
  attached(partition: RepairPartition): void;
  detached(id: number): void;
  /** The master has told the replicas of a partition, changed or not. */
  hosts(id: number, hosts: readonly string[]): void;
}

export interface Repairer extends PartitionWatcher {
  /** Carries out the notification in `body`; null when its work is done, else the message of an error. Always resolves. */
  task(id: number, body: Uint8Array): Promise<string | null>;
  /** Reads wait for a block to be healed. */
  damaged(place: BlockPlace): void;
  /** A worker answers nothing any more. */
  workerGone(index: number, reason: string): void;
}

const ACTION_REPAIR = actionOf(OP.notifyReplicasToRepair);
const NO_BODY = new Uint8Array(0);

/** Answers an OpNotifyReplicasToRepair, when its work is done (`repair.md` 7.2). */
export async function notified(repairer: Repairer | null, id: number, body: Uint8Array): Promise<AdminReply> {
  const failure = repairer === null ? 'the node is starting' : await repairer.task(id, body);
  if (failure === null) return { ok: true, body: NO_BODY, partitionId: id };
  return { ok: false, action: ACTION_REPAIR, message: failure, partitionId: id };
}
