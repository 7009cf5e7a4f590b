/**
 * Headers of the packets that answer OpReadTinyDeleteRecord and OpTinyExtentRepairRead (`wire.md` 8.2, 8.3): like those of a stream read, with their own oddities.
 */
import { HEADER_BYTES, HEADER_OFFSET, readInt64, writeStreamReadHeader } from '../protocol/header.js';
import { OP } from '../protocol/opcodes.js';
import { RESULT } from '../protocol/resultCodes.js';
import { TINY_REPAIR_ARG_BYTES, writeTinyRepairArg } from '../protocol/tinyRepairArg.js';
import type { PendingTable } from './pending.js';

/**
 * Writes header and Arg of the packet that `tag` stands for, at `at` of `view`. Returns the bytes of Arg. Delete records have the result code as opcode and extent
 * 0; repair data has the tiny type, and an Arg that tells the hole and the length of the whole answer, the same in every packet.
 */
export function writeStreamPacket(view: DataView, at: number, pending: PendingTable, tag: number): number {
  const from = pending.headerOffset(tag);
  const request = pending.headerView;
  const offset = pending.extentOffset[tag]!;
  writeStreamReadHeader(view, at, request, from, offset, pending.crc[tag]!, pending.bodyBytes[tag]!);
  if (view.getUint8(at + HEADER_OFFSET.opcode) === OP.readTinyDeleteRecord) {
    view.setUint8(at + HEADER_OFFSET.opcode, RESULT.ok);
    view.setBigUint64(at + HEADER_OFFSET.extentId, 0n);
    return 0;
  }
  view.setUint8(at + HEADER_OFFSET.extentType, 0);
  view.setUint32(at + HEADER_OFFSET.argBytes, TINY_REPAIR_ARG_BYTES);
  const before = offset - readInt64(request, from + HEADER_OFFSET.extentOffset);
  const available = before + pending.remainingBytes[tag]!;
  writeTinyRepairArg(view, at + HEADER_BYTES, pending.holeBytes[tag]!, available);
  return TINY_REPAIR_ARG_BYTES;
}
