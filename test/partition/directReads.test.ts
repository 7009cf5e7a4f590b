/** Which reads of a partition go past the page cache (`directReadBytes`), and that all bring the same bytes. */
import assert from 'node:assert';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { native } from '../../src/native/addon.js';
import { DIRECT_QUIET_SECONDS } from '../../src/partition/directReads.js';
import { OP } from '../../src/protocol/opcodes.js';
import { NativeRig, temporaryFolder } from './nativeRig.js';
import { ROOT, SimRig } from './simRig.js';
import { pattern, type Sent, type StoreRig } from './storeRig.js';

const DIRECT_BYTES = 4096;
const EXTENT_BYTES = 60_001;
const EINVAL = 22;
/** posix_fadvise: POSIX_FADV_DONTNEED. */
const FORGET = 4;
const content = pattern(EXTENT_BYTES, 1);

/** A simulated disk on which every read is cold, with one extent that nobody has written to for long enough. */
function quietExtent(): SimRig {
  const rig = SimRig.start({ directReadBytes: DIRECT_BYTES });
  rig.create(ROOT);
  rig.sendCreate();
  rig.run();
  rig.sendWrite(1025, 0, content);
  rig.run();
  rig.sim.coldReads = 1;
  rig.simClock.advance(DIRECT_QUIET_SECONDS * 1000 + 1000);
  return rig;
}

/** Sends reads, runs them, checks what they bring; returns how many of them asked for direct reading. */
function directReads(t: Test, rig: SimRig, ...ranges: [offset: number, size: number][]): number {
  const before = rig.sim.directReads;
  const reads = ranges.map(([offset, size]) => rig.sendRead(1025, offset, size));
  rig.run();
  for (const [i, read] of reads.entries()) checkRead(t, read, ...ranges[i]!);
  return rig.sim.directReads - before;
}

function checkRead(t: Test, read: Sent, offset: number, size: number): void {
  if (offset + size > EXTENT_BYTES) return void t.equal(read.error, 'ActionStreamRead_EOF');
  t.ok(read.ok, read.error);
  t.ok(Buffer.from(read.body).equals(content.subarray(offset, offset + size)), `${offset}+${size}`);
  t.equal(read.crc, crc32(read.body));
}

t.test('cold reads up to the bound go past the page cache, larger ones do not', async (t) => {
  const rig = quietExtent();
  t.equal(directReads(t, rig, [0, DIRECT_BYTES], [50, 1], [EXTENT_BYTES - 10, 10]), 3);
  t.equal(directReads(t, rig, [0, DIRECT_BYTES + 1], [0, EXTENT_BYTES]), 0);
  t.equal(directReads(t, rig, [EXTENT_BYTES - 10, 11], [EXTENT_BYTES, 1]), 2, 'the end of the file');
  rig.sim.coldReads = 0;
  t.equal(directReads(t, rig, [0, DIRECT_BYTES]), 0, 'what is in the cache is read there');
  rig.settings.directReadBytes = 0;
  rig.sim.coldReads = 1;
  t.equal(directReads(t, rig, [0, DIRECT_BYTES], [0, 1]), 0, 'switched off');
});

t.test('an extent that was just written to is read through the page cache', async (t) => {
  const rig = quietExtent();
  rig.sendWrite(1025, 0, content.subarray(0, 100));
  rig.run();
  t.equal(directReads(t, rig, [0, 100]), 0);
  rig.simClock.advance(DIRECT_QUIET_SECONDS * 1000 - 1000);
  t.equal(directReads(t, rig, [0, 100]), 0);
  rig.simClock.advance(2000);
  t.equal(directReads(t, rig, [0, 100]), 1);
});

t.test('after a refusal nothing is tried again, and it is logged once', async (t) => {
  const rig = quietExtent();
  rig.sim.directRefusal = EINVAL;
  t.equal(directReads(t, rig, [0, 100], [4096, 100]), 2);
  t.equal(directReads(t, rig, [0, 100], [4096, 100]), 0);
  const reason = rig.sim.errnoText(EINVAL);
  t.same(rig.complaints, [`direct reads are refused, the page cache is used: ${reason}`]);
});

t.test('a repair read past the end of a tiny extent is zeros behind it', async (t) => {
  const rig = quietExtent();
  const { extentId } = run(rig, rig.sendTinyWrite(content.subarray(0, 5000)));
  rig.simClock.advance(DIRECT_QUIET_SECONDS * 1000 + 1000);
  const before = rig.sim.directReads;
  const fields = { opcode: OP.extentRepairRead, extentType: 0 };
  const read = run(rig, rig.sendRead(extentId, 4096, DIRECT_BYTES, fields));
  t.equal(rig.sim.directReads - before, 1);
  const expected = Buffer.concat([content.subarray(4096, 5000), Buffer.alloc(DIRECT_BYTES - 904)]);
  t.ok(Buffer.from(read.body).equals(expected));
  t.equal(read.crc, crc32(expected));
});

t.test('on a real disk', async (t) => {
  const root = temporaryFolder();
  const rig = NativeRig.start(root, { directReadBytes: DIRECT_BYTES });
  t.teardown(() => rig.removeRoot());
  const partition = rig.create(root);
  run(rig, rig.sendCreate());
  t.ok(run(rig, rig.sendSyncWrite(1025, 0, content)).ok);
  const { table } = partition.store;
  table.modTimes[table.find(1025)] = 0;
  for (let round = 0; round < 2; round++) {
    dropFromCache(join(partition.store.path, '1025'));
    const ranges = Array.from({ length: 40 }, (_, i): [number, number] => [i * 1501, 1 + ((i * 997) % 5000)]);
    const reads = ranges.map(([offset, size]) => rig.sendRead(1025, offset, size));
    rig.run();
    for (const [i, read] of reads.entries()) checkRead(t, read, ...ranges[i]!);
  }
  t.ok(rig.complaints.every((text) => text.startsWith('direct reads are refused')));
  t.same([rig.stop(), rig.diskErrors], [[], []]);
});

function run(rig: StoreRig & { run(): void }, sent: Sent): Sent {
  rig.run();
  return sent;
}

/** Asks the kernel to forget a file's pages. */
function dropFromCache(path: string): void {
  const fd = native.openSync(path, constants.O_RDONLY, 0);
  assert(native.adviseSync(fd, FORGET) === 0);
  native.closeSync(fd);
}
