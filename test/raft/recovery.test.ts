/**
 * Recovery of a disk: what it does with folders of another node, with damage, and with a disk that refuses.
 */
import t, { type Test } from 'tap';
import { createGroupFolder, openGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { readNoVotes, returnVote } from '../../src/raft/noVote.js';
import { type RecoveryReport, recoverDisk } from '../../src/raft/recovery.js';
import { WatchedDisk } from '../crash/watchedDisk.js';
import { imageHash, wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import type { SimCall } from '../sim/simFiles.js';
import { difference, groupPath, JournalLife, LIFE_FILE_BYTES, LIFE_ROOT } from './journalLife.js';
import { framesOn, logRecords } from './journalRig.js';

const JOURNAL = `${LIFE_ROOT}/.extentd.raft/0`;

function recover(disk: WatchedDisk, lines: string[] = []): RecoveryReport {
  const log = (level: string, message: string): void => void lines.push(`${level} ${message}`);
  return recoverDisk(disk, LIFE_ROOT, { log, fileBytesMax: LIFE_FILE_BYTES });
}

/** A life of three groups that each have something in the journal, all of it durable. */
function life(seed = 1, turns = 40): JournalLife {
  const lived = new JournalLife(3, new Random(seed));
  for (let turn = 0; turn < turns; turn += 1) lived.turn();
  for (const { id } of lived.groups) lived.append(id);
  lived.settle();
  return lived;
}

/** The disk as the next process finds it when the life is killed now. */
function killed(lived: JournalLife): WatchedDisk {
  return lived.disk.withRoot(wholeImage(lived.disk.rootFolder), 1) as WatchedDisk;
}

function folderOf(disk: WatchedDisk, group: number): GroupFolder {
  const opened = openGroupFolder(disk, groupPath(group), { fileBytesMax: LIFE_FILE_BYTES });
  if (!opened.ok) throw new Error(opened.reason);
  return opened.folder;
}

/** Groups in `groups` are as they were at the end of the life. */
function same(t: Test, lived: JournalLife, disk: WatchedDisk, ...groups: number[]): void {
  const last = lived.journal.durableFrame;
  for (const group of groups)
    t.equal(difference(disk, group, lived.truthAfter(last, group)), null, `group ${group}`);
}

const outcomes = ({ groups }: RecoveryReport): string[] =>
  groups.map(({ group, outcome }) => `${group} ${outcome}`);

t.test('a disk without journals, and one whose journals are empty, are left as they are', async (t) => {
  const bare = new WatchedDisk({ regions: [] });
  bare.mkdir(LIFE_ROOT, 0o755);
  t.same(recover(bare), { failures: [], journals: [], groups: [], noVote: [] });
  const disk = killed(life());
  recover(disk);
  const before = imageHash(wholeImage(disk.rootFolder));
  t.same(recover(disk), { failures: [], journals: [], groups: [], noVote: [] });
  t.equal(imageHash(wholeImage(disk.rootFolder)), before);
});

t.test('what was done is told, group by group', async (t) => {
  const lived = life();
  const disk = killed(lived);
  const lines: string[] = [];
  const report = recover(disk, lines);
  same(t, lived, disk, 1, 2, 3);
  t.same(outcomes(report).sort(), ['1 recovered', '2 recovered', '3 recovered']);
  t.match(report.journals, [{ folder: JOURNAL, frames: Number, problems: [] }]);
  for (const { group, lastIndex, hardState, lost } of report.groups) {
    const { truth } = lived.groups[group - 1]!;
    t.equal(lastIndex, truth.cutIndex + truth.entries.size);
    t.same([hardState, lost], [truth.hardState, null]);
  }
  t.ok(
    lines.every((line) => /^info raft log of partition \d: entries \d+ to \d+ from the journal/.test(line)),
  );
});

t.test('a folder that another node has written to is not undone', async (t) => {
  const writes: [string, RegExp, (folder: GroupFolder) => number][] = [
    [
      'term',
      /its term is \d+, and the journal ends with/,
      (folder) => {
        const { term } = folder.hardState;
        return folder.setHardState({ term: term + 50, vote: 1, commit: folder.hardState.commit });
      },
    ],
    [
      'commit',
      /its commit is \d+/,
      (folder) => {
        const { hardState, lastIndex } = folder;
        const term = Math.max(1, hardState.term);
        const records = logRecords(lastIndex + 1, lastIndex + 2, term);
        const entries = records.map(({ byteLength }, at) => ({
          index: lastIndex + 1 + at,
          term,
          recordBytes: byteLength,
        }));
        const errno = folder.append(lastIndex + 1, entries, records);
        return errno < 0 ? errno : folder.setHardState({ ...hardState, commit: lastIndex + 2 });
      },
    ],
    ['cut', /its cut is \d+/, (folder) => folder.reset(1000, 3, { ...folder.hardState, commit: 1000 })],
  ];
  for (const [name, told, write] of writes) {
    const lived = life();
    const disk = killed(lived);
    const folder = folderOf(disk, 2);
    t.equal(write(folder), 0);
    t.equal(folder.syncNow(), 0);
    folder.close();
    const before = imageHash(wholeImage(disk.node(groupPath(2)) as never));
    const lines: string[] = [];
    const report = recover(disk, lines);
    t.same(outcomes(report).sort(), ['1 recovered', '2 foreign', '3 recovered'], name);
    t.match(report.groups.find(({ group }) => group === 2)!.notes, [told]);
    t.ok(
      lines.some((line) => line.startsWith('error') && told.test(line)),
      'loudly',
    );
    t.equal(imageHash(wholeImage(disk.node(groupPath(2)) as never)), before, `${name}: nothing was changed`);
    same(t, lived, disk, 1, 3);
    t.same(report.noVote, []);
  }
});

t.test('another vote in the same term is another node', async (t) => {
  const lived = life();
  const { hardState } = lived.groups[0]!.truth;
  const disk = killed(lived);
  const folder = folderOf(disk, 1);
  folder.setHardState({ ...hardState, vote: hardState.vote + 7 });
  folder.close();
  const report = recover(disk);
  t.ok(outcomes(report).includes('1 foreign'));
  t.match(report.groups.find(({ group }) => group === 1)!.notes, [/its vote is/]);
});

t.test('records of a partition, or of a log folder, that is gone are dropped', async (t) => {
  const lived = life();
  const disk = killed(lived);
  disk.removeTree(`${LIFE_ROOT}/datapartition_1_1024`);
  disk.removeTree(groupPath(2));
  const report = recover(disk);
  t.same(outcomes(report).sort(), ['1 gone', '2 gone', '3 recovered']);
  t.equal(disk.node(groupPath(2)), undefined);
  same(t, lived, disk, 3);
  t.same(report.failures, []);
});

t.test(
  'a log folder whose name was never durable is made again, when the journal has all of it',
  async (t) => {
    const lived = new JournalLife(2, new Random(3));
    lived.append(1);
    lived.append(1);
    lived.settle();
    const disk = killed(lived);
    disk.removeTree(groupPath(1));
    t.same(outcomes(recover(disk)), ['1 recovered']);
    same(t, lived, disk, 1);
  },
);

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

t.test('a folder that was made and not used is no folder of another node', async (t) => {
  const lived = new JournalLife(1, new Random(2));
  lived.append(1);
  lived.settle();
  const disk = killed(lived);
  disk.removeTree(groupPath(1));
  const made = createGroupFolder(disk, groupPath(1));
  t.ok(made.ok);
  if (made.ok) made.folder.close();
  t.same(outcomes(recover(disk)), ['1 recovered']);
  same(t, lived, disk, 1);
});
