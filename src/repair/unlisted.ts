/**
 * Which normal extents a first host has that are not in its lists: those that were written to within the last minute, and deleted ones, whose records it keeps for ten minutes. A v1.4.0 node tells of neither, but its sums of sizes
 * (OpGetPartitionSize with an upper id) have both in them, so they are found by their weight, by halving.
 *
 * Sums are taken while clients write. Each range is weighed by a sum up to its beginning and then one up to its end: what grows between the two makes a range too heavy, which costs another look into it, and never too light. What goes
 * are records of deleted extents; a range that is lighter than nothing says so, and the search ends without a result.
 */

/** Ranges weighed in one search: two questions each. */
export const WEIGHED_MAX = 256;

/** Why a search has no result. */
export type NoResult = 'too many' | 'changing';

/**
 * Ids above `from` up to `to` that weigh more than their lists say, with that much too many bytes. `listed`: sizes of all listed extents by id. `sumUpTo`: the first host's sum of sizes of the extents up to an id.
 */
export async function findUnlisted(
  from: number,
  to: number,
  listed: ReadonlyMap<number, number>,
  sumUpTo: (id: number) => Promise<number>,
): Promise<Map<number, number> | NoResult> {
  const found = new Map<number, number>();
  const sums = prefixSums(listed);
  const ranges: [low: number, high: number][] = from < to ? [[from, to]] : [];
  for (let weighed = 0; ranges.length > 0; weighed += 1) {
    if (weighed === WEIGHED_MAX) return 'too many';
    const [low, high] = ranges.pop()!;
    const before = await sumUpTo(low);
    const bytes = (await sumUpTo(high)) - before - (sums(high) - sums(low));
    if (bytes < 0) return 'changing';
    if (bytes === 0) continue;
    const middle = Math.floor((low + high) / 2);
    if (middle === low) found.set(high, bytes);
    else ranges.push([low, middle], [middle, high]);
  }
  return found;
}

/** The sum of the sizes of all ids up to one. */
function prefixSums(listed: ReadonlyMap<number, number>): (id: number) => number {
  const ids = [...listed.keys()].sort((a, b) => a - b);
  const sums = [0];
  for (const id of ids) sums.push(sums.at(-1)! + listed.get(id)!);
  return (id) => {
    let low = 0;
    let high = ids.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ids[middle]! <= id) low = middle + 1;
      else high = middle;
    }
    return sums[low]!;
  };
}
