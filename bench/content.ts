/**
 * Whether what was read back is what was written. Pure; asked by the connection for each packet of a read.
 */
import type { CrcFunction } from './crc.js';
import type { Payload } from './payload.js';
import type { Slot } from './slots.js';

/** What is wrong with the packet of a read that begins at `offset`, in words; null when nothing is. `crc` is its body's. */
export function whatIsWrong(
  payload: Payload,
  crc32: CrcFunction,
  slot: Slot,
  offset: number,
  body: Uint8Array,
  crc: number,
): string | null {
  if (slot.zeros) return notZeros(slot, body);
  if (slot.extent !== null && slot.extent.versions !== null)
    return wrongVersion(payload, crc32, slot, offset, body);
  return wrongContent(payload, slot, slot.stampOffset + offset - slot.offset, body, crc);
}

/** A deleted range. */
function notZeros({ partitionId, extentId, offset }: Slot, body: Uint8Array): string | null {
  if (body.every((byte) => byte === 0)) return null;
  return `partition ${partitionId} extent ${extentId} offset ${offset}: a deleted range is not zeros`;
}

/** What was written once. */
function wrongContent(
  payload: Payload,
  slot: Slot,
  stampOffset: number,
  body: Uint8Array,
  crc: number,
): string | null {
  const { partitionId, extentId, stampExtentId } = slot;
  if (payload.crcOf(partitionId, stampExtentId, stampOffset, body.length) === crc) return null;
  const what =
    payload.explain(partitionId, stampExtentId, stampOffset, body) ?? 'equal bytes, other checksum';
  return stampExtentId === extentId ? what : `in tiny extent ${extentId} from ${slot.offset}: ${what}`;
}

/** What was written anew since: each unit holds one of the versions that are possible. */
function wrongVersion(
  payload: Payload,
  crc32: CrcFunction,
  { partitionId, extentId, extent }: Slot,
  offset: number,
  body: Uint8Array,
): string | null {
  const { unitBytes } = payload;
  for (let done = 0; done < body.length; ) {
    const at = offset + done;
    const piece = body.subarray(done, done + unitBytes - (at % unitBytes));
    const possible = extent!.versions!.possible(at);
    const crc = crc32(piece, 0);
    const fits = (version: number): boolean =>
      payload.crcOf(partitionId, extentId, at, piece.length, version) === crc;
    if (!possible.some(fits)) {
      const what = payload.explain(partitionId, extentId, at, piece, possible.at(-1)!);
      return `${what}, where version ${possible.join(' or ')} is due`;
    }
    done += piece.length;
  }
  return null;
}
