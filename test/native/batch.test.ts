/** Inline and submitted batches on real files. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { IO, IO_FLAG, native } from '../../src/native/addon.js';
import { DiskRig } from './diskRig.js';

const EFAULT = -14;
const EINVAL = -22;
const EAGAIN = -11;
const EBADF = -9;
const ECANCELED = -125;

const rig = new DiskRig();
for (let index = 0; index < rig.region.length; index++) rig.region[index] = (index * 7 + (index >> 8)) & 0xff;
t.teardown(() => rig.end());

/** System calls that wrote, of this thread so far. */
function writeCalls(): number {
  return Number(/syscw: (\d+)/.exec(readFileSync('/proc/thread-self/io', 'utf8'))![1]);
}

t.test('neighbouring appends are one system call, and the file is right', async (t) => {
  const fd = rig.open('appends');
  const before = writeCalls();
  const entries = Array.from({ length: 40 }, (_, index) => ({
    code: IO.pwrite,
    fd,
    length: 4096,
    offset: index * 4096,
    // Not in the order of the file, so that each part counts.
    bufferOffset: (39 - index) * 4096,
    flags: IO_FLAG.linked,
  }));
  const results = rig.run(...entries);
  t.equal(writeCalls() - before, 1);
  t.same(results, Array(40).fill(4096));
  const file = readFileSync(rig.path('appends'));
  const expected = entries.map(({ bufferOffset }) => rig.region.slice(bufferOffset, bufferOffset + 4096));
  t.ok(file.equals(Buffer.concat(expected)));
  native.closeSync(fd);
});

t.test('a read gives count and checksum, and is short only at the end of the file', async (t) => {
  const fd = rig.open('read');
  native.pwriteSync(fd, rig.region.subarray(0, 10_000), 0);
  const read = { code: IO.pread, fd, flags: IO_FLAG.crc, bufferOffset: 500_000 };
  const results = rig.run(
    { ...read, length: 10_000 },
    { ...read, length: 4096, offset: 8000, bufferOffset: 600_000 },
    { ...read, length: 10, offset: 20_000 },
  );
  t.same(results, [10_000, 2000, 0]);
  t.equal(rig.crc(0), native.crc32(rig.region.subarray(0, 10_000), 0));
  t.equal(rig.crc(1), native.crc32(rig.region.subarray(8000, 10_000), 0));
  t.equal(rig.crc(2), 0);
  t.same(rig.region.slice(500_000, 510_000), rig.region.slice(0, 10_000));
  native.closeSync(fd);
});

t.test('a read that may not wait gives all or nothing, and all once the cache is warm', async (t) => {
  const fd = rig.open('cold');
  native.ftruncateSync(fd, 65_536);
  const read = { code: IO.pread, fd, length: 65_536, bufferOffset: 500_000 };
  const [cold] = rig.run({ ...read, flags: IO_FLAG.noWait });
  t.ok(cold === EAGAIN || cold === 65_536, `${cold}`);
  t.same(rig.run(read, { ...read, flags: IO_FLAG.noWait }), [65_536, 65_536]);
  t.same(rig.run({ ...read, flags: IO_FLAG.noWait, offset: 61_440 }), [4096], 'short at the end of the file');
  native.closeSync(fd);
});

t.test('a failure cancels linked entries of the same fd and no others', async (t) => {
  const fd = rig.open('linked');
  const readOnly = native.openSync(rig.path('linked'), 0, 0);
  const write = { code: IO.pwrite, length: 10, flags: IO_FLAG.linked };
  const results = rig.run(
    { ...write, fd: readOnly },
    { ...write, fd: readOnly, offset: 10 },
    { ...write, fd },
    { code: IO.fdatasync, fd: readOnly, flags: IO_FLAG.linked },
    { code: IO.fdatasync, fd, flags: IO_FLAG.linked },
    { code: IO.fdatasync, fd: readOnly },
  );
  t.same(results, [EBADF, ECANCELED, 10, ECANCELED, 0, 0]);
  native.closeSync(fd);
  native.closeSync(readOnly);
});

t.test('what lies out of bounds answers EFAULT or EINVAL and touches nothing', async (t) => {
  const fd = rig.open('bounds');
  const write = { code: IO.pwrite, fd, length: 16 };
  const results = rig.run(
    { ...write, bufferOffset: rig.region.length - 15 },
    { ...write, bufferOffset: -1 },
    { ...write, bufferOffset: 0.5 },
    { ...write, bufferOffset: Number.NaN },
    { ...write, bufferOffset: 2 ** 60 },
    { ...write, region: 1 },
    { ...write, region: 0xffffffff },
    { ...write, length: 0xffffffff },
    { ...write, offset: -1 },
    { ...write, offset: Number.NaN },
    { code: 0, fd },
    { code: IO.open, fd },
    { code: 4_000_000_000, fd },
  );
  t.same(results, [...Array(8).fill(EFAULT), ...Array(5).fill(EINVAL)]);
  t.equal(readFileSync(rig.path('bounds')).length, 0);
  native.closeSync(fd);
});

t.test('the other operations work as entries', async (t) => {
  const fd = rig.open('entries');
  const results = rig.run(
    { code: IO.ftruncate, fd, value: 1 << 20 },
    { code: IO.pwrite, fd, length: 8192, offset: 65_536 },
    { code: IO.seekData, fd },
    { code: IO.seekHole, fd, offset: 65_536 },
    { code: IO.fstat, fd },
    { code: IO.punchHole, fd, offset: 65_536, value: 8192 },
    { code: IO.seekData, fd },
    { code: IO.fallocateKeepSize, fd, offset: 1 << 20, value: 4096 },
    { code: IO.fsync, fd },
    { code: IO.close, fd },
    { code: IO.close, fd },
  );
  t.same(results, [0, 8192, 0, 0, 0, 0, -6, 0, 0, 0, EBADF]);
  t.equal(rig.value(2), 65_536);
  t.equal(rig.value(3), 73_728);
  t.equal(rig.value(4), 1 << 20);
});

t.test('entries outside the table throw', async (t) => {
  t.throws(() => rig.io.runBatch(127, 2), TypeError);
  t.throws(() => rig.io.runBatch(0xffffffff, 0xffffffff), TypeError);
  t.throws(() => rig.io.submitBatch(128, 1, 1), TypeError);
  t.throws(() => rig.io.submit(128, 1), TypeError);
});

t.test('a submitted batch runs as a whole; results arrive with its completion', async (t) => {
  const fd = rig.open('submitted');
  rig.entry(10, { code: IO.pwrite, fd, length: 100 });
  rig.entry(11, { code: IO.pwrite, fd, length: 100, offset: 100 });
  rig.entry(12, { code: IO.pread, fd, length: 150, bufferOffset: 900_000, flags: IO_FLAG.crc });
  rig.entry(13, { code: IO.pwrite, fd, length: 100, region: 9 });
  rig.io.submitBatch(10, 4, 4711);
  t.equal(rig.io.pending(), 1);
  const [completion] = rig.take(1);
  t.equal(rig.io.pending(), 0);
  t.match(completion, { token: 4711, result: 0, values: [4, 0, 0] });
  t.ok(completion!.values[3] > 0, 'time spent');
  t.same(
    [10, 11, 12, 13].map((index) => rig.result(index)),
    [100, 100, 150, EFAULT],
  );
  t.equal(rig.crc(12), native.crc32(rig.region.subarray(900_000, 900_150), 0));
  native.closeSync(fd);
});

t.test('a submitted entry is copied', async (t) => {
  const fd = rig.open('copied');
  native.pwriteSync(fd, rig.region.subarray(0, 64), 0);
  rig.entry(20, { code: IO.pread, fd, length: 64, bufferOffset: 910_000, flags: IO_FLAG.crc });
  t.equal(rig.io.submit(20, 5), 0);
  rig.entry(20, { code: IO.close, fd });
  t.match(rig.take(1), [{ token: 5, result: 64, crc: native.crc32(rig.region.subarray(0, 64), 0) }]);
  native.closeSync(fd);
});
