/** Requests of clients, peers and the master as tests send them, and the exact reply that a request must get (`wire.md` 3.4, 9). */
import zlib from 'node:zlib';
import { createRequest } from '../../src/protocol/adminBodies.js';
import { encodeAdminTask, newAdminTask } from '../../src/protocol/adminTask.js';
import { PacketHeader } from '../../src/protocol/header.js';
import type { JsonValue } from '../../src/protocol/jsonText.js';
import { OP } from '../../src/protocol/opcodes.js';
import { encodePacket, type RequestFields, setRequestId } from '../../src/protocol/packet.js';
import type { Ask } from './packetClient.js';

/** OpCreateExtent as a client of a one-replica partition sends it: the body is the inode. */
export function create(partitionId: number): Ask {
  return { opcode: OP.createExtent, extentType: 1, partitionId, body: new Uint8Array(8) };
}

/** OpWrite, or OpSyncWrite, of `body` to a normal extent. */
export function write(
  partitionId: number,
  extentId: number,
  extentOffset: number,
  body: Uint8Array,
  sync = false,
): Ask {
  const opcode = sync ? OP.syncWrite : OP.write;
  const kernelOffset = extentOffset;
  const crc = zlib.crc32(body);
  return { opcode, extentType: 1, partitionId, extentId, extentOffset, kernelOffset, crc, body };
}

/** OpRandomWrite, or OpSyncRandomWrite, of `body` inside a normal extent. */
export function randomWrite(
  partitionId: number,
  extentId: number,
  extentOffset: number,
  body: Uint8Array,
  sync = false,
): Ask {
  const opcode = sync ? OP.syncRandomWrite : OP.randomWrite;
  return { ...write(partitionId, extentId, extentOffset, body), opcode };
}

/** A stream read: OpStreamRead unless told otherwise. */
export function read(
  partitionId: number,
  extentId: number,
  extentOffset: number,
  size: number,
  opcode: number = OP.streamRead,
): Ask {
  return { opcode, extentType: 1, partitionId, extentId, extentOffset, size };
}

/** OpCreateDataPartition from the master to the node `nodeAddr`. `hosts`: all replicas, the first host first; default: this node alone, whose id is `nodeId`. */
export function createPartition(
  nodeAddr: string,
  nodeId: number,
  partitionId: number,
  sizeBytes: number,
  hosts: readonly string[] = [nodeAddr],
): Ask {
  const request = createRequest.encode({
    partitionType: '',
    partitionId,
    sizeBytes,
    volume: 'made-by-test',
    isRandomWrite: false,
    members: hosts.map((addr, index) => ({ id: hosts.length === 1 ? nodeId : index + 1, addr })),
    hosts: [...hosts],
    createType: 0,
  });
  return masterTask(OP.createDataPartition, nodeAddr, partitionId, JSON.parse(request) as JsonValue);
}

/** OpDeleteDataPartition. */
export function deletePartition(nodeAddr: string, partitionId: number): Ask {
  return masterTask(OP.deleteDataPartition, nodeAddr, partitionId, {
    DataPartitionType: '',
    PartitionId: partitionId,
    PartitionSize: 0,
  });
}

function masterTask(opcode: number, nodeAddr: string, partitionId: number, request: JsonValue): Ask {
  const task = newAdminTask(opcode, nodeAddr, partitionId, Math.floor(Date.now() / 1000), request);
  return { opcode, partitionId, body: encodeAdminTask(task) };
}

/** What a reply carries besides the echoed fields of its request. */
export interface ReplyParts {
  resultCode: number;
  /** Default: none. An error reply carries the request's Arg. */
  arg?: Uint8Array;
  body?: Uint8Array | string;
  /** Where it differs from the request's. */
  crc?: number;
  partitionId?: number;
  extentId?: number;
  extentOffset?: number;
  extentType?: number;
  kernelOffset?: number;
}

/** The bytes of the reply to `request`: every field echoed but those of `parts`. */
export function replyBytes(request: RequestFields, parts: ReplyParts): Buffer {
  const body = typeof parts.body === 'string' ? Buffer.from(parts.body) : (parts.body ?? new Uint8Array(0));
  const header = new PacketHeader();
  header.opcode = request.opcode;
  header.resultCode = parts.resultCode;
  header.extentType = parts.extentType ?? request.extentType ?? 0;
  header.remainingFollowers = request.remainingFollowers ?? 0;
  header.crc = parts.crc ?? request.crc ?? 0;
  header.size = body.byteLength;
  header.partitionId = parts.partitionId ?? request.partitionId ?? 0;
  header.extentId = parts.extentId ?? request.extentId ?? 0;
  header.extentOffset = parts.extentOffset ?? request.extentOffset ?? 0;
  setRequestId(header, request.reqId);
  const kernelOffset = parts.kernelOffset ?? request.kernelOffset ?? 0;
  header.kernelOffsetHigh = Math.floor(kernelOffset / 2 ** 32);
  header.kernelOffsetLow = kernelOffset >>> 0;
  return Buffer.from(encodePacket(header, parts.arg ?? new Uint8Array(0), body));
}

/** Content that tells where it belongs: bytes of `extentId` from `offset`, the same for the same numbers, different for others. */
export function pattern(extentId: number, offset: number, bytes: number): Buffer {
  const first = Math.floor(offset / 4);
  const words = new Uint32Array(Math.ceil((offset + bytes) / 4) - first);
  const start = Math.imul(extentId, 0x9e3779b1) + first;
  // Counters under a mixer: neighbouring words, extents and positions all differ.
  for (let at = 0; at < words.length; at++) words[at] = Math.imul((start + at) ^ 0x5bd1e995, 0x85ebca6b);
  return Buffer.from(words.buffer, offset - first * 4, bytes);
}
