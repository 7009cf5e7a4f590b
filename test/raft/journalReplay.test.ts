/**
 * What the records of a group come to: against a plain log to which the same was done, from any checkpoint on.
 */
import fc from 'fast-check';
import t from 'tap';
import { type FrameGap, GroupPlan, type GroupRecord, GroupSummary } from '../../src/raft/journalReplay.js';

const GROUP = 7;

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

/** What is left of a log when the plan was carried out on the folder of the checkpoint; what the disk has from `keepBelow` on does not matter. */
function carriedOut(records: readonly (GroupRecord | null)[], plan: GroupPlan, folder: PlainLog): PlainLog {
  const log = folder.copy();
  if (plan.cut !== null && plan.cut.index >= log.cut.index) log.cut = plan.cut;
  if (plan.keepBelow !== null) log.dropFrom(log.cut.index >= plan.keepBelow - 1 ? 0 : plan.keepBelow);
  for (const [at, record] of records.entries()) {
    if (record?.kind !== 'entries' || !plan.counts({ frame: at + 1, number: 0 })) continue;
    const first = Math.max(record.firstIndex, log.cut.index + 1);
    if (record.lastIndex < first) continue;
    log.dropFrom(first);
    for (let index = first; index <= record.lastIndex; index += 1) log.entries.set(index, record.lastTerm);
  }
  log.dropTo(log.cut.index);
  if (plan.hardState !== null) log.hardState = plan.hardState;
  return log;
}

/** Both looks at the records, of which each has a frame of its own; null: its frame is missing. */
function planOf(
  records: readonly (GroupRecord | null)[],
  gaps: readonly FrameGap[] = [],
): [GroupSummary, GroupPlan] {
  const summary = new GroupSummary();
  for (const [at, record] of records.entries()) if (record !== null) summary.take(record, at + 1);
  const plan = new GroupPlan(summary, gaps);
  for (const [at, record] of records.entries())
    if (record !== null) plan.take(record, { frame: at + 1, number: 0 });
  return [summary, plan];
}

t.test('from any checkpoint on, the journal and the folder of then give the log of now', async (t) => {
  let checkpoints = 0;
  let resets = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const life = new Life();
      for (const each of steps) life.take(each);
      if (life.checkpointed > 0) checkpoints += 1;
      if (life.records.some(({ kind }) => kind === 'reset')) resets += 1;
      const [, plan] = planOf(life.records);
      t.equal(plan.lost, null);
      const log = carriedOut(life.records, plan, life.after[life.checkpointed]!);
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
        const records = life.records.map((record, number) =>
          number + 1 < gap.from || number + 1 > gap.to ? record : null,
        );
        const [summary, plan] = planOf(records, [gap]);
        if (summary.checkpointed >= gap.to) return void t.equal(plan.lost, null);
        lost += 1;
        t.type(plan.lost, 'string');
        const first = Math.max(gap.from, summary.checkpointed + 1);
        const log = carriedOut(records, plan, life.after[summary.checkpointed]!);
        const before = life.after[first - 1]!;
        t.same([log.cut, log.entries], [before.cut, before.entries]);
        t.ok(log.hardState.commit <= before.hardState.commit || log.hardState.commit <= before.last);
        if (summary.hardState === null || plan.hardState === null) t.equal(plan.hardState, summary.hardState);
        else t.match(plan.hardState, { term: summary.hardState.term, vote: summary.hardState.vote });
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
  const hole = planOf([entries(5, 6), entries(8, 9)])[1];
  t.match(hole, { lost: 'the journal has entries up to 6, then from 8 on', keepBelow: 5 });
  const counts = [1, 2, 3].map((frame) => hole.counts({ frame, number: 0 }));
  t.same(counts, [true, false, false]);
  const below = planOf([{ kind: 'reset', group: GROUP, index: 9, term: 1 }, entries(9, 9)])[1];
  t.match(below, { lost: 'the journal has entries from 9 on, and a cut at 9', keepBelow: 10 });
  t.notOk(below.counts({ frame: 2, number: 0 }));
});

t.test(
  'what stands before the last end of a group does not count, and a gap before it costs nothing',
  async (t) => {
    const summary = new GroupSummary({ frame: 5, number: 2 });
    const hardState = { term: 1, vote: 0, commit: 0 };
    const state: GroupRecord = { kind: 'state', group: GROUP, hardState, index: 0, term: 0 };
    summary.take(state, 5);
    const plan = new GroupPlan(summary, [{ from: 3, to: 4 }]);
    const entries: GroupRecord = {
      ...{ kind: 'entries', group: GROUP, firstIndex: 7, lastIndex: 9, lastTerm: 1, at: 0, byteLength: 300 },
    };
    plan.take(entries, { frame: 5, number: 1 });
    t.match(plan, { keepBelow: null, lost: null, hardState });
    plan.take({ ...entries, firstIndex: 1 }, { frame: 5, number: 4 });
    t.equal(plan.keepBelow, 1);
    t.same([plan.counts({ frame: 5, number: 1 }), plan.counts({ frame: 5, number: 4 })], [false, true]);
  },
);
