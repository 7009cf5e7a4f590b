/**
 * The master's admin tasks (`admin.md` 5.1): the envelope, and the texts of its refusals.
 *
 * A task comes as the body of a packet 0x60..0x69; its answer, posted to `/dataNode/response`, is the same task with Response filled in. Request and
 * Response stay undecoded here; their types are in `adminBodies.ts` and `heartbeat.ts`.
 */
import assert from 'node:assert';
import { ERROR_TEXT } from './errors.js';
import { ADDRESS_CHARACTERS_MAX } from './extentInfo.js';
import {
  anything,
  decodeBody,
  encodeBody,
  i8,
  i64,
  type JsonCodec,
  struct,
  text,
  u8,
  u64,
} from './jsonCodec.js';
import { type Decoded, type JsonValue, jsonText } from './jsonText.js';

/** Bookkeeping of the master; nodes only echo it. */
export const TASK_STATUS = { start: 0, success: 1, failed: 2, running: 3 } as const;

export interface AdminTask<Response = JsonValue> {
  /** `addr[<node>]_op[<opcode>]`, with `_DataPartitionID[<id>]` for partition tasks: the master finds its pending task by it. */
  id: string;
  partitionId: number;
  opcode: number;
  /** The data node's address; the master finds the node by it. */
  operatorAddr: string;
  status: number;
  /** Unix seconds. */
  sendTime: number;
  createTime: number;
  sendCount: number;
  /** Kept as it came, so that the answer repeats it. */
  request: JsonValue;
  response: Response;
}

/** 40 characters of words and two numbers around an address. */
const TASK_ID_CHARACTERS_MAX = 512;

function taskCodec<Response>(response: JsonCodec<Response>): JsonCodec<AdminTask<Response>> {
  return struct<AdminTask<Response>>({
    id: ['ID', text(TASK_ID_CHARACTERS_MAX)],
    partitionId: ['PartitionID', u64],
    opcode: ['OpCode', u8],
    operatorAddr: ['OperatorAddr', text(ADDRESS_CHARACTERS_MAX)],
    status: ['Status', i8],
    sendTime: ['SendTime', i64],
    createTime: ['CreateTime', i64],
    sendCount: ['SendCount', u8],
    request: ['Request', anything],
    response: ['Response', response],
  });
}

const openTask = taskCodec(anything);

/** Parses a task, or a posted answer. */
export function decodeAdminTask(body: Uint8Array): Decoded<AdminTask> {
  return decodeBody(openTask, body);
}

/** Ours, beside the members of a task: who has passed it on to the leader of its group. Nodes of the reference pass over it. */
const forwarded = struct<{ by: string }>({ by: ['ForwardedBy', text(ADDRESS_CHARACTERS_MAX)] });

/** Address of the node that has passed on this task; empty: it comes from a master. */
export function forwardedBy(body: Uint8Array): string {
  const decoded = decodeBody(forwarded, body);
  return decoded.ok ? decoded.value.by : 'unknown';
}

/** A task as it came, an object with a Request, with the mark that `by` has passed it on. */
export function markForwarded(body: Uint8Array, by: string): Uint8Array {
  const brace = body.indexOf('{'.charCodeAt(0));
  assert(brace >= 0, 'a task is an object');
  return Buffer.concat([Buffer.from(`{"ForwardedBy":${JSON.stringify(by)},`), body.subarray(brace + 1)]);
}

/** Encodes a task as the master sends it. */
export function encodeAdminTask(task: AdminTask): Uint8Array {
  return encodeBody(openTask, task);
}

/** Encodes the answer to a task: the task itself with its Response. */
export function encodeAdminResponse<Response>(
  task: AdminTask,
  codec: JsonCodec<Response>,
  response: Response,
): Uint8Array {
  return encodeBody(taskCodec(codec), { ...task, response });
}

/** A task as a master creates it. `partitionId` undefined: a task for the whole node. */
export function newAdminTask(
  opcode: number,
  operatorAddr: string,
  partitionId: number | undefined,
  createTime: number,
  request: JsonValue,
): AdminTask {
  const suffix = partitionId === undefined ? '' : `_DataPartitionID[${partitionId}]`;
  return {
    id: `addr[${operatorAddr}]_op[${opcode}]${suffix}`,
    partitionId: partitionId ?? 0,
    opcode,
    operatorAddr,
    status: TASK_STATUS.start,
    sendTime: 0,
    createTime,
    sendCount: 0,
    request,
    response: null,
  };
}

/** Longest piece of a request that an error text repeats. */
const TASK_TEXT_CHARACTERS_MAX = 512;

/** The task inside error texts. Two blanks before SendCount, as in the reference. */
export function describeTask(task: AdminTask): string {
  const times = `Status[${task.status}] LastSendTime[${task.sendTime}]  SendCount[${task.sendCount}]`;
  return `ID[${task.id}] ${times} Request[${shown(task.request)}] Response[${shown(task.response)}]`;
}

function shown(value: JsonValue): string {
  return value === null ? '<nil>' : jsonText(value).slice(0, TASK_TEXT_CHARACTERS_MAX);
}

/** A create task whose OpCode is another one. */
export function wrongTaskOpcode(task: AdminTask): string {
  return `from master Task(${describeTask(task)}) failed,error unavali opcode(${task.opcode})`;
}

/** A create task whose Request cannot be decoded. */
export function undecodableCreateRequest(task: AdminTask): string {
  return `from master Task(${describeTask(task)}) cannot unmash CreateDataPartitionRequest struct`;
}

/** A partition could not be created. */
export function createPartitionFailed(task: AdminTask, cause: string): string {
  return `from master Task(${describeTask(task)}) cannot create Partition err(${cause})`;
}

/** A task whose OpCode does not fit its packet, of the other kinds. One blank before the number, as in the reference. */
export function illegalTaskOpcode(task: AdminTask): string {
  return `${ERROR_TEXT.illegalOpcode} ${task.opcode}`;
}
