/**
 * The small questions between replicas (`wire.md` 9.7): request packets and the bodies of their replies.
 *
 * Bodies are one or two unsigned 64-bit numbers, big endian. Shorter bodies crash the reference; here they decode to null.
 */
import { readUint64, writeInt64 } from './header.js';
import { OP } from './opcodes.js';
import { encodeRequest } from './packet.js';

/** OpGetAppliedId: how far has raft been applied there? */
export function newPacketToGetAppliedId(reqId: number, partitionId: number): Uint8Array {
  return encodeRequest({ opcode: OP.getAppliedId, reqId, partitionId });
}

/** OpBroadcastMinAppliedID: every replica has applied up to here, the raft log may be cut there. */
export function newPacketToBroadcastMinAppliedId(
  reqId: number,
  partitionId: number,
  minAppliedId: number,
): Uint8Array {
  const body = encodeUint64Body(minAppliedId);
  return encodeRequest({ opcode: OP.broadcastMinAppliedId, reqId, partitionId, body });
}

/** OpGetPartitionSize: how many bytes have the extents up to this id? */
export function newPacketToGetPartitionSize(
  reqId: number,
  partitionId: number,
  extentIdMax: number,
): Uint8Array {
  return encodeRequest({ opcode: OP.getPartitionSize, reqId, partitionId, extentId: extentIdMax });
}

/** OpGetMaxExtentIDAndPartitionSize: the largest extent id, and the bytes of all extents. */
export function newPacketToGetMaxExtentIdAndPartitionSize(reqId: number, partitionId: number): Uint8Array {
  return encodeRequest({ opcode: OP.getMaxExtentIdAndPartitionSize, reqId, partitionId });
}

/** Body of the replies to 0x10 and 0x11, and of the request 0x0A. */
export function encodeUint64Body(value: number): Uint8Array {
  const body = new Uint8Array(8);
  writeInt64(new DataView(body.buffer), 0, value);
  return body;
}

/** Reads such a body; null when it is too short or the number larger than 2^53 - 1. */
export function decodeUint64Body(body: Uint8Array): number | null {
  return numberAt(body, 0);
}

/** Body of the reply to 0x16. */
export function encodeMaxExtentIdAndSize(extentIdMax: number, sizeBytes: number): Uint8Array {
  const body = new Uint8Array(16);
  const view = new DataView(body.buffer);
  writeInt64(view, 0, extentIdMax);
  writeInt64(view, 8, sizeBytes);
  return body;
}

/** Reads such a body; null when it is too short or a number larger than 2^53 - 1. */
export function decodeMaxExtentIdAndSize(
  body: Uint8Array,
): { extentIdMax: number; sizeBytes: number } | null {
  const extentIdMax = numberAt(body, 0);
  const sizeBytes = numberAt(body, 8);
  return extentIdMax === null || sizeBytes === null ? null : { extentIdMax, sizeBytes };
}

function numberAt(body: Uint8Array, offset: number): number | null {
  if (body.byteLength < offset + 8) return null;
  const value = readUint64(new DataView(body.buffer, body.byteOffset, body.byteLength), offset);
  return value < 0 ? null : value;
}
