/**
 * Builds what the node tells about itself: the Response of a heartbeat task, which `/stats` shows too (`admin.md` 6). Pure.
 *
 * The reference refreshes its totals every 10 s and reports zeros before; here they are as current as the node's tables.
 */
import { RESPONSE_STATUS } from '../protocol/adminBodies.js';
import type { HeartbeatResponse, PartitionReport } from '../protocol/heartbeat.js';
import type { DiskInfo, PartitionInfo, Status } from './nodeView.js';
import { reportedStatus, totalsOf } from './space.js';

/** Where the node stands, as configured; `cell` and `zoneName` may be empty. */
export interface NodeLabels {
  readonly rack: string;
  readonly cell: string;
  readonly zoneName: string;
}

/** The whole response, from all disks and loaded partitions: for `/stats`. A heartbeat is built in slices (`heartbeats.ts`). */
export function buildHeartbeat(
  disks: readonly DiskInfo[],
  partitions: readonly PartitionInfo[],
  labels: NodeLabels,
): HeartbeatResponse {
  const statusOfDisk = statusesOf(disks);
  return {
    ...nodeNumbers(disks, labels),
    partitionReports: partitions.map((partition) => reportOf(partition, statusOfDisk)),
  };
}

/** The response without its partitions. */
export function nodeNumbers(
  disks: readonly DiskInfo[],
  labels: NodeLabels,
): Omit<HeartbeatResponse, 'partitionReports'> {
  const totals = totalsOf(disks);
  return {
    total: totals.total,
    used: totals.used,
    available: totals.available,
    totalPartitionSize: totals.allocated,
    remainingCapacity: totals.unallocated,
    createdPartitionCount: totals.partitionCount,
    maxCapacity: totals.maxUnallocated,
    rackName: labels.rack,
    cellName: labels.cell,
    zoneName: labels.zoneName,
    status: RESPONSE_STATUS.success,
    result: '',
    badDisks: disks.filter((disk) => disk.status === -1).map((disk) => disk.path),
  };
}

/** The response to a task that cannot be answered: all zero but status and reason; the master ignores the rest. */
export function failedHeartbeat(reason: string): HeartbeatResponse {
  const labels = { rack: '', cell: '', zoneName: '' };
  return { ...buildHeartbeat([], [], labels), status: RESPONSE_STATUS.failed, result: reason };
}

/** Status of each disk by its path. */
export function statusesOf(disks: readonly DiskInfo[]): Map<string, Status> {
  return new Map(disks.map((disk) => [disk.path, disk.status]));
}

/** One partition as the master is told of it: its status is no better than its disk's. */
export function reportOf(
  partition: PartitionInfo,
  statusOfDisk: ReadonlyMap<string, Status>,
): PartitionReport {
  const disk = statusOfDisk.get(partition.diskPath) ?? partition.status;
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
