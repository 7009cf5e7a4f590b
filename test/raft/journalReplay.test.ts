/**
 * What the records of a group come to: against a plain log to which the same was done, from any checkpoint on.
 */
import fc from 'fast-check';
import t from 'tap';
import type { FoundRecord } from '../../src/raft/journalFrame.js';
import { type GroupPlan, GroupReplay } from '../../src/raft/journalReplay.js';

const GROUP = 7;

type GroupRecord = Exclude<FoundRecord, { kind: 'end' }>;

/** A log as a list of terms: simple enough to be right. */
class PlainLog {
  cut = { index: 0, term: 0 };
  hardState = { term: 0, vote: 0, commit: 0 };
  /** By index, behind the cut. */
  entries = new Map<number, number>();

  get last(): number {
    return this.cut.index + this.entries.size;
  }

  copy(): PlainLog {
    const copy = new PlainLog();
    Object.assign(copy, { cut: this.cut, hardState: this.hardState, entries: new Map(this.entries) });
    return copy;
  }

  dropFrom(index: number): void {
    for (const each of [...this.entries.keys()]) if (each >= index) this.entries.delete(each);
  }

  dropTo(index: number): void {
    for (const each of [...this.entries.keys()]) if (each <= index) this.entries.delete(each);
  }
}

/** What may happen to a group: numbers are scaled to what its log allows. */
type Step =
  | { kind: 'append'; back: number; count: number }
  | { kind: 'vote' | 'cut' | 'reset' | 'checkpoint'; by: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      back: fc.nat(4),
      count: fc.integer({ min: 1, max: 5 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('vote' as const, 'cut' as const, 'checkpoint' as const),
      by: fc.nat(6),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), by: fc.nat(6) }) },
);

/** A group that lives through steps, with what its folder had at its last checkpoint, and a record a frame. */
class Life {
  readonly log = new PlainLog();
  /** The log after each frame. */
  readonly after: PlainLog[] = [new PlainLog()];
  readonly records: GroupRecord[] = [];
  checkpointed = 0;

  /** The journal writes the state with which a group came in front of all. */
  constructor() {
    this.records.push({ kind: 'hardState', group: GROUP, hardState: this.log.hardState });
    this.after.push(this.log.copy());
  }

  take(each: Step): void {
    const record = this.#change(each);
    if (record === null) return;
    this.records.push(record);
    this.after.push(this.log.copy());
  }

  #change(each: Step): GroupRecord | null {
    const { log } = this;
    const term = log.hardState.term + 1;
    switch (each.kind) {
      case 'append': {
        const first = Math.max(log.cut.index + 1, log.last + 1 - each.back);
        const last = first + each.count - 1;
        log.dropFrom(first);
        for (let index = first; index <= last; index += 1) log.entries.set(index, term);
        const place = { at: this.records.length * 1000, byteLength: 100 * each.count };
        return {
          kind: 'entries',
          group: GROUP,
          firstIndex: first,
          lastIndex: last,
          lastTerm: term,
          ...place,
        };
      }
      case 'vote':
        log.hardState = { term, vote: each.by, commit: Math.max(log.hardState.commit, log.last - each.by) };
        return { kind: 'hardState', group: GROUP, hardState: log.hardState };
      case 'cut': {
        const index = log.last - each.by;
        if (index <= log.cut.index) return null;
        log.cut = { index, term: log.entries.get(index)! };
        log.dropTo(index);
        return { kind: 'cut', group: GROUP, ...log.cut };
      }
      case 'reset':
        log.cut = { index: log.last + each.by + 1, term };
        log.entries.clear();
        log.hardState = { ...log.hardState, commit: log.cut.index };
        return { kind: 'reset', group: GROUP, ...log.cut };
      case 'checkpoint': {
        const frame = Math.max(this.checkpointed, this.records.length - each.by);
        this.checkpointed = frame;
        return { kind: 'checkpoint', group: GROUP, frame, hardState: log.hardState, ...log.cut };
      }
    }
  }
}

/** The folder as a checkpoint left it, with the plan carried out; what the disk has from `keepBelow` on does not matter. */
function carriedOut(plan: GroupPlan, folder: PlainLog, termAt: (run: number) => number): PlainLog {
  const log = folder.copy();
  if (plan.keepBelow !== null) log.dropFrom(plan.keepBelow);
  for (const { offset, firstIndex, lastIndex } of plan.runs)
    for (let index = firstIndex; index <= lastIndex; index += 1) log.entries.set(index, termAt(offset));
  if (plan.cut !== null && plan.cut.index >= log.cut.index) log.cut = plan.cut;
  log.dropTo(log.cut.index);
  if (plan.hardState !== null) log.hardState = plan.hardState;
  return log;
}

function replayOf(records: readonly GroupRecord[]): GroupReplay {
  const replay = new GroupReplay();
  for (const [at, record] of records.entries())
    replay.take(record, { frame: at + 1, segment: 0, payloadOffset: 0 });
  return replay;
}

/** The term of the entries that were found at this offset. */
const termAtOf =
  (records: readonly GroupRecord[]) =>
  (offset: number): number => {
    const record = records[offset / 1000];
    return record?.kind === 'entries' ? record.lastTerm : -1;
  };

t.test('from any checkpoint on, the journal and the folder of then give the log of now', async (t) => {
  let checkpoints = 0;
  let resets = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const life = new Life();
      for (const each of steps) life.take(each);
      if (life.checkpointed > 0) checkpoints += 1;
      if (life.records.some(({ kind }) => kind === 'reset')) resets += 1;
      const plan = replayOf(life.records).plan([]);
      t.equal(plan.lost, null);
      const log = carriedOut(plan, life.after[life.checkpointed]!, termAtOf(life.records));
      t.same({ ...log }, { ...life.log });
    }),
    { numRuns: 400 },
  );
  t.ok(checkpoints > 50 && resets > 50, `${checkpoints} with checkpoints, ${resets} with resets`);
});

t.test(
  'frames are missing: the log is as it was before them, terms and votes are the last ones',
  async (t) => {
    let lost = 0;
    fc.assert(
      fc.property(fc.array(step, { minLength: 5, maxLength: 30 }), fc.nat(), fc.nat(3), (steps, at, more) => {
        const life = new Life();
        for (const each of steps) life.take(each);
        if (life.records.length === 0) return;
        const from = 1 + (at % life.records.length);
        const gap = { from, to: from + more };
        const replay = new GroupReplay();
        for (const [number, record] of life.records.entries())
          if (number + 1 < gap.from || number + 1 > gap.to)
            replay.take(record, { frame: number + 1, segment: 0, payloadOffset: 0 });
        const plan = replay.plan([gap]);
        if (replay.checkpointed >= gap.to) return void t.equal(plan.lost, null);
        lost += 1;
        t.type(plan.lost, 'string');
        const first = Math.max(gap.from, replay.checkpointed + 1);
        const log = carriedOut(plan, life.after[replay.checkpointed]!, termAtOf(life.records));
        const before = life.after[first - 1]!;
        t.same([log.cut, log.entries], [before.cut, before.entries]);
        t.ok(log.hardState.commit <= before.hardState.commit || log.hardState.commit <= before.last);
        if (replay.hardState === null || plan.hardState === null) t.equal(plan.hardState, replay.hardState);
        else t.match(plan.hardState, { term: replay.hardState.term, vote: replay.hardState.vote });
      }),
      { numRuns: 400 },
    );
    t.ok(lost > 100, `${lost}`);
  },
);

t.test('entries that do not follow, or lie before the cut, are no log', async (t) => {
  const entries = (firstIndex: number, lastIndex: number): GroupRecord => ({
    ...{ kind: 'entries', group: GROUP, lastTerm: 1, at: 0, byteLength: 300 },
    ...{ firstIndex, lastIndex },
  });
  const hole = replayOf([entries(5, 6), entries(8, 9)]).plan([]);
  t.match(hole, { lost: 'the journal has entries up to 6, then from 8 on', keepBelow: 5 });
  t.match(hole.runs, [{ firstIndex: 5, lastIndex: 6 }]);
  t.equal(hole.runs.length, 1);
  const below = replayOf([{ kind: 'reset', group: GROUP, index: 9, term: 1 }, entries(9, 9)]).plan([]);
  t.match(below, { lost: 'the journal has entries from 9 on, and a cut at 9', runs: [], keepBelow: 10 });
});
