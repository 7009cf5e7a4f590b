/**
 * The body of OpNotifyReplicasToRepair (`wire.md` 9.6, `repair.md` 7.2): what the partition's leader asks a replica to fetch.
 */
import { ADDRESS_CHARACTERS_MAX, EXTENT_LIST_MAX, type ExtentInfo, extentInfo } from './extentInfo.js';
import { decodeBody, encodeBody, i64, list, struct, text, u8 } from './jsonCodec.js';
import type { Decoded } from './jsonText.js';

export interface RepairTask {
  /** Always 0. */
  taskType: number;
  /** Normal extents that the replica lacks. */
  extentsToBeCreated: ExtentInfo[];
  /** Extents that are shorter than elsewhere: `size` is the target, `source` the holder. */
  extentsToBeRepaired: ExtentInfo[];
  /** Position counter of the leader's tiny delete file, in bytes (`storage.md` 8.2). */
  leaderTinyDeleteRecordFileSize: number;
  leaderAddr: string;
}

const repairTask = struct<RepairTask>({
  taskType: ['TaskType', u8],
  extentsToBeCreated: ['ExtentsToBeCreated', list(extentInfo, EXTENT_LIST_MAX)],
  extentsToBeRepaired: ['ExtentsToBeRepaired', list(extentInfo, EXTENT_LIST_MAX)],
  leaderTinyDeleteRecordFileSize: ['LeaderTinyDeleteRecordFileSize', i64],
  leaderAddr: ['LeaderAddr', text(ADDRESS_CHARACTERS_MAX)],
});

/** Body of OpNotifyReplicasToRepair (`wire.md` 9.6). Asserts that every number fits its field. */
export function encodeRepairTask(task: RepairTask): Uint8Array {
  return encodeBody(repairTask, task);
}

/** Parses a task; `null` lists are empty ones. */
export function decodeRepairTask(body: Uint8Array): Decoded<RepairTask> {
  return decodeBody(repairTask, body);
}
