/** What the status page shows; made on the main thread (`mainSide.ts`), rendered on the HTTP thread (`statusPage.ts`). */

export interface OverviewDisk {
  path: string;
  total: number;
  used: number;
  available: number;
  allocated: number;
  status: number;
  partitions: number;
  readErrors: number;
  writeErrors: number;
  responsive: boolean;
}

export interface OverviewPartition {
  id: number;
  volume: string;
  size: number;
  used: number;
  extents: number;
  status: number;
  leader: boolean;
  hosts: string[];
}

export interface Overview {
  address: string;
  cluster: string;
  nodeId: number;
  rack: string;
  startedAtMs: number;
  connections: number;
  disks: OverviewDisk[];
  /** The first ones by id; `partitionCount` says how many there are. */
  partitions: OverviewPartition[];
  partitionCount: number;
}

/** Partitions shown on the page. The whole list is at `/partitions`. */
export const OVERVIEW_PARTITIONS_MAX = 500;
