/**
 * `extentd verify`: sound folders, each kind of damage, and blocks that a node is writing.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { SLOT_BYTES, slotOffset } from '../../src/storage/crcFile.js';
import type { FolderEntry } from '../../src/storage/io.js';
import { BLOCK_BYTES } from '../../src/storage/layout.js';
import { ReadOnlyDisk } from '../../src/tools/readOnlyDisk.js';
import { runTool } from '../../src/tools/runTool.js';
import { type Damage, Verifier, type VerifyTotals } from '../../src/tools/verify.js';
import { recordedDisk, scratchFolder, treeState } from '../support/folderState.js';
import type { Teardown } from '../support/nodeProcess.js';
import { textStreams } from '../support/textStreams.js';

const EIGHT = 'datapartition_8_10737418240';

/** Writes at a place of a file. */
function poke(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.byteLength, offset);
  closeSync(fd);
}

function slot(folder: string, extent: number, block: number, crc: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  poke(join(folder, 'EXTENT_CRC'), slotOffset(extent, block), bytes);
}

interface Outcome {
  code: number;
  err: string;
  out: string;
  damage: Damage[];
  totals: VerifyTotals;
  complete: boolean;
}

async function verify(dir: string): Promise<Outcome> {
  const streams = textStreams();
  const code = await runTool({ tool: 'verify', target: dir, json: true }, streams);
  return { ...(JSON.parse(streams.out) as Outcome), code, err: streams.err, out: streams.out };
}

t.test('sound folders of the reference: every known block is compared, nothing changes', async (t) => {
  const root = recordedDisk(t);
  const before = treeState(root);
  const { code, damage, totals, complete } = await verify(root);
  t.strictSame([code, damage, complete], [0, [], true]);
  t.strictSame(totals, {
    ...{ partitions: 2, extents: 6, blocks: 3, bytes: 3 * BLOCK_BYTES, unknownBlocks: 7, damaged: 0 },
  });
  t.strictSame(treeState(root), before);
});

t.test('one flipped bit is named with both checksums', async (t) => {
  const root = recordedDisk(t);
  const folder = join(root, EIGHT);
  poke(join(folder, '1025'), BLOCK_BYTES + 77, Buffer.from([0xa5, 0x5a, 0xa5]));
  const before = treeState(root);
  const { code, damage, totals } = await verify(root);
  t.equal(code, 1);
  t.equal(totals.damaged, 1);
  t.match(damage, [
    { folder, partition: 8, extent: 1025, block: 1, checksum: 'foreign', what: 'the content differs' },
  ]);
  t.match(damage[0]?.stored, /^[0-9a-f]{8}$/);
  t.match(damage[0]?.computed, /^[0-9a-f]{8}$/);
  t.not(damage[0]?.stored, damage[0]?.computed);
  const streams = textStreams();
  t.equal(await runTool({ tool: 'verify', target: folder, json: false }, streams), 1);
  t.match(
    streams.out,
    /^DAMAGED partition 8, extent 1025, block 1: stored \w{8} \(foreign\), computed \w{8}: the content differs .*\n1 partition, 3 normal extents, 3 blocks compared .*: 1 DAMAGED\n$/,
  );
  t.strictSame(treeState(root), before);
});

t.test('a block cut short, a checksum behind the end, a file that cannot be read', async (t) => {
  const folder = join(recordedDisk(t), EIGHT);
  truncateSync(join(folder, '1026'), BLOCK_BYTES - 1);
  slot(folder, 1027, 5, 0xdeadbeef);
  const last = Buffer.alloc(5000, 3);
  writeFileSync(join(folder, '1030'), last);
  slot(folder, 1030, 0, crc32(last));
  const { code, damage, totals } = await verify(folder);
  t.equal(code, 1);
  t.match(damage, [
    { extent: 1026, block: 0, what: 'the content differs' },
    { extent: 1027, block: 5, stored: 'deadbeef', what: 'a checksum where the extent has no data' },
  ]);
  t.equal(totals.extents, 4, 'a short last block with a right checksum is fine');
  rmSync(join(folder, 'EXTENT_CRC'));
  const without = await verify(folder);
  t.match(without, { code: 1, damage: [{ partition: 8, extent: null, block: null, stored: null }] });
  t.match(without.damage[0]?.what, /^open EXTENT_CRC: no such file/);
});

t.test('a disk that fails reads: named, and the rest is verified', async (t) => {
  const folder = join(recordedDisk(t), EIGHT);
  class Failing extends ReadOnlyDisk {
    override read(fd: number, into: Uint8Array, offset: number): number {
      return into.byteLength === BLOCK_BYTES && offset === BLOCK_BYTES ? -5 : super.read(fd, into, offset);
    }
  }
  const damage: Damage[] = [];
  const verifier = new Verifier(new Failing(), (one) => damage.push(one));
  for (const _ of verifier.folder(folder));
  t.match(damage, [{ extent: 1025, block: 1, what: 'read input/output error', stored: null }]);
  t.match(verifier.totals, { blocks: 2, damaged: 1, extents: 3 });
});

t.test('a block that a node is writing is no damage', async (t) => {
  const folder = join(scratchFolder(t), 'datapartition_3_1');
  const old = Buffer.alloc(BLOCK_BYTES, 1);
  const fresh = Buffer.alloc(BLOCK_BYTES, 2);
  const cases = [
    { name: 'slot zeroed', slotAfter: 0, totals: { blocks: 0, unknownBlocks: 1, damaged: 0 } },
    { name: 'slot rewritten', slotAfter: crc32(fresh), totals: { blocks: 1, unknownBlocks: 0, damaged: 0 } },
    { name: 'slot stays', slotAfter: crc32(old), totals: { blocks: 1, unknownBlocks: 0, damaged: 1 } },
  ];
  for (const { name, slotAfter, totals } of cases) {
    mkdirSync(folder);
    writeFileSync(join(folder, '1025'), fresh);
    writeFileSync(join(folder, 'EXTENT_CRC'), '');
    slot(folder, 1025, 0, crc32(old));
    class Written extends ReadOnlyDisk {
      override read(fd: number, into: Uint8Array, offset: number): number {
        const got = super.read(fd, into, offset);
        if (into.byteLength === BLOCK_BYTES) slot(folder, 1025, 0, slotAfter);
        return got;
      }
    }
    const verifier = new Verifier(new Written(), () => {});
    for (const _ of verifier.folder(folder));
    t.match(verifier.totals, totals, name);
    rmSync(folder, { recursive: true });
  }
});

t.test('what a node deletes meanwhile is no damage', async (t) => {
  const root = recordedDisk(t);
  class Deleting extends ReadOnlyDisk {
    override scan(path: string): FolderEntry[] | number {
      const entries = super.scan(path);
      rmSync(join(path, '1025'), { force: true });
      return entries;
    }
  }
  const verifier = new Verifier(new Deleting(), () => {});
  for (const folder of [join(root, EIGHT), join(root, 'datapartition_4_1')])
    for (const _ of verifier.folder(folder));
  t.match(verifier.totals, { partitions: 1, extents: 2, blocks: 1, damaged: 0 });
});

/** A partition with one sound extent of `blocks` blocks. */
function bigFolder(t: Teardown, blocks: number): string {
  const folder = join(scratchFolder(t), 'datapartition_3_1');
  mkdirSync(folder);
  const block = Buffer.alloc(BLOCK_BYTES, 9);
  const slots = Buffer.alloc(blocks * SLOT_BYTES);
  for (let at = 0; at < blocks; at += 1) slots.writeUInt32BE(crc32(block), at * SLOT_BYTES);
  writeFileSync(join(folder, 'EXTENT_CRC'), '');
  poke(join(folder, 'EXTENT_CRC'), slotOffset(1025, 0), slots);
  writeFileSync(join(folder, '1025'), '');
  for (let at = 0; at < blocks; at += 1) poke(join(folder, '1025'), at * BLOCK_BYTES, block);
  return folder;
}

t.test('memory stays bounded and a signal ends the work with 2', async (t) => {
  const folder = bigFolder(t, 256);
  const before = process.memoryUsage().arrayBuffers;
  const { code, totals } = await verify(folder);
  t.match([code, totals.blocks], [0, 256]);
  t.ok(process.memoryUsage().arrayBuffers - before < 16 * BLOCK_BYTES, '32 MiB were read through one buffer');
  const streams = textStreams(true);
  t.equal(await runTool({ tool: 'verify', target: folder, json: true }, streams), 2);
  t.match(JSON.parse(streams.out), { complete: false, totals: { blocks: 0 } });
  t.equal(streams.err, 'interrupted\n');
});

t.test('progress is for terminals, and leaves nothing on them', async (t) => {
  const folder = bigFolder(t, 2);
  let clockMs = 0;
  const now = performance.now;
  t.teardown(() => {
    performance.now = now;
  });
  performance.now = () => (clockMs += 1000);
  for (const isTTY of [false, true]) {
    const streams = textStreams(false, isTTY);
    t.equal(await runTool({ tool: 'verify', target: folder, json: false }, streams), 0);
    t.match(streams.out, /: no damage\n$/);
    if (!isTTY) t.equal(streams.err, '');
    else t.ok(streams.err.endsWith('; in datapartition_3_1, of 1\r\u001b[K'), JSON.stringify(streams.err));
  }
});

t.test('what is no regular file is not read', async (t) => {
  const folder = join(recordedDisk(t), EIGHT);
  mkdirSync(join(folder, '1500'));
  symlinkSync('1025', join(folder, '1501'));
  t.match(await verify(folder), { code: 0, totals: { extents: 3 } });
  t.match(await runTool({ tool: 'verify', target: join(folder, 'no'), json: true }, textStreams()), 2);
});
