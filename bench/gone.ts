/**
 * Looks for normal extents that were deleted and can still be read. Used by the worker threads when they verify.
 */
import type { Address } from './address.js';
import { PIECE, type Pieces } from './pieces.js';
import { presence } from './query.js';

/** Deleted extents of a connection that are asked for, about. */
const ASKED_MAX = 200;

/**
 * Asks a node for some of the extents that connections have deleted: a node ends a connection at each refusal, so not for all. Returns what is wrong, a line
 * each. `isHere`: whether the node has the partition.
 */
export async function findPresent(
  deletedBy: readonly Pieces[],
  { host, port }: Address,
  isHere: (partitionId: number) => boolean,
  timeoutMs: number,
): Promise<string[]> {
  const found: string[] = [];
  for (const { list } of deletedBy) {
    const deleted = list.filter(({ state, partitionId }) => state === PIECE.deleted && isHere(partitionId));
    const step = Math.max(1, Math.floor(deleted.length / ASKED_MAX));
    for (let index = 0; index < deleted.length; index += step) {
      const { partitionId, extentId } = deleted[index]!;
      const problem = await presence({ host, port }, partitionId, extentId, timeoutMs);
      if (problem !== null) found.push(`partition ${partitionId} extent ${extentId}: ${problem}`);
    }
  }
  return found;
}
