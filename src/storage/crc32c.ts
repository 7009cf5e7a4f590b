/**
 * CRC-32C for code that may not know the addon: the raft log's checksum (`raft.md` 6.3).
 */
import { native } from '../native/addon.js';

/** CRC-32C of `bytes`, going on from `seed`: 0 at the start, the last result behind it. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  return native.crc32c(bytes, seed);
}
