/** What the disks of a simulated run hold of extents, for comparisons. */
import { isTinyExtent, roundUpToPage, TINY_EXTENT_LAST } from '../../../src/storage/layout.js';
import type { SimNode } from './simNode.js';

/** Sizes of all extents on a node's disk by id, of tiny ones the watermarks. */
export function sizesOf(node: SimNode): Map<number, number> {
  const sizes = new Map<number, number>();
  const { folder } = node;
  if (folder === undefined) return sizes;
  for (const [name, file] of folder.entries) {
    const id = Number(name);
    if (!Number.isInteger(id) || id < 1 || file.kind !== 'file') continue;
    sizes.set(id, id <= TINY_EXTENT_LAST ? roundUpToPage(file.size) : file.size);
  }
  return sizes;
}

/** Its bytes, of a tiny one up to the watermark. */
export function contentOf(node: SimNode, id: number): Uint8Array {
  const file = node.file(id);
  if (file === undefined) return new Uint8Array(0);
  const content = new Uint8Array(isTinyExtent(id) ? roundUpToPage(file.size) : file.size);
  file.read(0, content);
  return content;
}

/** The first place where they differ; -1: they are equal. */
export function differsAt(one: Uint8Array, two: Uint8Array): number {
  if (Buffer.compare(one, two) === 0) return -1;
  const at = one.findIndex((byte, i) => byte !== two[i]);
  return at < 0 ? one.byteLength : at;
}
