/**
 * Which reads of damaged blocks wait for a heal, until when, and which do not wait at all (docs/repair.md, "A read that waits"). Pure: times come in with each call, monotonic ms; `waitingReads.ts` acts.
 *
 * A read that waits holds whatever its client has sent behind it, because a connection answers in order. So few wait at one time, none longer than `waitMs`, and a block that was not healed in that time, or that nobody has
 * a verdict about, is remembered: reads of it are answered at once for a while.
 */
import type { BlockPlace } from './messages.js';

export interface WaitBounds {
  /** Reads that wait at one time. */
  readonly readsMax: number;
  /** From the first read of a block to the answer of all of them. */
  readonly waitMs: number;
  /** How long reads of a block do not wait after nothing came of it, and how many such blocks are remembered; the oldest go first. */
  readonly rememberedMs: number;
  readonly rememberedMax: number;
}

/** Of one worker. */
export const WAIT_BOUNDS: WaitBounds = {
  ...{ readsMax: 64, waitMs: 2_000 },
  ...{ rememberedMs: 60_000, rememberedMax: 1_024 },
};

/** What became of a block that somebody was asked to heal. */
export const JUDGED = {
  /** Nobody has looked at it, because there was no room or it is not the time. */
  notLooked: 0,
  /** It was healed, or its stored checksum corrected, or nothing was wrong with it. */
  sound: 1,
  /** It was looked at, and stays as it is. */
  undecided: 2,
} as const;
export type Judged = (typeof JUDGED)[keyof typeof JUDGED];

/** A block and the reads that wait for it. */
interface Waiting<R> extends BlockPlace {
  readonly untilMs: number;
  readonly reads: R[];
}

/** Reads that wait no longer, and for which block they have. */
export type Left<R> = BlockPlace & { readonly reads: readonly R[] };

export class WaitingBlocks<R> {
  /** Reads that wait. */
  count = 0;
  readonly #bounds: WaitBounds;
  /** In order of `untilMs`. */
  readonly #waiting = new Map<string, Waiting<R>>();
  /** Blocks for which nobody waits, until when; in the same order. */
  readonly #fruitless = new Map<string, number>();

  constructor(bounds: WaitBounds = WAIT_BOUNDS) {
    this.#bounds = bounds;
  }

  /** Whether one more read of the block may wait. */
  mayWait(place: BlockPlace, nowMs: number): boolean {
    if (this.count >= this.#bounds.readsMax) return false;
    return nowMs >= (this.#fruitless.get(keyOf(place)) ?? 0);
  }

  /** Whether others wait for the block already: then somebody knows of it. */
  isAwaited(place: BlockPlace): boolean {
    return this.#waiting.has(keyOf(place));
  }

  /** The read waits. */
  add({ partitionId, extentId, block }: BlockPlace, read: R, nowMs: number): void {
    const key = keyOf({ partitionId, extentId, block });
    let waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      waiting = { partitionId, extentId, block, untilMs: nowMs + this.#bounds.waitMs, reads: [] };
      this.#waiting.set(key, waiting);
    }
    waiting.reads.push(read);
    this.count += 1;
  }

  /** The block may be what it should be now: gives back its reads, and the next ones may wait. */
  healed(place: BlockPlace): readonly R[] {
    this.#fruitless.delete(keyOf(place));
    return this.#leave(place);
  }

  /** Nothing comes of it; with `remembered` not for a while. Gives back the reads of the block. */
  fruitless(place: BlockPlace, remembered: boolean, nowMs: number): readonly R[] {
    if (remembered) this.#remember(keyOf(place), nowMs);
    return this.#leave(place);
  }

  /** Those whose time is over; their blocks are remembered. */
  due(nowMs: number): Left<R>[] {
    const left: Left<R>[] = [];
    for (const waiting of this.#waiting.values()) {
      if (nowMs < waiting.untilMs) break;
      left.push(waiting);
    }
    for (const place of left) this.fruitless(place, true, nowMs);
    return left;
  }

  /** Those whose block `goes`, which is shown one of its reads: they wait no longer, and nothing is remembered. */
  takeOut(goes: (place: BlockPlace, read: R) => boolean): Left<R>[] {
    const left: Left<R>[] = [];
    for (const waiting of this.#waiting.values()) {
      if (!goes(waiting, waiting.reads[0]!)) continue;
      left.push(waiting);
      this.#leave(waiting);
    }
    return left;
  }

  /** Ms until `due` gives something; Infinity: nobody waits. */
  dueInMs(nowMs: number): number {
    for (const { untilMs } of this.#waiting.values()) return Math.max(0, untilMs - nowMs);
    return Number.POSITIVE_INFINITY;
  }

  #leave(place: BlockPlace): readonly R[] {
    const key = keyOf(place);
    const reads = this.#waiting.get(key)?.reads ?? [];
    this.#waiting.delete(key);
    this.count -= reads.length;
    return reads;
  }

  #remember(key: string, nowMs: number): void {
    // Its place in the order is that of its time.
    this.#fruitless.delete(key);
    this.#fruitless.set(key, nowMs + this.#bounds.rememberedMs);
    for (const [oldest, untilMs] of this.#fruitless) {
      if (this.#fruitless.size <= this.#bounds.rememberedMax && nowMs < untilMs) break;
      this.#fruitless.delete(oldest);
    }
  }
}

function keyOf({ partitionId, extentId, block }: BlockPlace): string {
  return `${partitionId} ${extentId} ${block}`;
}
