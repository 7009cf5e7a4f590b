/**
 * What the records of a group come to: the state in which its folder must be, worked out from the journal alone. Pure. Keeps where entries are, not their bytes.
 *
 * Records up to the last checkpoint are in the folder. Behind it, entries replace what the log holds from their first index on, so of all records the final entries from the
 * lowest index that any has touched remain; below that the folder is as the checkpoint left it. Where a frame is missing, what comes behind it is not believed: only that a
 * term was reached and a vote given.
 */
import type { HardState } from '../protocol/raftStructs.js';
import type { FoundRecord } from './journalFrame.js';

/** Where the bytes of log records of consecutive entries are. The last ones may be void: `lastIndex` counts. */
export interface EntryRun {
  /** Number of the segment's file, and the offset in it. */
  segment: number;
  offset: number;
  byteLength: number;
  firstIndex: number;
  lastIndex: number;
}

export interface LogPoint {
  index: number;
  term: number;
}

/** What a group's folder has to become. */
export interface GroupPlan {
  /** The last one; null when the journal has none. */
  hardState: HardState | null;
  /** The furthest that the journal knows. */
  cut: LogPoint | null;
  /** The folder keeps its entries below this index; null: all of them. */
  keepBelow: number | null;
  /** Entries behind those, without a gap. */
  runs: EntryRun[];
  /** Why it is less than what was durable; null. */
  lost: string | null;
}

/** Frames that are missing, both ends included. */
export interface FrameGap {
  from: number;
  to: number;
}

type Change =
  | { kind: 'entries'; frame: number; run: EntryRun }
  | { kind: 'hardState'; frame: number; hardState: HardState }
  | { kind: 'cut' | 'reset'; frame: number; point: LogPoint };

/** Where a record was found. */
export interface RecordPlace {
  frame: number;
  segment: number;
  /** Of the payload, in the segment. */
  payloadOffset: number;
}

export class GroupReplay {
  /** The folder is durable as of this frame. */
  checkpointed = 0;
  /** The newest that any record tells, checkpoints included: a folder that says more was written by somebody else. */
  hardState: HardState | null = null;
  cut: LogPoint | null = null;
  #changes: Change[] = [];

  /** Nothing has to be brought into the folder. */
  get isSettled(): boolean {
    return this.#changes.length === 0;
  }

  /** Takes the records of the group in their order. `end` says that none of them counts: the owner forgets the group. */
  take(record: Exclude<FoundRecord, { kind: 'end' }>, { frame, segment, payloadOffset }: RecordPlace): void {
    switch (record.kind) {
      case 'entries': {
        const { firstIndex, lastIndex, byteLength } = record;
        const run = { segment, offset: payloadOffset + record.at, byteLength, firstIndex, lastIndex };
        this.#changes.push({ kind: 'entries', frame, run });
        break;
      }
      case 'state':
        this.#pass({ index: record.index, term: record.term });
        this.hardState = record.hardState;
        this.#changes.push({ kind: 'hardState', frame, hardState: record.hardState });
        break;
      case 'hardState':
        this.hardState = record.hardState;
        this.#changes.push({ kind: 'hardState', frame, hardState: record.hardState });
        break;
      case 'cut':
      case 'reset': {
        const point = { index: record.index, term: record.term };
        this.#pass(point);
        if (record.kind === 'reset' && this.hardState !== null)
          this.hardState = { ...this.hardState, commit: record.index };
        this.#changes.push({ kind: record.kind, frame, point });
        break;
      }
      case 'checkpoint':
        this.checkpointed = record.frame;
        this.hardState = record.hardState;
        this.#pass({ index: record.index, term: record.term });
        this.#changes = this.#changes.filter((change) => change.frame > record.frame);
    }
  }

  /** What has to be done when `gaps`, in order, are missing from the journal. */
  plan(gaps: readonly FrameGap[]): GroupPlan {
    const gap = gaps.find(({ to }) => to > this.checkpointed);
    const missing = gap === undefined ? Number.POSITIVE_INFINITY : Math.max(gap.from, this.checkpointed + 1);
    const log = new PlannedLog();
    for (const change of this.#changes) {
      if (change.frame >= missing || log.lost !== null) break;
      log.apply(change);
    }
    if (gap !== undefined) log.lost ??= `frames ${missing} to ${gap.to} of the journal are lost`;
    const { keepBelow, runs, lost } = log;
    if (lost === null) return { hardState: this.hardState, cut: this.cut, keepBelow, runs, lost };
    // Terms and votes are never taken back; a commit counts only with the entries that it was about.
    const hardState = this.hardState && { ...this.hardState, commit: log.commit };
    return { hardState, cut: log.cut, keepBelow, runs, lost };
  }

  #pass(point: LogPoint): void {
    if (point.index > 0 && point.index >= (this.cut?.index ?? 0)) this.cut = point;
  }
}

/** The log as the changes make it, one after the other. */
class PlannedLog {
  keepBelow: number | null = null;
  runs: EntryRun[] = [];
  cut: LogPoint | null = null;
  commit = 0;
  lost: string | null = null;

  apply(change: Change): void {
    switch (change.kind) {
      case 'entries':
        this.#append(change.run);
        break;
      case 'hardState':
        this.commit = change.hardState.commit;
        break;
      case 'reset':
        this.runs = [];
        this.keepBelow = change.point.index + 1;
        this.commit = change.point.index;
        this.cut = change.point;
        break;
      case 'cut':
        this.cut = change.point;
    }
  }

  #append(run: EntryRun): void {
    const { keepBelow } = this;
    if (run.firstIndex <= (this.cut?.index ?? 0)) {
      this.lost = `the journal has entries from ${run.firstIndex} on, and a cut at ${this.cut!.index}`;
      return;
    }
    if (keepBelow === null || run.firstIndex < keepBelow) {
      this.keepBelow = run.firstIndex;
      this.runs = [run];
      return;
    }
    const last = this.runs.at(-1)?.lastIndex ?? keepBelow - 1;
    if (run.firstIndex > last + 1) {
      this.lost = `the journal has entries up to ${last}, then from ${run.firstIndex} on`;
      return;
    }
    while (this.runs.length > 0 && this.runs.at(-1)!.firstIndex >= run.firstIndex) this.runs.pop();
    const before = this.runs.at(-1);
    if (before !== undefined && before.lastIndex >= run.firstIndex)
      this.runs[this.runs.length - 1] = { ...before, lastIndex: run.firstIndex - 1 };
    this.runs.push(run);
  }
}
