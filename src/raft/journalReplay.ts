/**
 * What the records of a group come to: the state in which its folder must be, worked out from the journal alone. Pure. A few numbers a group, however many records there are: the
 * journal is looked at three times.
 *
 * 1. `GroupSummary`: up to which frame the folder is durable, and the newest hard state and cut.
 * 2. `GroupPlan`: of the records behind that, from which one on the entries count. Entries replace what the log holds from their first index on, so what comes before the last
 *    record that touches the lowest index does not. Below that index the folder is as the checkpoint left it.
 * 3. The entries that count are appended one after the other (`groupRecovery.ts`).
 *
 * Where a frame is missing, what comes behind it is not believed: only that a term was reached and a vote given.
 */
import type { HardState } from '../protocol/raftStructs.js';
import type { FoundEntries, FoundRecord } from './journalFrame.js';

export interface LogPoint {
  index: number;
  term: number;
}

/** Frames that are missing, both ends included. */
export interface FrameGap {
  from: number;
  to: number;
}

/** Where a record is: its frame, and its number among the records of the frame. */
export interface RecordPlace {
  frame: number;
  number: number;
}

/** A record of a group that is still there. */
export type GroupRecord = Exclude<FoundRecord, { kind: 'end' }>;

/** The first look at a group's records, in their order. */
export class GroupSummary {
  /** The folder is durable as of this frame. */
  checkpointed = 0;
  /** The newest that any record tells, checkpoints included: a folder that says more was written by somebody else. */
  hardState: HardState | null = null;
  cut: LogPoint | null = null;
  /** What stands before does not count. */
  readonly begin: RecordPlace;
  #lastFrame = 0;

  /** @param begin where the group's last end is; nothing when it has none. */
  constructor(begin: RecordPlace = { frame: 0, number: 0 }) {
    this.begin = begin;
  }

  /** Nothing has to be brought into the folder. */
  get isSettled(): boolean {
    return this.#lastFrame <= this.checkpointed;
  }

  take(record: GroupRecord, frame: number): void {
    if (record.kind === 'checkpoint') this.checkpointed = Math.max(this.checkpointed, record.frame);
    else this.#lastFrame = frame;
    if (record.kind === 'entries') return;
    if (record.kind !== 'cut' && record.kind !== 'reset') this.hardState = record.hardState;
    else if (record.kind === 'reset' && this.hardState !== null)
      this.hardState = { ...this.hardState, commit: record.index };
    if (record.kind !== 'hardState' && record.index > 0 && record.index >= (this.cut?.index ?? 0))
      this.cut = { index: record.index, term: record.term };
  }
}

/** The second look. What a group's folder has to become, when all records were taken. */
export class GroupPlan {
  /** The folder keeps its entries below this index; null: all of them. */
  keepBelow: number | null = null;
  /** Why it is less than what was durable; null. */
  lost: string | null = null;
  readonly #summary: GroupSummary;
  readonly #gap: FrameGap | undefined;
  /** The first frame that is missing. */
  readonly #missing: number;
  /** Entries count from here on, and before `#end`. */
  #start: RecordPlace;
  #end: RecordPlace | null = null;
  #lastIndex = 0;
  #cut: LogPoint | null = null;
  #commit = 0;

  /** @param gaps frames that are missing from the journal, in order. */
  constructor(summary: GroupSummary, gaps: readonly FrameGap[]) {
    const { checkpointed, begin } = summary;
    this.#summary = summary;
    this.#start = begin;
    this.#gap = gaps.find(({ to }) => to > checkpointed && to > begin.frame);
    this.#missing =
      this.#gap === undefined ? Number.POSITIVE_INFINITY : Math.max(this.#gap.from, checkpointed + 1);
    if (this.#gap !== undefined)
      this.lost = `frames ${this.#missing} to ${this.#gap.to} of the journal are lost`;
  }

  /** The hard state for the folder; null when the journal has none. Terms and votes are never taken back; a commit counts only with the entries that it was about. */
  get hardState(): HardState | null {
    const { hardState } = this.#summary;
    return this.lost === null ? hardState : hardState && { ...hardState, commit: this.#commit };
  }

  /** The furthest cut that counts; null when the journal has none. */
  get cut(): LogPoint | null {
    return this.lost === null ? this.#summary.cut : this.#cut;
  }

  /** Takes all records of the group in their order. */
  take(record: GroupRecord, place: RecordPlace): void {
    if (record.kind === 'checkpoint' || !this.#isBelieved(place)) return;
    switch (record.kind) {
      case 'entries':
        this.#append(record, place);
        break;
      case 'state':
      case 'hardState':
        this.#commit = record.hardState.commit;
        break;
      case 'reset':
        this.#cut = { index: record.index, term: record.term };
        this.#commit = record.index;
        this.keepBelow = record.index + 1;
        this.#lastIndex = record.index;
        this.#start = place;
        break;
      case 'cut':
        this.#cut = { index: record.index, term: record.term };
        // Nothing of what the journal had before is left.
        if (this.keepBelow !== null && record.index >= this.#lastIndex) this.#start = place;
    }
  }

  /** Whether the entries at this place are to be appended. Those up to the cut are not. */
  counts(place: RecordPlace): boolean {
    return this.#isBelieved(place) && !isBefore(place, this.#start);
  }

  #isBelieved(place: RecordPlace): boolean {
    const { checkpointed, begin } = this.#summary;
    if (place.frame <= checkpointed || place.frame >= this.#missing || isBefore(place, begin)) return false;
    return this.#end === null || isBefore(place, this.#end);
  }

  #append({ firstIndex, lastIndex }: FoundEntries, place: RecordPlace): void {
    const cutIndex = this.#cut?.index ?? 0;
    if (firstIndex <= cutIndex)
      return this.#stop(place, `the journal has entries from ${firstIndex} on, and a cut at ${cutIndex}`);
    if (this.keepBelow !== null && firstIndex > this.#lastIndex + 1)
      return this.#stop(
        place,
        `the journal has entries up to ${this.#lastIndex}, then from ${firstIndex} on`,
      );
    if (this.keepBelow === null || firstIndex <= this.keepBelow) {
      this.keepBelow = firstIndex;
      this.#start = place;
    }
    this.#lastIndex = lastIndex;
  }

  #stop(place: RecordPlace, why: string): void {
    this.#end = place;
    this.lost ??= why;
  }
}

function isBefore(a: RecordPlace, b: RecordPlace): boolean {
  return a.frame < b.frame || (a.frame === b.frame && a.number < b.number);
}
