/**
 * RAFT_MISSING in a partition's folder: the durable side of `missingRanges.ts`, and whether all contents are to be compared with the leader's (after a snapshot, which
 * carries no data, or when it is not known any more what is missing).
 *
 * Grows by appended records and is replaced as a whole when most of them say nothing any more, or nothing is missing. A replacement leaves out what was taken away
 * before `beginSave` only: then the data that took its place is durable when the file is written (`applySave.ts`). A Go node passes the file over.
 */
import assert from 'node:assert';
import { join } from 'node:path';
import type { Disk } from '../storage/io.js';
import { FILE, FILE_MODE } from '../storage/layout.js';
import { readWholeFile, replaceFile } from '../storage/wholeFile.js';
import { ENOENT } from './ioErrors.js';
import {
  decodeMissingFile,
  encodeMissingRecord,
  MISSING_KIND,
  MISSING_RECORD_BYTES,
  type MissingRange,
  MissingRanges,
  type MissingRecord,
} from './missingRanges.js';
import {
  appendOnThread,
  type FileDone,
  replaceOnThread,
  type ThreadBuffer,
  type ThreadFile,
} from './threadFiles.js';

/** More ranges than that are not kept: all contents are to be compared instead. */
export const MISSING_RANGES_MAX = 100_000;
/** What a file of so many records, twice over, cannot exceed. */
const FILE_BYTES_MAX = 4 * MISSING_RANGES_MAX * MISSING_RECORD_BYTES;
/** Records that say nothing any more and are no reason to replace the file. */
const SPENT_RECORDS_MIN = 64;

export class MissingFile {
  readonly ranges = new MissingRanges();
  /** Contents are to be compared with the leader's, from when that has applied so much; 0: not. */
  compareFrom = 0;
  /** A `save` is under way. */
  busy = false;
  /** What is wrong with the file as found; null when nothing is. */
  readonly problem: string | null;
  private readonly path: string;
  /** Whole records in the file, and whether there is one. */
  private records = 0;
  private exists = true;
  /** The file is to be replaced before APPLY goes on. What was found may be in the page cache alone: the sync that an earlier process has asked for failed. Or it asks for a comparison that goes on by its ranges. */
  private inDoubt: boolean;
  /** Not in the file yet; and all since `beginSave`. */
  private unsaved: MissingRecord[] = [];
  private sinceSave: MissingRecord[] = [];
  /** What the replacement of the file begins with; null when there will be none. */
  private replacement: MissingRecord[] | null = null;

  /**
   * Reads the file of the partition's `folder`; one that is not there names nothing. `appliedIndex`: the applied index of this start. A file that is damaged
   * asks for a comparison; one that cannot be read, or is too long, is a `problem` that keeps the replica from applying.
   */
  constructor(disk: Disk, folder: string, appliedIndex: number) {
    this.path = join(folder, FILE.raftMissing);
    const bytes = readWholeFile(disk, this.path, FILE_BYTES_MAX);
    this.problem =
      typeof bytes === 'number' && bytes !== -ENOENT ? `read ${this.path}: ${disk.errnoText(bytes)}` : null;
    this.exists = typeof bytes !== 'number';
    this.inDoubt = this.exists;
    if (typeof bytes === 'number') return;
    const found = decodeMissingFile(bytes);
    this.records = found.bytes / MISSING_RECORD_BYTES;
    for (const record of found.records) this.take(record);
    this.ranges.raiseTo(appliedIndex);
    this.ranges.takeGrown();
    if (!found.damaged) return;
    // What stands behind the damage is written over by what comes next.
    this.note([...this.ranges.records()]);
    this.wantComparison(appliedIndex);
  }

  /** A range of a random write of this index, the largest that the extent has seen. Durable when `save` says so. */
  add(extentId: number, range: MissingRange): void {
    this.ranges.add(extentId, range);
    if (this.ranges.count > MISSING_RANGES_MAX) {
      this.ranges.clear();
      this.wantComparison(range.index);
    }
    this.note(this.ranges.takeGrown());
  }

  /** As `MissingRanges.cut`. */
  cut(extentId: number, from: number, to: number, index: number): void {
    this.ranges.cut(extentId, from, to, index);
    this.note(this.ranges.takeGrown());
  }

  /** As `MissingRanges.copied`. */
  copied(extentId: number, from: number, to: number, index: number): void {
    this.ranges.copied(extentId, from, to, index);
    this.note(this.ranges.takeGrown());
  }

  /** All contents are to be compared, as of `index`. */
  wantComparison(index: number): void {
    this.compareFrom = Math.max(this.compareFrom, index, 1);
    this.note([compareRecord(this.compareFrom)]);
  }

  /**
   * The comparison that is wanted begins: whatever these extents hold counts as missing up to now, so that copies take its place, and random writes from now on take their own ranges out. `index`: all that was handed
   * over here so far is not above it.
   */
  compareAll(extents: Iterable<{ extentId: number; sizeBytes: number }>, index: number): void {
    const asOf = Math.max(index, this.compareFrom);
    for (const { extentId, sizeBytes } of extents)
      if (sizeBytes > 0) this.ranges.add(extentId, { from: 0, to: sizeBytes, index: asOf });
    this.note(this.ranges.takeGrown());
    this.compareFrom = 0;
    // Its record goes with the next replacement only.
    this.inDoubt = true;
  }

  /** Whether something of these bytes is missing, so that nobody is to get them. */
  lacks(extentId: number, from: number, to: number): boolean {
    if (this.compareFrom > 0) return true;
    if (this.ranges.count === 0) return false;
    return this.ranges.of(extentId).some((range) => range.from < to && from < range.to);
  }

  /** Nobody has these bytes any more, as far as all others say: from `from` on nothing of the extent is missing. */
  forget(extentId: number, from: number): void {
    this.ranges.copied(extentId, from, Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    this.note(this.ranges.takeGrown());
  }

  /** Ranges, and a comparison that is wanted as one. */
  get count(): number {
    return this.ranges.count + (this.compareFrom > 0 ? 1 : 0);
  }

  /** Something is missing and does not stand in the file. */
  get isUnsaved(): boolean {
    return this.unsaved.length > 0;
  }

  /** The same, or most of what stands there says nothing any more. */
  get needsSave(): boolean {
    return this.isUnsaved || this.isSpent;
  }

  /** A save of APPLY begins: its syncs cover all data that has taken something away so far. */
  beginSave(): void {
    this.replacement = this.isSpent ? this.live() : null;
    this.sinceSave = [];
  }

  /** Makes everything that is missing durable. `mayReplace`: at the end of what `beginSave` has begun. One at a time. */
  save(file: Omit<ThreadFile, 'path'>, buffer: ThreadBuffer, mayReplace: boolean, done: FileDone): void {
    assert(!this.busy, 'RAFT_MISSING is being written');
    this.busy = true;
    const target = { ...file, path: this.path };
    const ended = (result: number): void => {
      this.busy = false;
      done(result);
    };
    if (mayReplace && this.replacement !== null) this.replace(target, buffer, this.replacement, ended);
    else this.append(target, buffer, ended);
  }

  private append(target: ThreadFile, buffer: ThreadBuffer, done: FileDone): void {
    const added = this.unsaved;
    if (added.length === 0) return done(0);
    this.unsaved = [];
    const offset = this.records * MISSING_RECORD_BYTES;
    appendOnThread(target, buffer, offset, encode(added), !this.exists, (result) => {
      if (result < 0) {
        this.unsaved = [...added, ...this.unsaved];
      } else {
        this.records += added.length;
        this.exists = true;
      }
      done(result);
    });
  }

  /** The same at a stop, synchronously; all data is durable. 0 or a negated errno. */
  saveNow(disk: Disk): number {
    if (!this.needsSave) return 0;
    const records = this.live();
    const result = replaceFile(disk, this.path, encode(records));
    if (result >= 0) this.replaced(records.length, 0);
    return result;
  }

  private replace(target: ThreadFile, buffer: ThreadBuffer, kept: MissingRecord[], done: FileDone): void {
    const added = this.sinceSave;
    const since = added.length;
    this.replacement = null;
    replaceOnThread(target, buffer, encode([...kept, ...added]), FILE_MODE, (result) => {
      if (result >= 0) this.replaced(kept.length + since, since);
      done(result);
    });
  }

  /** The file holds so many records; of those since `beginSave` it has the first `since`. */
  private replaced(records: number, since: number): void {
    this.records = records;
    this.exists = true;
    this.inDoubt = false;
    this.unsaved = this.sinceSave.slice(since);
  }

  private get isSpent(): boolean {
    const live = this.count;
    if (this.inDoubt) return true;
    return live === 0 ? this.records > 0 : this.records > 2 * live + SPENT_RECORDS_MIN;
  }

  private live(): MissingRecord[] {
    const records = [...this.ranges.records()];
    return this.compareFrom > 0 ? [compareRecord(this.compareFrom), ...records] : records;
  }

  private take(record: MissingRecord): void {
    const { kind, extentId, from, to, index } = record;
    if (kind === MISSING_KIND.compare) this.compareFrom = Math.max(this.compareFrom, index);
    else this.ranges.add(extentId, { from, to, index });
  }

  private note(records: readonly MissingRecord[]): void {
    this.unsaved.push(...records);
    this.sinceSave.push(...records);
  }
}

function compareRecord(index: number): MissingRecord {
  return { kind: MISSING_KIND.compare, extentId: 0, from: 0, to: 0, index };
}

function encode(records: readonly MissingRecord[]): Uint8Array {
  const bytes = new Uint8Array(records.length * MISSING_RECORD_BYTES);
  for (const [at, record] of records.entries()) encodeMissingRecord(bytes, at * MISSING_RECORD_BYTES, record);
  return bytes;
}
