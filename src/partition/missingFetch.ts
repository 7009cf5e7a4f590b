/**
 * Which missing range is asked of which replica (`missingRanges.ts` says what is missing, and what a copy must have). Pure: knows neither sockets nor files; `missingFetcher.ts`
 * acts.
 *
 * One piece of an extent is on its way at a time. A source that has failed is left alone until the next tick, as far as this extent goes. A range behind the extent's present
 * end waits until repair has made the extent longer; an extent that is nowhere any more, as far as all others say, is forgotten.
 */
import { BLOCK_BYTES } from '../storage/layout.js';
import type { MissingRange, MissingRanges } from './missingRanges.js';

/** Bytes asked for at a time: what one packet of a read carries. */
export const FETCH_BYTES_MAX = BLOCK_BYTES;

/** Another replica, with an index that it had applied when it was asked last. */
export interface FetchSource {
  readonly address: string;
  readonly appliedIndex: number;
}

/** Bytes [from, to) of an extent, from a replica that has applied `index`. */
export interface FetchTask extends MissingRange {
  readonly extentId: number;
  readonly source: string;
}

/** `copied`: something is not missing any more. `unknown`: the source has no such extent. */
export type FetchOutcome = 'copied' | 'unknown' | 'failed';

/** What is known of an extent beyond its ranges. */
interface Asked {
  onItsWay: boolean;
  /** Sources to be left alone until the next tick; those that have no such extent. */
  tried: Set<string>;
  unknownTo: Set<string>;
}

export class FetchPlan {
  private readonly ranges: MissingRanges;
  private readonly asked = new Map<number, Asked>();
  private tasks = 0;

  constructor(ranges: MissingRanges) {
    this.ranges = ranges;
  }

  /**
   * The next piece to ask for, null when nothing can be. `sources`: all other members, or an empty list when they are not known. `endOf`: present size of an extent here,
   * 0 when it is unknown, -1 when it was deleted. `ended` must follow for each.
   */
  next(sources: readonly FetchSource[], endOf: (extentId: number) => number): FetchTask | null {
    for (const extentId of this.ranges.extentIds) {
      const asked = this.asked.get(extentId);
      if (asked?.onItsWay) continue;
      const end = endOf(extentId);
      const isNowhere = sources.length > 0 && sources.every(({ address }) => asked?.unknownTo.has(address));
      if (end < 0 || isNowhere) {
        this.ranges.forget(extentId);
        this.asked.delete(extentId);
        continue;
      }
      const task = this.taskOf(extentId, end, sources, asked?.tried);
      if (task === null) continue;
      this.stateOf(extentId).onItsWay = true;
      this.tasks += 1;
      return task;
    }
    return null;
  }

  ended(task: FetchTask, outcome: FetchOutcome): void {
    const asked = this.stateOf(task.extentId);
    asked.onItsWay = false;
    if (outcome === 'copied') asked.tried.clear();
    else asked.tried.add(task.source);
    if (outcome === 'unknown') asked.unknownTo.add(task.source);
    else asked.unknownTo.delete(task.source);
  }

  /** About once a second, or less often: who has failed may be asked again. */
  tick(): void {
    for (const [extentId, asked] of this.asked) {
      asked.tried.clear();
      if (!asked.onItsWay && this.ranges.of(extentId).length === 0) this.asked.delete(extentId);
    }
  }

  private taskOf(
    extentId: number,
    end: number,
    sources: readonly FetchSource[],
    tried: ReadonlySet<string> | undefined,
  ): FetchTask | null {
    for (const { from, to, index } of this.ranges.of(extentId)) {
      const can = sources.filter(
        ({ address, appliedIndex }) => appliedIndex >= index && !tried?.has(address),
      );
      // From one to the next, so that no replica bears it all.
      const source = can[this.tasks % Math.max(1, can.length)];
      if (source === undefined) continue;
      // Of what cannot be written yet one byte is asked for: whether the extent exists at all.
      const last = Math.max(from + 1, Math.min(to, end, from + FETCH_BYTES_MAX));
      return { extentId, from, to: last, index, source: source.address };
    }
    return null;
  }

  private stateOf(extentId: number): Asked {
    let asked = this.asked.get(extentId);
    if (asked === undefined) {
      asked = { onItsWay: false, tried: new Set(), unknownTo: new Set() };
      this.asked.set(extentId, asked);
    }
    return asked;
  }
}
