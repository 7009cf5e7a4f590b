/**
 * Space and status rules of disks as the control plane applies them (`admin.md` 8): where a new partition goes, and what
 * the node reports. Pure. Space numbers of one disk come from `partition/diskSpace.ts`.
 */
import type { DiskInfo, Status } from './nodeView.js';

/** A new partition needs more than this available (`admin.md` 8.3). */
export const CREATE_AVAILABLE_BYTES = 5 * 1024 ** 3;

/** Sums over all disks as a heartbeat reports them; bytes, but for the count. */
export interface NodeTotals {
  total: number;
  used: number;
  available: number;
  allocated: number;
  unallocated: number;
  partitionCount: number;
  /** Largest unallocated of a single disk. */
  maxUnallocated: number;
}

/**
 * The disk for a new partition: smallest allocated share among those that are read-write and have more than 5 GiB available; the first
 * in order of configuration among equals. A disk that is hanging is left out, because the creation would hang with it. Null: none.
 *
 * `pendingBytes(path)`: sizes of partitions that are being created on a disk and are not in its `allocated` yet.
 */
export function chooseDisk(
  disks: readonly DiskInfo[],
  pendingBytes: (path: string) => number = () => 0,
): DiskInfo | null {
  let best: DiskInfo | null = null;
  let bestShare = Number.POSITIVE_INFINITY;
  for (const disk of disks) {
    if (disk.status !== 2 || !disk.responsive) continue;
    if (disk.available <= CREATE_AVAILABLE_BYTES || disk.total === 0) continue;
    const share = (disk.allocated + pendingBytes(disk.path)) / disk.total;
    if (share < bestShare) {
      best = disk;
      bestShare = share;
    }
  }
  return best;
}

/** Status that is told to the master: the worse one of the partition's own and its disk's (`admin.md` 7.2). */
export function reportedStatus(own: Status, disk: Status): Status {
  return Math.min(own, disk) as Status;
}

/** Sums for the heartbeat. */
export function totalsOf(disks: readonly DiskInfo[]): NodeTotals {
  const totals: NodeTotals = {
    total: 0,
    used: 0,
    available: 0,
    allocated: 0,
    unallocated: 0,
    partitionCount: 0,
    maxUnallocated: 0,
  };
  for (const disk of disks) {
    totals.total += disk.total;
    totals.used += disk.used;
    totals.available += disk.available;
    totals.allocated += disk.allocated;
    totals.unallocated += disk.unallocated;
    totals.partitionCount += disk.partitionCount;
    totals.maxUnallocated = Math.max(totals.maxUnallocated, disk.unallocated);
  }
  return totals;
}
