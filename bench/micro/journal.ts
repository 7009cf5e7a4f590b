/**
 * Entries of 4 KiB that the raft journal makes durable a second, with 1, 16 and 300 groups that each have one outstanding, beside the ceiling of the same moment: durable writes of one
 * frame with one entry, one after the other. The journal alone: no core, no folders. `node dist/bench/micro/journal.js FOLDER [seconds a row]`.
 */
import assert from 'node:assert';
import { constants, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../src/native/addon.js';
import { Journal } from '../../src/raft/journal.js';
import { frameBytes } from '../../src/raft/journalFrame.js';
import { MiB } from '../../src/storage/layout.js';
import { BenchDisk } from './benchDisk.js';

const GROUPS = [1, 16, 300];
const ENTRY_BYTES = 4096;
const SEGMENT_BYTES = 32 * MiB;
const SEGMENTS_MAX = 8;
const BUFFER_BYTES = 8 * MiB;

interface Rates {
  entries: number;
  frames: number;
}

/** Runs `groups` groups on a journal of their own. */
function measure(bench: BenchDisk, folder: string, groups: number, seconds: number): Rates {
  const { disk, region } = bench;
  const journal = Journal.open({
    ...{ disk, folder, regions: [region], region: 0, bufferOffset: 0, bufferBytes: BUFFER_BYTES },
    ...{ segmentBytes: SEGMENT_BYTES, segmentsMax: SEGMENTS_MAX, crc32c: native.crc32c },
    log: (level, message) => console.log(level, message),
  });
  assert(typeof journal !== 'string', String(journal));
  const next = new Array<number>(groups).fill(1);
  const waitsFor = new Array<number>(groups).fill(0);
  const data = new Uint8Array(ENTRY_BYTES);
  for (let group = 0; group < groups; group += 1) journal.join(group, { term: 1, vote: 1, commit: 0 }, 0, 0);
  let [entries, frames] = [0, 0];
  journal.onDurable = () => {
    frames += 1;
  };
  const propose = (group: number): void => {
    const index = next[group]!;
    next[group] = index + 1;
    waitsFor[group] = journal.entries(group, [{ type: 0, term: 1, index, data }]);
  };
  const startedMs = performance.now();
  for (let group = 0; group < groups; group += 1) propose(group);
  while (performance.now() < startedMs + seconds * 1000) {
    journal.flush();
    bench.wait();
    for (let group = 0; group < groups; group += 1) {
      if (waitsFor[group]! > journal.durableFrame || !journal.hasRoom) continue;
      entries += 1;
      propose(group);
    }
    const due = journal.dueForCheckpoint();
    if (due !== null)
      for (let group = 0; group < groups; group += 1) journal.checkpoint(group, journal.durableFrame);
  }
  const elapsed = (performance.now() - startedMs) / 1000;
  assert.equal(journal.failed, 0);
  while (journal.queuedBytes > 0) {
    journal.flush();
    bench.wait();
  }
  journal.close();
  return { entries: entries / elapsed, frames: frames / elapsed };
}

/** Durable writes a second of a frame with one entry, into a file that is full of zeros. */
function ceiling(bench: BenchDisk, path: string, seconds: number): number {
  const { disk } = bench;
  const fd = disk.open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
  const zeros = new Uint8Array(MiB);
  for (let at = 0; at < SEGMENT_BYTES; at += MiB) assert.equal(disk.write(fd, zeros, at), MiB);
  assert.equal(disk.fdatasync(fd), 0);
  const bytes = frameBytes(ENTRY_BYTES + 100);
  let [count, at, ended] = [0, 0, true];
  const startedMs = performance.now();
  while (performance.now() < startedMs + seconds * 1000 || !ended) {
    if (ended) {
      ended = false;
      disk.submitPwrite(
        fd,
        at,
        0,
        0,
        bytes,
        ({ result }) => {
          assert.equal(result, bytes);
          [count, ended] = [count + 1, true];
        },
        true,
      );
      at = (at + bytes) % SEGMENT_BYTES;
    }
    bench.wait();
  }
  disk.close(fd);
  return count / ((performance.now() - startedMs) / 1000);
}

function main(): void {
  const [root, secondsText = '2'] = process.argv.slice(2);
  const seconds = Number(secondsText);
  assert(root !== undefined && seconds > 0 && seconds <= 60, 'FOLDER [seconds a row, 0..60]');
  const folder = mkdtempSync(join(root, 'journal-'));
  const bench = new BenchDisk(BUFFER_BYTES);
  try {
    const limit = ceiling(bench, join(folder, 'ceiling'), seconds);
    console.log(`    ceiling ${limit.toFixed(0).padStart(8)} durable writes/s`);
    for (const groups of GROUPS) {
      const { entries, frames } = measure(bench, join(folder, 'raft', String(groups)), groups, seconds);
      const share = (entries / limit).toFixed(2);
      console.log(
        `${String(groups).padStart(4)} groups ${entries.toFixed(0).padStart(8)} entries/s in ${frames.toFixed(0)} frames/s, ${share} of the ceiling`,
      );
    }
  } finally {
    bench.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
