/**
 * Reads past the page cache, against real files: the temp folder's file system and, where there is one, the memory of /dev/shm. Where a file system or
 * kernel refuses them the bytes must be right all the same.
 */
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { IO, IO_FLAG, native } from '../../src/native/addon.js';
import { pattern } from '../partition/storeRig.js';
import { DiskRig } from './diskRig.js';

const EAGAIN = -11;
const O_RDWR_CREAT = 0o102;
const FILE_BYTES = 300_001;
/** Where reads land in the region, far from where writes come from. */
const INTO = 500_000;
const content = pattern(FILE_BYTES, 1);

const rig = new DiskRig();
t.teardown(() => rig.end());

/** A file of `content`, on disk. */
function contentFile(path: string): number {
  const fd = native.openSync(path, O_RDWR_CREAT, 0o644);
  native.pwriteSync(fd, content, 0);
  native.fdatasyncSync(fd);
  return fd;
}

/** Submits a direct read and compares count, bytes and checksum with `content`; the errno of a refusal, or 0. */
function checkRead(t: Test, fd: number, offset: number, length: number): number {
  const flags = IO_FLAG.direct | IO_FLAG.crc;
  rig.region.fill(0xee, INTO, INTO + length + 8);
  rig.entry(0, { code: IO.pread, fd, offset, length, bufferOffset: INTO, flags });
  t.equal(rig.io.submit(0, 1), 0);
  const [{ result, crc, values }] = rig.take(1) as [ReturnType<DiskRig['take']>[0]];
  const expected = content.subarray(offset, offset + length);
  t.equal(result, expected.length, `${offset}+${length}`);
  t.ok(Buffer.from(rig.region.slice(INTO, INTO + result)).equals(expected), `${offset}+${length}`);
  t.equal(crc, native.crc32(expected, 0));
  t.ok(
    rig.region.subarray(INTO + result, INTO + length + 8).every((byte) => byte === 0xee),
    'nothing behind is touched',
  );
  return values[0];
}

const RANGES: [offset: number, length: number][] = [
  ...([
    [0, 4096],
    [4096, 131_072],
    [8192, 512],
    [0, 1],
    [1, 4095],
    [4095, 2],
    [511, 131_072],
  ] as const),
  ...([
    [299_000, 1001],
    [299_999, 2],
    [299_999, 100],
    [294_912, 8192],
    [300_001, 1],
    [1_000_000, 4096],
  ] as const),
].map(([offset, length]) => [offset, length]);

t.test('any range gives its bytes and checksum, short only at the end of the file', async (t) => {
  const fd = contentFile(rig.path('ranges'));
  for (const [offset, length] of RANGES) checkRead(t, fd, offset, length);
  native.closeSync(fd);
});

t.test('in a folder in memory the bytes are right too, whether it refuses or not', async (t) => {
  const memory = '/dev/shm';
  try {
    accessSync(memory, constants.W_OK);
  } catch {
    t.pass(`no ${memory} here`);
    return;
  }
  const folder = mkdtempSync(join(memory, 'extentd-direct-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const fd = contentFile(join(folder, 'file'));
  const refusals = new Set(RANGES.map(([offset, length]) => checkRead(t, fd, offset, length)));
  t.equal(refusals.size, 1, 'refused always or never');
  native.closeSync(fd);
});

t.test('what is written and not synced is read', async (t) => {
  const fd = contentFile(rig.path('dirty'));
  native.pwriteSync(fd, pattern(5000, 2), 3000);
  content.set(pattern(5000, 2), 3000);
  checkRead(t, fd, 2000, 8000);
  native.closeSync(fd);
});

t.test(
  'a direct read leaves the page cache as it was, a look does not read, a plain read fills it',
  async (t) => {
    const fd = rig.open('hole');
    native.ftruncateSync(fd, 65_536);
    const read = { code: IO.pread, fd, length: 8192, offset: 12_288, bufferOffset: INTO };
    const look = { ...read, flags: IO_FLAG.direct | IO_FLAG.noWait };
    const direct = { ...read, flags: IO_FLAG.direct };
    const [first] = rig.run(look);
    const [again, bytes] = rig.run(look, direct);
    const refused = rig.value(1);
    t.equal(bytes, 8192);
    if (refused === 0) t.same([first, again, ...rig.run(look)], [EAGAIN, EAGAIN, EAGAIN]);
    else t.comment(`direct reads are refused here: ${native.errnoName(refused)}`);
    t.same(rig.run(read, look), [8192, 8192]);
    t.same(
      rig.run({ ...look, length: 60_000 }),
      [refused === 0 ? EAGAIN : 65_536 - 12_288],
      'a part is cold',
    );
    native.closeSync(fd);
  },
);

t.test('reads at the end of a file that grows meanwhile give a part of what is there', async (t) => {
  const fd = rig.open('growing');
  const [piece, pieces, readers] = [1500, 200, 4];
  const flags = IO_FLAG.direct | IO_FLAG.crc;
  rig.region.set(content.subarray(0, piece * pieces), 0);
  let seen = 0;
  for (let done = 0; done < pieces; done++) {
    const at = done * piece;
    const from = Math.max(0, at - 2000);
    for (let reader = 0; reader < readers; reader++) {
      rig.entry(10 + reader, {
        code: IO.pread,
        fd,
        offset: from,
        length: 6000,
        flags,
        bufferOffset: INTO + reader * 6000,
      });
      t.equal(rig.io.submit(10 + reader, reader), 0);
    }
    for (let part = 0; part < 3; part++) {
      const offset = at + part * 500;
      rig.entry(0, { code: IO.pwrite, fd, length: 500, offset, bufferOffset: offset });
      rig.io.runBatch(0, 1);
    }
    for (const { token, result, crc } of rig.take(readers)) {
      const [found, expected] = [INTO + token * 6000, content.subarray(from, from + result)];
      const fits = result >= at - from && result <= at + piece - from;
      const same = Buffer.from(rig.region.slice(found, found + result)).equals(expected);
      if (fits && same && crc === native.crc32(expected, 0)) seen++;
    }
  }
  t.equal(seen, pieces * readers);
  native.closeSync(fd);
});

t.test('a range outside the region, a bad descriptor and a fault are told as for any read', async (t) => {
  const fd = contentFile(rig.path('faults'));
  const read = { code: IO.pread, fd, length: 4096, bufferOffset: INTO, flags: IO_FLAG.direct };
  t.same(rig.run({ ...read, region: 3 }, { ...read, fd: 999_999 }, { ...read, offset: -1 }), [-14, -9, -22]);
  native.setFault(rig.device, [IO.pread], 'short', 100, 1);
  native.setFault(rig.device, [IO.pread], 'errno', 5, 2);
  t.same(rig.run(read, read, read), [-5, -5, 4096]);
  native.clearFaults(rig.device);
  native.setFault(rig.device, [IO.pread], 'short', 100, 1);
  t.same(rig.run(read), [100]);
  native.clearFaults(rig.device);
  native.closeSync(fd);
});
