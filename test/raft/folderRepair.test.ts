/**
 * Folders after a power loss: with what a journal would hold since the last sync they become what they were, whatever of the rest has survived. And what a sync promises.
 */
import t, { type Test } from 'tap';
import type { HardState, RaftEntry } from '../../src/protocol/raftStructs.js';
import { createGroupFolder, type FolderRepair, openGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { Random } from '../sim/random.js';
import type { SimDisk } from '../sim/simDisk.js';
import { mirror, type Operation, perform, randomOperation } from './folderOperations.js';
import {
  allEntries,
  append,
  entry,
  FOLDER,
  filesOf,
  hardState,
  mustOpen,
  newDisk,
  plain,
  putFile,
} from './folderRig.js';
import { GoTwin } from './goTwin.js';

const SEEDS = 60;
const STEPS = 80;

/** What a journal holds since the last checkpoint, which tells hard state and cut. */
class JournalTwin {
  keepBelow: number | null = null;
  hardState: HardState;
  cut: { index: number; term: number };

  constructor({ hardState, cutIndex, cutTerm }: GoTwin) {
    this.hardState = hardState;
    this.cut = { index: cutIndex, term: cutTerm };
  }

  take(operation: Operation): void {
    if (operation.kind === 'append') {
      const first = operation.entries[0]!.index;
      this.keepBelow = Math.min(this.keepBelow ?? first, first);
    } else if (operation.kind === 'hardState') this.hardState = operation.hardState;
    else {
      this.cut = { index: operation.index, term: operation.term };
      if (operation.kind === 'cut') return;
      this.keepBelow = operation.index + 1;
      this.hardState = operation.hardState;
    }
  }

  /** Brings the folder to what `twin` is, as recovery does. */
  carryInto(t: Test, disk: SimDisk, options: { fileBytesMax: number }, twin: GoTwin, what: string): void {
    const { keepBelow, hardState, cut } = this;
    const repair: FolderRepair = { keepBelow, hardState, cut };
    const opened = openGroupFolder(disk, FOLDER, { ...options, repair });
    if (!opened.ok) return void t.fail(`${what}: ${opened.reason}`);
    const { folder } = opened;
    if (keepBelow !== null) {
      const entries = twin.all.filter(({ index }) => index >= keepBelow);
      if (entries.length > 0) t.equal(append(folder, entries), 0);
    }
    t.equal(folder.setHardState(hardState), 0);
    t.equal(folder.syncNow(), 0);
    t.notOk(folder.dirty);
    folder.close();
  }
}

/** The folder is the twin's, by its entries, cut and hard state. */
function same(
  t: Test,
  disk: SimDisk,
  options: { fileBytesMax: number },
  twin: GoTwin,
  what: string,
): GroupFolder {
  const { folder, state } = mustOpen(disk, options);
  t.strictSame(
    [state.cutIndex, state.cutTerm, state.lastIndex, state.stored, state.notes],
    [twin.cutIndex, twin.cutTerm, twin.lastIndex, { ...twin.hardState }, []],
    what,
  );
  t.strictSame(allEntries(folder).map(plain), twin.all.map(plain), `${what}: entries`);
  return folder;
}

/** A sync that the disk carries out in any order. */
function syncInBackground(t: Test, disk: SimDisk, folder: GroupFolder): void {
  let result = 1;
  folder.sync((errno) => {
    result = errno;
  });
  while (disk.step()) disk.drainCompletions();
  t.equal(result, 0);
}

t.test('a power loss takes nothing that was synced, and the journal brings the rest back', async (t) => {
  let torn = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const random = new Random(seed);
    const options = { fileBytesMax: 128 + random.below(3000) };
    const twin = new GoTwin(options.fileBytesMax);
    let disk: SimDisk = newDisk(seed);
    const made = createGroupFolder(disk, FOLDER, options);
    if (!made.ok) throw new Error(made.reason);
    let folder = made.folder;
    t.equal(folder.syncNow(), 0);
    let journal = new JournalTwin(twin);
    for (let step = 0; step < STEPS; step += 1) {
      const what = `seed ${seed}, step ${step}`;
      const operation = randomOperation(random, twin);
      t.equal(perform(folder, operation), 0);
      mirror(twin, operation);
      journal.take(operation);
      if (random.chance(0.1)) {
        if (random.chance(0.5)) t.equal(folder.syncNow(), 0);
        else syncInBackground(t, disk, folder);
        journal = new JournalTwin(twin);
      }
      if (!random.chance(0.1)) continue;
      torn += openGroupFolder(disk.powerLoss(seed * 1000 + step), FOLDER, options).ok ? 0 : 1;
      disk = disk.powerLoss(seed * 1000 + step);
      // Recovery may be cut short by another power loss, and begins again.
      if (random.chance(0.3)) {
        openGroupFolder(disk, FOLDER, { ...options, repair: journal });
        disk = disk.powerLoss(seed * 2000 + step);
      }
      journal.carryInto(t, disk, options, twin, what);
      disk = disk.powerLoss(seed * 3000 + step);
      folder = same(t, disk, options, twin, what);
      t.equal(folder.syncNow(), 0);
      journal = new JournalTwin(twin);
    }
  }
  t.ok(torn > 20, `${torn} folders would have been refused without the journal`);
});

/** A folder with entries 1 to 9, three a file. */
function folderOfNine(): { disk: SimDisk; folder: GroupFolder } {
  const disk = newDisk();
  const made = createGroupFolder(disk, FOLDER, { fileBytesMax: 128 });
  if (!made.ok) throw new Error(made.reason);
  t.equal(append(made.folder, nine(1)), 0);
  t.equal(made.folder.setHardState(hardState(1, 2, 5)), 0);
  return { disk, folder: made.folder };
}

function nine(term: number): RaftEntry[] {
  return Array.from({ length: 9 }, (_, at) => entry(at + 1, term, Buffer.alloc(10, at)));
}

t.test('a journal that does not reach the end of what is left is refused', async (t) => {
  const { disk, folder } = folderOfNine();
  folder.close();
  const second = `${FOLDER}/0000000000000002-0000000000000004.log`;
  putFile(disk, second, disk.content(second).subarray(0, 50));
  const repair = { hardState: null, cut: null };
  t.match(openGroupFolder(disk, FOLDER, { repair: { ...repair, keepBelow: 8 } }), {
    ok: false,
    reason: 'the log ends at 4, and the journal goes on at 8',
  });
  const opened = mustOpen(disk, { repair: { ...repair, keepBelow: 5 } });
  t.equal(opened.state.lastIndex, 4);
  t.match(opened.state.notes.join('\n'), /the log ends before it, removed\n.*are cut off/);
  t.equal(append(opened.folder, nine(1).slice(4)), 0);
  t.strictSame(allEntries(opened.folder).map(plain), nine(1).map(plain));
});

t.test(
  'META that the power loss has torn is written again from the journal, before anything else is believed',
  async (t) => {
    for (const bytes of [3, 30, 50]) {
      const { disk, folder } = folderOfNine();
      folder.close();
      putFile(disk, `${FOLDER}/META`, Buffer.alloc(bytes, 9));
      const without = openGroupFolder(disk, FOLDER, { repair: { keepBelow: 1, hardState: null, cut: null } });
      t.match(without, { ok: false, reason: /META has/ });
      const repair = { keepBelow: 10, hardState: hardState(4, 2, 9), cut: { index: 3, term: 1 } };
      const { folder: repaired, state } = mustOpen(disk, { repair });
      t.match(state.notes, [/written again from the journal/]);
      t.strictSame([state.cutIndex, state.lastIndex], [3, 9]);
      repaired.close();
      t.equal(disk.content(`${FOLDER}/META`).byteLength, 40);
      t.strictSame(mustOpen(disk).state.stored, { term: 4, commit: 9, vote: 2 });
    }
  },
);

t.test('the commit of META is not lowered before the journal has brought its entries', async (t) => {
  const { disk, folder } = folderOfNine();
  t.equal(folder.setHardState(hardState(1, 2, 9)), 0);
  folder.close();
  const last = `${FOLDER}/0000000000000003-0000000000000007.log`;
  putFile(disk, last, new Uint8Array(0));
  const { folder: repaired } = mustOpen(disk, { repair: { keepBelow: 7, hardState: null, cut: null } });
  t.equal(append(repaired, nine(1).slice(6)), 0);
  repaired.close();
  t.match(mustOpen(disk).state, { lastIndex: 9, shortened: false, hardState: { commit: 9 }, notes: [] });
});

t.test('a sync covers what came before it, and no more', async (t) => {
  const { disk, folder } = folderOfNine();
  const results: number[] = [];
  t.ok(folder.dirty);
  folder.sync((errno) => results.push(errno));
  t.equal(append(folder, [entry(10, 1)]), 0);
  t.strictSame(results, [], 'it is not called back inside the call');
  while (disk.step()) disk.drainCompletions();
  t.strictSame(results, [0]);
  t.ok(folder.dirty, 'entry 10 came behind it');
  folder.sync((errno) => results.push(errno));
  folder.sync((errno) => results.push(errno));
  while (disk.step()) disk.drainCompletions();
  t.strictSame(results, [0, 0, 0]);
  t.notOk(folder.dirty);
  folder.sync((errno) => results.push(errno));
  t.strictSame(results, [0, 0, 0, 0], 'nothing to do');
  t.equal(mustOpen(disk.powerLoss(3), { fileBytesMax: 128 }).state.lastIndex, 10);
});

t.test('files may go, and the folder may be closed, while they are being synced', async (t) => {
  const { disk, folder } = folderOfNine();
  const results: number[] = [];
  folder.sync((errno) => results.push(errno));
  t.equal(folder.reset(100, 3, hardState(3, 0, 100)), 0);
  folder.sync((errno) => results.push(errno));
  folder.close();
  t.ok(disk.openFds() > 0, 'what is being synced stays open');
  while (disk.step()) disk.drainCompletions();
  t.strictSame(results, [0, 0]);
  t.equal(disk.openFds(), 0);
});

t.test('a failed sync is never made good by a later one, a full queue is', async (t) => {
  const { disk, folder } = folderOfNine();
  t.equal(folder.syncNow(), 0);
  t.equal(append(folder, [entry(10, 1)]), 0);
  disk.addFault({ call: 'fdatasync', path: /\.log$/, errno: 11, count: 1 });
  t.equal(folder.syncNow(), -11);
  t.ok(folder.dirty);
  t.equal(folder.syncNow(), 0, 'nothing was tried the first time');
  t.equal(append(folder, [entry(11, 1)]), 0);
  disk.addFault({ call: 'fdatasync', path: /\.log$/, errno: 5, count: 1 });
  const results: number[] = [];
  folder.sync((errno) => results.push(errno));
  while (disk.step()) disk.drainCompletions();
  folder.sync((errno) => results.push(errno));
  t.strictSame(results, [-5, -5]);
  t.equal(folder.syncNow(), -5);
  t.ok(folder.dirty);
  t.equal(append(folder, [entry(12, 1)]), 0, 'the journal has it; the folder goes on through the page cache');
});

t.test('a folder that is removed is gone', async (t) => {
  const { disk, folder } = folderOfNine();
  t.equal(folder.remove(), 0);
  t.equal(disk.openFds(), 0);
  t.equal(disk.node(FOLDER), undefined);
});

t.test('a folder that holds a log is not made again', async (t) => {
  const { disk, folder } = folderOfNine();
  folder.close();
  const before = filesOf(disk);
  t.match(createGroupFolder(disk, FOLDER), { ok: false, reason: /there is a log already/ });
  t.strictSame(filesOf(disk), before);
});
