/**
 * What the protocol fixes about tiny extents (`wire.md`): their ids, and that each write to them begins on a page. The generator's own: it speaks to any node.
 */

/** Tiny extents have the ids 1 to this. */
export const TINY_EXTENT_LAST = 64;
/** Each tiny write begins at a multiple of this. */
export const TINY_PAGE_BYTES = 4096;

/** Whether an extent id is that of a tiny extent. */
export function isTinyExtent(id: number): boolean {
  return id >= 1 && id <= TINY_EXTENT_LAST;
}

/** Bytes that a tiny write takes up. */
export function roundUpToPage(bytes: number): number {
  return Math.ceil(bytes / TINY_PAGE_BYTES) * TINY_PAGE_BYTES;
}
