/**
 * What a reply must look like: the checks of a v1.4.0 client (`wire.md` 10), and words for replies that fail them. Pure.
 */
import { EXTENT_TYPE_NORMAL, type PacketHeader } from '../src/protocol/header.js';
import { RESULT, resultName } from '../src/protocol/resultCodes.js';
import { isDelete, KIND, KINDS } from './kinds.js';
import type { Slot } from './slots.js';
import { isTinyExtent, TINY_PAGE_BYTES } from './tinyExtents.js';

/** Data bytes in one packet of a read reply; only the last one is shorter (`wire.md` 8.1). */
export const READ_CHUNK_BYTES = 131_072;
const ERROR_TEXT_BYTES_MAX = 300;
/** What a node says that does not lead the partition's raft group (`wire.md` 7.4). */
const NOT_LEADER = 'raft is not the leader.';

/** The reason code under which a non-OK reply is counted, and its text. */
export function describeError(header: PacketHeader, body: Uint8Array): { code: string; text: string } {
  const value = `0x${header.resultCode.toString(16).toUpperCase().padStart(2, '0')}`;
  const text = Buffer.from(body.subarray(0, ERROR_TEXT_BYTES_MAX)).toString('utf8');
  return { code: `${value} ${resultName(header.resultCode)}`, text };
}

/** Whether an error reply sends its client to another host of the partition. */
export function isRedirection(code: number, text: string): boolean {
  return code === RESULT.tryOtherAddr && text.endsWith(NOT_LEADER);
}

/**
 * What is wrong with an OK reply to the oldest packet in flight, or null. `reqIdHigh` and `reqIdLow` are what was sent. Replies must come in
 * the order of the requests, because clients match them by order.
 */
export function checkReply(
  header: PacketHeader,
  slot: Slot,
  reqIdHigh: number,
  reqIdLow: number,
): string | null {
  if (header.reqIdLow !== reqIdLow || header.reqIdHigh !== reqIdHigh) {
    const found = `${header.reqIdHigh}:${header.reqIdLow}`;
    return `the reply has ReqID ${found} where ${reqIdHigh}:${reqIdLow} is next in order`;
  }
  if (header.opcode !== KINDS[slot.kind]!.opcode) return `the reply has opcode ${header.opcode}`;
  if (header.partitionId !== slot.partitionId) return `the reply is of partition ${header.partitionId}`;
  if (header.argBytes !== 0) return `an OK reply has an Arg of ${header.argBytes} bytes`;
  if (slot.kind === KIND.create) return checkCreate(header);
  if (slot.kind === KIND.tinywrite) return checkTinyWrite(header, slot);
  if (header.extentId !== slot.extentId) {
    return `the reply is of extent ${header.extentId} instead of ${slot.extentId}`;
  }
  if (slot.isRead) return checkRead(header, slot);
  return isDelete(slot.kind) ? checkDelete(header) : checkWrite(header, slot);
}

function checkDelete(header: PacketHeader): string | null {
  return header.size === 0 ? null : `the reply to a delete has a body of ${header.size} bytes`;
}

/** The node has chosen the extent, and the offset in it. */
function checkTinyWrite(header: PacketHeader, slot: Slot): string | null {
  if (header.size !== 0) return `the reply to a write has a body of ${header.size} bytes`;
  if (header.crc !== slot.crc) return 'the reply to a write does not echo its CRC';
  if (!isTinyExtent(header.extentId)) return `the reply to a tiny write names extent ${header.extentId}`;
  const { extentOffset } = header;
  return extentOffset >= 0 && extentOffset % TINY_PAGE_BYTES === 0
    ? null
    : `the reply to a tiny write names offset ${extentOffset}, which is no page's`;
}

function checkCreate(header: PacketHeader): string | null {
  if (header.size !== 0) return `the reply to a create has a body of ${header.size} bytes`;
  return header.extentId > 0 ? null : 'the reply to a create has no extent id';
}

function checkWrite(header: PacketHeader, slot: Slot): string | null {
  if (header.size !== 0) return `the reply to a write has a body of ${header.size} bytes`;
  if (header.crc !== slot.crc) return 'the reply to a write does not echo its CRC';
  if (header.extentOffset !== slot.offset)
    return `the reply to a write at ${slot.offset} has offset ${header.extentOffset}`;
  return null;
}

function checkRead(header: PacketHeader, slot: Slot): string | null {
  const wanted = Math.min(slot.left, READ_CHUNK_BYTES);
  if (header.size !== wanted) return `a read packet of ${header.size} bytes where ${wanted} are due`;
  if (header.extentType !== EXTENT_TYPE_NORMAL) return `a read packet of extent type ${header.extentType}`;
  const offset = slot.offset + slot.bytes - slot.left;
  if (header.extentOffset !== offset)
    return `a read packet of offset ${header.extentOffset} where ${offset} is due`;
  return null;
}
