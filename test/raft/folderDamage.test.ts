/**
 * Recorded folders with every byte changed and every end cut off: always a verdict, never a throw, and no whole record before the damage is lost without a word.
 */
import t, { type Test } from 'tap';
import { type OpenedFolder, openGroupFolder } from '../../src/raft/folderOpen.js';
import { RECORD_DAMAGED } from '../../src/raft/logFile.js';
import { Random } from '../sim/random.js';
import type { SimDisk } from '../sim/simDisk.js';
import {
  allEntries,
  append,
  diskWith,
  entry,
  FOLDER,
  filesOf,
  mustOpen,
  plain,
  type RecordedFile,
  type RecordedFolder,
  recordedEntries,
  recordedFolders,
} from './folderRig.js';

const folders = recordedFolders('wal.json');
type Plain = ReturnType<typeof plain>;

/** A folder with one file changed. */
interface Damaged {
  recorded: RecordedFolder;
  file: RecordedFile;
  bytes: Buffer;
  /** The first byte that is not what it was. */
  at: number;
}

/** Counts of what became of the folders; asserts in one line a folder, because there are thousands. */
interface Outcome {
  refused: number;
  served: number;
  noted: number;
}

function openDamaged({ recorded, file, bytes }: Damaged): { disk: SimDisk; opened: OpenedFolder } {
  const files = recorded.files.map((other) =>
    other === file ? { ...file, hex: bytes.toString('hex'), size: bytes.byteLength } : other,
  );
  const disk = diskWith(files);
  const before = filesOf(disk);
  const opened = openGroupFolder(disk, FOLDER, { fileBytesMax: recorded.fileSize || 2 ** 25 });
  if (!opened.ok) {
    if (opened.reason === '') throw new Error('a refusal has a reason');
    if (disk.openFds() !== 0) throw new Error('a refused folder is closed');
    if (JSON.stringify(filesOf(disk)) !== JSON.stringify(before))
      throw new Error('a refused folder is left alone');
  }
  return { disk, opened };
}

/** Entries whose records lie before the damage: all of earlier files, and those of the file that end before it. */
function wholeBefore({ recorded, file, at }: Damaged): Plain[] {
  const entries = recordedEntries(recorded.stateAfterOpen!);
  if (file.file === 'META') return entries;
  const bytes = Buffer.from(file.hex, 'hex');
  const before = new Set<number>();
  for (let offset = 0; bytes[offset] === 1; ) {
    const end = offset + 13 + Number(bytes.readBigUInt64BE(offset + 1));
    if (end <= at) before.add(Number(bytes.readBigUInt64BE(offset + 18)));
    offset = end;
  }
  const nameIndex = Number(`0x${file.file.slice(17, 33)}`);
  return entries.filter(({ index }) => before.has(index) || index < nameIndex);
}

/** Reads entry after entry; null for one that is refused. */
function readEach(opened: OpenedFolder & { ok: true }): (Plain | null)[] {
  const { folder } = opened;
  const entries: (Plain | null)[] = [];
  for (let index = folder.cutIndex + 1; index <= folder.lastIndex; index += 1) {
    const read = folder.read(index, index + 1, 0);
    if (typeof read === 'number' && read !== -RECORD_DAMAGED) throw new Error(`read: ${read}`);
    entries.push(typeof read === 'number' ? null : plain(read[0]!));
  }
  return entries;
}

/** The verdict on one damaged folder, and what it may not have cost. */
function judge(damaged: Damaged, outcome: Outcome): void {
  const { disk, opened } = openDamaged(damaged);
  if (!opened.ok) {
    outcome.refused += 1;
    return;
  }
  const original = recordedEntries(damaged.recorded.stateAfterOpen!);
  const cutIndex = Number(damaged.recorded.stateAfterOpen!.firstIndex) - 1;
  const { folder, state } = opened;
  const read = readEach(opened);
  for (const [at, entry] of read.entries()) {
    const index = folder.cutIndex + 1 + at;
    // A META that tells of an earlier cut brings entries back.
    if (entry === null || index <= cutIndex) continue;
    const known = original.find((other) => other.index === index);
    if (JSON.stringify(entry) !== JSON.stringify(known)) throw new Error('an entry was made up');
  }
  const lost = wholeBefore(damaged).filter(({ index }) => index > state.lastIndex && index > state.cutIndex);
  if (damaged.file.file !== 'META' && lost.length > 0)
    throw new Error(`lost ${lost.map(({ index }) => index)}`);
  if (lost.length > 0 && state.notes.length === 0) throw new Error('entries are lost without a word');
  outcome.served += 1;
  outcome.noted += state.notes.length > 0 ? 1 : 0;
  if (append(folder, [entry(folder.lastIndex + 1, state.hardState.term)]) !== 0)
    throw new Error('it cannot be written');
  folder.close();
  if (disk.openFds() !== 0) throw new Error('something stays open');
  const again = openGroupFolder(disk, FOLDER, { fileBytesMax: 128 });
  if (!again.ok) throw new Error(`it does not open again: ${again.reason}`);
  if (again.state.lastIndex !== state.lastIndex + 1) throw new Error('what was written is not there');
}

function judgeAll(t: Test, damagedFolders: Iterable<Damaged>): Outcome {
  const outcome: Outcome = { refused: 0, served: 0, noted: 0 };
  for (const damaged of damagedFolders) {
    try {
      judge(damaged, outcome);
    } catch (error) {
      const { recorded, file, at, bytes } = damaged;
      t.fail(`${recorded.name} ${file.file} at ${at} of ${bytes.byteLength}: ${String(error)}`);
    }
  }
  return outcome;
}

function* flips(mask: number): Iterable<Damaged> {
  for (const recorded of folders) {
    for (const file of recorded.files) {
      for (let at = 0; at < file.size; at += 1) {
        const bytes = Buffer.from(file.hex, 'hex');
        bytes[at]! ^= mask;
        yield { recorded, file, bytes, at };
      }
    }
  }
}

function* truncations(): Iterable<Damaged> {
  for (const recorded of folders) {
    for (const file of recorded.files) {
      for (let at = 0; at < file.size; at += 1)
        yield { recorded, file, bytes: Buffer.from(file.hex, 'hex').subarray(0, at), at };
    }
  }
}

t.test('every byte changed', async (t) => {
  for (const mask of [0x01, 0x80, 0xff]) {
    const { refused, served, noted } = judgeAll(t, flips(mask));
    t.ok(refused > 1000 && served > 1000 && noted > 300, `mask ${mask}: ${refused}, ${served}, ${noted}`);
  }
});

t.test('every end cut off', async (t) => {
  const { refused, served, noted } = judgeAll(t, truncations());
  t.ok(refused > 1000 && served > 500 && noted > 500, `${refused}, ${served}, ${noted}`);
});

t.test('anything behind a whole log is cut off, whatever it is', async (t) => {
  const random = new Random(7);
  for (let round = 0; round < 300; round += 1) {
    const recorded = folders[round % folders.length]!;
    const active = recorded.files.filter(({ file }) => file !== 'META').at(-1)!;
    const tail = Buffer.from(Uint8Array.from({ length: 1 + random.below(100) }, () => random.below(3)));
    const bytes = Buffer.concat([Buffer.from(active.hex, 'hex'), tail]);
    const files = recorded.files.map((file) =>
      file === active ? { ...file, hex: bytes.toString('hex') } : file,
    );
    const disk = diskWith(files);
    const { folder, state } = mustOpen(disk, { fileBytesMax: recorded.fileSize || 2 ** 25 });
    t.strictSame(allEntries(folder).map(plain), recordedEntries(recorded.stateAfterOpen!), recorded.name);
    t.match(state.notes, [/are cut off$/]);
    t.strictSame(filesOf(disk), recorded.files);
    folder.close();
  }
});
