/**
 * `extentd inspect`: recorded folders of the reference, damaged ones, and the promise that nothing changes.
 */
import { appendFileSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Segment } from '../../src/tools/partitionReport.js';
import { type PartitionReport, reportPartition } from '../../src/tools/partitionReport.js';
import { ReadOnlyDisk } from '../../src/tools/readOnlyDisk.js';
import { runTool } from '../../src/tools/runTool.js';
import { recordedDisk, scratchFolder, treeState } from '../support/folderState.js';
import { textStreams } from '../support/textStreams.js';

const FIVE = 'datapartition_5_10737418240';
const EIGHT = 'datapartition_8_10737418240';

function report(path: string): PartitionReport {
  const found = reportPartition(new ReadOnlyDisk(), path);
  if (typeof found === 'string') throw new Error(found);
  return found;
}

async function inspect(dir: string, json: boolean): Promise<{ code: number; out: string; err: string }> {
  const streams = textStreams();
  const code = await runTool({ tool: 'inspect', target: dir, json }, streams);
  return { code, out: streams.out, err: streams.err };
}

t.test('a recorded partition: META, APPLY, bases, extents, slots, deletes, log', async (t) => {
  const root = recordedDisk(t);
  const five = report(join(root, FIVE));
  t.match(five.meta, { partitionId: 5, volume: 'vol1', sizeBytes: 10737418240, createType: 0 });
  t.equal(five.meta?.hosts.length, 3);
  t.strictSame(five.apply, { index: 7, problem: null });
  t.match(five.extentClean, { state: 'none', ownFrom: null, clean: 0 });
  t.match(five.extentMeta, { bytes: 16, base: 1031, mark: 0, problem: null });
  t.equal(five.extents.length, 67);
  const normal = five.extents.filter(({ kind }) => kind === 'normal');
  t.strictSame(
    normal.map(({ id, sizeBytes, slots }) => [id, sizeBytes, slots?.blocks, slots?.known]),
    [
      [1026, 400010, 4, 0],
      [1027, 0, 0, 0],
      [1029, 0, 0, 0],
    ],
  );
  t.match(five.tinyDeletes, { bytes: 72, slots: 3, zeroSlots: 1, foreignSlots: 0, tailBytes: 0 });
  t.strictSame(five.tinyDeletes.records, [
    { at: 24, extentId: 42, offset: 0, sizeBytes: 13500 },
    { at: 48, extentId: 4, offset: 0, sizeBytes: 9000 },
  ]);
  t.strictSame(five.normalDeletes.ids, [1025, 0, 1031]);
  t.match(five.raft, { hardState: { term: 3, commit: 9, vote: 5 }, firstIndex: 1, lastIndex: 9 });
  t.strictSame(five.problems, []);
  const eight = report(join(root, EIGHT));
  const known = eight.extents.flatMap(({ id, slots }) => (slots === undefined ? [] : [[id, slots.known]]));
  t.strictSame(known, [
    [1025, 2],
    [1026, 1],
    [1027, 0],
  ]);
});

t.test('holes of a tiny extent are told', async (t) => {
  const folder = join(scratchFolder(t), 'backup');
  mkdirSync(folder);
  writeFileSync(join(folder, '7'), Buffer.alloc(4096, 1));
  truncateSync(join(folder, '7'), 1 << 20);
  const seven = report(folder).extents[0];
  const total = (kind: Segment['kind']): number =>
    (seven?.segments ?? []).reduce((sum, one) => sum + (one.kind === kind ? one.bytes : 0), 0);
  t.equal(total('data') + total('hole'), 1 << 20, 'the ranges cover the file');
  t.ok(total('data') >= 4096);
  t.equal(seven?.segments?.[0]?.kind, 'data');
});

t.test('damage is named and the rest is told', async (t) => {
  const folder = join(recordedDisk(t), FIVE);
  writeFileSync(join(folder, 'META'), '{"VolumeID":"vo');
  appendFileSync(
    join(folder, 'TINYEXTENT_DELETE'),
    Buffer.concat([Buffer.alloc(7), Buffer.from('foreign'.repeat(3))]),
  );
  appendFileSync(join(folder, 'NORMALEXTENT_DELETE'), Buffer.from([0, 0, 0, 0, 0, 0, 4, 2, 9]));
  truncateSync(join(folder, 'EXTENT_META'), 5);
  writeFileSync(join(folder, 'APPLY'), '');
  mkdirSync(join(folder, '1500'));
  writeFileSync(join(folder, '0099'), '');
  rmSync(join(folder, 'EXTENT_CRC'));
  const found = report(folder);
  t.equal(found.meta, null);
  t.match(found.problems.join('\n'), /^META: /);
  t.match(found.problems.join('\n'), /1500 is named like an extent but is none/);
  t.match(found.problems.join('\n'), /0099 is named like an extent but is none/);
  t.match(found.tinyDeletes, { slots: 4, tailBytes: 4, foreignSlots: 1 });
  t.match(found.normalDeletes, { records: 4, tailBytes: 1, present: [1026] });
  t.match(found.extentMeta, { bytes: 5, problem: 'shorter than 16 bytes' });
  t.match(found.apply.problem, /ApplyIndex is empty/);
  t.match(found.extents.find(({ id }) => id === 1026)?.problem, /^EXTENT_CRC: no such file/);
  t.equal(found.raft?.lastIndex, 9, 'the log is still read');
  const { code, out } = await inspect(folder, false);
  t.equal(code, 0);
  t.match(out, /MISALIGNED: 4 bytes behind the last slot/);
  t.match(out, /PROBLEM: META: /);
});

t.test('a disk as text and as JSON: the same partitions, and nothing changes', async (t) => {
  const root = recordedDisk(t);
  mkdirSync(join(root, 'deleted_datapartition_9_1_1'));
  mkdirSync(join(root, 'lost+found'));
  writeFileSync(join(root, EIGHT, 'note\u001b[31m'), '');
  const before = treeState(root);
  const text = await inspect(root, false);
  const json = await inspect(root, true);
  t.strictSame(treeState(root), before);
  t.strictSame([text.code, text.err, json.code, json.err], [0, '', 0, '']);
  t.match(text.out, /2 partition folders\n {2}waits for removal: deleted_datapartition_9_1_1\n/);
  t.match(text.out, /not looked at by a node: lost\+found\n/);
  t.match(text.out, /partition 5 of volume vol1/);
  t.notMatch(text.out, '\u001b', 'names from the disk cannot steer the terminal');
  const parsed = JSON.parse(json.out) as { kind: string; complete: boolean; partitions: PartitionReport[] };
  t.match(parsed, { kind: 'disk', complete: true });
  t.strictSame(parsed.partitions, [report(join(root, FIVE)), report(join(root, EIGHT))]);
});

t.test('a partition under another name, a disk without partitions, a folder that is not there', async (t) => {
  const root = recordedDisk(t);
  renameSync(join(root, FIVE), join(root, 'copy'));
  t.match((await inspect(join(root, 'copy'), false)).out, /^partition folder .*copy\n/);
  renameSync(join(root, 'copy'), join(root, 'datapartition_6_10737418240'));
  t.match((await inspect(root, false)).out, /PROBLEM: META names partition 5 of 10737418240 bytes/);
  const empty = scratchFolder(t);
  t.match(await inspect(empty, true), { code: 0, out: /"partitions":\[\n\]/ });
  t.match(await inspect(join(empty, 'no'), false), { code: 2, out: '', err: /^readdir .*: no such file/ });
});

t.test('a stop signal ends the work with 2', async (t) => {
  const streams = textStreams(true);
  t.equal(await runTool({ tool: 'inspect', target: recordedDisk(t), json: true }, streams), 2);
  t.match(JSON.parse(streams.out), { complete: false, partitions: [] });
  t.equal(streams.err, 'interrupted\n');
});

t.test('a read-only disk refuses whatever would change something', async (t) => {
  const disk = new ReadOnlyDisk();
  const folder = scratchFolder(t);
  const before = treeState(folder);
  t.throws(() => disk.open(join(folder, 'x'), 0o102, 0o666), /open for writing/);
  t.throws(() => disk.open(join(folder, 'x'), 2, 0), /open for writing/);
  t.throws(() => disk.write(0, new Uint8Array(1), 0), /asked for write/);
  const bare = [
    ...['fdatasync', 'fsyncFolder', 'truncate', 'fallocate', 'rename', 'unlink', 'mkdir', 'removeTree'],
    ...[
      'lock',
      'runBatch',
      'submitBatch',
      'submitPwrite',
      'submitPread',
      'submitOpen',
      'submitClose',
      'submitFdatasync',
    ],
    ...[
      'submitFsyncFolder',
      'submitUnlink',
      'submitRename',
      'submitRemoveTree',
      'submitStatfs',
      'submitTruncate',
      'submitFallocate',
    ],
  ] as (keyof ReadOnlyDisk)[];
  for (const name of bare) t.throws(() => (disk[name] as () => void)(), { code: 'ERR_ASSERTION' }, name);
  t.throws(() => disk.batch, { code: 'ERR_ASSERTION' });
  t.strictSame(treeState(folder), before);
});
