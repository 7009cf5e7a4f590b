/** Runs work on many things, a bounded number at a time. Used by rounds and tasks. */

/** Calls `work` for each item in order, at most `most` under way at a time; resolves when all have ended. `work` must not reject. */
export async function eachBounded<T>(
  items: readonly T[],
  most: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next]!;
      next += 1;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, lane));
}
