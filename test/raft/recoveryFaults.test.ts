/**
 * Recovery of a disk that is damaged, or refuses: what it costs is votes and single replicas, and what cannot be done now is done later.
 */
import t from 'tap';
import { readNoVotes, returnVote } from '../../src/raft/noVote.js';
import type { WatchedDisk } from '../crash/watchedDisk.js';
import { wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import type { SimCall } from '../sim/simFiles.js';
import { difference, groupPath, JournalLife, LIFE_ROOT } from './journalLife.js';
import { framesOn, logEntries, openJournal, RIG_BUFFER_BYTES } from './journalRig.js';
import { folderOf, JOURNAL, killed, life, outcomes, recover, same } from './recoveryRig.js';

/** Paths of a group's log files, in order. */
function logFilesOf(disk: WatchedDisk, group: number): string[] {
  const folder = disk.node(groupPath(group));
  const names = folder?.kind === 'folder' ? [...folder.entries.keys()] : [];
  return names
    .filter((name) => /log$/.test(name))
    .sort()
    .map((name) => `${groupPath(group)}/${name}`);
}

/** Damages the first log file of a group in front of everything that the journal has. */
function damageFolder(disk: WatchedDisk, group: number): void {
  const fd = disk.open(logFilesOf(disk, group)[0]!, 2, 0);
  disk.write(fd, new Uint8Array(40).fill(0x55), 0);
  disk.close(fd);
}

/** A life whose groups have long logs in their folders, and only their last entries in the journal. */
function settledLife(): JournalLife {
  const lived = new JournalLife(3, new Random(9));
  for (const { id } of lived.groups) for (let count = 0; count < 6; count += 1) lived.append(id);
  lived.settle();
  for (const { id } of lived.groups) lived.checkpoint(id);
  lived.settle();
  for (const { id } of lived.groups) lived.append(id);
  lived.settle();
  return lived;
}

t.test(
  'a folder that is damaged below the journal is one replica: no vote, and the others serve',
  async (t) => {
    const lived = settledLife();
    const disk = killed(lived);
    damageFolder(disk, 2);
    const report = recover(disk);
    t.same(outcomes(report).sort(), ['1 recovered', '2 refused', '3 recovered']);
    same(t, lived, disk, 1, 3);
    t.match(report.noVote, [{ group: 2, reason: /could not be completed/ }]);
    t.same(
      recover(disk),
      { failures: [], journals: [], groups: [], noVote: report.noVote },
      'told at each start',
    );
    t.same(readNoVotes(disk, LIFE_ROOT), report.noVote);
    let ended: number | null = null;
    returnVote(disk, LIFE_ROOT, 2, (errno) => {
      ended = errno;
    });
    while (disk.step()) disk.drainCompletions();
    t.equal(ended, 0);
    t.same(readNoVotes(disk.powerLoss(1), LIFE_ROOT), []);
  },
);

t.test(
  'a torn META beside a log that is too short for the journal is made again: term and vote stay',
  async (t) => {
    const lived = life(2);
    lived.checkpoint(2);
    lived.settle();
    lived.append(2);
    lived.settle();
    const disk = killed(lived);
    const [, ...behind] = logFilesOf(disk, 2);
    t.ok(behind.length > 0);
    for (const path of behind) disk.unlink(path);
    disk.truncate(disk.open(`${groupPath(2)}/META`, 2, 0), 33);
    const { term, vote } = lived.truthAfter(lived.journal.durableFrame, 2).hardState;
    t.ok(term > 0);
    t.match(recover(disk).noVote, [{ group: 2, reason: /could not be completed/ }]);
    const folder = folderOf(disk, 2);
    t.match(folder.hardState, { term, vote });
    folder.close();
  },
);

t.test('a log file that does not read is the trouble of one replica', async (t) => {
  const lived = settledLife();
  const disk = killed(lived);
  disk.addFault({ call: 'pread', path: /wal_2.*log$/, errno: 5, count: 100 });
  const report = recover(disk);
  t.same(outcomes(report).sort(), ['1 recovered', '2 refused', '3 recovered']);
  t.match(report.noVote, [{ group: 2 }]);
});

t.test('frames that are lost cost the vote of every group that may have been in them', async (t) => {
  const lived = settledLife();
  // Group 3 is checkpointed behind the damage: nothing of it can be missing.
  lived.checkpoint(3);
  lived.settle();
  lived.append(1);
  lived.settle();
  const disk = killed(lived);
  const frames = framesOn(disk, JOURNAL);
  const damaged = frames.find(
    ({ found }) =>
      found.some(({ kind, group }) => kind === 'entries' && group === 2) && frames.at(-1)!.tail > 0,
  )!;
  const last = frames
    .filter(({ found }) => found.some(({ kind, group }) => kind === 'entries' && group === 2))
    .at(-1)!;
  t.ok(damaged.number < last.number);
  const fd = disk.open(`${JOURNAL}/${last.segment}`, 2, 0);
  disk.write(fd, new Uint8Array(64), last.offset);
  disk.close(fd);
  disk.mkdir(`${LIFE_ROOT}/datapartition_9_1024`, 0o755);
  const report = recover(disk);
  t.match(report.journals, [{ problems: [/frames \d+ to \d+ are damaged or missing/] }]);
  t.same(report.noVote.map(({ group }) => group).sort(), [1, 2, 9]);
  for (const { group } of report.groups) folderOf(disk, group).close();
  same(t, lived, disk, 3);
  const marked = readNoVotes(disk.powerLoss(3), LIFE_ROOT) as unknown[];
  t.equal(marked.length, 3, 'the marks are durable before the journal is emptied');
  disk.removeTree(`${LIFE_ROOT}/datapartition_9_1024`);
  t.same(
    recover(disk).noVote.map(({ group }) => group),
    [1, 2],
    'the mark of a partition that is gone goes',
  );
});

t.test('a journal that does not read costs votes, and what it used is never used again', async (t) => {
  const lived = life(4, 80);
  const disk = killed(lived);
  disk.addFault({ call: 'pread', path: /segment/, errno: 5, count: 1000 });
  const report = recover(disk);
  t.match(report.journals, [{ problems: [/input\/output error/] }]);
  t.same(report.noVote.map(({ group }) => group).sort(), [1, 2, 3]);
  t.same(report.failures, []);
  const region = new Uint8Array(RIG_BUFFER_BYTES);
  const bad = disk.withRoot(wholeImage(disk.rootFolder), 1);
  bad.addFault({ call: 'pread', path: /segment/, errno: 5, count: 1000 });
  const opened = openJournal(bad, region);
  t.type(opened, 'object', 'a journal is opened without the segments that do not read');
  if (typeof opened !== 'string') {
    t.ok(opened.nextFrame > lived.journal.nextFrame + 1000);
    opened.close();
  }
  const readable = disk.processEnd(1) as WatchedDisk;
  t.same(recover(readable).groups, [], 'what could not be read then is void now');
});

t.test('records of one group in two journals: the newer ones count, without a vote', async (t) => {
  const lived = life();
  const disk = killed(lived);
  const older = life(1, 1);
  const [from, to] = [`${JOURNAL}/segment.0`, `${LIFE_ROOT}/.extentd.raft/1`];
  disk.mkdir(to, 0o755);
  const fd = disk.open(`${to}/segment.0`, 0o102, 0o600);
  disk.write(fd, older.disk.content(from), 0);
  disk.close(fd);
  const report = recover(disk);
  t.equal(report.journals.length, 2);
  same(t, lived, disk, 1, 2, 3);
  t.match(report.noVote, [
    { group: 1, reason: 'two journals have records of it' },
    { group: 2 },
    { group: 3 },
  ]);
});

t.test(
  'whatever the disk refuses, and whenever: nothing is lost, and the next recovery completes it',
  async (t) => {
    const calls: SimCall[] = [
      'open',
      'pwrite',
      'fdatasync',
      'unlink',
      'rename',
      'fsyncFolder',
      'truncate',
      'scan',
    ];
    let failed = 0;
    for (const call of calls) {
      for (let skip = 0; skip < 12; skip += 1) {
        const lived = life(6, 30);
        const disk = killed(lived);
        // A fault that changes nothing lets the first calls pass.
        disk.addFault({ call, path: /./, count: skip });
        disk.addFault({ call, path: /./, errno: 28, count: 1 });
        const report = recover(disk);
        t.equal(disk.openFds(), 0, `${call} ${skip}: files are closed`);
        if (report.failures.length > 0) {
          failed += 1;
          t.match(report.failures[0], /no space left on device/);
          const next = recover(disk.processEnd(2) as WatchedDisk);
          t.same(next.failures, []);
        }
        const after = disk.processEnd(3) as WatchedDisk;
        t.same(recover(after).failures, []);
        same(t, lived, after, 1, 2, 3);
      }
    }
    t.ok(failed > 40, `${failed} recoveries failed`);
  },
);

t.test('a frame that failed, or hangs, may be found or not; what was told durable is', async (t) => {
  for (const fault of [{ errno: 5 }, { hang: true }]) {
    for (const call of ['pwrite', 'fdatasync'] as const) {
      const lived = life();
      const told = lived.journal.durableFrame;
      lived.disk.addFault({ call, path: /segment/, count: 1, ...fault });
      lived.append(1);
      lived.append(2);
      lived.settle();
      t.equal(lived.journal.durableFrame, told);
      const disk = lived.disk.powerLoss(7) as unknown as WatchedDisk;
      recover(disk);
      const found = [told, told + 1].filter((frame) =>
        [1, 2, 3].every((group) => difference(disk, group, lived.truthAfter(frame, group)) === null),
      );
      t.equal(found.length, 1, `${call} ${JSON.stringify(fault)}`);
    }
  }
});

t.test('a frame that is whole and has no log records where it says costs one vote', async (t) => {
  const lived = settledLife();
  const { truth } = lived.groups[1]!;
  const next = truth.cutIndex + truth.entries.size + 1;
  const entries = [next, next + 7, next + 2].flatMap((index) => logEntries(index, index, 1));
  lived.journal.entries(2, entries);
  lived.settle();
  const disk = killed(lived);
  const report = recover(disk);
  t.same(outcomes(report).sort(), ['1 recovered', '2 recovered', '3 recovered']);
  t.match(report.noVote, [{ group: 2, reason: new RegExp(`entry ${next + 7} in place of ${next + 1}`) }]);
  same(t, lived, disk, 1, 2, 3);
});
