/** Operations on one fd or path, submitted and synchronous, and the errno words they answer with. */
import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { IO, native } from '../../src/native/addon.js';
import { DiskRig } from './diskRig.js';

const O_RDONLY = 0;
const O_CREAT_EXCL_RDWR = 0o302;
const ENOENT = -2;
const EWOULDBLOCK = -11;
const EEXIST = -17;
const ENOTDIR = -20;
const EINVAL = -22;
const ENOTEMPTY = -39;
const ENXIO = -6;
const EBADF = -9;

const rig = new DiskRig();
t.teardown(() => rig.end());

t.test('errno words are in the form that goes over the wire', async (t) => {
  t.equal(native.errnoText(5), 'input/output error');
  t.equal(native.errnoText(-5), 'input/output error');
  t.equal(native.errnoText(28), 'no space left on device');
  t.equal(native.errnoText(17), 'file exists');
  t.equal(native.errnoText(30), 'read-only file system');
  t.equal(native.errnoText(2), 'no such file or directory');
  t.equal(native.errnoText(6), 'no such device or address');
  t.equal(native.errnoText(9999), 'errno 9999');
  t.equal(native.errnoName(28), 'ENOSPC');
  t.equal(native.errnoName(-28), 'ENOSPC');
  t.equal(native.errnoName(9999), 'E9999');
});

t.test('submitted: open, work on the fd, close', async (t) => {
  const path = rig.path('file');
  const opened = rig.onPath(IO.open, path, '', O_CREAT_EXCL_RDWR, 0o640);
  const fd = opened.result;
  t.ok(fd > 2);
  t.equal(opened.token, 77);
  t.equal(opened.values[0], 0, 'size');
  t.ok(Math.abs(opened.values[1] - Date.now()) < 60_000, 'mtime in ms');
  t.equal(statSync(path).mode & 0o777, 0o640);
  t.equal(rig.onPath(IO.open, path, '', O_CREAT_EXCL_RDWR, 0o640).result, EEXIST);
  t.equal(rig.onFd(IO.ftruncate, fd, 100_000).result, 0);
  t.equal(rig.onFd(IO.fstat, fd).values[0], 100_000);
  t.equal(rig.onFd(IO.fallocateKeepSize, fd, 0, 65_536).result, 0);
  t.match(rig.onFd(IO.fstat, fd), { result: 0, values: [100_000, Number, 128] }, 'blocks of 512 bytes');
  t.equal(rig.onFd(IO.punchHole, fd, 0, 65_536).result, 0);
  t.match(rig.onFd(IO.fstat, fd), { values: [100_000, Number, 0] });
  t.equal(rig.onFd(IO.seekData, fd, 0).result, ENXIO);
  t.match(rig.onFd(IO.seekHole, fd, 100), { result: 0, values: [100] });
  t.equal(rig.onFd(IO.fdatasync, fd).result, 0);
  t.equal(rig.onFd(IO.fsync, fd).result, 0);
  t.equal(rig.onFd(IO.close, fd).result, 0);
  t.equal(rig.onFd(IO.fsync, fd).result, EBADF);
  t.equal(rig.onFd(4242, fd).result, EINVAL);
  t.equal(rig.onFd(IO.ftruncate, fd, -1).result, EINVAL);
});

t.test('submitted: paths', async (t) => {
  const [folder, moved] = [rig.path('folder'), rig.path('moved')];
  t.equal(rig.onPath(IO.mkdir, folder, '', 0, 0o755).result, 0);
  t.equal(rig.onPath(IO.mkdir, folder, '', 0, 0o755).result, EEXIST);
  writeFileSync(`${folder}/file`, 'x');
  t.equal(rig.onPath(IO.fsyncFolder, folder).result, 0);
  t.equal(rig.onPath(IO.fsyncFolder, `${folder}/file`).result, ENOTDIR);
  t.equal(rig.onPath(IO.rename, folder, moved).result, 0);
  t.equal(rig.onPath(IO.unlink, `${moved}/file`).result, 0);
  t.equal(rig.onPath(IO.unlink, `${moved}/file`).result, ENOENT);
  mkdirSync(`${moved}/a/b/c`, { recursive: true });
  writeFileSync(`${moved}/a/b/file`, 'x');
  symlinkSync('/', `${moved}/a/link`);
  t.equal(rig.onPath(IO.removeTree, moved).result, 0);
  t.equal(rig.onPath(IO.removeTree, moved).result, ENOENT);
  const space = rig.onPath(IO.statfs, rig.folder);
  t.equal(space.result, 0);
  t.ok(space.values[0] >= space.values[1] && space.values[2] >= 512);
  t.equal(rig.onPath(IO.open, 'a\0b').result, EINVAL);
  t.equal(rig.onPath(4242, moved).result, EINVAL);
});

t.test('synchronous: a file from open to unlink', async (t) => {
  const path = rig.path('sync');
  const fd = native.openSync(path, O_CREAT_EXCL_RDWR, 0o644);
  const bytes = Uint8Array.from({ length: 5000 }, (_, index) => index & 0xff);
  t.equal(native.pwriteSync(fd, bytes, 65_536), 5000);
  const into = new Uint8Array(6000);
  t.equal(native.preadSync(fd, into, 65_536), 5000);
  t.same(into.subarray(0, 5000), bytes);
  t.equal(native.preadSync(fd, into, 200_000), 0);
  t.equal(native.fdatasyncSync(fd), 0);
  t.equal(native.fsyncSync(fd), 0);
  t.equal(native.seekDataSync(fd, 0), 65_536);
  t.equal(native.seekHoleSync(fd, 65_536), 65_536 + 5000);
  t.equal(native.fallocateSync(fd, 3, 0, 131_072), 0);
  t.equal(native.seekDataSync(fd, 0), ENXIO);
  t.equal(native.ftruncateSync(fd, 100), 0);
  t.equal(statSync(path).size, 100);
  t.equal(native.fallocateSync(fd, 1, 0, 131_072), 0);
  t.equal(statSync(path).size, 100);
  t.equal(native.renameSync(path, `${path}2`), 0);
  t.equal(native.closeSync(fd), 0);
  t.equal(native.closeSync(fd), EBADF);
  t.equal(native.unlinkSync(`${path}2`), 0);
  t.equal(native.openSync(path, O_RDONLY, 0), ENOENT);
  t.equal(native.fsyncFolderSync(rig.folder), 0);
  t.equal(native.pwriteSync(1, bytes, -1), EINVAL);
  t.equal(native.preadSync(1, bytes, 0.5), EINVAL);
});

t.test('an exclusive lock is refused to a second fd until the first is closed', async (t) => {
  const [first, second] = [rig.open('lock'), rig.open('lock')];
  t.equal(native.flockSync(first), 0);
  t.equal(native.flockSync(second), EWOULDBLOCK);
  native.closeSync(first);
  t.equal(native.flockSync(second), 0);
  native.closeSync(second);
});

t.test('statfs gives the numbers or the errno', async (t) => {
  t.equal(native.statfsSync(rig.folder).length, 3);
  t.same([...native.statfsSync(rig.path('missing'))], [ENOENT]);
});

t.test('scanFolder lists names, kinds and sizes', async (t) => {
  const folder = rig.path('scan');
  mkdirSync(`${folder}/sub`, { recursive: true });
  t.match(native.scanFolder(`${folder}/sub`), { names: '', result: 0, stats: { length: 0 } });
  for (let index = 0; index < 300; index++) writeFileSync(`${folder}/f${index}`, 'x'.repeat(index));
  symlinkSync('/nowhere', `${folder}/link`);
  const { names, stats, result } = native.scanFolder(folder);
  t.equal(result, 0);
  const found = names.split('/');
  t.same([...found].sort(), readdirSync(folder).sort());
  t.equal(stats.length, found.length * 5);
  const of = (name: string): number[] => [...stats.subarray(found.indexOf(name) * 5).subarray(0, 5)];
  t.match(of('f299'), [1, 299, Number, Number, 0]);
  t.ok(Math.abs(of('f299')[2]! - statSync(`${folder}/f299`).mtimeMs) < 1);
  t.match(of('sub'), [2, Number, Number, Number, 0]);
  t.match(of('link'), [3, Number, Number, Number, 0]);
  t.match(native.scanFolder(rig.path('missing')), { names: '', result: ENOENT });
});

t.test('scanFolders scans in the order asked for, with threads and without', async (t) => {
  const folder = rig.path('scans');
  const paths = Array.from({ length: 40 }, (_, index) => `${folder}/${index}`);
  for (const [index, path] of paths.entries()) {
    mkdirSync(path, { recursive: true });
    for (let file = 0; file <= index; file++) writeFileSync(`${path}/f${file}`, 'x');
  }
  writeFileSync(`${folder}/file`, '');
  const broken = [rig.path('missing'), `${folder}/file`, 'a\0b'];
  for (const threads of [0, 1, 4, 1000]) {
    const scanner = native.scanFolders([...broken, ...paths], threads);
    t.same(
      broken.map(() => scanner.next().result),
      [ENOENT, ENOTDIR, EINVAL],
    );
    for (const path of paths) t.same(scanner.next(), native.scanFolder(path));
    t.throws(() => scanner.next(), { message: 'no folder is left' });
  }
  t.throws(() => native.scanFolders([], 4).next(), { message: 'no folder is left' });
});

t.test('removeTreeSync, mkdirSync and unlinkSync answer what is wrong', async (t) => {
  const folder = rig.path('tree');
  t.equal(native.mkdirSync(folder, 0o755), 0);
  t.equal(native.mkdirSync(folder, 0o755), EEXIST);
  writeFileSync(`${folder}/file`, 'x');
  mkdirSync(rig.path('full/sub'), { recursive: true });
  t.equal(native.renameSync(folder, rig.path('full')), ENOTEMPTY);
  t.equal(native.removeTreeSync(`${folder}/file`), 0, 'a file is a tree, too');
  t.equal(native.removeTreeSync(folder), 0);
});

t.test('the file limit rises and never falls', async (t) => {
  const now = native.raiseFileLimit(1);
  t.ok(now > 1);
  t.ok(native.raiseFileLimit(now) >= now);
});

t.test('the monotonic clock moves on', async (t) => {
  const first = native.monotonicNs();
  t.ok(native.monotonicNs() >= first && first > 0);
});

t.test('a wrong construction throws', async (t) => {
  const make = (change: object) => () => native.createDiskIo({ ...rig.options(1), ...change });
  t.throws(make({ device: 256 }), TypeError);
  t.throws(make({ threads: 0 }), TypeError);
  t.throws(make({ threads: 65 }), TypeError);
  t.throws(make({ opTable: new Uint8Array(65) }), TypeError);
  t.throws(make({ opTable: new Uint8Array(new SharedArrayBuffer(65), 1) }), TypeError);
  t.throws(make({ completions: new Uint8Array(64 * 3) }), TypeError);
  t.throws(make({ doorbell: new Int32Array(1) }), TypeError);
  t.throws(make({ doorbell: new Uint8Array(8) }), TypeError);
  t.throws(make({ regions: [new Int32Array(8)] }), TypeError);
  t.throws(make({ regions: undefined }));
});

t.test('a closed disk throws, and its last completions can be taken', async (t) => {
  const other = new DiskRig(1);
  other.io.submitPath(IO.statfs, other.folder, '', 0, 0, 1);
  t.equal(other.io.close(10_000), true);
  t.throws(() => other.io.submitFd(IO.fsync, 1, 0, 0, 1), TypeError);
  t.throws(() => other.io.runBatch(0, 1), TypeError);
  t.equal(other.take(1)[0]!.result, 0);
  t.equal(other.end(), true);
});
