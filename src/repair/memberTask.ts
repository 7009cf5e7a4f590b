/**
 * A member's side of a notification (`repair.md` 8): creates what it lacks, fetches what is shorter here, carries out the tiny deletes that it has missed; answered when all of it is done, well or not.
 *
 * Tasks come at any time, from any node that believes it is the first host. What one names twice is fetched once; an extent that another task is fetching is waited for, not fetched
 * again.
 */
import type { ExtentInfo } from '../protocol/extentInfo.js';
import type { RepairTask } from '../protocol/repairTask.js';
import { isTinyExtent } from '../storage/layout.js';
import { eachBounded } from './bounded.js';

/** This node's replica. Everything may reject with an `Error` whose message says why. */
export interface MemberReplica {
  isDeleted(id: number): boolean;
  create(id: number): Promise<void>;
  /** See `RoundReplica.fetch`. */
  fetch(entry: ExtentInfo): Promise<void>;
  /** Carries out the tiny deletes of `leader`'s file up to `bytes` that are missing here. */
  syncTinyDeletes(leader: string, bytes: number): Promise<void>;
}

export interface TaskReport {
  readonly fetched: number;
  readonly failed: readonly { extentId: number; reason: string }[];
  readonly failedCount: number;
  /** Why the tiny deletes are not up to date; null: they are. */
  readonly deletesFailed: string | null;
}

const NAMED_FAILURES_MAX = 16;

/** Carries a task out. Never rejects. */
export async function runMemberTask(
  task: RepairTask,
  replica: MemberReplica,
  fetchesMax: number,
): Promise<TaskReport> {
  const wanted = fetchesOf(task, replica);
  const creates = task.extentsToBeCreated.filter(
    ({ fileId }) => !isTinyExtent(fileId) && wanted.get(fileId) !== undefined,
  );
  await eachBounded(creates, fetchesMax, ({ fileId }) => replica.create(fileId).catch(() => {}));
  const failed: { extentId: number; reason: string }[] = [];
  let failedCount = 0;
  await eachBounded([...wanted.values()], fetchesMax, async (entry) => {
    try {
      await replica.fetch(entry);
    } catch (error) {
      failedCount += 1;
      if (failed.length < NAMED_FAILURES_MAX)
        failed.push({ extentId: entry.fileId, reason: (error as Error).message });
    }
  });
  let deletesFailed: string | null = null;
  try {
    await replica.syncTinyDeletes(task.leaderAddr, task.leaderTinyDeleteRecordFileSize);
  } catch (error) {
    deletesFailed = (error as Error).message;
  }
  return { fetched: wanted.size - failedCount, failed, failedCount, deletesFailed };
}

/** One fetch an extent, with the largest target that is named. What was deleted here for good is not made again; tiny extents are never created by a task. */
function fetchesOf(task: RepairTask, replica: MemberReplica): Map<number, ExtentInfo> {
  const wanted = new Map<number, ExtentInfo>();
  const add = (entry: ExtentInfo): void => {
    if (entry.deleted || replica.isDeleted(entry.fileId)) return;
    const known = wanted.get(entry.fileId);
    if (known === undefined || known.size < entry.size) wanted.set(entry.fileId, entry);
  };
  for (const entry of task.extentsToBeCreated) if (!isTinyExtent(entry.fileId)) add(entry);
  for (const entry of task.extentsToBeRepaired) add(entry);
  return wanted;
}
