/**
 * `extentd recover` and what `inspect` tells of journals, on a real disk with journals that a process has left.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { native } from '../../src/native/addon.js';
import { createGroupFolder, openGroupFolder } from '../../src/raft/folderOpen.js';
import { Journal } from '../../src/raft/journal.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';
import { readRaftLog } from '../../src/tools/raftLog.js';
import { ReadOnlyDisk } from '../../src/tools/readOnlyDisk.js';
import { runTool, type ToolRun } from '../../src/tools/runTool.js';
import { logEntries } from '../raft/journalRig.js';
import { scratchFolder, treeState } from '../support/folderState.js';
import { textStreams } from '../support/textStreams.js';

const MiB = 1024 * 1024;
const GROUPS = [5, 8];

async function run(
  tool: ToolRun['tool'],
  target: string,
  json = false,
): Promise<{ code: number; out: string; err: string }> {
  const streams = textStreams();
  const code = await runTool({ tool, target, json }, streams);
  return { code, out: streams.out, err: streams.err };
}

function walOf(root: string, group: number): string {
  return join(root, `datapartition_${group}_1024`, `wal_${group}`);
}

/** A disk whose process was killed: entries 1 to 6 of two groups are in its journal, and nothing in their folders. */
function killedDisk(t: Test): string {
  const root = scratchFolder(t);
  const region = new Uint8Array(new SharedArrayBuffer(MiB));
  const doorbell = new Int32Array(new SharedArrayBuffer(8));
  const disk = new NativeDisk({ device: 9, regions: [region], doorbell, threads: 1, batchCapacity: 1 });
  const journal = Journal.open({
    ...{ disk, folder: join(root, '.extentd.raft', '0'), regions: [region], region: 0, bufferOffset: 0 },
    ...{ bufferBytes: MiB, segmentBytes: MiB, segmentsMax: 4, crc32c: native.crc32c, log: () => undefined },
  });
  if (typeof journal === 'string') throw new Error(journal);
  for (const group of GROUPS) {
    mkdirSync(join(root, `datapartition_${group}_1024`));
    const made = createGroupFolder(disk, walOf(root, group));
    if (!made.ok) throw new Error(made.reason);
    made.folder.close();
    journal.join(group, { term: 0, vote: 0, commit: 0 }, 0, 0);
    journal.entries(group, logEntries(1, 6, 3, 5000));
    journal.hardState(group, { term: 3, vote: group, commit: 4 });
  }
  journal.flush();
  while (journal.queuedBytes > 0) {
    const seen = Atomics.load(doorbell, 0);
    if (disk.drainCompletions() === 0) native.waitDoorbell(doorbell, seen, 0, 1000);
  }
  journal.close();
  disk.stop(10_000);
  return root;
}

t.test(
  'what a crash has left is told by inspect, completed by recover, and then there is nothing left',
  async (t) => {
    const root = killedDisk(t);
    t.match((await run('inspect', root)).out, /raft journal .*\/0: NOT EMPTY: 1 frame, 2 groups to recover/);
    const { raft, others } = JSON.parse((await run('inspect', root, true)).out);
    t.match(raft, { journals: [{ empty: false, frames: 1, groups: GROUPS }], noVote: [], problems: [] });
    t.same(others, []);
    const first = await run('recover', root);
    t.match(first, { code: 0, err: '' });
    for (const group of GROUPS) {
      t.match(
        first.out,
        new RegExp(
          `^raft log of partition ${group}: entries 1 to 6 from the journal, the log ends at 6$`,
          'm',
        ),
      );
      const log = readRaftLog(new ReadOnlyDisk(), walOf(root, group));
      t.match(log, { lastIndex: 6, hardState: { term: 3, vote: group, commit: 4 }, problems: [] });
    }
    t.match(first.out, /^complete$/m);
    t.match((await run('inspect', root)).out, /raft journal .*\/0: empty/);
    const before = treeState(root);
    t.match(await run('recover', root), { code: 0, out: /no journal has anything to recover/ });
    t.strictSame(treeState(root), before);
  },
);

t.test('as JSON', async (t) => {
  const root = killedDisk(t);
  const { code, out } = await run('recover', root, true);
  t.equal(code, 0);
  const report = JSON.parse(out);
  t.match(report, {
    path: root,
    complete: true,
    failures: [],
    noVote: [],
    journals: [{ frames: 1, problems: [] }],
  });
  t.match(report.groups, [
    {
      group: 5,
      outcome: 'recovered',
      folder: walOf(root, 5),
      firstIndex: 1,
      entries: 6,
      lastIndex: 6,
      lost: null,
    },
    { group: 8, hardState: { term: 3, vote: 8, commit: 4 }, cut: null, notes: [] },
  ]);
});

t.test('a disk that a node serves is refused', async (t) => {
  const root = killedDisk(t);
  const fd = native.openSync(join(root, '.extentd.lock'), 0o102, 0o600);
  t.equal(native.flockSync(fd), 0);
  const before = treeState(root);
  t.match(await run('recover', root), { code: 2, out: '', err: /is in use by another process/ });
  t.strictSame(treeState(root), before);
  native.closeSync(fd);
  t.equal((await run('recover', root)).code, 0);
});

t.test('a log that another node has written to, and one that is gone', async (t) => {
  const root = killedDisk(t);
  const disk = new NativeDisk({
    ...{
      device: 9,
      regions: [],
      doorbell: new Int32Array(new SharedArrayBuffer(8)),
      threads: 1,
      batchCapacity: 1,
    },
  });
  const opened = openGroupFolder(disk, walOf(root, 5));
  if (!opened.ok) throw new Error(opened.reason);
  opened.folder.setHardState({ term: 9, vote: 2, commit: 0 });
  opened.folder.close();
  disk.stop(10_000);
  rmSync(join(root, 'datapartition_8_1024'), { recursive: true });
  const { code, out } = await run('recover', root);
  t.equal(code, 1);
  t.match(
    out,
    /^raft log of partition 5: foreign; another node has written to the log folder: its term is 9/m,
  );
  t.match(out, /^raft log of partition 8: gone; the partition is gone/m);
});

t.test('frames that are lost: no vote, told again by inspect and by the next recover', async (t) => {
  const root = killedDisk(t);
  const segment = native.openSync(join(root, '.extentd.raft', '0', 'segment.0'), 2, 0);
  const frame = new Uint8Array(128 * 1024);
  native.preadSync(segment, frame, 0);
  // A later frame that tells that frame 1 is needed: it is the same one with another number.
  const later = frame.slice(0, 40);
  const view = new DataView(later.buffer);
  view.setBigUint64(8, 2n);
  view.setUint32(32, 0);
  view.setUint32(36, 0);
  view.setUint32(4, native.crc32c(later.subarray(8), 0));
  native.pwriteSync(segment, later, 256 * 1024);
  native.pwriteSync(segment, new Uint8Array(4096), 4096);
  native.closeSync(segment);
  const { code, out } = await run('recover', root);
  t.equal(code, 1);
  t.match(out, /PROBLEM: frames 1 to 1 are damaged or missing/);
  for (const group of GROUPS)
    t.match(out, new RegExp(`^NO VOTE until caught up: partition ${group}: frames of`, 'm'));
  t.match((await run('inspect', root)).out, /^no vote until caught up: partition 5: frames of the journal/m);
  t.match(await run('recover', root), { code: 1, out: /NO VOTE until caught up: partition 8/ });
});

t.test('what is no disk, or refuses, is not done', async (t) => {
  const root = scratchFolder(t);
  mkdirSync(join(root, 'datapartition_5_1024'));
  t.match(await run('recover', root), { code: 0, out: /no journal/ });
  t.equal(existsSync(join(root, '.extentd.lock')), false, 'a disk without journals gets no lock file');
  t.match(await run('recover', join(root, 'datapartition_5_1024')), {
    code: 2,
    err: /is a partition folder/,
  });
  t.match(await run('recover', join(root, 'missing')), { code: 2, err: /no such file/ });
  const killed = killedDisk(t);
  rmSync(walOf(killed, 5), { recursive: true });
  writeFileSync(walOf(killed, 5), 'no folder');
  const { code, out, err } = await run('recover', killed);
  t.equal(code, 2);
  t.match(out, /^NOT COMPLETE: nothing was emptied; run it again$/m);
  t.match(err, /wal_5: not a directory/);
  rmSync(walOf(killed, 5));
  t.equal((await run('recover', killed)).code, 0, 'nothing was lost');
});
