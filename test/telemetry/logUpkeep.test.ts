/**
 * The upkeep of a log folder on a file system in memory: space, the bound of what is kept, `output.log`, and steps that fail.
 */
import {
  closeSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { nodeFileCalls } from '../../src/telemetry/fileCalls.js';
import { FileLane } from '../../src/telemetry/fileLane.js';
import { LogUpkeep, type UpkeepBounds, type UpkeepParts } from '../../src/telemetry/logUpkeep.js';
import { RotatingFile } from '../../src/telemetry/rotatingFile.js';
import { PRESSED_FILE_BYTES } from '../../src/telemetry/rotation.js';
import { until } from '../support/until.js';
import { FakeFiles } from './fakeFiles.js';

const FOLDER = '/l';
const NAMES = ['a.log', 'output.log'];

const BOUNDS: UpkeepBounds = { outputBytesMax: 100, oldBytesMax: 0, headRoomBytes: 1_000 };

function rig(changes: Partial<UpkeepParts> = {}): {
  fs: FakeFiles;
  upkeep: LogUpkeep;
  file: RotatingFile;
  reports: string[];
  round(): Promise<void>;
} {
  const fs = new FakeFiles();
  fs.folders.add(FOLDER);
  const reports: string[] = [];
  const report = (what: string): void => void reports.push(what);
  const lane = new FileLane();
  const rule = { bytesMax: PRESSED_FILE_BYTES * 4, daily: true, names: 'stamped' } as const;
  const file = new RotatingFile({
    path: join(FOLDER, 'a.log'),
    rule,
    calls: fs,
    clock: fs,
    pressed: () => upkeep.pressed,
    report,
  });
  const upkeep: LogUpkeep = new LogUpkeep({
    folder: FOLDER,
    files: () => [file],
    outputName: 'output.log',
    names: NAMES,
    bounds: BOUNDS,
    lane,
    calls: fs,
    clock: fs,
    report,
    ...changes,
  });
  const round = async (): Promise<void> => {
    upkeep.tick();
    let over = false;
    lane.run(async () => {
      over = true;
    });
    await until('the round is over', () => over);
  };
  return { fs, upkeep, file, reports, round };
}

const oldName = (day: number, file = 'a.log'): string => `${file}.2024040${day}000000.old`;

t.test(
  'pains 19: with less than the head room free the oldest renamed files of this node go, and nothing else',
  async (t) => {
    const { fs, upkeep, round } = rig();
    for (const [day, file] of [
      [1, 'output.log'],
      [2, 'a.log'],
      [3, 'a.log'],
    ] as const)
      fs.put(join(FOLDER, oldName(day, file)), 'x'.repeat(100));
    const foreign = [
      'metaNode_info.log.20240401000000.old',
      'a.log.20240401000000.old.gz',
      'a.log',
      'notes.old',
    ];
    for (const name of foreign) fs.put(join(FOLDER, name), 'x'.repeat(100));
    fs.freeBytes = 1_000;
    await round();
    t.equal(upkeep.removed, 0, 'enough is free');
    t.notOk(
      fs.made.some((call) => call.startsWith('list')),
      'and the folder is not listed',
    );
    fs.freeBytes = 850;
    await round();
    t.strictSame(fs.names(FOLDER), [...foreign, oldName(3)].sort());
    t.equal(upkeep.pressed, false);
    fs.freeBytes = 10;
    await round();
    t.strictSame(fs.names(FOLDER), [...foreign].sort());
    t.equal(upkeep.pressed, true, 'nothing is left to go: files are renamed earlier');
    fs.freeBytes = 1_000;
    await round();
    t.equal(upkeep.pressed, false);
  },
);

t.test('while space is short a file is renamed early, so that it can go', async (t) => {
  const { fs, file, round } = rig();
  fs.freeBytes = 0;
  await round();
  fs.put(join(FOLDER, 'a.log'), 'x');
  fs.files.get(join(FOLDER, 'a.log'))!.unseenBytes = PRESSED_FILE_BYTES;
  await file.write(Buffer.from('y'));
  t.equal(file.rotations, 1);
  await round();
  t.strictSame(fs.names(FOLDER), ['a.log']);
});

t.test('pains 19: no more renamed files are kept than log.oldBytesMax', async (t) => {
  const { fs, upkeep, file, round } = rig({ bounds: { ...BOUNDS, oldBytesMax: 250 } });
  for (const day of [1, 2, 3]) fs.put(join(FOLDER, oldName(day)), 'x'.repeat(100));
  await round();
  t.strictSame(fs.names(FOLDER), [oldName(2), oldName(3)]);
  const listed = (): number => fs.made.filter((call) => call.startsWith('list')).length;
  t.equal(listed(), 1);
  await round();
  t.equal(listed(), 1, 'not listed again before another one is renamed');
  await file.write(Buffer.from('yesterday'.repeat(10)));
  fs.nowMs += 24 * 3600 * 1000;
  await round();
  t.equal(upkeep.removed, 2);
  t.equal(fs.names(FOLDER).length, 3, 'one old, one of yesterday, one open');
});

t.test('a renamed file that could not be removed is tried again in the next round', async (t) => {
  const { fs, round } = rig({ bounds: { ...BOUNDS, oldBytesMax: 50 } });
  fs.put(join(FOLDER, oldName(1)), 'x'.repeat(100));
  fs.errors.set('remove', 'EBUSY');
  await round();
  t.strictSame(fs.names(FOLDER), [oldName(1)]);
  fs.errors.clear();
  await round();
  t.strictSame(fs.names(FOLDER), []);
});

t.test('output.log is copied and emptied: whoever has it open goes on in it', async (t) => {
  const { fs, round, reports } = rig();
  const path = join(FOLDER, 'output.log');
  fs.put(path, 'x'.repeat(100));
  const { inode } = fs.files.get(path)!;
  await round();
  t.equal(fs.text(path)!.length, 100, 'not beyond the bound');
  fs.files.get(path)!.bytes = Buffer.from('y'.repeat(101));
  await round();
  t.equal(fs.text(path), '');
  t.equal(fs.files.get(path)!.inode, inode, 'the same file');
  t.equal(fs.text(`${path}.20240501120000.old`), 'y'.repeat(101));
  fs.files.get(path)!.bytes = Buffer.from('z'.repeat(101));
  fs.errors.set('copy', 'ENOSPC');
  await round();
  t.equal(fs.text(path), 'z'.repeat(101), 'what cannot be copied stays');
  t.match(reports, [/^output.log: ENOSPC/]);
  t.equal(fs.names(FOLDER).length, 2, 'and half a copy does not');
});

t.test('pains 19: steps that fail are told and counted, and the others are done', async (t) => {
  const { fs, upkeep, round, reports } = rig();
  fs.put(join(FOLDER, oldName(1)), 'x');
  fs.put(join(FOLDER, oldName(2)), 'x'.repeat(2_000));
  fs.freeBytes = 0;
  fs.errors.set(`remove ${join(FOLDER, oldName(1))}`, 'EROFS');
  await round();
  t.match(reports, [new RegExp(`${oldName(1)} cannot be removed: EROFS`)]);
  t.equal(upkeep.errors, 1);
  t.strictSame(fs.names(FOLDER), [oldName(1)], 'the next one went');
  fs.errors.clear();
  fs.errors.set('space', 'EIO');
  await round();
  t.match(reports[1], /^space for logs: EIO/);
});

t.test('a disk that hangs: rounds do not pile up, one call is under way', async (t) => {
  const { fs, upkeep } = rig();
  fs.hanging.add('space');
  for (let round = 0; round < 10; round += 1) {
    upkeep.tick();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until('the call hangs', () => fs.underWay === 1);
  t.equal(fs.made.filter((call) => call.startsWith('space')).length, 1);
  fs.release();
  await until('it came back', () => fs.underWay === 0);
  upkeep.tick();
  await until('another round', () => fs.made.filter((call) => call.startsWith('space')).length === 2);
  t.equal(fs.underWayMax, 1);
});

t.test(
  'on a real file system: old files go, and an output.log that another descriptor appends to begins anew',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'extentd-log-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const output = join(folder, 'output.log');
    const stderr = openSync(output, 'a');
    t.teardown(() => closeSync(stderr));
    writeSync(stderr, 'x'.repeat(200));
    for (const name of [oldName(1), oldName(2), 'notes.old']) writeFileSync(join(folder, name), 'old');
    const clock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };
    const reports: string[] = [];
    const lane = new FileLane();
    const common = { folder, files: () => [], outputName: 'output.log', names: NAMES, lane };
    const kept = new LogUpkeep({
      ...common,
      ...{ bounds: { ...BOUNDS, headRoomBytes: 1 }, calls: nodeFileCalls, clock },
      report: (what) => reports.push(what),
    });
    kept.tick();
    await until('it is copied', () => readdirSync(folder).some((name) => name.startsWith('output.log.')));
    await until('and emptied', () => readFileSync(output).length === 0);
    writeSync(stderr, 'after');
    t.equal(readFileSync(output, 'utf8'), 'after', 'no hole before it');
    t.equal(readdirSync(folder).length, 5, 'the copy is new, nothing went');
    const pressed = new LogUpkeep({
      ...common,
      // More than any disk has.
      ...{ bounds: { ...BOUNDS, headRoomBytes: Number.MAX_SAFE_INTEGER }, calls: nodeFileCalls, clock },
      report: (what) => reports.push(what),
    });
    pressed.tick();
    await until('all that may go is gone', () => pressed.pressed);
    t.strictSame(readdirSync(folder).sort(), ['notes.old', 'output.log']);
    t.strictSame(reports, []);
  },
);

t.test('other bounds are in force from the next round on', async (t) => {
  const { fs, upkeep, round } = rig({});
  for (const day of [1, 2, 3]) fs.put(join(FOLDER, oldName(day)), 'x'.repeat(100));
  await round();
  t.equal(fs.names(FOLDER).length, 3);
  upkeep.setBounds({ ...BOUNDS, oldBytesMax: 150 });
  await round();
  t.strictSame(fs.names(FOLDER), [oldName(3)]);
});
