/**
 * Builds what the node tells about itself: the Response of a heartbeat task, which `/stats` shows too (`admin.md` 6). Pure.
 *
 * The reference refreshes its totals every 10 s and reports zeros before; here they are as current as the node's tables.
 */
import { RESPONSE_STATUS } from '../protocol/adminBodies.js';
import type { HeartbeatResponse, PartitionReport } from '../protocol/heartbeat.js';
import type { DiskInfo, PartitionInfo, Status } from './nodeView.js';
import { reportedStatus, totalsOf } from './space.js';

/** The response from all disks and loaded partitions; `rack` as configured. */
export function buildHeartbeat(
  disks: readonly DiskInfo[],
  partitions: readonly PartitionInfo[],
  rack: string,
): HeartbeatResponse {
  const totals = totalsOf(disks);
  const statusOfDisk = new Map(disks.map((disk) => [disk.path, disk.status]));
  return {
    total: totals.total,
    used: totals.used,
    available: totals.available,
    totalPartitionSize: totals.allocated,
    remainingCapacity: totals.unallocated,
    createdPartitionCount: totals.partitionCount,
    maxCapacity: totals.maxUnallocated,
    rackName: rack,
    partitionReports: partitions.map((partition) =>
      reportOf(partition, statusOfDisk.get(partition.diskPath) ?? partition.status),
    ),
    status: RESPONSE_STATUS.success,
    result: '',
    badDisks: disks.filter((disk) => disk.status === -1).map((disk) => disk.path),
  };
}

/** The response to a task that cannot be answered: all zero but status and reason; the master ignores the rest. */
export function failedHeartbeat(reason: string): HeartbeatResponse {
  return { ...buildHeartbeat([], [], ''), status: RESPONSE_STATUS.failed, result: reason };
}

function reportOf(partition: PartitionInfo, disk: Status): PartitionReport {
  return {
    volume: partition.volume,
    partitionId: partition.id,
    status: reportedStatus(partition.status, disk),
    total: partition.sizeBytes,
    used: partition.usedBytes,
    diskPath: partition.diskPath,
    isLeader: partition.isLeader,
    extentCount: partition.extentCount,
    needCompare: true,
  };
}
