/**
 * Random operations on a group's folder, beside a twin of plain arrays: the same content after each, and the same names and bytes; whatever fails on the way, and wherever the process is killed.
 */
import t, { type Test } from 'tap';
import type { HardState, RaftEntry } from '../../src/protocol/raftStructs.js';
import { createGroupFolder, type FolderState } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { Random } from '../sim/random.js';
import { CallDisk, Killed } from './callDisk.js';
import { mirror, type Operation, perform, randomOperation } from './folderOperations.js';
import { allEntries, FOLDER, filesOf, mustOpen, plain } from './folderRig.js';
import { GoTwin } from './goTwin.js';

const SEEDS = 25;
const STEPS = 120;
const EIO = 5;
const ENOSPC = 28;

function fileBytesMax(random: Random): number {
  return 128 + random.below(400);
}

function created(disk: CallDisk, options: { fileBytesMax: number }): GroupFolder {
  const made = createGroupFolder(disk, FOLDER, options);
  if (!made.ok) throw new Error(made.reason);
  return made.folder;
}

/** The folder tells what the twin knows. */
function sameContent(t: Test, folder: GroupFolder, twin: GoTwin, what: string): void {
  const { cutIndex, cutTerm, lastIndex } = folder;
  t.strictSame([cutIndex, cutTerm, lastIndex], [twin.cutIndex, twin.cutTerm, twin.lastIndex], what);
  t.strictSame(allEntries(folder).map(plain), twin.all.map(plain), `${what}: entries`);
  const terms = twin.all.map(({ index }) => folder.term(index));
  t.strictSame([...terms, folder.term(lastIndex + 1)], [...twin.all.map(({ term }) => term), null], what);
}

function sameState(t: Test, state: FolderState, twin: GoTwin): void {
  const { term, vote, commit } = twin.hardState;
  t.strictSame(state.stored, { term, commit, vote });
  t.strictSame(
    [state.cutIndex, state.cutTerm, state.lastIndex],
    [twin.cutIndex, twin.cutTerm, twin.lastIndex],
  );
  const terms = twin.all.map((entry) => entry.term);
  const told = twin.all.map(({ index }) => state.runs.findLast(({ from }) => from <= index)?.term);
  t.strictSame(told, terms, 'runs');
  t.equal(state.metaBytes, twin.metaBytes);
}

/** A part of the log, read with a bound. */
function readSome(t: Test, folder: GroupFolder, twin: GoTwin, random: Random): void {
  const count = twin.lastIndex - twin.cutIndex;
  if (count === 0) return;
  const from = twin.cutIndex + 1 + random.below(count);
  const to = from + 1 + random.below(twin.lastIndex + 1 - from);
  const bytesMax = random.below(400);
  const read = folder.read(from, to, bytesMax);
  if (typeof read === 'number') return void t.fail(`read: ${read}`);
  const wanted = twin.all.slice(from - twin.cutIndex - 1, to - twin.cutIndex - 1);
  let bytes = 0;
  const fitting = wanted.filter(({ data }, at) => {
    bytes += 17 + data.byteLength;
    return bytes <= bytesMax || at === 0;
  });
  t.strictSame(read.map(plain), fitting.map(plain), `${from} to ${to} in ${bytesMax} bytes`);
}

t.test('names, bytes and content are those of the twin, across restarts', async (t) => {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = new Random(seed);
    const disk = new CallDisk({ regions: [], seed });
    const options = { fileBytesMax: fileBytesMax(random) };
    const twin = new GoTwin(options.fileBytesMax);
    let folder = created(disk, options);
    for (let step = 0; step < STEPS; step += 1) {
      const operation = randomOperation(random, twin);
      t.equal(perform(folder, operation), 0);
      mirror(twin, operation);
      t.strictSame(filesOf(disk), twin.written(), `seed ${seed}, step ${step}: ${operation.kind}`);
      readSome(t, folder, twin, random);
      if (!random.chance(0.1)) continue;
      if (random.chance(0.5)) {
        t.equal(folder.syncNow(), 0);
        t.ok(disk.openFds() <= 4, 'META, the active file and two sealed ones are open at most');
      }
      folder.close();
      t.equal(disk.openFds(), 0, 'nothing stays open');
      const opened = mustOpen(disk, options);
      folder = opened.folder;
      sameState(t, opened.state, twin);
      sameContent(t, folder, twin, `seed ${seed}, step ${step}`);
    }
  }
});

t.test(
  'an operation that failed succeeds when it is repeated, and leaves what it would have left',
  async (t) => {
    let failures = 0;
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const random = new Random(seed);
      const disk = new CallDisk({ regions: [], seed });
      const options = { fileBytesMax: fileBytesMax(random) };
      const twin = new GoTwin(options.fileBytesMax);
      const folder = created(disk, options);
      for (let step = 0; step < STEPS; step += 1) {
        const operation = randomOperation(random, twin);
        const errno = random.chance(0.5) ? EIO : ENOSPC;
        disk.arm({ at: 1 + random.below(6), errno: -errno, random });
        for (let result = perform(folder, operation); result !== 0; result = perform(folder, operation)) {
          failures += 1;
          t.equal(result, -errno);
          if (random.chance(0.3)) disk.arm({ at: 1 + random.below(4), errno: -errno, random });
        }
        disk.arm(null);
        mirror(twin, operation);
        t.strictSame(filesOf(disk), twin.written(), `seed ${seed}, step ${step}: ${operation.kind}`);
        sameContent(t, folder, twin, `seed ${seed}, step ${step}`);
      }
      folder.close();
      t.equal(disk.openFds(), 0, 'nothing stays open');
    }
    t.ok(failures > SEEDS * 10, `${failures} failures`);
  },
);

/** What a kill inside an operation may leave: the state before it, the one behind it, or an append cut short. The twin takes it over. */
function adopt(
  t: Test,
  folder: GroupFolder,
  state: FolderState,
  twin: GoTwin,
  operation: Operation,
  what: string,
): void {
  const sideOf = (cut: number, { term, vote, commit }: HardState, entries: RaftEntry[]) => ({
    ...{ cut, hardState: [term, vote, commit], entries: entries.map(plain) },
  });
  const before = sideOf(twin.cutIndex, twin.hardState, twin.all);
  const old = { ...twin };
  mirror(twin, operation);
  const after = sideOf(twin.cutIndex, twin.hardState, twin.all);
  const found = sideOf(state.cutIndex, state.stored, allEntries(folder));
  const matches = (side: typeof before): boolean => JSON.stringify(found) === JSON.stringify(side);
  if (operation.kind !== 'append') {
    t.ok(matches(before) || matches(after), `${what}: the state before ${operation.kind}, or behind it`);
  } else {
    t.strictSame(found.hardState, before.hardState, `${what}: the hard state is untouched`);
    t.equal(found.cut, before.cut, `${what}: the cut is untouched`);
    const count = found.entries.length;
    t.ok(count >= operation.entries[0]!.index - 1 - before.cut, `${what}: nothing before the append is lost`);
    const isPart = (entries: unknown[]): boolean =>
      JSON.stringify(found.entries) === JSON.stringify(entries.slice(0, count));
    t.ok(isPart(before.entries) || isPart(after.entries), `${what}: a part of the log before, or behind`);
  }
  if (operation.kind === 'append' || matches(before)) Object.assign(twin, old);
  const entries = operation.kind === 'append' ? allEntries(folder) : twin.all;
  twin.files = [{ seq: 1, index: 1, entries, sealed: false }];
}

t.test('a process that is killed anywhere leaves a folder that opens, and has lost nothing', async (t) => {
  const kills = { append: 0, cut: 0, reset: 0, hardState: 0 };
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = new Random(seed);
    let disk = new CallDisk({ regions: [], seed });
    const options = { fileBytesMax: fileBytesMax(random) };
    const twin = new GoTwin(Number.POSITIVE_INFINITY);
    let folder = created(disk, options);
    for (let step = 0; step < STEPS; step += 1) {
      const operation = randomOperation(random, twin);
      const what = `seed ${seed}, step ${step}`;
      disk.arm({ at: 1 + random.below(6), errno: 0, random });
      if (!isKilled(() => t.equal(perform(folder, operation), 0))) {
        disk.arm(null);
        mirror(twin, operation);
        continue;
      }
      kills[operation.kind] += 1;
      disk = disk.processEnd(seed * 1000 + step) as CallDisk;
      // The start that follows may be killed as well.
      disk.arm({ at: 1 + random.below(12), errno: 0, random });
      isKilled(() => mustOpen(disk, options).folder.close());
      disk = disk.processEnd(seed * 2000 + step) as CallDisk;
      const opened = mustOpen(disk, options);
      folder = opened.folder;
      adopt(t, folder, opened.state, twin, operation, what);
      sameContent(t, folder, twin, what);
    }
  }
  for (const [kind, count] of Object.entries(kills)) t.ok(count > SEEDS, `${count} kills in ${kind}`);
});

t.test('a creation that is killed anywhere can be done again', async (t) => {
  for (let at = 1; ; at += 1) {
    let disk = new CallDisk({ regions: [] });
    disk.arm({ at, errno: 0, random: new Random(at) });
    if (!isKilled(() => created(disk, { fileBytesMax: 128 }).close())) return t.ok(at > 4, `${at} calls`);
    disk = disk.processEnd(at) as CallDisk;
    const folder = created(disk, { fileBytesMax: 128 });
    t.strictSame(filesOf(disk), new GoTwin(128).written());
    folder.close();
  }
});

/** Runs `run`; whether the process was killed in it. */
function isKilled(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    return true;
  }
}
