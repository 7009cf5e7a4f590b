/** Where the contents of two replicas differ, page by page. Pure. */
import { PAGE_BYTES } from '../storage/layout.js';

/** A part of a tiny extent that takes no room on disk: it was deleted, or never written. */
export interface Hole {
  readonly from: number;
  readonly to: number;
}

/** Bytes of an extent, zeros in its holes. */
export interface Content {
  readonly bytes: Uint8Array;
  readonly holes: readonly Hole[];
}

export interface Run {
  readonly from: number;
  readonly to: number;
  readonly isEqual: boolean;
}

/**
 * The range of `theirs`, which begins at `from`, in runs that are equal or differ here, the latter of `runBytesMax` at most, a multiple of pages. What is a hole on one side counts as equal: it was deleted there, and deletes go a way of their own.
 */
export function runsOf(from: number, own: Content, theirs: Content, runBytesMax: number): Run[] {
  const runs: Run[] = [];
  const total = theirs.bytes.byteLength;
  for (let at = 0; at < total; at += PAGE_BYTES) {
    const end = Math.min(at + PAGE_BYTES, total);
    const isHole = [own, theirs].some(({ holes }) =>
      holes.some((hole) => hole.from <= from + at && from + end <= hole.to),
    );
    const [a, b] = [own, theirs].map(({ bytes }) => bytes.subarray(at, end)) as [Uint8Array, Uint8Array];
    const isEqual = isHole || Buffer.compare(a, b) === 0;
    const last = runs.at(-1);
    const joins = last?.isEqual === isEqual && (isEqual || last.to - last.from < runBytesMax);
    if (joins) runs[runs.length - 1] = { ...last, to: from + end };
    else runs.push({ from: from + at, to: from + end, isEqual });
  }
  return runs;
}
