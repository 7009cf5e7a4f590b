/**
 * Partitions on the real disk: our own, and folders that a v1.4.0 node wrote.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t, { type Test } from 'tap';
import { answerQuery } from '../../src/partition/debugQuery.js';
import { deletePartition, lockDisk } from '../../src/partition/diskLoad.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { decodeMeta, encodeMeta } from '../../src/storage/metaFile.js';
import { packageRoot } from '../packageRoot.js';
import { NativeRig, temporaryFolder } from './nativeRig.js';
import { pattern, type Sent } from './storeRig.js';

function run(rig: NativeRig, sent: Sent): Sent {
  rig.run();
  return sent;
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A root with the recorded folder of a partition. */
function recorded(t: Test, partition: number): { rig: NativeRig; folder: string } {
  const root = temporaryFolder();
  const archive = join(packageRoot, 'test/vectors/disk', `datanode1-partition${partition}.tar.gz`);
  execFileSync('tar', ['xzf', archive, '-C', root, '--strip-components=1']);
  const rig = NativeRig.start(root);
  t.teardown(() => rig.removeRoot());
  return { rig, folder: join(root, `datapartition_${partition}_10737418240`) };
}

/** Files of extents, by id. */
function extentSizes(folder: string): Map<number, number> {
  const names = readdirSync(folder).filter((name) => /^\d+$/.test(name));
  return new Map(names.map((name) => [Number(name), statSync(join(folder, name)).size]));
}

t.test('create, append, sync, read, restart, delete', async (t) => {
  const root = temporaryFolder();
  const rig = NativeRig.start(root);
  t.teardown(() => rig.removeRoot());
  rig.create(root);
  const folder = join(root, 'datapartition_7_1073741824');
  const created = run(rig, rig.sendCreate());
  t.same([created.ok, created.extentId], [true, 1025]);
  const body = pattern(BLOCK_BYTES, 1);
  const writes = [0, 1, 2].map((i) => rig.sendWrite(1025, i * BLOCK_BYTES, body));
  const synced = rig.sendSyncWrite(1025, 3 * BLOCK_BYTES, pattern(5000, 2));
  rig.run();
  t.ok([...writes, synced].every(({ ok }) => ok));
  t.same(readFileSync(join(folder, '1025')), Buffer.concat([body, body, body, pattern(5000, 2)]));
  const slots = readFileSync(join(folder, 'EXTENT_CRC')).subarray(0x401000);
  t.same([slots.readUInt32BE(0), slots.readUInt32BE(8), slots.length], [crc32(body), crc32(body), 12]);
  const reads = [rig.sendRead(1025, 100, BLOCK_BYTES), rig.sendRead(1025, 3 * BLOCK_BYTES, 5001)];
  rig.run();
  t.equal(reads[0]!.crc, crc32(reads[0]!.body));
  t.equal(digest(reads[0]!.body), digest(Buffer.concat([body, body]).subarray(100, 100 + BLOCK_BYTES)));
  t.equal(reads[1]!.error, 'ActionStreamRead_EOF');
  t.same(rig.stop(), []);
  t.equal(readFileSync(join(folder, 'EXTENT_META')).toString('hex', 0, 8), '0000000000000401');

  const next = NativeRig.start(root, { openExtentsMax: 2 });
  const [partition] = next.load(root);
  t.equal(partition!.usedBytes, 3 * BLOCK_BYTES + 5000);
  t.ok(run(next, next.sendWrite(1025, 3 * BLOCK_BYTES + 5000, pattern(10, 3))).ok);
  t.ok(run(next, next.sendWrite(1025, 10, pattern(10, 4))).ok);
  const after = readFileSync(join(folder, 'EXTENT_CRC')).subarray(0x401000);
  t.same([after.readUInt32BE(0), after.readUInt32BE(4)], [0, crc32(body)]);
  const more = Array.from({ length: 5 }, () => next.sendCreate());
  next.run();
  t.same(
    more.map(({ extentId }) => extentId),
    [1026, 1027, 1028, 1029, 1030],
  );
  next.partitions.delete(7);
  t.ok(deletePartition(next.stores, partition!).ok);
  t.notOk(existsSync(folder));
  next.run();
  t.same(readdirSync(root), []);
  t.same(next.stop(), []);
});

t.test('one process a disk', async (t) => {
  const root = temporaryFolder();
  const rig = NativeRig.start(root);
  t.teardown(() => rig.removeRoot());
  const held = lockDisk(rig.native, root);
  t.ok(held.ok);
  t.match(lockDisk(rig.native, root), { ok: false, message: /in use by another process/ });
  if (held.ok) rig.native.close(held.value);
  t.match(lockDisk(rig.native, join(root, 'none')), { ok: false, message: /no such file or directory/ });
  mkdirSync(join(root, 'datapartition_9_9'));
  rig.load(root, 1);
  t.equal(rig.partitions.size, 0);
  t.same(rig.stop(), []);
});

for (const id of [5, 8]) {
  t.test(`partition ${id} of a v1.4.0 node: loaded, read, appended to, given back`, async (t) => {
    const { rig, folder } = recorded(t, id);
    const meta = readFileSync(join(folder, 'META'));
    const before = readFileSync(join(folder, 'EXTENT_CRC'));
    const [partition] = rig.load(rig.root);
    const decoded = decodeMeta(meta);
    t.equal(decoded.ok && encodeMeta(decoded.value), meta.toString(), 'our bytes of META are the same');
    t.same([partition!.id, partition!.volume, partition!.hosts.length], [id, 'vol1', 3]);
    t.equal(partition!.appliedIndex, id === 5 ? 7 : 0);
    const sizes = extentSizes(folder);
    const listed = answerQuery(partition!, { kind: 'partition', partitionId: id, extentId: 0 });
    const { extents } = (listed as { value: { extents: { fileId: number; size: number }[] } }).value;
    t.equal(extents.length, sizes.size);
    for (const { fileId, size } of extents) {
      const length = sizes.get(fileId)!;
      t.equal(size, fileId <= 64 ? Math.ceil(length / 4096) * 4096 : length, `extent ${fileId}`);
    }
    for (const [extentId, length] of sizes) {
      if (length === 0) continue;
      const size = Math.min(length, BLOCK_BYTES);
      const read = run(rig, rig.sendRead(extentId, length - size, size, { partitionId: id }));
      t.ok(read.ok, read.error);
      const file = readFileSync(join(folder, String(extentId)));
      t.equal(digest(read.body), digest(file.subarray(length - size)), `extent ${extentId}`);
    }
    appendAndGiveBack(t, rig, folder, id, sizes, before);
    t.same(readFileSync(join(folder, 'META')), meta, 'META is untouched');
  });
}

/** Appends to extent 1026, creates the next one, stops, and looks at what a v1.4.0 node would find. */
function appendAndGiveBack(
  t: Test,
  rig: NativeRig,
  folder: string,
  id: number,
  sizes: Map<number, number>,
  before: Buffer,
): void {
  const end = sizes.get(1026)!;
  const body = pattern(1000, id);
  const appended = run(rig, rig.sendWrite(1026, end, body, { partitionId: id }));
  t.ok(appended.ok, appended.error);
  const created = run(rig, rig.sendCreate({ partitionId: id, remainingFollowers: 1 }));
  t.equal(created.extentId, id === 5 ? 1032 : 1028, 'one more than the base');
  t.same(rig.stop(), []);
  t.same(readFileSync(join(folder, '1026')).subarray(end), Buffer.from(body));
  const expectedMeta = Buffer.alloc(16);
  expectedMeta.writeBigUInt64BE(BigInt(created.extentId));
  t.same(readFileSync(join(folder, 'EXTENT_META')), expectedMeta);
  // The last block of 1026 was partly full, so its slot is unknown; every other slot stands as it was.
  const slot = 1026 * 4096 + Math.floor(end / BLOCK_BYTES) * 4;
  if (slot < before.length) before.fill(0, slot, slot + 4);
  t.equal(digest(readFileSync(join(folder, 'EXTENT_CRC'))), digest(before));
}
