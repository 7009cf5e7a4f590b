/**
 * Which missing range is asked of which replica (`partition/missingRanges.ts` says what is missing, and what a copy must have). Pure: knows neither sockets nor files; `missingPass.ts` acts.
 *
 * One piece of an extent is on its way at a time, inside one block. A source that has failed is left alone until the next tick, as far as this extent goes. A range behind the extent's present end waits until repair has made the extent longer; an
 * extent that is nowhere any more, as far as all others say, is forgotten, and so is what lies behind its end on all of them.
 */
import type { MissingRange, MissingRanges } from '../partition/missingRanges.js';
import { BLOCK_BYTES } from '../storage/layout.js';

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

/** `copied`: something is not missing any more. `unknown`: the source has no such extent. `beyond`: its extent ends before the piece does begin. */
export type FetchOutcome = 'copied' | 'unknown' | 'beyond' | 'failed';

/** From `from` on nothing of the extent is to be missed any more. */
export interface Forgotten {
  readonly extentId: number;
  readonly from: number;
}

/** What is known of an extent beyond its ranges. */
interface Asked {
  onItsWay: boolean;
  /** Sources to be left alone until the next tick; those that have no such extent. */
  tried: Set<string>;
  unknownTo: Set<string>;
  /** By source: a place that its extent ends before. */
  readonly beyond: Map<string, number>;
}

export class FetchPlan {
  /** What `next` has given up since this was emptied. */
  readonly forgotten: Forgotten[] = [];
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
      const nowhereFrom = end < 0 ? 0 : nowhere(sources, asked);
      if (nowhereFrom < Number.POSITIVE_INFINITY) this.forget(extentId, nowhereFrom);
      if (nowhereFrom === 0) continue;
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
    if (outcome === 'beyond') asked.beyond.set(task.source, task.from);
    else asked.beyond.delete(task.source);
  }

  /** About once a second, or less often: who has failed may be asked again. */
  tick(): void {
    for (const [extentId, asked] of this.asked) {
      asked.tried.clear();
      if (!asked.onItsWay && this.ranges.of(extentId).length === 0) this.asked.delete(extentId);
    }
  }

  private forget(extentId: number, from: number): void {
    const { ranges } = this;
    if (!ranges.of(extentId).some(({ to }) => to > from)) return;
    ranges.copied(extentId, from, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    this.forgotten.push({ extentId, from });
    if (from === 0) this.asked.delete(extentId);
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
      const blockEnd = (Math.floor(from / BLOCK_BYTES) + 1) * BLOCK_BYTES;
      const last = Math.max(from + 1, Math.min(to, end, blockEnd));
      return { extentId, from, to: last, index, source: source.address };
    }
    return null;
  }

  private stateOf(extentId: number): Asked {
    let asked = this.asked.get(extentId);
    if (asked === undefined) {
      asked = { onItsWay: false, tried: new Set(), unknownTo: new Set(), beyond: new Map() };
      this.asked.set(extentId, asked);
    }
    return asked;
  }
}

/** From where on nobody has the extent any more; 0: not at all. Infinity: somebody has, or has not said. */
function nowhere(sources: readonly FetchSource[], asked: Asked | undefined): number {
  if (sources.length === 0 || asked === undefined) return Number.POSITIVE_INFINITY;
  const ends = sources.map(({ address }) =>
    asked.unknownTo.has(address) ? 0 : (asked.beyond.get(address) ?? Number.POSITIVE_INFINITY),
  );
  return Math.max(...ends);
}
