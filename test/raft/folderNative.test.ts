/**
 * A group's folder on a real disk: modes, syncs by the I/O threads, large records, and logs that a v1.4.0 node has written.
 */
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { native } from '../../src/native/addon.js';
import type { RaftEntry } from '../../src/protocol/raftStructs.js';
import { createGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { NativeDisk } from '../../src/storage/nativeDisk.js';
import { readRaftLog } from '../../src/tools/raftLog.js';
import { recordedDisk, scratchFolder } from '../support/folderState.js';
import { allEntries, append, entry, hardState, mustOpen, plain, type RecordedFile } from './folderRig.js';
import { GoTwin } from './goTwin.js';

const OPTIONS = { fileBytesMax: 300_000 };

const doorbell = new Int32Array(new SharedArrayBuffer(8));
const region = new Uint8Array(new SharedArrayBuffer(4096));
const disk = new NativeDisk({ device: 4, regions: [region], doorbell, threads: 2, batchCapacity: 8 });
t.teardown(() => disk.stop(10_000));
const root = scratchFolder(t);

/** Syncs through the I/O threads; the result. */
function synced(folder: GroupFolder): number {
  let result = 1;
  folder.sync((errno) => {
    result = errno;
  });
  while (disk.pending() > 0) {
    const seen = Atomics.load(doorbell, 0);
    if (disk.drainCompletions() === 0) native.waitDoorbell(doorbell, seen, 0, 1000);
  }
  return result;
}

function files(path: string): RecordedFile[] {
  return readdirSync(path)
    .sort()
    .map((file) => {
      const bytes = readFileSync(join(path, file));
      return { file, hex: bytes.toString('hex'), size: bytes.byteLength };
    });
}

/** Entries of many sizes, from none to more than a file holds. */
function entries(first: number, term: number, count: number): RaftEntry[] {
  const sizes = [0, 10, 4096, 70_000, 131_105, 500_000];
  return Array.from({ length: count }, (_, at) => {
    const index = first + at;
    return entry(index, term, new Uint8Array(sizes[index % sizes.length]!).fill(index));
  });
}

t.test('real files hold what the twin has, and say so when they are opened again', async (t) => {
  const path = join(root, 'wal_9');
  const made = createGroupFolder(disk, path, OPTIONS);
  if (!made.ok) throw new Error(made.reason);
  const { folder } = made;
  const twin = new GoTwin(OPTIONS.fileBytesMax);
  t.equal(statSync(path).mode & 0o777, 0o755);
  for (const { file } of files(path)) t.equal(statSync(join(path, file)).mode & 0o777, 0o600, file);
  for (const batch of [entries(1, 1, 20), entries(21, 1, 7), entries(15, 3, 12)]) {
    t.equal(append(folder, batch), 0);
    twin.append(batch);
  }
  const told = hardState(3, 2, 14);
  t.equal(folder.setHardState(told), 0);
  twin.setHardState(told);
  t.equal(folder.cut(13, 1), 0);
  twin.cut(13, 1);
  t.strictSame(files(path), twin.written());
  t.equal(synced(folder), 0);
  t.notOk(folder.dirty);
  t.strictSame(allEntries(folder).map(plain), twin.all.map(plain));
  folder.close();
  const again = mustOpen(disk, OPTIONS, path);
  t.strictSame(again.state.notes, []);
  t.strictSame(allEntries(again.folder).map(plain), twin.all.map(plain));
  t.equal(again.folder.reset(500, 4, told), 0);
  twin.reset(500, 4, told);
  t.strictSame(files(path), twin.written());
  t.equal(synced(again.folder), 0);
  t.equal(again.folder.remove(), 0);
  t.notOk(readdirSync(root).includes('wal_9'));
});

t.test('what a real node has written opens as the tool reads it, and stays as it is', async (t) => {
  const partitions = recordedDisk(t);
  let opened = 0;
  for (const partition of readdirSync(partitions)) {
    const wal = readdirSync(join(partitions, partition)).find((name) => name.startsWith('wal_'));
    if (wal === undefined) continue;
    const path = join(partitions, partition, wal);
    const before = files(path);
    const report = readRaftLog(disk, path);
    if (typeof report === 'string') throw new Error(report);
    const { folder, state } = mustOpen(disk, {}, path);
    t.strictSame(state.notes, [], wal);
    t.strictSame(state.stored, { ...report.hardState });
    t.strictSame([state.cutIndex + 1, state.lastIndex], [report.firstIndex, report.lastIndex]);
    t.equal(allEntries(folder).length, state.lastIndex - state.cutIndex);
    folder.close();
    t.strictSame(files(path), before);
    opened += 1;
  }
  t.equal(opened, 2);
});

t.test('a place where no folder can be is refused with its errno', async (t) => {
  const made = createGroupFolder(disk, join(root, 'missing', 'wal_9'));
  t.match(made, { ok: false, errno: -2, reason: /^the folder cannot be made: no such file or directory$/ });
  mkdirSync(join(root, 'wal_10'));
  const folder = mustOpen(disk, {}, join(root, 'wal_10'));
  t.equal(folder.state.lastIndex, 0);
  folder.folder.close();
});
