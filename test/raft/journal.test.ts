/**
 * The journal of a worker on a simulated disk: which frame holds a record, what is durable when, segments, failures.
 */
import t from 'tap';
import type { Journal } from '../../src/raft/journal.js';
import {
  append,
  framesOn,
  JournalRig,
  joined,
  logEntries,
  NEW,
  openJournal,
  RIG_FOLDER,
  RIG_SEGMENT_BYTES,
  rigDisk,
} from './journalRig.js';

t.test('what several groups say in a turn is one frame, durable as a whole', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 5, 6);
  t.equal(append(journal, 5, 1, 2), 1);
  t.equal(journal.hardState(6, { term: 3, vote: 2, commit: 0 }), 1);
  t.equal(journal.cut(5, 1, 1), 1);
  t.equal(journal.nextFrame, 1);
  journal.flush();
  t.equal(append(journal, 6, 1, 1), 2, 'one is under way, so this is the next one');
  journal.flush();
  t.same(rig.durable, []);
  t.same([journal.durableFrame, journal.nextFrame], [0, 2]);
  rig.settle();
  t.same(rig.durable, [1]);
  rig.run();
  t.same(rig.durable, [1, 2]);
  const [first, second] = framesOn(rig.disk);
  t.match(first, { number: 1, life: 1, tail: 1, segment: 'segment.0', offset: 0 });
  t.same(
    first!.found.map(({ kind, group }) => `${kind} ${group}`),
    ['state 5', 'entries 5', 'state 6', 'hardState 6', 'cut 5'],
    'the state with which a group came goes in front of its first record',
  );
  t.match(second!.found, [{ kind: 'entries', group: 6, firstIndex: 1, lastIndex: 1, lastTerm: 1 }]);
  t.equal(journal.queuedBytes, 0);
});

t.test('nothing is started without a flush, and nothing is called back inside a call', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  journal.flush();
  append(journal, 1, 1, 1);
  t.equal(rig.disk.pending(), 0);
  journal.flush();
  journal.flush();
  t.equal(rig.disk.pending(), 1);
  t.same(rig.durable, []);
  rig.settle();
  t.same(rig.durable, [1]);
});

t.test('what does not fit goes into the frames behind, in order and complete', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  // 30 records of 4 KiB; a frame of the rig has 28 KiB.
  t.equal(append(journal, 1, 1, 30, 4096), 5);
  t.equal(append(journal, 1, 31, 1, 100), 5);
  t.equal(append(journal, 1, 32, 5, 4096), 6, 'as a whole where it fits into a frame');
  rig.run();
  t.same(rig.durable, [1, 2, 3, 4, 5, 6]);
  const ranges = framesOn(rig.disk).flatMap(({ found }) =>
    found.flatMap((each) => (each.kind === 'entries' ? [[each.firstIndex, each.lastIndex]] : [])),
  );
  t.same(ranges, [
    [1, 6],
    [7, 12],
    [13, 18],
    [19, 24],
    [25, 30],
    [31, 31],
    [32, 36],
  ]);
});

t.test('the part of a record that is divided tells the term of its own last entry', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  journal.entries(1, [...logEntries(1, 6, 1, 4096), ...logEntries(7, 8, 2, 4096)]);
  rig.run();
  const terms = framesOn(rig.disk).flatMap(({ found }) =>
    found.flatMap((each) => (each.kind === 'entries' ? [[each.lastIndex, each.lastTerm]] : [])),
  );
  t.same(terms, [
    [6, 1],
    [8, 2],
  ]);
  t.throws(() => append(journal, 1, 9, 1, RIG_SEGMENT_BYTES), /fits into a frame/);
});

t.test('a group joins before its first record, once', async (t) => {
  const rig = new JournalRig();
  t.throws(() => append(rig.journal, 1, 1, 1), /has joined/);
  rig.journal.join(1, { term: 4, vote: 3, commit: 9 }, 7, 2);
  t.throws(() => rig.journal.join(1, NEW, 0, 0), /joins once/);
  append(rig.journal, 1, 10, 1);
  rig.run();
  t.match(framesOn(rig.disk)[0]!.found, [
    { kind: 'state', hardState: { term: 4, vote: 3, commit: 9 }, index: 7, term: 2 },
    { kind: 'entries' },
  ]);
  rig.journal.end(1);
  rig.journal.join(1, NEW, 0, 0);
});

t.test('a checkpoint carries hard state and cut as they are then', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1, 2);
  journal.hardState(1, { term: 2, vote: 1, commit: 0 });
  journal.reset(2, 50, 4);
  rig.run();
  journal.hardState(1, { term: 3, vote: 0, commit: 5 });
  journal.cut(1, 4, 2);
  journal.checkpoint(1, 1);
  journal.checkpoint(2, 1);
  t.throws(() => journal.checkpoint(1, 2), /what is durable/);
  rig.run();
  const checkpoints = framesOn(rig.disk)[1]!.found.filter(({ kind }) => kind === 'checkpoint');
  t.match(checkpoints, [
    { group: 1, frame: 1, hardState: { term: 3, vote: 0, commit: 5 }, index: 4, term: 2 },
    { group: 2, frame: 1, hardState: { term: 0, vote: 0, commit: 50 }, index: 50, term: 4 },
  ]);
});

t.test(
  'the first record behind a checkpoint tells again what the group was, before that record',
  async (t) => {
    const rig = new JournalRig();
    const journal = joined(rig, 1);
    append(journal, 1, 1, 3);
    journal.hardState(1, { term: 1, vote: 0, commit: 2 });
    rig.run();
    journal.checkpoint(1, 1);
    journal.reset(1, 9, 5);
    journal.cut(1, 10, 5);
    rig.run();
    t.match(framesOn(rig.disk)[1]!.found, [
      { kind: 'checkpoint' },
      { kind: 'state', hardState: { term: 1, commit: 2 }, index: 0 },
      { kind: 'reset', index: 9 },
      { kind: 'cut', index: 10 },
    ]);
  },
);

/** Fills segments with frames of one group until `room` says no. */
function fill(rig: JournalRig, group: number): number {
  let index = 1;
  while (rig.journal.hasRoom) {
    append(rig.journal, group, index, 4, 4096);
    index += 4;
    rig.run();
  }
  return index;
}

t.test('the next segment is made before it is needed; proposals wait when one alone is left', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1, 2);
  t.equal(append(journal, 2, 1, 1), 1);
  const segments = (): number => (rig.disk.scan(RIG_FOLDER) as { name: string }[]).length;
  t.equal(segments(), 1);
  fill(rig, 1);
  t.equal(segments(), 4);
  t.equal(journal.hasRoom, false);
  t.equal(journal.dueForCheckpoint(), 2, 'the first holder of the oldest segment');
  t.equal(
    journal.dueForCheckpoint((group) => group === 2),
    1,
  );
  // What is small still goes: the checkpoints that make room.
  const all = journal.durableFrame;
  journal.checkpoint(1, all);
  rig.run();
  t.equal(journal.hasRoom, false, 'group 2 has a record in the oldest segment');
  journal.checkpoint(2, all);
  rig.run();
  t.equal(journal.hasRoom, true);
  t.same(journal.unsettledGroups(), new Set());
  t.same(rig.lines, []);
});

t.test(
  'segments are written again in their order, and what an earlier life left is no frame of this one',
  async (t) => {
    const rig = new JournalRig();
    const journal = joined(rig, 1);
    let index = 1;
    for (let round = 0; round < 60; round += 1) {
      append(journal, 1, index, 3, 4096);
      index += 3;
      rig.run();
      if (journal.dueForCheckpoint() === 1) journal.checkpoint(1, journal.durableFrame);
      rig.run();
    }
    t.equal((rig.disk.scan(RIG_FOLDER) as unknown[]).length, 3);
    const frames = framesOn(rig.disk);
    const last = frames.at(-1)!;
    t.ok(last.life > 8, `life ${last.life}`);
    const needed = frames.filter(({ number }) => number >= last.tail);
    t.same(
      needed.map(({ number }) => number),
      Array.from({ length: last.number - last.tail + 1 }, (_, at) => last.tail + at),
      'every frame from the tail on is there',
    );
    t.ok(last.tail > 1);
  },
);

t.test('a segment more is made when even small records have no place', async (t) => {
  const rig = new JournalRig({ segmentsMax: 2 });
  const journal = joined(rig, 1);
  fill(rig, 1);
  for (let term = 1; term <= 20; term += 1) {
    journal.hardState(1, { term, vote: 0, commit: 0 });
    rig.run();
  }
  t.equal(journal.durableFrame, journal.nextFrame - 1);
  t.ok(
    rig.lines.some((line) => /all 2 segments are needed, one more is made/.test(line)),
    rig.lines.join(),
  );
});

for (const call of ['pwrite', 'fdatasync'] as const) {
  t.test(`a frame whose ${call} fails ends the journal: nothing of it is believed`, async (t) => {
    const rig = new JournalRig();
    const journal = joined(rig, 1);
    append(journal, 1, 1, 1);
    rig.run();
    rig.disk.addFault({ call, path: /segment/, errno: 5, count: 1 });
    append(journal, 1, 2, 1);
    journal.flush();
    append(journal, 1, 3, 1);
    rig.settle();
    t.same([rig.failures, rig.durable, journal.failed], [[-5], [1], -5]);
    t.equal(journal.hasRoom, false);
    append(journal, 1, 4, 1);
    rig.run();
    t.same([rig.failures, rig.durable, journal.queuedBytes], [[-5], [1], 0]);
    t.match(rig.lines, [/a durable write failed: input\/output error/]);
    t.equal(journal.dueForCheckpoint(), null);
    t.equal(journal.stop(), -5);
    t.equal(rig.disk.openFds(), 0);
  });
}

t.test('a frame that the full queue of the I/O threads refused is submitted again', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  rig.disk.addFault({ call: 'pwrite', path: /segment/, errno: 11, count: 3 });
  append(journal, 1, 1, 1);
  journal.flush();
  rig.settle();
  t.same([rig.durable, rig.failures], [[1], []]);
});

t.test('a frame that hangs holds up the next one, and closing does not wait for it', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  rig.disk.addFault({ call: 'fdatasync', path: /segment/, hang: true, count: 1 });
  append(journal, 1, 1, 1);
  journal.flush();
  append(journal, 1, 2, 1);
  journal.flush();
  rig.settle();
  t.same([rig.durable, rig.failures], [[], []]);
  t.equal(rig.disk.pending(), 1);
  journal.close();
  t.equal(rig.disk.openFds(), 1, 'the file of the write that hangs stays open');
});

t.test('a segment that cannot be made for another reason ends the journal', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  rig.disk.addFault({ call: 'fsyncFolder', path: /raft/, errno: 5, count: 1 });
  append(journal, 1, 1, 4, 4096);
  rig.run();
  append(journal, 1, 5, 4, 4096);
  rig.run();
  journal.flush();
  rig.settle();
  t.same(rig.failures, [-5]);
});

t.test('a stopped journal is empty, and numbers go on from there', async (t) => {
  const rig = new JournalRig();
  const journal = joined(rig, 1);
  fill(rig, 1);
  t.throws(() => journal.stop(), /no group needs/);
  journal.checkpoint(1, journal.durableFrame);
  t.throws(() => journal.stop(), /at rest/);
  rig.run();
  const { durableFrame } = journal;
  t.equal(journal.stop(), 0);
  t.equal(rig.disk.openFds(), 0);
  const again = openJournal(rig.disk, rig.region);
  if (typeof again === 'string') return void t.fail(again);
  t.same([again.durableFrame, again.nextFrame], [durableFrame, durableFrame + 1]);
  again.join(1, NEW, 0, 0);
  append(again, 1, 1, 1);
  again.flush();
  rig.settle();
  const frames = framesOn(rig.disk);
  t.match(frames.at(-1), { number: durableFrame + 1, tail: durableFrame + 1 });
  t.ok(frames.slice(0, -1).every(({ life }) => life < frames.at(-1)!.life));
  again.close();
});

t.test('a journal that was not recovered is not opened', async (t) => {
  const rig = new JournalRig();
  append(joined(rig, 1), 1, 1, 1);
  rig.run();
  rig.journal.close();
  t.match(openJournal(rig.disk, rig.region), /segment\.0 holds frames that were not recovered/);
  t.equal(rig.disk.openFds(), 0);
});

t.test('an open that fails says why and leaves nothing open', async (t) => {
  const calls = ['mkdir', 'fsyncFolder', 'scan', 'open', 'pwrite', 'fdatasync'] as const;
  for (const call of calls) {
    const disk = rigDisk();
    disk.addFault({ call, path: /raft|disk/, errno: 30, count: 1 });
    t.match(openJournal(disk, new Uint8Array(65536)), /: read-only file system$/, call);
    t.equal(disk.openFds(), 0, call);
  }
});

t.test('segments of another length, and more than there may be, are removed at a start', async (t) => {
  const rig = new JournalRig();
  fill(rig, joined(rig, 1) === rig.journal ? 1 : 0);
  rig.journal.checkpoint(1, rig.journal.durableFrame);
  rig.run();
  t.equal(rig.journal.stop(), 0);
  const fewer = openJournal(rig.disk, rig.region, { segmentsMax: 2 });
  t.type(fewer, 'object');
  (fewer as Journal).close();
  t.equal(
    (rig.disk.scan(RIG_FOLDER) as { name: string }[]).filter(({ name }) => /segment/.test(name)).length,
    2,
  );
  const larger = openJournal(rig.disk, rig.region, { segmentBytes: 2 * RIG_SEGMENT_BYTES });
  (larger as Journal).close();
  t.match(rig.disk.scan(RIG_FOLDER), [
    { name: 'emptied' },
    { name: 'segment.0', sizeBytes: 2 * RIG_SEGMENT_BYTES },
  ]);
});
