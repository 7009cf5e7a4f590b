/**
 * The heartbeat task: its Request, and the Response with everything the master knows of a node (`admin.md` 5.7 and 6). `/stats` shows the same object.
 */
import { PATH_CHARACTERS_MAX, VOLUME_NAME_CHARACTERS_MAX } from './adminBodies.js';
import { ADDRESS_CHARACTERS_MAX } from './extentInfo.js';
import { bool, decodeValue, i64, list, struct, text, u8, u32, u64 } from './jsonCodec.js';
import type { Decoded, JsonValue } from './jsonText.js';

export interface HeartbeatRequest {
  /** Unix seconds of the master. */
  currTime: number;
  masterAddr: string;
}

export const heartbeatRequest = struct<HeartbeatRequest>({
  currTime: ['CurrTime', i64],
  masterAddr: ['MasterAddr', text(ADDRESS_CHARACTERS_MAX)],
});

/** One partition of the node. Sizes in bytes. */
export interface PartitionReport {
  volume: string;
  partitionId: number;
  /** 2 read-write, 1 read-only, -1 unavailable. */
  status: number;
  total: number;
  used: number;
  diskPath: string;
  /** This node leads the partition's raft group. */
  isLeader: boolean;
  extentCount: number;
  /** Always true: the master compares replicas only where all say so. */
  needCompare: boolean;
}

/** 64 TiB of disks in partitions of 1 GiB. */
const PARTITIONS_MAX = 65_536;
const DISKS_MAX = 1024;

export const partitionReport = struct<PartitionReport>({
  volume: ['VolName', text(VOLUME_NAME_CHARACTERS_MAX)],
  partitionId: ['PartitionID', u64],
  status: ['PartitionStatus', i64],
  total: ['Total', u64],
  used: ['Used', u64],
  diskPath: ['DiskPath', text(PATH_CHARACTERS_MAX)],
  isLeader: ['IsLeader', bool],
  extentCount: ['ExtentCount', i64],
  needCompare: ['NeedCompare', bool],
});

/** Sizes in bytes, summed over the disks. */
export interface HeartbeatResponse {
  total: number;
  used: number;
  available: number;
  /** Sizes of all partitions. */
  totalPartitionSize: number;
  /** Not given to partitions yet. */
  remainingCapacity: number;
  createdPartitionCount: number;
  /** Largest remaining capacity of one disk. */
  maxCapacity: number;
  rackName: string;
  partitionReports: PartitionReport[];
  /** 1; 2 makes the master ignore the whole response. */
  status: number;
  result: string;
  /** Paths of unavailable disks. */
  badDisks: string[];
}

export const heartbeatResponse = struct<HeartbeatResponse>({
  total: ['Total', u64],
  used: ['Used', u64],
  available: ['Available', u64],
  totalPartitionSize: ['TotalPartitionSize', u64],
  remainingCapacity: ['RemainingCapacity', u64],
  createdPartitionCount: ['CreatedPartitionCnt', u32],
  maxCapacity: ['MaxCapacity', u64],
  rackName: ['RackName', text(256)],
  partitionReports: ['PartitionReports', list(partitionReport, PARTITIONS_MAX)],
  status: ['Status', u8],
  result: ['Result', text(4096)],
  badDisks: ['BadDisks', list(text(PATH_CHARACTERS_MAX), DISKS_MAX)],
});

/** Decodes the Request of a heartbeat task. */
export function decodeHeartbeatRequest(request: JsonValue): Decoded<HeartbeatRequest> {
  return decodeValue(heartbeatRequest, request);
}

/** Decodes a node's Response, as a master does. */
export function decodeHeartbeatResponse(response: JsonValue): Decoded<HeartbeatResponse> {
  return decodeValue(heartbeatResponse, response);
}
