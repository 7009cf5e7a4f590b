/** `NativeDisk` as the storage code uses it: batches, submitted work with callbacks, and synchronous calls. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { IO, native } from '../../src/native/addon.js';
import type { IoDone, IoResult } from '../../src/storage/io.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';

const O_RDWR_CREAT = 0o102;
const EAGAIN = -11;
const ENOENT = -2;
const DEVICE = 3;

const folder = mkdtempSync(join(tmpdir(), 'extentd-disk-'));
const region = new Uint8Array(new SharedArrayBuffer(65_536));
for (let index = 0; index < region.length; index++) region[index] = (index * 13) & 0xff;
const doorbell = new Int32Array(new SharedArrayBuffer(8));
const disk = new NativeDisk({ device: DEVICE, regions: [region], doorbell, threads: 2, batchCapacity: 8 });

t.teardown(() => {
  native.clearFaults(DEVICE);
  disk.stop(10_000);
  rmSync(folder, { recursive: true, force: true });
});

const path = (name: string): string => join(folder, name);

/** Drains until nothing is pending, as a worker's loop does; 20 s at most. */
function drainAll(): number {
  const deadlineMs = Date.now() + 20_000;
  let drained = 0;
  while (disk.pending() > 0) {
    const seen = Atomics.load(doorbell, 0);
    const count = disk.drainCompletions();
    drained += count;
    if (count === 0) native.waitDoorbell(doorbell, seen, 0, 1000);
    if (Date.now() > deadlineMs) throw new Error(`${disk.pending()} operations do not end`);
  }
  return drained;
}

/** Submits one operation, waits, and returns a copy of its result. */
function ended(submit: (done: IoDone) => void): IoResult {
  const results: IoResult[] = [];
  submit((result) => results.push({ ...result }));
  if (results.length > 0) throw new Error('called back before the drain');
  drainAll();
  if (results.length !== 1) throw new Error(`called back ${results.length} times`);
  return results[0]!;
}

t.test('an inline batch writes, reads and checksums', async (t) => {
  const fd = disk.open(path('inline'), O_RDWR_CREAT, 0o644);
  const { batch } = disk;
  t.equal(batch.capacity, 8);
  t.equal(batch.pwrite(fd, 0, 0, 100, 1000, true), 0);
  t.equal(batch.pwrite(fd, 1000, 0, 5000, 1000, true), 1);
  t.equal(batch.pread(fd, 500, 0, 20_000, 5000, false, true), 2);
  t.equal(batch.pwrite(fd, 0, 1, 0, 10, false), 3);
  t.equal(batch.length, 4);
  t.ok(disk.runBatch() > 0);
  t.same(
    [0, 1, 2, 3].map((index) => batch.result(index)),
    [1000, 1000, 1500, -14],
  );
  t.equal(batch.crc(2), native.crc32(region.subarray(20_000, 21_500), 0));
  const expected = Buffer.concat([region.slice(100, 1100), region.slice(5000, 6000)]);
  t.ok(readFileSync(path('inline')).equals(expected));
  t.throws(() => batch.result(4), 'no such entry');
  batch.clear();
  t.throws(() => batch.result(0), 'cleared');
  disk.close(fd);
});

t.test('a batch holds its capacity and no more', async (t) => {
  for (let index = 0; index < 8; index++) disk.batch.pwrite(-1, 0, 0, 0, 1, false);
  t.throws(() => disk.batch.pwrite(-1, 0, 0, 0, 1, false));
  t.throws(() => disk.batch.pread(-1, 0, 0, 0, 1, false, false));
  disk.batch.clear();
});

t.test('a submitted batch is closed to additions until it is done', async (t) => {
  const fd = disk.open(path('submitted'), O_RDWR_CREAT, 0o644);
  disk.batch.pwrite(fd, 0, 0, 0, 100, false);
  disk.batch.pread(fd, 50, 0, 30_000, 100, false, true);
  let inside: number[] = [];
  disk.submitBatch((result) => {
    inside = [result.result, result.value0, disk.batch.result(0), disk.batch.result(1)];
  });
  t.throws(() => disk.batch.pwrite(fd, 0, 0, 0, 1, false));
  t.throws(() => disk.batch.clear());
  t.throws(() => disk.batch.result(0));
  t.throws(() => disk.runBatch());
  // Single reads go on meanwhile.
  disk.submitPread(fd, 0, 0, 40_000, 10, true, () => {});
  t.equal(drainAll(), 2);
  t.same(inside, [0, 2, 100, 50]);
  t.equal(disk.batch.crc(1), native.crc32(region.subarray(50, 100), 0));
  disk.batch.clear();
  disk.close(fd);
});

t.test('submitted work from open to unlink', async (t) => {
  const { result: fd, value0 } = ended((done) => disk.submitOpen(path('work'), O_RDWR_CREAT, 0o644, done));
  t.ok(fd > 2);
  t.equal(value0, 0);
  t.equal(disk.write(fd, region.subarray(0, 8192), 0), 8192);
  const read = ended((done) => disk.submitPread(fd, 4096, 0, 50_000, 8192, true, done));
  t.match(read, { result: 4096, crc: native.crc32(region.subarray(4096, 8192), 0) });
  t.equal(ended((done) => disk.submitFdatasync(fd, done)).result, 0);
  t.equal(ended((done) => disk.submitFallocate(fd, true, 0, 4096, done)).result, 0);
  t.equal(disk.seekData(fd, 0), 4096);
  t.equal(disk.seekHole(fd, 4096), 8192);
  t.equal(ended((done) => disk.submitFallocate(fd, false, 0, 65_536, done)).result, 0);
  t.equal(ended((done) => disk.submitTruncate(fd, 20_000, done)).result, 0);
  t.match(
    ended((done) => disk.submitFstat(fd, done)),
    { result: 0, value0: 20_000 },
  );
  t.equal(ended((done) => disk.submitClose(fd, done)).result, 0);
  t.equal(ended((done) => disk.submitRename(path('work'), path('moved'), done)).result, 0);
  t.equal(ended((done) => disk.submitFsyncFolder(folder, done)).result, 0);
  t.equal(ended((done) => disk.submitUnlink(path('work'), done)).result, ENOENT);
  t.equal(ended((done) => disk.submitUnlink(path('moved'), done)).result, 0);
  disk.mkdir(path('tree'), 0o755);
  writeFileSync(path('tree/file'), 'x');
  t.equal(ended((done) => disk.submitRemoveTree(path('tree'), done)).result, 0);
  t.match(
    ended((done) => disk.submitStatfs(folder, done)),
    { result: 0, value0: Number, value2: Number },
  );
  t.equal(disk.pending(), 0);
});

t.test(
  'a durable write is one operation: its fdatasync is in the record, and faults of both act on it',
  async (t) => {
    const fd = disk.open(path('durable'), O_RDWR_CREAT, 0o644);
    const write = (length: number): number =>
      ended((done) => disk.submitPwrite(fd, 10, 0, 100, length, done, true)).result;
    native.recordIo(true);
    t.equal(write(5000), 5000);
    native.recordIo(false);
    t.same(native.takeIoRecord(), [`pwrite ${fd} 10 5000 5000 -`, `fdatasync ${fd} 0 0 0 -`]);
    t.ok(readFileSync(path('durable')).subarray(10).equals(region.slice(100, 5100)));
    native.setFault(DEVICE, [IO.fdatasync], 'errno', 5, 1);
    t.equal(write(10), -5);
    native.setFault(DEVICE, [IO.pwrite], 'errno', 28, 1);
    t.equal(write(10), -28);
    t.equal(write(10), 10);
    t.equal(disk.close(fd), 0);
    t.equal(write(10), -9);
  },
);

t.test('each callback is called once, for its own work, and may submit more', async (t) => {
  const sizes: number[] = [];
  let more = 0;
  for (let size = 0; size < 600; size++) {
    const name = path(`many${size % 20}`);
    if (size < 20) writeFileSync(name, 'x'.repeat(size));
    disk.submitOpen(name, 0, 0, (opened) => {
      if (opened.result >= 0 && opened.value0 === size % 20) sizes.push(size);
      disk.submitClose(opened.result, ({ result }) => {
        if (result === 0) more++;
      });
    });
  }
  t.equal(drainAll(), 1200);
  t.same(
    sizes.sort((a, b) => a - b),
    Array.from({ length: 600 }, (_, size) => size),
  );
  t.equal(more, 600);
});

t.test(
  'work that a full queue refuses ends with EAGAIN at the next drain, which the doorbell asks for',
  async (t) => {
    native.setFault(DEVICE, [IO.statfs], 'hang', 0, 0);
    let [refused, good] = [0, 0];
    const done: IoDone = ({ result }) => {
      if (result === EAGAIN) refused++;
      if (result === 0) good++;
    };
    const seen = Atomics.load(doorbell, 0);
    for (let index = 0; index < 4200; index++) disk.submitStatfs(folder, done);
    t.equal(native.waitDoorbell(doorbell, seen, 0, 1000), 1);
    t.equal(refused, 0);
    t.equal(disk.drainCompletions(), refused);
    t.ok(refused >= 100 && refused <= 104, `${refused}`);
    t.equal(disk.pending(), 4200 - refused);
    native.clearFaults(DEVICE);
    drainAll();
    t.equal(good, 4200 - refused);
  },
);

t.test('a callback may not drain', async (t) => {
  let error: unknown;
  disk.submitStatfs(folder, () => {
    try {
      disk.drainCompletions();
    } catch (caught) {
      error = caught;
    }
  });
  drainAll();
  t.match(error, { code: 'ERR_ASSERTION' });
});

t.test('synchronous calls', async (t) => {
  const fd = disk.open(path('sync'), O_RDWR_CREAT, 0o644);
  const into = new Uint8Array(100);
  t.equal(disk.write(fd, region.subarray(0, 50), 10), 50);
  t.equal(disk.read(fd, into, 20), 40);
  t.same(into.subarray(0, 40), region.subarray(10, 50));
  t.equal(disk.fdatasync(fd), 0);
  t.equal(disk.truncate(fd, 1 << 17), 0);
  t.equal(disk.fallocate(fd, false, 0, 1 << 18), 0);
  t.equal(disk.fallocate(fd, true, 0, 1 << 18), 0);
  t.equal(disk.seekData(fd, 0), -6);
  t.equal(disk.lock(fd), 0);
  t.equal(disk.close(fd), 0);
  t.equal(disk.fsyncFolder(folder), 0);
  t.equal(disk.rename(path('sync'), path('sync2')), 0);
  t.equal(disk.unlink(path('sync')), ENOENT);
  t.equal(disk.unlink(path('sync2')), 0);
  t.match(disk.statfs(folder), { blocks: Number, availableBlocks: Number, blockBytes: Number });
  t.equal(disk.statfs(path('missing')), ENOENT);
  t.equal(disk.errnoText(ENOENT), 'no such file or directory');
});

t.test('scan lists a folder', async (t) => {
  disk.mkdir(path('scan'), 0o755);
  t.same(disk.scan(path('scan')), []);
  disk.mkdir(path('scan/sub'), 0o755);
  writeFileSync(path('scan/file'), 'abc');
  const entries = disk.scan(path('scan'));
  if (typeof entries === 'number') throw new Error(disk.errnoText(entries));
  t.match(
    entries.sort((a, b) => a.name.localeCompare(b.name)),
    [
      { name: 'file', kind: 'file', sizeBytes: 3, mtimeMs: Number, blocks512: 8, errno: 0 },
      { name: 'sub', kind: 'folder', errno: 0 },
    ],
  );
  t.equal(disk.scan(path('missing')), ENOENT);
  const scans = disk.scanAll([path('missing'), path('scan/sub'), path('scan')]);
  t.same([scans.next(), scans.next(), scans.next()], [ENOENT, [], disk.scan(path('scan'))]);
  t.equal(disk.removeTree(path('scan')), 0);
});
