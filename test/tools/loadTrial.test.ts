/**
 * The trial of a disk: its verdict on every kind of folder is the loader's own, which is asked afterwards on the same tree, and the tree stays as it was.
 */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  cpSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import t from 'tap';
import { native } from '../../src/native/addon.js';
import { loadDisk, lockDisk } from '../../src/partition/diskLoad.js';
import { OP } from '../../src/protocol/opcodes.js';
import { type DiskTrial, tryDisk } from '../../src/tools/loadTrial.js';
import { TrialDisk } from '../../src/tools/trialDisk.js';
import { NativeRig } from '../partition/nativeRig.js';
import { recordedDisk, scratchFolder, treeState } from '../support/folderState.js';
import type { Teardown } from '../support/nodeProcess.js';

const FIVE = 'datapartition_5_10737418240';
const EIGHT = 'datapartition_8_10737418240';

/** A verdict without what the loader does not tell. */
interface Told {
  folder: string;
  reason: string | null;
  extents: number;
  usedBytes: number;
}

/** What the loader makes of the disk, which it changes. */
function realVerdicts(root: string): { told: Told[]; warnings: string[]; created: string[] } {
  const before = new Set(namesBelow(root));
  const rig = NativeRig.start(root);
  const loaded = loadDisk(rig.stores, root, () => true, false);
  if (!loaded.ok) throw new Error(loaded.message);
  const told = [
    ...loaded.value.partitions.map(({ path, extentCount, usedBytes }) => {
      return { folder: relative(root, path), reason: null, extents: extentCount, usedBytes };
    }),
    ...loaded.value.refused.map(({ name, reason }) => ({ folder: name, reason, extents: 0, usedBytes: 0 })),
  ];
  for (const partition of loaded.value.partitions) rig.partitions.set(partition.id, partition);
  rig.stop();
  const created = namesBelow(root).filter((name) => !before.has(name));
  return { told: byFolder(told), warnings: [...rig.complaints].sort(), created: created.sort() };
}

function namesBelow(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' });
}

function byFolder(told: Told[]): Told[] {
  return told.sort((a, b) => (a.folder < b.folder ? -1 : 1));
}

function toldBy({ partitions }: DiskTrial): Told[] {
  return byFolder(
    partitions.map(({ folder, reason, partition }) => {
      return { folder, reason, extents: partition?.extents ?? 0, usedBytes: partition?.usedBytes ?? 0 };
    }),
  );
}

/** A disk that extentd wrote: partition 7 with two extents, stopped cleanly or not at all. */
function ownDisk(t: Teardown, clean: boolean): string {
  const root = scratchFolder(t);
  const rig = NativeRig.start(root);
  rig.create(root);
  for (let count = 0; count < 2; count += 1) {
    const created = rig.send({ opcode: OP.createExtent }, new Uint8Array(8));
    rig.run();
    const body = Buffer.alloc(5000, count + 1);
    const crc = native.crc32(body, 0);
    rig.send({ opcode: OP.write, extentId: created.extentId, crc, size: 5000 }, body);
    rig.run();
  }
  if (!clean) rig.partitions.clear();
  rig.stop();
  return root;
}

const damages: [name: string, damage: (five: string, root: string) => void, refused: RegExp | null][] = [
  ['nothing', () => undefined, null],
  ['META missing', (five) => rmSync(join(five, 'META')), /^open .*META: no such file/],
  ['META torn', (five) => truncateSync(join(five, 'META'), 100), /./],
  ['META of zero bytes', (five) => truncateSync(join(five, 'META'), 0), /./],
  ['garbage behind META', (five) => appendFileSync(join(five, 'META'), '00"}],"Last'), null],
  ['META a folder', (five) => replaceByFolder(join(five, 'META')), /META: is a directory$/],
  ['META a circle of links', (five) => replaceByLink(join(five, 'META'), 'META'), /too many levels/],
  ['META unreadable', (five) => chmodSync(join(five, 'META'), 0), null],
  [
    'META without a name',
    (five) => writeFileSync(join(five, 'META'), '{"PartitionID":5}'),
    /illegal data partition/,
  ],
  [
    'another size',
    (five, root) => cpSync(five, join(root, 'datapartition_6_77'), { recursive: true }),
    /names partition 5/,
  ],
  [
    'a second folder of a partition',
    (five, root) => copyTo(five, root, 'datapartition_05_10737418240'),
    /another folder/,
  ],
  [
    'a file named like a partition',
    (_, root) => writeFileSync(join(root, 'datapartition_9_1'), ''),
    /not a directory/,
  ],
  ['an empty folder', (_, root) => mkdirSync(join(root, 'datapartition_9_1')), /no such file/],
  ['tiny extents missing', (five) => tinyGaps(five), null],
  ['delete lists missing', (five) => rmSync(join(five, 'NORMALEXTENT_DELETE')), null],
  ['EXTENT_META missing', (five) => rmSync(join(five, 'EXTENT_META')), null],
  ['EXTENT_META short', (five) => truncateSync(join(five, 'EXTENT_META'), 9), null],
  ['EXTENT_META of zero bytes', (five) => truncateSync(join(five, 'EXTENT_META'), 0), null],
  [
    'EXTENT_META too long',
    (five) => truncateSync(join(five, 'EXTENT_META'), 5000),
    /EXTENT_META: file too large/,
  ],
  [
    'EXTENT_META a folder',
    (five) => replaceByFolder(join(five, 'EXTENT_META')),
    /EXTENT_META: is a directory/,
  ],
  ['EXTENT_CRC missing', (five) => rmSync(join(five, 'EXTENT_CRC')), null],
  ['EXTENT_CRC a folder', (five) => replaceByFolder(join(five, 'EXTENT_CRC')), /EXTENT_CRC: is a directory/],
  [
    'EXTENT_CRC a link to nothing',
    (five) => replaceByLink(join(five, 'EXTENT_CRC'), 'gone/x'),
    /no such file/,
  ],
  [
    'NORMALEXTENT_DELETE a folder',
    (five) => replaceByFolder(join(five, 'NORMALEXTENT_DELETE')),
    /is a directory/,
  ],
  ['a tiny extent a folder', (five) => replaceByFolder(join(five, '17')), null],
  ['the same while another is missing', (five) => tinyFolderAndGap(five), /17: is a directory/],
  ['foreign names', (five) => foreignNames(five), null],
  ['zero-length extents', (five) => truncateSync(join(five, '1026'), 0), null],
  ['APPLY garbage', (five) => writeFileSync(join(five, 'APPLY'), 'x'), null],
  ['APPLY of zero bytes', (five) => truncateSync(join(five, 'APPLY'), 0), null],
  [
    'a folder that waits for removal',
    (_, root) => mkdirSync(join(root, 'deleted_datapartition_5_1_1')),
    null,
  ],
  ['a folder that may not be written', (five) => chmodSync(five, 0o555), null],
];

function tinyGaps(five: string): void {
  for (const name of ['3', '4', '64']) rmSync(join(five, name));
}

function replaceByFolder(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

function replaceByLink(path: string, target: string): void {
  rmSync(path);
  symlinkSync(target, path);
}

function copyTo(five: string, root: string, name: string): void {
  cpSync(five, join(root, name), { recursive: true });
}

function tinyFolderAndGap(five: string): void {
  replaceByFolder(join(five, '17'));
  rmSync(join(five, '18'));
}

function foreignNames(five: string): void {
  mkdirSync(join(five, '1500'));
  for (const name of ['0099', '99999999999999999999', 'lost', '.meta', 'META.bak', '-5', '1e3'])
    writeFileSync(join(five, name), 'x');
}

for (const [name, damage, refused] of damages) {
  t.test(`verdict and tree: ${name}`, async (t) => {
    const root = recordedDisk(t);
    damage(join(root, FIVE), root);
    const before = treeState(root);
    const trial = tryDisk(root, new Set());
    t.strictSame(treeState(root), before, 'not a byte, name, size or time has changed');
    t.equal(trial.failure, null);
    const real = realVerdicts(root);
    t.strictSame(toldBy(trial), real.told, 'the loader decides the same');
    t.strictSame(trial.partitions.flatMap(({ warnings }) => warnings).sort(), real.warnings);
    const created = trial.partitions.flatMap(({ folder, wouldCreate }) =>
      wouldCreate.map((file) => join(folder, file)),
    );
    t.strictSame(created.sort(), real.created, 'the files that the loader creates were told');
    const reasons = trial.partitions.flatMap(({ reason }) => (reason === null ? [] : [reason]));
    if (refused === null) t.ok(reasons.length === 0 || process.getuid?.() !== 0, reasons.join('; '));
    else t.match(reasons.join('\n'), refused);
    t.equal(
      trial.partitions.find(({ folder }) => folder === EIGHT)?.verdict,
      'loaded',
      'the other is served',
    );
    chmodSync(join(root, FIVE), 0o755);
  });
}

for (const clean of [true, false]) {
  t.test(`verdict and tree: written by extentd, ${clean ? 'stopped' : 'not stopped'}`, async (t) => {
    const root = ownDisk(t, clean);
    const before = treeState(root);
    const trial = tryDisk(root, new Set());
    t.strictSame(treeState(root), before);
    t.match(trial, { failure: null, partitions: [{ verdict: 'loaded', partition: { id: 7, extents: 66 } }] });
    t.strictSame(toldBy(trial), realVerdicts(root).told);
  });
}

t.test(
  'the lock: free without a lock file, free with one, held by another, the same disk twice',
  async (t) => {
    const root = recordedDisk(t);
    t.equal(tryDisk(root, new Set()).failure, null);
    t.notOk(readdirSync(root).includes('.extentd.lock'), 'no lock file is created');
    writeFileSync(join(root, '.extentd.lock'), '');
    const before = treeState(root);
    t.equal(tryDisk(root, new Set()).failure, null);
    const rig = NativeRig.start(root);
    const lock = lockDisk(rig.disk, root);
    t.ok(lock.ok, 'the trial has kept no lock');
    const held = tryDisk(root, new Set());
    t.equal(held.failure, `disk ${root} is in use by another process`);
    t.equal(held.partitions.length, 2, 'its folders are told all the same');
    if (lock.ok) closeSync(lock.value);
    const locked = new Set<string>();
    symlinkSync(root, join(scratchFolder(t), 'again'));
    t.equal(tryDisk(root, locked).failure, null);
    t.match(tryDisk(`${root}/.`, locked).failure, /in use by another process/);
    t.strictSame(treeState(root), before);
    rig.stop();
  },
);

t.test('a disk that cannot be locked or listed', async (t) => {
  const root = recordedDisk(t);
  mkdirSync(join(root, '.extentd.lock'));
  t.equal(tryDisk(root, new Set()).failure, `open ${join(root, '.extentd.lock')}: is a directory`);
  t.match(tryDisk(join(root, 'gone'), new Set()).failure, /no such file or directory$/);
});

t.test(
  'a user without rights gets the words that the loader would say',
  { skip: process.getuid?.() !== 0 && 'only root can become another user' },
  async (t) => {
    const root = recordedDisk(t);
    chmodSync(join(root, '..'), 0o755);
    const { mode } = statSync(tmpdir());
    chmodSync(tmpdir(), mode | 0o011);
    t.teardown(() => chmodSync(tmpdir(), mode));
    const url = new URL('../../src/tools/loadTrial.js', import.meta.url).href;
    const code = `const { tryDisk } = await import(${JSON.stringify(url)}); console.log(JSON.stringify(tryDisk(${JSON.stringify(root)}, new Set())));`;
    const before = treeState(root);
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], {
      ...{ uid: 65_534, gid: 65_534, encoding: 'utf8' },
    });
    if (stdout === '') {
      t.comment(`another user cannot run the program here: ${stderr.slice(0, 200)}`);
      return;
    }
    const trial = JSON.parse(stdout) as DiskTrial;
    t.equal(trial.failure, `open ${join(root, '.extentd.lock')}: permission denied`);
    t.match(trial.partitions[0]?.reason, /^open .*EXTENT_META: permission denied$/);
    t.strictSame(treeState(root), before);
  },
);

t.test('what the loader never does on a disk throws', async (t) => {
  const root = recordedDisk(t);
  const disk = new TrialDisk();
  const path = join(root, FIVE, 'META');
  t.throws(() => disk.open(path, 1, 0), /a trial opens .* with 1/);
  t.throws(() => disk.write(3, new Uint8Array(1), 0), /only files that it has opened for writing/);
  for (const call of [
    'truncate',
    'fallocate',
    'rename',
    'unlink',
    'mkdir',
    'removeTree',
    'fsyncFolder',
  ] as const)
    t.throws(() => (disk[call] as (path: string) => void)(path), { code: 'ERR_ASSERTION' }, call);
  const fd = openSync(path, 'r');
  t.throws(() => disk.fdatasync(fd), { code: 'ERR_ASSERTION' });
  closeSync(fd);
});

t.test('what would be written is seen by later reads of the trial', async (t) => {
  const root = scratchFolder(t);
  const disk = new TrialDisk();
  const path = join(root, 'a');
  const fd = disk.open(path, 0o102, 0o666);
  t.equal(disk.write(fd, Buffer.from('abc'), 2), 3);
  t.equal(disk.fdatasync(fd), 0);
  t.equal(disk.close(fd), 0);
  const again = disk.open(path, 0, 0);
  const bytes = Buffer.alloc(8, 9);
  t.equal(disk.read(again, bytes, 0), 5);
  t.strictSame([...bytes], [0, 0, 97, 98, 99, 9, 9, 9]);
  t.match(disk.scan(root), [{ name: 'a', kind: 'file', sizeBytes: 5 }]);
  t.strictSame([disk.created, disk.filled], [[path], []]);
  t.strictSame(readdirSync(root), []);
});
