/**
 * The heartbeat task: its Request, and the Response with everything the master knows of a node (`admin.md` 5.7 and 6). `/stats` shows the same object.
 */

import { PATH_CHARACTERS_MAX, VOLUME_NAME_CHARACTERS_MAX } from './adminBodies.js';
import { type AdminTask, encodeAdminResponse } from './adminTask.js';
import { ADDRESS_CHARACTERS_MAX } from './extentInfo.js';
import {
  aroundPlace,
  bool,
  decodeValue,
  i64,
  type JsonCodec,
  list,
  optionalText,
  place,
  struct,
  text,
  u8,
  u32,
  u64,
} from './jsonCodec.js';
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
export interface HeartbeatResponse<Reports = PartitionReport[]> {
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
  /** Where the node stands. v1.4.0 masters read the rack, v1.5.x ones the cell, v2.x ones the zone, which they have in its place; empty ones of the two are not told. */
  rackName: string;
  cellName: string;
  zoneName: string;
  partitionReports: Reports;
  /** 1; 2 makes the master ignore the whole response. */
  status: number;
  result: string;
  /** Paths of unavailable disks. */
  badDisks: string[];
}

const NAME_CHARACTERS_MAX = 256;

function heartbeatResponseWith<Reports>(reports: JsonCodec<Reports>): JsonCodec<HeartbeatResponse<Reports>> {
  return struct<HeartbeatResponse<Reports>>({
    total: ['Total', u64],
    used: ['Used', u64],
    available: ['Available', u64],
    totalPartitionSize: ['TotalPartitionSize', u64],
    remainingCapacity: ['RemainingCapacity', u64],
    createdPartitionCount: ['CreatedPartitionCnt', u32],
    maxCapacity: ['MaxCapacity', u64],
    rackName: ['RackName', text(NAME_CHARACTERS_MAX)],
    cellName: ['CellName', optionalText(NAME_CHARACTERS_MAX)],
    zoneName: ['ZoneName', optionalText(NAME_CHARACTERS_MAX)],
    partitionReports: ['PartitionReports', reports],
    status: ['Status', u8],
    result: ['Result', text(4096)],
    badDisks: ['BadDisks', list(text(PATH_CHARACTERS_MAX), DISKS_MAX)],
  });
}

export const heartbeatResponse = heartbeatResponseWith(list(partitionReport, PARTITIONS_MAX));
const heartbeatResponseAround = heartbeatResponseWith(place);

/** The answer to a heartbeat task around its reports, a JSON array that is made bit by bit: what comes before it, and what behind. */
export function encodeHeartbeatAround(
  task: AdminTask,
  response: Omit<HeartbeatResponse, 'partitionReports'>,
): [before: Uint8Array, behind: Uint8Array] {
  return aroundPlace(
    encodeAdminResponse(task, heartbeatResponseAround, { ...response, partitionReports: null }),
  );
}

/** Decodes the Request of a heartbeat task. */
export function decodeHeartbeatRequest(request: JsonValue): Decoded<HeartbeatRequest> {
  return decodeValue(heartbeatRequest, request);
}

/** Decodes a node's Response, as a master does. */
export function decodeHeartbeatResponse(response: JsonValue): Decoded<HeartbeatResponse> {
  return decodeValue(heartbeatResponse, response);
}
