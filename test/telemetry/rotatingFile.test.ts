/**
 * A log file that is renamed by size and day, moved by others, and a file system that refuses each step.
 */
import t from 'tap';
import { RotatingFile } from '../../src/telemetry/rotatingFile.js';
import type { RotationRule } from '../../src/telemetry/rotation.js';
import { FakeFiles, NOON_MS } from './fakeFiles.js';

const PATH = '/l/a.log';
const RULE: RotationRule = { bytesMax: 10, daily: true, names: 'stamped' };
const DAY_MS = 24 * 3600 * 1000;

function rig(rule = RULE): {
  fs: FakeFiles;
  file: RotatingFile;
  reports: string[];
  say(text: string): Promise<void>;
} {
  const fs = new FakeFiles();
  const reports: string[] = [];
  const file = new RotatingFile({
    path: PATH,
    rule,
    calls: fs,
    clock: fs,
    pressed: () => false,
    report: (what) => reports.push(what),
  });
  const say = async (text: string): Promise<void> => {
    await file.write(Buffer.from(text));
  };
  return { fs, file, reports, say };
}

t.test('a file that would exceed its size is renamed, and a new one takes the line', async (t) => {
  const { fs, file, say } = rig();
  await say('12345\n');
  await say('abc\n');
  t.strictSame(fs.names('/l'), ['a.log'], 'exactly full');
  await say('x\n');
  t.equal(fs.text('/l/a.log.20240501120000.old'), '12345\nabc\n');
  t.equal(fs.text(PATH), 'x\n');
  await say('longer than all\n');
  t.equal(fs.text('/l/a.log.20240501120001.old'), 'x\n', 'twice in a second: the next name');
  t.equal(fs.text(PATH), 'longer than all\n');
  t.equal(file.rotations, 2);
  t.equal(fs.opened.size, 1, 'no descriptor is left behind');
});

t.test('what an earlier process left counts: its size, and its day', async (t) => {
  const { fs, say } = rig();
  fs.put(PATH, '12345678\n', NOON_MS);
  await say('ab\n');
  t.equal(fs.text('/l/a.log.20240501120000.old'), '12345678\n');
  const other = rig();
  other.fs.put(PATH, 'old\n', NOON_MS - DAY_MS);
  await other.say('new\n');
  t.equal(other.fs.text('/l/a.log.20240501120000.old'), 'old\n');
  t.equal(other.fs.text(PATH), 'new\n');
});

t.test(
  'at the change of the day a file is renamed, written or not; an empty one and a critical one are not',
  async (t) => {
    const { fs, file, say } = rig();
    await say('a\n');
    fs.nowMs += DAY_MS / 2 - 1;
    await file.look();
    t.equal(file.rotations, 0);
    fs.nowMs += 1;
    await file.look();
    t.equal(fs.text('/l/a.log.20240502000000.old'), 'a\n');
    fs.nowMs += DAY_MS;
    await file.look();
    await say('b\n');
    await say('c\n');
    t.equal(fs.text(PATH), 'b\nc\n', 'an empty file takes the lines of a new day');
    t.equal(file.rotations, 1);
    const critical = rig({ ...RULE, daily: false });
    await critical.say('a\n');
    critical.fs.nowMs += DAY_MS;
    await critical.file.look();
    await critical.say('b\n');
    t.equal(critical.fs.text(PATH), 'a\nb\n');
  },
);

t.test('numbered files: .1 to .3, then over the oldest', async (t) => {
  const { fs, say } = rig({ bytesMax: 1, daily: false, names: 'numbered' });
  for (const text of ['1', '2', '3', '4', '5', '6']) {
    fs.nowMs += 1_000;
    await say(text);
  }
  t.strictSame(fs.names('/l'), ['a.log', 'a.log.1', 'a.log.2', 'a.log.3']);
  t.strictSame(
    ['', '.1', '.2', '.3'].map((suffix) => fs.text(PATH + suffix)),
    ['6', '4', '5', '3'],
  );
});

t.test(
  'moved, removed or emptied by somebody else: the file at the path is the one that is written',
  async (t) => {
    const { fs, say, reports, file } = rig();
    await say('a\n');
    fs.files.set('/l/moved', fs.files.get(PATH)!);
    fs.files.delete(PATH);
    await say('b\n');
    t.equal(fs.text('/l/moved'), 'a\nb\n', 'noticed within a second, not at each line');
    fs.nowMs += 1_000;
    await say('c\n');
    t.equal(fs.text(PATH), 'c\n');
    fs.files.delete(PATH);
    fs.folders.delete('/l');
    fs.nowMs += 1_000;
    await say('d\n');
    t.equal(fs.text(PATH), 'd\n', 'the folder is made again');
    fs.put(PATH, 'foreign\n');
    fs.nowMs += 1_000;
    await say('e\n');
    t.equal(fs.text(PATH), 'foreign\ne\n');
    fs.files.get(PATH)!.bytes = Buffer.alloc(0);
    fs.nowMs += 1_000;
    await say('123456789\n');
    t.equal(fs.text(PATH), '123456789\n');
    t.equal(file.rotations, 0, 'its size is what it is now');
    fs.files.delete(PATH);
    fs.folders.delete('/l');
    await file.look();
    t.notOk(fs.folders.has('/l'), 'nothing to write: nothing is made');
    await say('f\n');
    t.equal(fs.text(PATH), 'f\n');
    t.strictSame(reports, []);
    t.equal(fs.opened.size, 1);
  },
);

for (const { call, code } of [
  { call: 'rename', code: 'EACCES' },
  { call: 'rename', code: 'EROFS' },
  { call: 'rename', code: 'ENOSPC' },
  { call: 'factsAt /l/a.log.20240501120000.old', code: 'EIO' },
]) {
  t.test(`pains 19: a rotation that fails is seen, and lines go on (${call} ${code})`, async (t) => {
    const { fs, file, say, reports } = rig();
    await say('12345678\n');
    fs.errors.set(call, code);
    await say('next\n');
    t.match(reports, [new RegExp(`^cannot be rotated: ${code}`)]);
    t.equal(file.rotationErrors, 1);
    t.equal(fs.text(PATH), '12345678\nnext\n');
    await say('more\n');
    t.equal(reports.length, 1, 'not tried at each line');
    fs.errors.clear();
    fs.nowMs += 10_000;
    await say('later\n');
    t.equal(fs.text('/l/a.log.20240501120010.old'), '12345678\nnext\nmore\n');
    t.equal(fs.text(PATH), 'later\n');
  });
}

t.test(
  'pains 19: a new file that cannot be opened: the renamed one takes the lines until it can',
  async (t) => {
    const { fs, file, say, reports } = rig();
    await say('12345678\n');
    fs.errors.set('open', 'ENOSPC');
    await say('next\n');
    t.equal(fs.text('/l/a.log.20240501120000.old'), '12345678\nnext\n');
    fs.nowMs += 1_000;
    await say('more\n');
    t.match(reports, [/^cannot be rotated: ENOSPC/, /^cannot be opened again: ENOSPC/]);
    t.equal(file.rotationErrors, 2);
    fs.errors.clear();
    fs.nowMs += 1_000;
    await say('new\n');
    t.equal(fs.text(PATH), 'new\n');
    t.equal(fs.text('/l/a.log.20240501120000.old'), '12345678\nnext\nmore\n');
    t.equal(fs.opened.size, 1);
  },
);

t.test('all names are taken: nothing is overwritten', async (t) => {
  const { fs, say, reports } = rig();
  await say('12345678\n');
  for (let second = 0; second < 10; second += 1) fs.put(`/l/a.log.2024050112000${second}.old`, 'kept');
  await say('next\n');
  t.match(reports, [/all names for it are taken/]);
  t.equal(fs.text('/l/a.log.20240501120009.old'), 'kept');
});

t.test('a file that cannot be opened rejects, and is opened by a later write', async (t) => {
  const { fs, say } = rig();
  fs.errors.set('open', 'EROFS');
  await t.rejects(say('a\n'), /EROFS/);
  fs.errors.clear();
  fs.errors.set('factsOf', 'EIO');
  await t.rejects(say('a\n'), /EIO/);
  t.equal(fs.opened.size, 0);
  fs.errors.clear();
  await say('a\n');
  t.equal(fs.text(PATH), 'a\n');
});

t.test('pipes and devices are written and never renamed', async (t) => {
  const { fs, say, file } = rig();
  fs.put(PATH, '');
  fs.files.get(PATH)!.isFile = false;
  for (let line = 0; line < 5; line += 1) await say('123456789\n');
  t.equal(file.rotations, 0);
});
