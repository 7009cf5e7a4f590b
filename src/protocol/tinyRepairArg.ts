/**
 * Arg of the replies to OpTinyExtentRepairRead (`wire.md` 8.3): says whether a packet stands for a hole, and how many bytes the whole answer describes.
 */
import { readUint64, writeInt64 } from './header.js';

export const TINY_REPAIR_ARG_BYTES = 17;
/** First byte of a hole's Arg, 'E'; any other value means data. */
export const EMPTY_RESPONSE = 0x45;

export interface TinyRepairArg {
  /** Bytes of the hole that this packet stands for; 0 for data. */
  holeBytes: number;
  /** Bytes that data and holes of the whole answer add up to; the same in every packet. */
  availableBytes: number;
}

/** Writes an Arg at `offset`. `holeBytes` 0: a data packet. */
export function writeTinyRepairArg(
  view: DataView,
  offset: number,
  holeBytes: number,
  availableBytes: number,
): void {
  view.setUint8(offset, holeBytes > 0 ? EMPTY_RESPONSE : 0);
  writeInt64(view, offset + 1, holeBytes);
  writeInt64(view, offset + 9, availableBytes);
}

/**
 * Reads an Arg. Older nodes send none: that is data, and `availableBytes` 0 ends the answer with this packet. Null where it has another length, or a
 * number is larger than 2^53 - 1.
 */
export function readTinyRepairArg(arg: Uint8Array): TinyRepairArg | null {
  if (arg.byteLength === 0) return { holeBytes: 0, availableBytes: 0 };
  if (arg.byteLength !== TINY_REPAIR_ARG_BYTES) return null;
  const view = new DataView(arg.buffer, arg.byteOffset, arg.byteLength);
  const hole = readUint64(view, 1);
  const availableBytes = readUint64(view, 9);
  if (hole < 0 || availableBytes < 0) return null;
  return { holeBytes: view.getUint8(0) === EMPTY_RESPONSE ? hole : 0, availableBytes };
}
