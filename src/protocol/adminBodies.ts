/**
 * Request and Response of the partition tasks: create, delete, load (`admin.md` 5.3 to 5.6).
 */
import { type AdminTask, encodeAdminResponse } from './adminTask.js';
import { ADDRESS_CHARACTERS_MAX } from './extentInfo.js';
import {
  aroundPlace,
  bool,
  decodeValue,
  i64,
  type JsonCodec,
  list,
  place,
  struct,
  text,
  u8,
  u32,
  u64,
} from './jsonCodec.js';
import type { Decoded, JsonValue } from './jsonText.js';

/** Raft member. */
export interface Peer {
  id: number;
  addr: string;
}

/** Replicas of a partition: three as a rule, a few more while one is moved. */
export const MEMBERS_MAX = 64;
export const VOLUME_NAME_CHARACTERS_MAX = 256;
/** Length of a path on Linux. */
export const PATH_CHARACTERS_MAX = 4096;
/** A partition has at most 60,000 extents; see `EXTENT_LIST_MAX`. */
const SNAPSHOT_FILES_MAX = 100_000;
const RESULT_CHARACTERS_MAX = 4096;

export const peer = struct<Peer>({ id: ['id', u64], addr: ['addr', text(ADDRESS_CHARACTERS_MAX)] });

/** Created by a volume, or because a replica moves here and has to be repaired before its raft starts. */
export const CREATE_TYPE = { normal: 0, decommissioned: 1 } as const;
export type CreateType = (typeof CREATE_TYPE)[keyof typeof CREATE_TYPE];

/** Request of OpCreateDataPartition. `partitionType` and `isRandomWrite` are used by nobody. */
export interface CreateRequest {
  partitionType: string;
  partitionId: number;
  /** Capacity in bytes. */
  sizeBytes: number;
  volume: string;
  isRandomWrite: boolean;
  members: Peer[];
  /** Replica order; the first is the primary. */
  hosts: string[];
  createType: CreateType;
}

const createType: JsonCodec<CreateType> = {
  zero: () => CREATE_TYPE.normal,
  decode(value, fault) {
    if (value === null || value === CREATE_TYPE.normal) return CREATE_TYPE.normal;
    if (value === CREATE_TYPE.decommissioned) return CREATE_TYPE.decommissioned;
    fault.wanted = 'must be 0 or 1';
    return CREATE_TYPE.normal;
  },
  encode: String,
};

export const createRequest = struct<CreateRequest>({
  partitionType: ['PartitionType', text(64)],
  partitionId: ['PartitionId', u64],
  sizeBytes: ['PartitionSize', u64],
  volume: ['VolumeId', text(VOLUME_NAME_CHARACTERS_MAX)],
  isRandomWrite: ['IsRandomWrite', bool],
  members: ['Members', list(peer, MEMBERS_MAX)],
  hosts: ['Hosts', list(text(ADDRESS_CHARACTERS_MAX), MEMBERS_MAX)],
  createType: ['CreateType', createType],
});

/** Request of OpDeleteDataPartition; only the id is used. */
export interface DeleteRequest {
  partitionType: string;
  partitionId: number;
  sizeBytes: number;
}

export const deleteRequest = struct<DeleteRequest>({
  partitionType: ['DataPartitionType', text(64)],
  partitionId: ['PartitionId', u64],
  sizeBytes: ['PartitionSize', u64],
});

/** Response to OpDeleteDataPartition; the reference posts none, its master understands this one (`admin.md` 15#3). */
export interface DeleteResponse {
  status: number;
  result: string;
  partitionId: number;
}

export const deleteResponse = struct<DeleteResponse>({
  status: ['Status', u8],
  result: ['Result', text(RESULT_CHARACTERS_MAX)],
  partitionId: ['PartitionId', u64],
});

export interface LoadRequest {
  partitionId: number;
}

export const loadRequest = struct<LoadRequest>({ partitionId: ['PartitionId', u64] });

/** One file of a load task's answer. */
export interface SnapshotFile {
  /** Decimal extent id. */
  name: string;
  crc: number;
  /** Bytes; 32 bits on the wire. */
  size: number;
  /** Unix seconds. */
  modified: number;
}

const snapshotFile = struct<SnapshotFile>({
  name: ['Name', text(32)],
  crc: ['Crc', u32],
  size: ['Size', u32],
  modified: ['Modified', i64],
});

/** Status of a response: how the task went. */
export const RESPONSE_STATUS = { success: 1, failed: 2 } as const;

/** Response to OpLoadDataPartition. */
export interface LoadResponse<Files = SnapshotFile[]> {
  partitionId: number;
  usedBytes: number;
  /** `[]` when empty: the master ignores a `null`. */
  snapshot: Files;
  status: number;
  /** -1, 1 or 2, as in heartbeats. */
  partitionStatus: number;
  result: string;
  volume: string;
}

function loadResponseWith<Files>(files: JsonCodec<Files>): JsonCodec<LoadResponse<Files>> {
  return struct<LoadResponse<Files>>({
    partitionId: ['PartitionId', u64],
    usedBytes: ['Used', u64],
    snapshot: ['PartitionSnapshot', files],
    status: ['Status', u8],
    partitionStatus: ['PartitionStatus', i64],
    result: ['Result', text(RESULT_CHARACTERS_MAX)],
    volume: ['VolName', text(VOLUME_NAME_CHARACTERS_MAX)],
  });
}

export const loadResponse = loadResponseWith(list(snapshotFile, SNAPSHOT_FILES_MAX));

const loadResponseAround = loadResponseWith(place);

/** Encodes the answer to a load task around `files`, a JSON array already, which is long: it is copied, never turned into text. */
export function encodeLoadResponse(
  task: AdminTask,
  response: Omit<LoadResponse, 'snapshot'>,
  files: Uint8Array,
): Uint8Array {
  const whole = encodeAdminResponse(task, loadResponseAround, { ...response, snapshot: null });
  const [before, behind] = aroundPlace(whole);
  return Buffer.concat([before, files, behind]);
}

/** Decodes the Request of a create task; id, size and volume must be set. */
export function decodeCreateRequest(request: JsonValue): Decoded<CreateRequest> {
  const decoded = decodeValue(createRequest, request);
  if (!decoded.ok) return decoded;
  const { partitionId, sizeBytes, volume } = decoded.value;
  if (partitionId === 0) return { ok: false, message: 'PartitionId: must not be 0' };
  if (sizeBytes === 0) return { ok: false, message: 'PartitionSize: must not be 0' };
  if (volume.trim() === '') return { ok: false, message: 'VolumeId: must not be blank' };
  return decoded;
}

/** Decodes the Request of a delete task. */
export function decodeDeleteRequest(request: JsonValue): Decoded<DeleteRequest> {
  return decodeValue(deleteRequest, request);
}

/** Decodes the Request of a load task. */
export function decodeLoadRequest(request: JsonValue): Decoded<LoadRequest> {
  return decodeValue(loadRequest, request);
}
