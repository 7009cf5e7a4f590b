/** The log in memory against a twin that is an array, and the assertions that keep a broken caller from going on. */
import fc from 'fast-check';
import t from 'tap';
import { ENTRY_TYPE, type RaftEntry } from '../../src/protocol/raftStructs.js';
import { entryBytes } from '../../src/raft/entryMemory.js';
import { type LogStart, RaftLog } from '../../src/raft/log.js';

function entry(index: number, term: number, sizeBytes = 1): RaftEntry {
  return { type: ENTRY_TYPE.normal, term, index, data: new Uint8Array(sizeBytes) };
}

function entries(from: number, to: number, term: number): RaftEntry[] {
  return Array.from({ length: to - from + 1 }, (_, i) => entry(from + i, term));
}

/** Ten entries in two terms behind a cut at 5/1, all of them on disk only. */
const STORED: LogStart = {
  cutIndex: 5,
  cutTerm: 1,
  lastIndex: 15,
  runs: [
    { from: 6, term: 1 },
    { from: 12, term: 3 },
  ],
};

t.test('a log that was opened knows its terms, and that nothing is in memory', async (t) => {
  const log = new RaftLog(STORED);
  t.strictSame(
    [4, 5, 6, 11, 12, 15, 16].map((index) => log.term(index)),
    [-1, 1, 1, 1, 3, 3, -1],
  );
  t.strictSame([log.firstIndex, log.lastTerm, log.durable, log.given], [6, 3, 15, 15]);
  t.equal(log.slice(6, 15, 1000), null);
  t.equal(log.cachedBytes, 0);
  t.equal(log.holeEnd(6), 15);
});

t.test('runs that do not cover the log are refused', async (t) => {
  const bad: Partial<LogStart>[] = [
    { lastIndex: 4 },
    { runs: [] },
    { lastIndex: 5 },
    { runs: [{ from: 7, term: 1 }] },
    { runs: [{ from: 6, term: 0 }] },
    {
      runs: [
        { from: 6, term: 2 },
        { from: 9, term: 1 },
      ],
    },
    {
      runs: [
        { from: 6, term: 1 },
        { from: 16, term: 2 },
      ],
    },
  ];
  for (const change of bad) t.throws(() => new RaftLog({ ...STORED, ...change }), /log/);
});

t.test('entries read back serve a slice, up to where they reach', async (t) => {
  const log = new RaftLog(STORED);
  log.append([entry(16, 3)]);
  log.put(entries(8, 11, 1));
  t.equal(log.slice(7, 16, 1000), null);
  t.strictSame(
    log.slice(8, 16, 1000)?.map(({ index }) => index),
    [8, 9, 10, 11],
  );
  t.equal(log.holeEnd(7), 7);
  t.equal(log.holeEnd(12), 15);
  log.put([...entries(12, 15, 3), entry(16, 3)]);
  t.strictSame(
    log.slice(12, 16, 1000)?.map(({ index }) => index),
    [12, 13, 14, 15, 16],
  );
  t.equal(log.slice(8, 16, 1000), null, 'the run before it has left');
  t.equal(log.cachedBytes, 5 * 18);
});

t.test('what was read before the log was cut or replaced is passed over', async (t) => {
  const log = new RaftLog(STORED);
  log.append([entry(14, 4)]);
  log.put([...entries(4, 11, 1), ...entries(12, 15, 3)]);
  t.equal(log.inMemory(5), undefined);
  t.equal(log.inMemory(13)?.term, 3);
  t.equal(log.inMemory(14)?.term, 4);
  t.equal(log.inMemory(15), undefined);
  log.put(entries(1, 5, 1));
  t.ok(log.inMemory(13), 'what lies below the cut changes nothing');
});

t.test('a slice is bounded by bytes, but never empty', async (t) => {
  const log = new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 0, runs: [] });
  log.append([entry(1, 1, 100), entry(2, 1, 10), entry(3, 1, 10)]);
  t.equal(log.slice(1, 3, 1)?.length, 1);
  t.equal(log.slice(1, 3, 117 + 27)?.length, 2);
  t.equal(log.slice(1, 3, 117 + 26)?.length, 1);
  t.equal(log.slice(2, 3, 54)?.length, 2);
});

t.test('word of a write counts for the log it was made from', async (t) => {
  const log = new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 0, runs: [] });
  log.append(entries(1, 5, 1));
  const first = log.generation;
  t.equal(log.take().length, 5);
  log.append([entry(4, 2)]);
  t.equal(log.take().length, 1);
  log.append([entry(4, 3), entry(5, 3)]);
  log.durableTo(5, first);
  t.equal(log.durable, 0, 'the entries of then are not those of now');
  const last = log.generation;
  t.throws(() => log.durableTo(5, last), /was not given out/);
  t.equal(log.take().length, 2);
  log.durableTo(5, last);
  t.equal(log.durable, 5);
  log.append([entry(4, 4)]);
  t.strictSame([log.durable, log.given], [3, 3], 'nor is what was durable and is replaced');
});

t.test('what is committed is never replaced, and nothing leaves a gap', async (t) => {
  const log = new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 0, runs: [] });
  log.append(entries(1, 5, 2));
  log.commitTo(3);
  t.throws(() => log.append([entry(3, 3)]), /conflicts with a committed one/);
  t.throws(() => log.append([entry(7, 3)]), /does not follow/);
  t.throws(() => log.append([entry(6, 2), entry(8, 2)]), /does not follow/);
  t.throws(() => log.append([entry(7, 1)]), /below/);
  t.throws(() => log.commitTo(9), /behind the last entry/);
  t.throws(() => log.evict(1), /not durable/);
  t.throws(() => log.cut(1), /outside/);
  t.throws(() => log.appliedTo(1), /outside/);
  t.throws(() => log.reset(3, 9), /not behind the commit/);
  t.throws(() => log.slice(0, 2, 1), /not all between/);
});

t.test('the state machine gets what is committed and durable, in order', async (t) => {
  const log = new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 0, runs: [] });
  log.append(entries(1, 6, 1));
  log.commitTo(4);
  t.strictSame(log.handOver(1000), []);
  log.take();
  log.durableTo(6, log.generation);
  t.strictSame(
    log.handOver(40)?.map(({ index }) => index),
    [1, 2],
  );
  log.evict(2);
  log.evict(3);
  t.equal(log.handOver(1000), null, 'it has left the memory');
  log.put([entry(3, 1)]);
  t.equal(log.handOver(1000)?.length, 2);
  log.appliedTo(4);
  t.strictSame(log.handOver(1000), []);
});

/** A twin: every entry in an array, and what of it is in memory in a set. */
class Twin {
  cutIndex = 0;
  cutTerm = 0;
  entries: RaftEntry[] = [];
  inMemory = new Set<RaftEntry>();

  get lastIndex(): number {
    return this.cutIndex + this.entries.length;
  }

  at(index: number): RaftEntry | undefined {
    return this.entries[index - this.cutIndex - 1];
  }

  append(added: readonly RaftEntry[]): void {
    this.entries.length = added[0]!.index - this.cutIndex - 1;
    this.entries.push(...added);
    for (const one of added) this.inMemory.add(one);
  }
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('append' as const), back: fc.nat({ max: 3 }), count: fc.nat({ max: 4 }) }),
  fc.record({ kind: fc.constant('evict' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ kind: fc.constant('cut' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  fc.record({ kind: fc.constant('apply' as const) }),
  fc.record({ kind: fc.constant('reset' as const), ahead: fc.nat({ max: 3 }) }),
);

t.test('whatever is done to it, it holds what an array holds', async (t) => {
  const { failed, counterexample } = fc.check(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const log = new RaftLog({ cutIndex: 0, cutTerm: 0, lastIndex: 0, runs: [] });
      const twin = new Twin();
      let term = 1;
      for (const one of steps) {
        if (one.kind === 'append' && one.count > 0) {
          term += one.back > 0 ? 1 : 0;
          const from = Math.max(log.committed + 1, log.lastIndex + 1 - one.back);
          const added = entries(from, from + one.count - 1, term);
          log.append(added);
          twin.append(added);
        } else if (one.kind === 'evict') {
          log.evict(Math.floor(one.part * log.applied));
          for (const held of twin.inMemory)
            if (held.index <= Math.floor(one.part * log.applied)) twin.inMemory.delete(held);
        } else if (one.kind === 'cut') {
          const to = log.cutIndex + Math.floor(one.part * (log.applied - log.cutIndex));
          if (to === log.cutIndex) continue;
          twin.cutTerm = twin.at(to)!.term;
          twin.entries.splice(0, to - twin.cutIndex);
          twin.cutIndex = to;
          if (log.cut(to) !== twin.cutTerm) return false;
        } else if (one.kind === 'apply') {
          log.commitTo(log.lastIndex);
          log.take();
          log.durableTo(log.lastIndex, log.generation);
          while (log.handOver(30)?.length) log.appliedTo(log.handedOver);
        } else if (one.kind === 'reset' && one.ahead > 0) {
          const index = log.committed + one.ahead;
          log.reset(index, term);
          twin.cutIndex = index;
          twin.cutTerm = term;
          twin.entries = [];
        }
        if (!isSame(log, twin)) return false;
      }
      return true;
    }),
  );
  t.notOk(failed, `it does, but for ${JSON.stringify(counterexample)}`);
});

function isSame(log: RaftLog, twin: Twin): boolean {
  let bytes = 0;
  for (let index = twin.cutIndex + 1; index <= twin.lastIndex; index += 1) {
    const ours = log.inMemory(index);
    const theirs = twin.at(index)!;
    if (log.term(index) !== theirs.term) return false;
    if (ours !== (twin.inMemory.has(theirs) ? theirs : undefined)) return false;
    if (ours !== undefined) bytes += entryBytes(ours);
  }
  const { cutIndex, cutTerm, lastIndex, cachedBytes } = log;
  return (
    cutIndex === twin.cutIndex &&
    cutTerm === twin.cutTerm &&
    lastIndex === twin.lastIndex &&
    cachedBytes === bytes &&
    log.term(cutIndex) === cutTerm &&
    log.term(lastIndex + 1) === -1 &&
    log.lastTerm === (twin.entries.at(-1)?.term ?? cutTerm)
  );
}
