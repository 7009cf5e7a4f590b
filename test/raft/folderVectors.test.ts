/**
 * Folders recorded from the reference: opened, they hold what it reports; the same operations here leave the same names and bytes; the damaged ones get the verdicts of
 * `docs/raft.md`.
 */
import t, { type Test } from 'tap';
import type { RaftEntry } from '../../src/protocol/raftStructs.js';
import { createGroupFolder, type FolderState, openGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import {
  allEntries,
  append,
  diskWith,
  entry,
  FOLDER,
  filesOf,
  hardState,
  mustOpen,
  newDisk,
  plain,
  type RecordedFolder,
  type RecordedState,
  recordedEntries,
  recordedFolders,
} from './folderRig.js';

const whole = recordedFolders('wal.json');
const damaged = recordedFolders('wal_recovery.json');

/** State and content of an opened folder are those that the reference reports. Its storage layer tells the stored hard state. */
function matches(t: Test, folder: GroupFolder, state: FolderState, recorded: RecordedState): void {
  t.equal(state.lastIndex, Number(recorded.lastIndex), 'last index');
  t.equal(state.cutIndex + 1, Number(recorded.firstIndex), 'first index');
  t.equal(state.cutTerm, Number(recorded.termAtFirstMinus1), 'term of the cut');
  const { term, vote, commit } = recorded;
  t.strictSame(state.stored, hardState(Number(term), Number(vote), Number(commit)), 'stored hard state');
  const entries = recordedEntries(recorded);
  t.strictSame(allEntries(folder).map(plain), entries, 'entries');
  for (const { index, term } of entries) t.equal(folder.term(index), term, `term of ${index}`);
  // What a group starts from: inside the log, and not older than its last entry.
  const lastTerm = entries.at(-1)?.term ?? state.cutTerm;
  t.equal(state.hardState.term, Math.max(Number(term), lastTerm), 'term to start from');
  t.equal(state.hardState.commit, Math.min(Number(commit), state.lastIndex), 'commit to start from');
  t.equal(state.shortened, Number(commit) > state.lastIndex, 'shortened');
}

t.test('a recorded folder opens with the state that the reference reports, and stays as it is', async (t) => {
  t.equal(whole.length, 9);
  for (const recorded of whole) {
    await t.test(recorded.name, async (t) => {
      const disk = diskWith(recorded.files);
      const { folder, state } = mustOpen(disk, { fileBytesMax: recorded.fileSize || 2 ** 25 });
      matches(t, folder, state, recorded.stateAfterOpen!);
      t.strictSame(filesOf(disk), recorded.filesAfterOpen);
      folder.close();
      t.equal(disk.openFds(), 0, 'everything is closed');
    });
  }
});

/** `index`, `term` and ten bytes that count up from 16 times the index, as the recorder made them. */
function counting(index: number, term: number, bytes = 10): RaftEntry {
  return entry(
    index,
    term,
    Uint8Array.from({ length: bytes }, (_, at) => index * 16 + at),
  );
}

const FIVE = [
  entry(1, 1),
  counting(2, 1, 5),
  entry(3, 1),
  entry(4, 2, '0000000000000000000000097b7d', 1),
  counting(5, 2, 3),
];
const TWELVE = [1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3].map((term, at) => counting(at + 1, term));

/** The operations that the description of a recorded folder tells. */
const OPERATIONS: Record<string, (folder: GroupFolder) => number[]> = {
  fresh: () => [],
  five_entries: (folder) => [append(folder, FIVE), folder.setHardState(hardState(2, 3, 4))],
  conflict_truncate_back: (folder) => [
    append(folder, FIVE),
    append(folder, [counting(4, 3, 2), counting(5, 3, 1), counting(6, 3, 4)]),
    folder.setHardState(hardState(3, 1, 3)),
  ],
  rotated: (folder) => [append(folder, TWELVE), folder.setHardState(hardState(3, 2, 11))],
  rotated_truncate_front: (folder) => [...OPERATIONS['rotated']!(folder), folder.cut(7, 2)],
  rotated_truncate_back: (folder) => [...OPERATIONS['rotated']!(folder), append(folder, [counting(6, 9, 4)])],
  snapshot_applied: (folder) => [
    ...OPERATIONS['snapshot_applied_empty']!(folder),
    append(folder, [entry(101, 5, '505152'), entry(102, 5, '6061')]),
  ],
  snapshot_applied_empty: (folder) => [
    append(folder, FIVE),
    folder.setHardState(hardState(2, 3, 4)),
    folder.reset(100, 4, hardState(2, 3, 4)),
  ],
  one_big_entry: (folder) => [append(folder, [counting(1, 1, 4), counting(2, 1, 200), counting(3, 1, 4)])],
};

function replayed(t: Test, recorded: RecordedFolder, operations: (folder: GroupFolder) => number[]): void {
  const disk = newDisk();
  const made = createGroupFolder(disk, FOLDER, { fileBytesMax: recorded.fileSize || 2 ** 25 });
  if (!made.ok) throw new Error(made.reason);
  t.ok(operations(made.folder).every((result) => result === 0));
  t.strictSame(filesOf(disk), recorded.files, 'names and bytes');
  t.strictSame(
    allEntries(made.folder).map(plain),
    recordedEntries(recorded.stateAfterOpen!),
    'and the entries are there without an open',
  );
  made.folder.close();
}

t.test('the same operations leave the names and bytes that the reference leaves', async (t) => {
  t.strictSame(Object.keys(OPERATIONS).sort(), whole.map(({ name }) => name).sort());
  for (const recorded of whole) {
    await t.test(recorded.name, async (t) => replayed(t, recorded, OPERATIONS[recorded.name]!));
  }
});

/** Where the verdict is another than the reference's. */
const VERDICT: Record<string, { lastIndex: number; cut: boolean } | string> = {
  tail_crc_flip: { lastIndex: 4, cut: true },
  tail_zeros: { lastIndex: 5, cut: true },
  meta_torn: 'META has 10 bytes, and 0, 24 or 40 are right',
};

t.test('a damaged folder gets its verdict', async (t) => {
  t.equal(damaged.length, 11);
  for (const recorded of damaged) {
    await t.test(recorded.name, async (t) => {
      const disk = diskWith(recorded.files);
      const options = { fileBytesMax: recorded.fileSize || 2 ** 25 };
      const verdict = VERDICT[recorded.name];
      t.equal(verdict !== undefined, recorded.referenceOpenError !== '', 'the reference serves the others');
      if (typeof verdict === 'string') {
        t.strictSame(openGroupFolder(disk, FOLDER, options), { ok: false, reason: verdict, errno: 0 });
        t.strictSame(filesOf(disk), recorded.files, 'a refused folder stays as it was');
        return;
      }
      const { folder, state } = mustOpen(disk, options);
      if (verdict !== undefined) {
        t.equal(state.lastIndex, verdict.lastIndex);
        t.match(state.notes, [/are cut off$/]);
      } else {
        matches(t, folder, state, recorded.referenceStateAfterOpen!);
        t.strictSame(
          filesOf(disk),
          recorded.referenceFilesAfterOpen,
          'names and bytes as the reference leaves them',
        );
      }
      t.equal(append(folder, [counting(folder.lastIndex + 1, 9)]), 0, 'it can be written');
      folder.close();
      const again = mustOpen(disk, options);
      t.equal(again.state.lastIndex, state.lastIndex + 1, 'and opens again');
      again.folder.close();
      t.equal(disk.openFds(), 0, 'everything is closed');
    });
  }
});
