/**
 * The verdicts of `docs/raft.md` about damaged folders, one by one, and what an open may cost.
 */
import t, { type Test } from 'tap';
import { type FolderState, openGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { encodeEntryRecord } from '../../src/raft/records.js';
import { Random } from '../sim/random.js';
import type { SimDisk } from '../sim/simDisk.js';
import { CallDisk } from './callDisk.js';
import {
  allEntries,
  append,
  diskWith,
  entry,
  FOLDER,
  filesOf,
  hardState,
  mustOpen,
  plain,
  putFile,
  recordedFolders,
} from './folderRig.js';
import { GoTwin } from './goTwin.js';

const OPTIONS = { fileBytesMax: 128 };
const recorded = new Map(
  [...recordedFolders('wal.json'), ...recordedFolders('wal_recovery.json')].map((folder) => [
    folder.name,
    folder,
  ]),
);

/** Twelve entries in four files, the last one active; commit 11. */
function rotated(): SimDisk {
  return diskWith(recorded.get('rotated')!.files);
}

const name = (seq: number, index: number): string =>
  `${seq.toString(16).padStart(16, '0')}-${index.toString(16).padStart(16, '0')}.log`;
const path = (file: string): string => `${FOLDER}/${file}`;

function meta(disk: SimDisk, fields: number[]): void {
  const bytes = Buffer.alloc(fields.length * 8);
  for (const [at, value] of fields.entries()) bytes.writeBigUInt64BE(BigInt(value), at * 8);
  putFile(disk, path('META'), bytes);
}

function change(disk: SimDisk, file: string, changed: (bytes: Buffer) => Uint8Array): void {
  putFile(disk, path(file), changed(Buffer.from(disk.content(path(file)))));
}

/** Refused with that reason, and left alone. */
function refused(t: Test, disk: SimDisk, reason: RegExp): void {
  const before = filesOf(disk);
  const opened = openGroupFolder(disk, FOLDER, OPTIONS);
  if (opened.ok) return void t.fail(`opened, up to ${opened.state.lastIndex}`);
  t.match(opened.reason, reason);
  t.strictSame(filesOf(disk), before, 'the folder is left alone');
  t.equal(disk.openFds(), 0, 'and closed');
}

/** Served with those entries and that note. */
function served(
  t: Test,
  disk: SimDisk,
  first: number,
  last: number,
  note: RegExp,
): { folder: GroupFolder; state: FolderState } {
  const opened = mustOpen(disk, OPTIONS);
  t.strictSame([opened.state.cutIndex + 1, opened.state.lastIndex], [first, last]);
  t.match(opened.state.notes.join('\n'), note);
  t.strictSame(
    allEntries(opened.folder)
      .map(({ index }) => index)
      .at(0),
    last < first ? undefined : first,
  );
  return opened;
}

t.test('a damaged record with whole ones behind it is refused', async (t) => {
  const disk = rotated();
  change(disk, name(4, 10), (bytes) => bytes.fill(0xee, 60, 62));
  refused(
    t,
    disk,
    /-000000000000000a\.log at 40: a record has a wrong checksum, with whole records behind it$/,
  );
  const head = rotated();
  change(head, name(4, 10), (bytes) => bytes.fill(0xee, 41, 47));
  refused(t, head, /at 40: a record is cut off by the end of the file, with whole records behind it$/);
});

t.test('a damaged last record is cut off, and what it held is told as the lowered commit', async (t) => {
  const disk = rotated();
  change(disk, name(4, 10), (bytes) => bytes.fill(0, 41));
  const { state } = served(t, disk, 1, 10, /the last 80 bytes are cut off\nthe commit 11 is behind the end/);
  t.strictSame(state.hardState, { term: 3, vote: 2, commit: 10 });
  t.ok(state.shortened);
});

t.test('a file that is all garbage is cut to nothing', async (t) => {
  const disk = rotated();
  change(disk, name(4, 10), (bytes) => bytes.fill(0));
  served(t, disk, 1, 9, /at 0: a record has a wrong checksum; the last 120 bytes are cut off/);
  t.equal(disk.content(path(name(4, 10))).byteLength, 0);
});

t.test('a log that a client has stored in an entry is not taken for records of this one', async (t) => {
  for (const [first, isRefused] of [
    [500, false],
    [13, true],
  ] as const) {
    const disk = rotated();
    const inner = Buffer.concat([encodeEntryRecord(entry(first, 3)), encodeEntryRecord(entry(first + 1, 3))]);
    const torn = Buffer.from(encodeEntryRecord(entry(13, 3, Buffer.concat([inner, Buffer.alloc(100)]))));
    change(disk, name(4, 10), (bytes) => Buffer.concat([bytes, torn.subarray(0, torn.byteLength - 50)]));
    // Where index and place would fit, nobody can tell: an operator has to.
    if (isRefused) refused(t, disk, /with whole records behind it/);
    else served(t, disk, 1, 12, /at 120: a record is cut off/);
  }
});

t.test('a tail made to look like thousands of records costs a bounded search', async (t) => {
  const disk = rotated();
  const lure = Buffer.alloc(26);
  lure[0] = 1;
  lure.writeBigUInt64BE(20_000n, 1);
  lure.writeBigUInt64BE(3n, 10);
  lure.writeBigUInt64BE(13n, 18);
  const tail = Buffer.concat(Array.from({ length: 2000 }, () => lure));
  change(disk, name(4, 10), (bytes) => Buffer.concat([bytes, Buffer.from([9]), tail]));
  refused(t, disk, /with whole records behind it/);
});

t.test('a file missing in the middle, a file twice, an index that does not fit: refused', async (t) => {
  const missing = rotated();
  missing.unlink(path(name(2, 4)));
  refused(t, missing, /-0000000000000007\.log follows entry 3$/);
  const empty = rotated();
  empty.unlink(path(name(3, 7)));
  change(empty, name(4, 10), () => Buffer.alloc(0));
  refused(t, empty, /-000000000000000a\.log follows entry 6$/);
  const twice = rotated();
  putFile(twice, path(name(4, 11)), Buffer.alloc(0));
  refused(t, twice, /two log files have number 4/);
  const skipped = rotated();
  change(skipped, name(4, 10), (bytes) => Buffer.concat([bytes, encodeEntryRecord(entry(14, 3))]));
  refused(t, skipped, /at 120: entry 14 follows entry 12/);
  const folder = rotated();
  folder.mkdir(path(name(5, 13)), 0o755);
  t.match(openGroupFolder(folder, FOLDER, OPTIONS), { ok: false, reason: /is no log file/ });
  const huge = rotated();
  putFile(huge, path(`${'f'.repeat(16)}-${'0'.repeat(16)}.log`), Buffer.alloc(0));
  refused(t, huge, /is no log file/);
});

t.test('a sealed file without a right index is refused', async (t) => {
  const footer = rotated();
  change(footer, name(2, 4), (bytes) => bytes.subarray(0, 197));
  refused(t, footer, /-0000000000000004\.log: a sealed file without a footer/);
  const index = rotated();
  change(index, name(2, 4), (bytes) => bytes.fill(7, 140, 141));
  refused(t, index, /the index is damaged/);
  const short = rotated();
  change(short, name(2, 4), (bytes) => bytes.subarray(0, 20));
  refused(t, short, /a sealed file without a footer/);
});

t.test('a sealed last file goes on as the active one, with or without a whole seal', async (t) => {
  const file = recorded.get('sealed_last_file')!.files.at(-2)!;
  for (let bytes = 120; bytes <= file.size; bytes += 1) {
    const disk = diskWith(recorded.get('sealed_last_file')!.files);
    change(disk, file.file, (whole) => whole.subarray(0, bytes));
    const { folder, state } = mustOpen(disk, OPTIONS);
    t.equal(state.lastIndex, 9);
    t.equal(disk.content(path(file.file)).byteLength, 120, `${bytes} bytes`);
    t.equal(append(folder, [entry(10, 3, '', 0)]), 0);
    folder.close();
  }
});

t.test('what a snapshot has left over goes', async (t) => {
  const below = rotated();
  meta(below, [3, 100, 2, 100, 3]);
  served(t, below, 101, 100, /the log ends at 12, before the cut at 100: left over from a snapshot/);
  const other = rotated();
  meta(other, [7, 9, 2, 9, 7]);
  served(t, other, 10, 9, /the log contradicts term 7 of the cut at 9: left over/);
  // The reference removes the oldest file first, and may have been stopped in between.
  const gap = rotated();
  gap.unlink(path(name(1, 1)));
  meta(gap, [3, 0, 2, 0, 0]);
  served(t, gap, 1, 0, /the log begins at 4, and the cut is at 0: left over/);
  const next = rotated();
  for (const [seq, index] of [
    [1, 1],
    [2, 4],
    [3, 7],
  ] as const)
    next.unlink(path(name(seq, index)));
  meta(next, [7, 9, 2, 9, 7]);
  served(t, next, 10, 9, /the log contradicts term 7 of the cut at 9: left over/);
  for (const disk of [below, other, gap, next]) {
    t.strictSame(
      filesOf(disk).map(({ file }) => file),
      [name(1, 1), 'META'],
    );
  }
});

t.test('the same where the commit is beyond the cut is no left-over: refused', async (t) => {
  const other = rotated();
  meta(other, [7, 11, 2, 9, 7]);
  refused(t, other, /the log contradicts term 7 of the cut at 9$/);
  const gap = rotated();
  gap.unlink(path(name(1, 1)));
  meta(gap, [3, 11, 2, 2, 1]);
  refused(t, gap, /the log begins at 4, and the cut is at 2$/);
  const atCut = rotated();
  atCut.unlink(path(name(1, 1)));
  meta(atCut, [3, 2, 2, 2, 1]);
  refused(t, atCut, /the log begins at 4, and the cut is at 2$/);
  const lost = rotated();
  lost.unlink(path(name(1, 1)));
  refused(t, lost, /the log begins at 4, and the cut is at 0$/);
});

t.test('META that cannot be is refused, one that is missing counts as empty', async (t) => {
  const beyond = rotated();
  meta(beyond, [3, 11, 2, 12, 3]);
  refused(t, beyond, /META has its cut at 12, beyond the commit 11$/);
  const huge = rotated();
  meta(huge, [2 ** 60, 11, 2]);
  refused(t, huge, /META: term of the hard state is larger than/);
  const long = rotated();
  putFile(long, path('META'), Buffer.alloc(41));
  refused(t, long, /META has 41 bytes/);
  const missing = rotated();
  missing.unlink(path('META'));
  const { state } = served(t, missing, 1, 12, /the term 0 is older than that of the last entry: raised to 3/);
  t.strictSame(state.hardState, hardState(3, 0, 0));
  t.equal(missing.content(path('META')).byteLength, 0, 'it is made');
});

t.test('whole files below the cut are not read, and wait for the next truncation', async (t) => {
  const disk = rotated();
  meta(disk, [3, 11, 2, 8, 2]);
  change(disk, name(1, 1), (bytes) => bytes.fill(0));
  change(disk, name(2, 4), (bytes) => bytes.fill(0));
  const { folder, state } = mustOpen(disk, OPTIONS);
  t.strictSame([state.cutIndex, state.lastIndex, state.notes], [8, 12, []]);
  t.strictSame(filesOf(disk).length, 5);
  t.equal(folder.cut(9, 2), 0);
  t.strictSame(
    filesOf(disk).map(({ file }) => file),
    [name(4, 10), 'META'],
  );
});

t.test('a sealed file without entries, as the reference leaves one, is passed over', async (t) => {
  const disk = diskWith([]);
  const twin = new GoTwin(64);
  twin.files = [
    { seq: 1, index: 1, entries: [], sealed: true },
    { seq: 2, index: 1, entries: [entry(101, 5, Buffer.alloc(90, 1))], sealed: true },
    { seq: 3, index: 102, entries: [entry(102, 5)], sealed: false },
  ];
  twin.reset(100, 4, hardState(5, 2, 100));
  twin.files = [
    { seq: 1, index: 1, entries: [], sealed: true },
    { seq: 2, index: 1, entries: [entry(101, 5, Buffer.alloc(90, 1))], sealed: true },
    { seq: 3, index: 102, entries: [entry(102, 5)], sealed: false },
  ];
  for (const { file, hex } of twin.written()) putFile(disk, path(file), Buffer.from(hex, 'hex'));
  const { folder, state } = mustOpen(disk, { fileBytesMax: 64 });
  t.strictSame([state.cutIndex, state.lastIndex, state.notes], [100, 102, []]);
  t.strictSame(allEntries(folder).map(plain), twin.all.map(plain));
});

t.test('a length that a record claims is not believed', async (t) => {
  const disk = rotated();
  const claim = Buffer.from('01001fffffffffffff', 'hex');
  change(disk, name(4, 10), (bytes) => Buffer.concat([bytes, claim, Buffer.alloc(40)]));
  const before = process.memoryUsage().arrayBuffers;
  served(t, disk, 1, 12, /a record is cut off by the end of the file; the last 49 bytes are cut off/);
  t.ok(process.memoryUsage().arrayBuffers - before < 2 ** 22);
});

t.test('a disk that fails while a folder is opened: refused with its errno, and opened later', async (t) => {
  let at = 1;
  for (let isReached = true; isReached; at += 1) {
    const disk = new CallDisk({ regions: [] });
    disk.mkdir(FOLDER, 0o755);
    for (const { file, hex } of recorded.get('rotated')!.files)
      putFile(disk, path(file), Buffer.from(hex, 'hex'));
    change(disk, name(4, 10), (bytes) => bytes.subarray(0, 100));
    disk.arm({ at, errno: -5, random: new Random(at) });
    const opened = openGroupFolder(disk, FOLDER, OPTIONS);
    isReached = disk.calls >= at;
    disk.arm(null);
    if (isReached) {
      t.match(opened, { ok: false, errno: -5, reason: /input\/output error$/ }, `call ${at}`);
      t.equal(disk.openFds(), 0);
    } else if (opened.ok) opened.folder.close();
    t.equal(mustOpen(disk, OPTIONS).state.lastIndex, 11);
  }
  t.ok(at > 15, `${at} calls`);
});
