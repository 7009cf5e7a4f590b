/**
 * The verdict about the log files of a folder (`raft.md` 6.5; the table in `docs/raft.md`): which stay, which go, where the last one ends, or why the log cannot be used. Reads only.
 *
 * The rule for damage: what an interrupted write can have left is cut off; what it cannot have left, and would take whole entries with it, is refused. Where a journal holds
 * the entries from some index on, everything from there on is expendable.
 */
import type { Disk } from '../storage/io.js';
import { FOLDER_META_BYTES, type FolderMeta } from './folderMeta.js';
import { type LogFile, logFileName } from './logFile.js';
import { type Damage, readSealedIndex, type ScanEnd, scanRecords, wholeEntryBehind } from './logFileScan.js';
import { OffsetTable } from './offsetTable.js';
import { RecordReader } from './recordReader.js';
import { TermRuns } from './termRuns.js';

/** What is to be done with the files. Nothing has been changed yet. */
export interface FoundLog {
  /**
   * In order. The last one is open and loaded, and may have something behind its entries that is to be cut off. Files in front that lie below the cut were not looked at. Empty: the first
   * file is to be made.
   */
  kept: LogFile[];
  /** In the order in which they are to be removed. */
  dropped: LogFile[];
  /** Terms of the entries in `kept`, as far as it was looked at. */
  runs: TermRuns;
  /** What is cut off or dropped, and why. */
  notes: string[];
}

/**
 * Looks at `files`, which are in order, under `meta`. Entries from `keepBelow` on may be given up (null: none may). Where this is refused all files are closed; else all
 * but the last one that is kept.
 */
export function findLog(
  disk: Disk,
  files: readonly LogFile[],
  meta: FolderMeta,
  keepBelow: number | null,
): FoundLog | Damage {
  const below = countBelow(files, meta.cutIndex);
  let count = files.length;
  for (;;) {
    const walk = new LogWalk(disk, meta, keepBelow);
    const broken = walk.through(files.slice(below, count));
    const verdict = broken === null ? walk.againstMeta() : broken.damage;
    if (verdict === null) return resultOf(walk, files, below, count);
    for (const file of files) file.unload();
    // Without the files that are no use the log is shorter: is it long enough for the journal to go on?
    const shorter = broken === null || broken.damage.errno < 0 ? count : below + broken.usable;
    if (keepBelow === null || shorter >= count) return verdict;
    count = shorter;
  }
}

/** How many files at the front hold nothing behind the cut. They wait for the next truncation, and nobody reads them again (`raft.md` 6.4). */
function countBelow(files: readonly LogFile[], cutIndex: number): number {
  let below = 0;
  while (below + 1 < files.length && files[below + 1]!.nameIndex - 1 <= cutIndex) below += 1;
  return below;
}

function resultOf(walk: LogWalk, files: readonly LogFile[], below: number, count: number): FoundLog {
  const front = files.slice(0, below);
  const behind = files.slice(count).toReversed();
  const { kept, runs } = walk;
  const notes = [...behind.map((file) => `${nameOf(file)}: the log ends before it, removed`), ...walk.notes];
  if (kept.length > 0 || files.length === 0)
    return { kept: [...front, ...kept], dropped: behind, runs, notes };
  return { kept, dropped: [...behind, ...walk.dropped, ...front.toReversed()], runs, notes };
}

/** Where a walk has ended early. */
interface Broken {
  damage: Damage;
  /** Files from the front that may be of use when those behind them are given up; the last of them by its records alone. */
  usable: number;
}

/** One pass over the files of a folder. */
class LogWalk {
  kept: LogFile[] = [];
  /** Those of `kept` that go again, the newest first. */
  dropped: LogFile[] = [];
  runs = new TermRuns();
  readonly notes: string[] = [];
  readonly #meta: FolderMeta;
  readonly #keepBelow: number | null;
  readonly #reader: RecordReader;
  /** First and last entry so far; 0 while there is none. */
  #first = 0;
  #last = 0;
  /** First entry of the file that is looked at; 0 while it has none. */
  #firstOfFile = 0;

  constructor(disk: Disk, meta: FolderMeta, keepBelow: number | null) {
    this.#meta = meta;
    this.#keepBelow = keepBelow;
    this.#reader = new RecordReader(disk);
  }

  /** Takes the files one after the other. Null when all of them fit. */
  through(files: readonly LogFile[]): Broken | null {
    // A removal that a power loss has undone, beside the file that had come in its place: both hold what was replaced.
    const twin = files.findIndex(({ seq }, at) => at > 0 && files[at - 1]!.seq === seq);
    if (twin > 0) {
      const reason = `two log files have number ${files[twin]!.seq}`;
      return { damage: { reason, errno: 0 }, usable: twin - 1 };
    }
    for (const [at, file] of files.entries()) {
      if (this.#last > 0 && file.nameIndex !== this.#last + 1) {
        const reason = `${nameOf(file)} follows entry ${this.#last}`;
        return { damage: { reason, errno: 0 }, usable: at };
      }
      const opened = file.open();
      if (opened < 0) return { damage: { reason: nameOf(file), errno: opened }, usable: at };
      this.#reader.use(file.shared.fd, file.sizeBytes);
      this.#firstOfFile = 0;
      const active = at === files.length - 1;
      const damage = active ? this.#takeActive(file) : this.#takeSealed(file);
      if (damage !== null) return { damage, usable: active ? files.length : at + 1 };
      this.kept.push(file);
    }
    const last = Math.max(this.#last, this.#meta.cutIndex);
    if (this.#keepBelow === null || last + 1 >= this.#keepBelow) return null;
    const reason = `the log ends at ${last}, and the journal goes on at ${this.#keepBelow}`;
    return { damage: { reason, errno: 0 }, usable: files.length };
  }

  /** Whether the log and META belong together. What a snapshot has left over goes. */
  againstMeta(): Damage | null {
    const { cutIndex, cutTerm, hardState, bytes } = this.#meta;
    const first = this.#first > 0 ? this.#first : (this.kept.at(-1)?.nameIndex ?? 1);
    // A reset writes META first, with the commit at the cut, and then removes the files; the reference does so with zeros once more before, and removes the oldest file first.
    const resetUnderWay = bytes === FOLDER_META_BYTES && hardState.commit <= cutIndex;
    const mayGo = this.#keepBelow === null ? resetUnderWay : this.#keepBelow <= cutIndex + 1;
    if (first > cutIndex + 1) {
      const gap = `the log begins at ${first}, and the cut is at ${cutIndex}`;
      const isExplained = mayGo && (this.#keepBelow !== null || cutIndex === 0);
      return isExplained ? this.#dropAll(gap) : { reason: gap, errno: 0 };
    }
    if (this.#last === 0) return null;
    if (this.#last < cutIndex)
      return this.#dropAll(`the log ends at ${this.#last}, before the cut at ${cutIndex}`);
    const contradicted =
      (first <= cutIndex && this.runs.at(cutIndex) !== cutTerm) ||
      (this.#last > cutIndex && this.runs.at(cutIndex + 1) < cutTerm);
    if (!contradicted) return null;
    const other = `the log contradicts term ${cutTerm} of the cut at ${cutIndex}`;
    return mayGo ? this.#dropAll(other) : { reason: other, errno: 0 };
  }

  #take(index: number, term: number): string | null {
    if (index < 1 || term < 0) return 'an entry has no possible index and term';
    if (this.#last > 0 && index !== this.#last + 1) return `entry ${index} follows entry ${this.#last}`;
    if (this.#firstOfFile === 0) this.#firstOfFile = index;
    if (this.#first === 0) this.#first = index;
    this.#last = index;
    this.runs.add(index, term);
    return null;
  }

  #takeSealed(file: LogFile): Damage | null {
    const index = readSealedIndex(this.#reader, file.sizeBytes, (index, term) => this.#take(index, term));
    if ('reason' in index) return { reason: `${nameOf(file)}: ${index.reason}`, errno: index.errno };
    file.take(this.#firstOfFile, new OffsetTable(index.offsets), index.endBytes);
    file.unload();
    return null;
  }

  #takeActive(file: LogFile): Damage | null {
    const offsets = new OffsetTable();
    const end = scanRecords(this.#reader, file.sizeBytes, (index, term, offset) => {
      const misfit = this.#take(index, term);
      if (misfit === null) offsets.push(offset);
      return misfit;
    });
    const damage = this.#endOfLog(file, end);
    if (damage === null) file.take(this.#firstOfFile, offsets, end.offset);
    return damage;
  }

  /** Whether the records of the last file may end where they do. */
  #endOfLog(file: LogFile, end: ScanEnd): Damage | null {
    if (end.kind === 'clean' || end.kind === 'sealed') return null;
    const where = `${nameOf(file)} at ${end.offset}: ${end.reason}`;
    if (end.kind === 'unreadable') return { reason: where, errno: end.errno };
    if (this.#keepBelow === null) {
      if (end.kind === 'misfit') return { reason: where, errno: 0 };
      if (wholeEntryBehind(this.#reader, file.sizeBytes, end.offset, this.#last))
        return { reason: `${where}, with whole records behind it`, errno: 0 };
    }
    this.notes.push(`${where}; the last ${file.sizeBytes - end.offset} bytes are cut off`);
    return null;
  }

  #dropAll(why: string): null {
    this.notes.push(`${why}: left over from a snapshot, log files removed`);
    for (const file of this.kept) file.unload();
    this.dropped = this.kept.toReversed();
    this.kept = [];
    this.runs = new TermRuns();
    return null;
  }
}

function nameOf(file: LogFile): string {
  return logFileName(file.seq, file.nameIndex);
}
