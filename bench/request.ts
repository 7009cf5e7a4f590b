/**
 * What a packet of each kind looks like: header, follower list, body. The opposite of `reply.ts`.
 */
import type * as net from 'node:net';
import { EXTENT_TYPE_NORMAL, EXTENT_TYPE_TINY, headerV1, PacketHeader } from '../src/protocol/header.js';
import { encodeClientMarkDelete } from '../src/protocol/tinyDelete.js';
import { isDelete, isRandomWrite, isRead, isTiny, KIND, KINDS } from './kinds.js';
import type { Payload } from './payload.js';
import type { PlannedOp } from './plan.js';
import { CREATE_BODY_BYTES, type Slots } from './slots.js';

/** What is the same in all packets of a connection. */
export interface RequestSettings {
  /** Number of the connection in the whole run: high word of its ReqIDs. */
  readonly index: number;
  /** Follower list, already in wire form, of everything but reads. */
  readonly arg: Uint8Array;
  readonly remainingFollowers: number;
}

const NO_BODY = new Uint8Array(0);
/** Filled anew for each packet. */
const header = new PacketHeader();

/** Takes a slot for `op` and writes its packet there; it leaves with the batch. */
export function sendRequest(
  op: PlannedOp,
  startMs: number,
  slots: Slots,
  settings: RequestSettings,
  payload: Payload,
  socket: net.Socket,
): void {
  const reads = isRead(op.kind);
  const deleteBody = isDelete(op.kind) ? bodyOfDelete(op) : NO_BODY;
  const bodyBytes = reads ? 0 : op.kind === KIND.create ? CREATE_BODY_BYTES : op.bytes + deleteBody.length;
  const argBytes = reads ? 0 : settings.arg.length;
  const sequence = slots.head;
  const at = slots.take(op, startMs, argBytes + bodyBytes, socket);
  const bodyAt = at + headerV1.bytesMin + argBytes;
  let crc = 0;
  if (op.kind === KIND.create) {
    // The body is the inode number, which the node ignores.
    slots.view.setUint32(bodyAt, 0);
    slots.view.setUint32(bodyAt + 4, sequence);
  } else if (deleteBody.length > 0) {
    slots.setBytes(bodyAt, deleteBody);
  } else if (!reads && op.bytes > 0) {
    const { partitionId, stampExtentId, stampOffset, bytes, version } = op;
    crc = payload.stamp(partitionId, stampExtentId, stampOffset, bytes, slots.view, bodyAt, version);
  }
  slots.newest.crc = crc;
  header.extentType = isTiny(op.kind) ? EXTENT_TYPE_TINY : EXTENT_TYPE_NORMAL;
  header.opcode = KINDS[op.kind]!.opcode;
  // Random writes go to the leader of the group, which knows its members itself.
  header.remainingFollowers = reads || isRandomWrite(op.kind) ? 0 : settings.remainingFollowers;
  header.crc = crc;
  header.size = reads ? op.bytes : bodyBytes;
  header.argBytes = argBytes;
  header.partitionId = op.partitionId;
  header.extentId = op.extentId;
  // The place of a tiny delete is in its body.
  header.extentOffset = isDelete(op.kind) ? 0 : op.offset;
  header.reqIdHigh = settings.index;
  header.reqIdLow = sequence >>> 0;
  headerV1.encode(slots.view, at, header);
}

/** As a meta node sends it (`wire.md` 9.4): nothing for a normal extent, the extent key as JSON for a range of a tiny one. */
function bodyOfDelete(op: PlannedOp): Uint8Array {
  if (op.kind === KIND.delete) return NO_BODY;
  return encodeClientMarkDelete({
    fileOffset: 0,
    partitionId: op.partitionId,
    extentId: op.extentId,
    extentOffset: op.offset,
    size: op.piece!.bytes,
    crc: 0,
  });
}
