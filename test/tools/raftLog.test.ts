/**
 * Raft logs on disk: recorded folders, whole and damaged, told as the reference opened them.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type RaftLogReport, readRaftLog } from '../../src/tools/raftLog.js';
import { ReadOnlyDisk } from '../../src/tools/readOnlyDisk.js';
import { packageRoot } from '../packageRoot.js';
import { scratchFolder, treeState } from '../support/folderState.js';

interface LogState {
  firstIndex: string;
  lastIndex: string;
  term: string;
  vote: string;
  commit: string;
}

interface Recorded {
  name: string;
  files: { file: string; hex: string; size: number }[];
  stateAfterOpen?: LogState;
  referenceOpenError?: string;
  referenceStateAfterOpen?: LogState;
  referenceFilesAfterOpen?: { file: string; size: number }[];
}

const root = scratchFolder(t);

function recorded(file: string): Recorded[] {
  return JSON.parse(readFileSync(join(packageRoot, 'test/vectors/raft', file), 'utf8')) as Recorded[];
}

function read({ name, files }: Recorded): RaftLogReport {
  const folder = join(root, name);
  mkdirSync(folder);
  for (const { file, hex } of files) writeFileSync(join(folder, file), Buffer.from(hex, 'hex'));
  const before = treeState(folder);
  const report = readRaftLog(new ReadOnlyDisk(), folder);
  if (typeof report === 'string') throw new Error(report);
  t.strictSame(treeState(folder), before, `${name} is as it was`);
  return report;
}

function stateOf({ hardState, firstIndex, lastIndex }: RaftLogReport): LogState {
  const { term, vote, commit } = hardState;
  const [first, last] = [String(firstIndex), String(lastIndex)];
  return {
    firstIndex: first,
    lastIndex: last,
    term: String(term),
    vote: String(vote),
    commit: String(commit),
  };
}

/** What is wrong with the bytes. A log that ends before its commit may also have lost its end to a conflict, as two recorded ones have. */
function damage({ problems, files }: RaftLogReport): string[] {
  const all = [...problems, ...files.map(({ problem }) => problem)];
  return all.filter((problem) => problem !== null && !problem.includes('before the commit')) as string[];
}

t.test('whole logs: indexes and hard state are those that the reference reports', async (t) => {
  const logs = recorded('wal.json');
  t.equal(logs.length, 9);
  for (const log of logs) {
    const report = read(log);
    t.match(log.stateAfterOpen, stateOf(report), log.name);
    t.strictSame(damage(report), [], `${log.name}: nothing is damaged`);
    for (const [index, file] of report.files.entries())
      t.equal(file.sealed, index < report.files.length - 1, `${log.name} ${file.name}`);
  }
});

t.test('damaged logs: the damage is named, and what stands before it is told', async (t) => {
  const logs = recorded('wal_recovery.json');
  t.equal(logs.length, 11);
  for (const log of logs) {
    const report = read(log);
    const told = damage(report);
    const cut = log.referenceFilesAfterOpen?.some(({ file, size }) => {
      return log.files.find((other) => other.file === file)?.size !== size;
    });
    const sealedLast = log.name.startsWith('sealed_last_file');
    const damaged = log.referenceOpenError !== '' || (cut === true && !sealedLast);
    t.equal(told.length > 0, damaged, `${log.name}: ${told.join('; ')}`);
    if (log.referenceStateAfterOpen !== undefined && log.referenceOpenError === '')
      t.match(log.referenceStateAfterOpen, stateOf(report), log.name);
  }
});

t.test(
  'lengths that a damaged file claims cost nothing; a log shorter than its commit is named',
  async (t) => {
    const head = Buffer.from('01ffffffffffffffff', 'hex');
    const file = '0000000000000001-0000000000000001.log';
    const meta = Buffer.alloc(24);
    meta.writeBigUInt64BE(2n ** 60n, 0);
    meta.writeBigUInt64BE(9n, 8);
    const report = read({
      name: 'claims',
      files: [
        { file, hex: head.toString('hex').padEnd(80, '0'), size: 40 },
        { file: 'META', hex: meta.toString('hex'), size: 24 },
        { file: 'notes.txt', hex: '', size: 0 },
      ],
    });
    t.match(report.files[0]?.problem, /^a record is cut off by the end of the file, at 0$/);
    t.equal(report.hardState.term, (2n ** 60n).toString(), 'a number past 2^53 keeps its digits');
    t.strictSame(report.problems, ['the log ends at 0, before the commit 9']);
    t.strictSame(report.others, ['notes.txt']);
  },
);
