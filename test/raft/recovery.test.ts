/**
 * Recovery of a disk: what it does for each group, with folders of another node, and with folders that are gone.
 */
import t from 'tap';
import { createGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { RecordPieces } from '../../src/raft/recordSource.js';
import { WatchedDisk } from '../crash/watchedDisk.js';
import { imageHash, wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import { groupPath, JournalLife, LIFE_ROOT } from './journalLife.js';
import { logRecords } from './journalRig.js';
import { folderOf, JOURNAL, killed, life, outcomes, recover, same } from './recoveryRig.js';

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

t.test('recovery says that it gets on: with each piece of a journal, and with each group', async (t) => {
  const disk = killed(life());
  const lines: string[] = [];
  /** Lines that were there at each. */
  const said: number[] = [];
  recover(disk, lines, () => said.push(lines.length));
  t.ok(said.filter((count) => count === 0).length > 6, 'three walks over the journal, and the folders');
  for (const count of [1, 2, 3]) t.ok(said.includes(count), `behind group ${count}`);
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
        const errno = folder.append(lastIndex + 1, entries, new RecordPieces(records));
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

t.test('more groups than are open at a time', async (t) => {
  const lived = new JournalLife(300, new Random(5));
  for (const { id } of lived.groups) {
    lived.append(id);
    if (id % 10 === 0) lived.settle();
  }
  lived.settle();
  const disk = killed(lived);
  const report = recover(disk);
  t.equal(report.groups.filter(({ outcome }) => outcome === 'recovered').length, 300);
  same(t, lived, disk, 1, 150, 256, 257, 300);
  t.equal(disk.openFds(), 0);
});

t.test('what a group had before its end is not carried into the one that came after it', async (t) => {
  for (const between of [0, 1, 2]) {
    const lived = life();
    // In the same frame, in one behind it, and when the end is all that there is.
    lived.append(2);
    if (between === 1) lived.settle();
    lived.replace(2);
    if (between !== 2) lived.append(2);
    lived.append(3);
    lived.settle();
    const disk = killed(lived);
    const report = recover(disk);
    same(t, lived, disk, 1, 2, 3);
    const second = report.groups.find(({ group }) => group === 2);
    if (between === 2) t.equal(second, undefined, 'nothing is left to do for it');
    else t.match(second, { outcome: 'recovered', firstIndex: 1, lost: null });
  }
});

t.test('an end settles what came before it: its segments are used again', async (t) => {
  const lived = new JournalLife(2, new Random(8));
  lived.append(1);
  for (let round = 0; round < 60; round += 1) {
    lived.append(2);
    lived.settle();
    lived.checkpoint(2);
    lived.settle();
  }
  t.equal(lived.journal.dueForCheckpoint(), 1);
  lived.replace(1);
  lived.settle();
  lived.append(2);
  lived.settle();
  t.not(lived.journal.dueForCheckpoint(), 1);
  t.same(lived.journal.unsettledGroups(), new Set([2]));
});
