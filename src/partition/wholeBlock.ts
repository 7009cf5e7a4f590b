/**
 * Which reads can be compared with a checksum.
 */
import { blockOf } from '../storage/crcFile.js';
import { BLOCK_BYTES, isTinyExtent } from '../storage/layout.js';
import type { Operation } from './operation.js';

/** Number of the block that a read covers exactly; -1 when it is another range, or of a tiny extent, which has no checksums. */
export function wholeBlockOf(op: Operation): number {
  if (op.size !== BLOCK_BYTES || op.extentOffset % BLOCK_BYTES !== 0 || isTinyExtent(op.extentId)) return -1;
  return blockOf(op.extentOffset);
}
