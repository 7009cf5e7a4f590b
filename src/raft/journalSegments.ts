/**
 * Which segment a frame goes to, which may be written again, and from which frame on the journal is needed. Pure; owned by `Journal`.
 *
 * Segments are used in a circle: the one that was filled first is the first to be written again, and only when no group needs a record in it. So what lies on disk is
 * always the end of one sequence of frames, and a checkpoint's record is there as long as the records that it makes void are.
 *
 * A group *settles* its records up to a frame with a checkpoint, and those before it with an end. Settled counts for the tail of the very frame that carries the record, and for
 * the reuse of segments when that frame is durable: one frame is under way at a time.
 */
import assert from 'node:assert';
import type { JournalRecord } from './journalFrame.js';

interface Segment {
  file: number;
  life: number;
  firstFrame: number;
  usedBytes: number;
  /** The last frame with records of each group that has some here. */
  readonly groups: Map<number, number>;
}

/** Where a frame goes. */
export interface FramePlace {
  file: number;
  life: number;
  offset: number;
}

export class JournalSegments {
  /** In use, oldest first; the last one takes frames. */
  readonly #live: Segment[] = [];
  /** Files full of zeros or of frames that nobody needs, in the order in which they became free. */
  readonly #free: number[] = [];
  readonly #segmentBytes: number;
  /** Per group: its records up to this frame are settled. */
  readonly #settled = new Map<number, number>();
  #nextLife: number;

  constructor(segmentBytes: number, firstLife: number) {
    this.#segmentBytes = segmentBytes;
    this.#nextLife = firstLife;
  }

  /** Segments that exist, free or in use. */
  get count(): number {
    return this.#live.length + this.#free.length;
  }

  get freeCount(): number {
    return this.#free.length;
  }

  /** What can be written without another file or another checkpoint, bytes. */
  get roomBytes(): number {
    const current = this.#live.at(-1);
    const left = current === undefined ? 0 : this.#segmentBytes - current.usedBytes;
    return left + this.#free.length * this.#segmentBytes;
  }

  /** A file that may be written from its start. */
  addFree(file: number): void {
    this.#free.push(file);
  }

  /** Takes the place for a frame of so many bytes on disk; null when no segment has room. The frame must be written before the next one is placed. */
  place(frame: number, bytes: number): FramePlace | null {
    assert(bytes <= this.#segmentBytes, 'a frame fits into a segment');
    let segment = this.#live.at(-1);
    if (segment === undefined || segment.usedBytes + bytes > this.#segmentBytes) {
      const file = this.#free.shift();
      if (file === undefined) return null;
      segment = { file, life: this.#nextLife, firstFrame: frame, usedBytes: 0, groups: new Map() };
      this.#nextLife += 1;
      this.#live.push(segment);
    }
    const { file, life, usedBytes: offset } = segment;
    segment.usedBytes += bytes;
    return { file, life, offset };
  }

  /** Notes what the records of the frame that was just placed hold and settle. */
  note(frame: number, records: readonly JournalRecord[]): void {
    const { groups } = this.#live.at(-1)!;
    for (const record of records) {
      if (record.kind === 'checkpoint') this.#settle(record.group, record.frame);
      else if (record.kind !== 'end') groups.set(record.group, frame);
      else {
        this.#settle(record.group, frame - 1);
        // Its own frame holds what comes behind the end only.
        if (groups.get(record.group) === frame) groups.delete(record.group);
      }
    }
  }

  /** The first frame that is needed once the frame that was just noted, `frame`, is whole. */
  tail(frame: number): number {
    return this.#live.find((segment) => this.#holderOf(segment) !== null)?.firstFrame ?? frame;
  }

  /** The frame that was noted last is durable: the oldest segments that nobody needs become free. */
  release(): void {
    while (this.#live.length > 1 && this.#holderOf(this.#live[0]!) === null) {
      const { file, groups } = this.#live.shift()!;
      this.#free.push(file);
      for (const group of groups.keys()) this.#forgetUnless(group);
    }
  }

  /** A group that the oldest full segment is kept for and that `isBusy` does not name; null when there is none. */
  oldestHolder(isBusy: (group: number) => boolean): number | null {
    for (const segment of this.#live.slice(0, -1)) {
      const holder = this.#holderOf(segment, isBusy);
      if (holder !== null) return holder;
    }
    return null;
  }

  /** Groups with records that are not settled. */
  unsettled(): Set<number> {
    const groups = new Set<number>();
    for (const segment of this.#live) {
      for (const [group, frame] of segment.groups) if (this.#needs(group, frame)) groups.add(group);
    }
    return groups;
  }

  #holderOf(segment: Segment, isBusy?: (group: number) => boolean): number | null {
    for (const [group, frame] of segment.groups) {
      if (this.#needs(group, frame) && isBusy?.(group) !== true) return group;
    }
    return null;
  }

  #needs(group: number, frame: number): boolean {
    return frame > (this.#settled.get(group) ?? 0);
  }

  #settle(group: number, frame: number): void {
    if (this.#needs(group, frame)) this.#settled.set(group, frame);
  }

  /** What a group has settled is worth nothing once no segment has records of it. */
  #forgetUnless(group: number): void {
    if (!this.#live.some(({ groups }) => groups.has(group))) this.#settled.delete(group);
  }
}
