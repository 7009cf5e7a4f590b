/**
 * How long a start takes to carry a full journal into the folders of its groups. `node dist/bench/micro/raftRecovery.js FOLDER [MiB] [groups] [warm|cold]`: a journal of so much is
 * written, entries of 4 KiB of all groups in turn, 16 a frame; then the disk is recovered. `cold`: the journal is not in the page cache.
 */
import assert from 'node:assert';
import { constants, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../src/native/addon.js';
import { createGroupFolder } from '../../src/raft/folderOpen.js';
import { Journal } from '../../src/raft/journal.js';
import { recoverDisk } from '../../src/raft/recovery.js';
import { MiB } from '../../src/storage/layout.js';
import { BenchDisk } from './benchDisk.js';

const ENTRY_BYTES = 4096;
const ENTRIES_A_FRAME = 16;
const SEGMENT_BYTES = 32 * MiB;
const BUFFER_BYTES = 8 * MiB;
/** posix_fadvise: forget clean pages. */
const ADVISE_FORGET = 4;

/** Writes a journal of `bytes`; how many entries are in it. */
function fill(bench: BenchDisk, root: string, bytes: number, groups: number): number {
  const { disk, region } = bench;
  const journal = Journal.open({
    ...{ disk, folder: journalFolder(root), regions: [region], region: 0, bufferOffset: 0 },
    ...{
      bufferBytes: BUFFER_BYTES,
      segmentBytes: SEGMENT_BYTES,
      segmentsMax: Math.ceil((1.1 * bytes) / SEGMENT_BYTES) + 2,
    },
    ...{ crc32c: native.crc32c, log: (level, message) => console.log(level, message) },
  });
  assert(typeof journal !== 'string', String(journal));
  for (let group = 1; group <= groups; group += 1) {
    mkdirSync(join(root, `datapartition_${group}_1024`));
    const made = createGroupFolder(disk, join(root, `datapartition_${group}_1024`, `wal_${group}`));
    assert(made.ok);
    made.folder.close();
    journal.join(group, { term: 1, vote: 1, commit: 0 }, 0, 0);
  }
  const data = new Uint8Array(ENTRY_BYTES).fill(0x5a);
  let count = 0;
  while (count * ENTRY_BYTES < bytes) {
    for (let entry = 0; entry < ENTRIES_A_FRAME; entry += 1, count += 1) {
      const [group, index] = [1 + (count % groups), 1 + Math.floor(count / groups)];
      journal.entries(group, [{ type: 0, term: 1, index, data }]);
    }
    while (journal.queuedBytes > 0) {
      journal.flush();
      bench.wait();
    }
  }
  journal.close();
  return count;
}

function journalFolder(root: string): string {
  return join(root, '.extentd.raft', '0');
}

function forget(folder: string): void {
  for (const name of readdirSync(folder)) {
    const fd = native.openSync(join(folder, name), constants.O_RDONLY, 0);
    native.adviseSync(fd, ADVISE_FORGET);
    native.closeSync(fd);
  }
}

function main(): void {
  const [root, sizeText = '1024', groupsText = '300', cache = 'warm'] = process.argv.slice(2);
  const [bytes, groups] = [Number(sizeText) * MiB, Number(groupsText)];
  const usage = 'FOLDER [MiB, a multiple of 32] [groups] [warm|cold]';
  assert(root !== undefined && bytes > 0 && bytes % SEGMENT_BYTES === 0 && groups > 0, usage);
  const folder = mkdtempSync(join(root, 'recovery-'));
  const bench = new BenchDisk(BUFFER_BYTES);
  try {
    const entries = fill(bench, folder, bytes, groups);
    if (cache === 'cold') forget(journalFolder(folder));
    const startedMs = performance.now();
    const report = recoverDisk(bench.disk, folder, { log: () => undefined });
    const seconds = (performance.now() - startedMs) / 1000;
    const recovered = report.groups.reduce((sum, group) => sum + group.entries, 0);
    assert.equal(recovered, entries);
    assert.equal(report.failures.length + report.noVote.length, 0);
    const rate = (entries * ENTRY_BYTES) / 2 ** 30 / seconds;
    const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
    console.log(
      `${sizeText} MiB, ${groups} groups, ${cache}: ${entries} entries in ${seconds.toFixed(2)} s, ${rate.toFixed(2)} GiB/s, ${peakMiB} MiB of memory at most`,
    );
  } finally {
    bench.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
