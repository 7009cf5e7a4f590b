/**
 * A group's log in the reference's format (`raft.md` 6): entries in files, hard state and truncation point in META. One owner, one thread.
 *
 * Everything goes through the page cache and is synchronous; only `sync` waits for the disk, elsewhere. The steps of each operation are in an order that leaves a folder with the
 * right verdict wherever the process is killed: what is newest goes first when the end is cut, META is first when the front is. For a power loss there is the journal.
 *
 * An operation that has failed has lost nothing that was in the folder before and is not to be replaced; it may be called again with the same arguments, and begins where it ended.
 */
import assert from 'node:assert';
import { HARD_STATE_BYTES, type HardState, type RaftEntry } from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import { FOLDER_META_BYTES, FOLDER_META_NAME, type FolderMeta, writeFolderMeta } from './folderMeta.js';
import type { FolderSync } from './folderSync.js';
import { LogFile } from './logFile.js';
import type { RecordSource } from './recordSource.js';
import type { SharedFd } from './sharedFd.js';
import type { TermRun, TermRuns } from './termRuns.js';
import type { WhenDurable } from './types.js';

/** Sealed files whose offsets and fd are kept at a time. */
const LOADED_SEALED_MAX = 2;
const ENOENT = 2;

/** An entry to append; its record has `recordBytes`. */
export interface AppendedEntry {
  index: number;
  term: number;
  recordBytes: number;
}

/** What `folderOpen.ts` has found, or made. */
export interface FolderParts {
  disk: Disk;
  path: string;
  fileBytesMax: number;
  meta: FolderMeta;
  metaFd: SharedFd;
  /** In order; the last one is loaded and is the active one. */
  files: LogFile[];
  /** Terms of all entries in the files. */
  runs: TermRuns;
  sync: FolderSync;
}

export class GroupFolder {
  readonly path: string;
  readonly #disk: Disk;
  readonly #fileBytesMax: number;
  readonly #metaFd: SharedFd;
  readonly #files: LogFile[];
  readonly #runs: TermRuns;
  readonly #sync: FolderSync;
  /** Sealed files that are loaded, the one used last behind the others. */
  readonly #loadedSealed: LogFile[] = [];
  readonly #termOf = (index: number): number => this.#runs.at(index);
  #meta: FolderMeta;
  /** META tells of a snapshot, and files of the log before it are still there. */
  #resetUnderWay = false;

  constructor(parts: FolderParts) {
    this.path = parts.path;
    this.#disk = parts.disk;
    this.#fileBytesMax = parts.fileBytesMax;
    this.#meta = parts.meta;
    this.#metaFd = parts.metaFd;
    this.#files = parts.files;
    this.#runs = parts.runs;
    this.#sync = parts.sync;
  }

  /** Everything up to this index is compacted. */
  get cutIndex(): number {
    return this.#meta.cutIndex;
  }

  get cutTerm(): number {
    return this.#meta.cutTerm;
  }

  get hardState(): HardState {
    return this.#meta.hardState;
  }

  /** Bytes of META: 0, 24 or 40. */
  get metaBytes(): number {
    return this.#meta.bytes;
  }

  /** Index of the last entry, `cutIndex` when there is none behind it. */
  get lastIndex(): number {
    if (this.#resetUnderWay) return this.cutIndex;
    return Math.max(this.cutIndex, this.#files.at(-1)?.lastIndex ?? 0);
  }

  /** Terms of the entries behind the cut. */
  get runs(): TermRun[] {
    return this.#runs.between(this.cutIndex + 1, this.lastIndex);
  }

  /** Something that was written may not be durable. True after an open: what an earlier process has written may not be. */
  get dirty(): boolean {
    return this.#sync.dirty;
  }

  /** Term of the entry at `index`; null below the cut and behind the last entry. */
  term(index: number): number | null {
    if (index === this.cutIndex) return this.cutTerm;
    return index < this.cutIndex || index > this.lastIndex ? null : this.#runs.at(index);
  }

  /**
   * Appends the records of `entries`, which are those of `source`. Entries from `firstIndex` on are removed before. A file that is not empty and has
   * no room for a record is sealed. 0 or a negated errno.
   */
  append(firstIndex: number, entries: readonly AppendedEntry[], source: RecordSource): number {
    assert(entries.length > 0 && entries[0]!.index === firstIndex, 'the first entry is the one that is told');
    assert(firstIndex > this.cutIndex && firstIndex <= this.lastIndex + 1, 'entries follow the log');
    const bytes = entries.reduce((sum, { recordBytes }) => sum + recordBytes, 0);
    assert(bytes === source.byteLength, 'records are whole');
    const cut = this.#resetUnderWay ? this.#startOver() : this.#truncateBack(firstIndex);
    if (cut < 0) return cut;
    for (let next = 0; next < entries.length; ) {
      const room = this.#roomFor(entries[next]!.recordBytes);
      if (room < 0) return room;
      const end = this.#fitting(entries, next, room);
      const written = this.#appendToFile(entries, next, end, source);
      if (written < 0) return written;
      next = end;
    }
    return 0;
  }

  /** Front truncation (`raft.md` 6.4): `index` is applied and has `term`. Files that hold nothing behind it go. 0 or a negated errno. */
  cut(index: number, term: number): number {
    assert(
      index <= this.lastIndex && (index < this.cutIndex || this.term(index) === term),
      'the cut is in the log',
    );
    if (index > this.cutIndex) {
      const { hardState } = this.#meta;
      // The reference does not start a group whose commit is below its cut. A group that never stored a hard state has none to be below.
      const stored = hardState.term > 0 || hardState.vote > 0 || hardState.commit > 0;
      const commit = stored ? Math.max(hardState.commit, index) : 0;
      const written = this.#writeMeta({
        bytes: FOLDER_META_BYTES,
        hardState: { ...hardState, commit },
        cutIndex: index,
        cutTerm: term,
      });
      if (written < 0) return written;
    }
    if (this.#resetUnderWay) return this.#startOver();
    while (this.#files.length > 1 && this.#files[1]!.nameIndex - 1 <= this.cutIndex) {
      const removed = this.#remove(0);
      if (removed < 0) return removed;
    }
    this.#runs.dropBefore(
      Math.min(this.cutIndex + 1, this.#files[0]?.firstIndex ?? Number.POSITIVE_INFINITY),
    );
    return 0;
  }

  /** A snapshot was taken over (`raft.md` 6.4): the log is empty behind `index`, which is committed and has `term`. 0 or a negated errno. */
  reset(index: number, term: number, hardState: HardState): number {
    const written = this.#writeMeta({
      bytes: FOLDER_META_BYTES,
      hardState: { ...hardState, commit: index },
      cutIndex: index,
      cutTerm: term,
    });
    if (written < 0) return written;
    this.#resetUnderWay = true;
    return this.#startOver();
  }

  /** 0 or a negated errno. */
  setHardState(hardState: HardState): number {
    return this.#writeMeta({
      ...this.#meta,
      bytes: Math.max(this.#meta.bytes, HARD_STATE_BYTES),
      hardState: { ...hardState },
    });
  }

  /**
   * The entries from `from` up to `to` (exclusive), which the log holds: as many as fit in `bytesMax` of encoded entries, and at least one. Their data is read, compared with its
   * checksum and not copied. A negated errno, -RECORD_DAMAGED when a record is no longer what was written.
   */
  read(from: number, to: number, bytesMax: number): RaftEntry[] | number {
    assert(from > this.cutIndex && from < to && to <= this.lastIndex + 1, 'the log holds what is read');
    const entries: RaftEntry[] = [];
    let bytes = 0;
    for (let next = from; next < to; ) {
      const file = this.#files[this.#locate(next)]!;
      const end = Math.min(to, file.lastIndex + 1);
      const loaded = this.#load(file);
      if (loaded < 0) return loaded;
      const read = file.read(next, end, bytesMax - bytes, this.#termOf, entries);
      if (read < 0) return read;
      bytes += read;
      next = from + entries.length;
      if (next < end) break;
    }
    return entries;
  }

  /**
   * Where to find what `read` of the same arguments will want first, in one file: to have it brought into the page cache by somebody who may wait. The holder
   * releases `shared`. Or a negated errno.
   */
  place(
    from: number,
    to: number,
    bytesMax: number,
  ): { shared: SharedFd; offset: number; byteLength: number } | number {
    assert(from > this.cutIndex && from < to && to <= this.lastIndex + 1, 'the log holds what is read');
    const file = this.#files[this.#locate(from)]!;
    const loaded = this.#load(file);
    if (loaded < 0) return loaded;
    const place = file.place(from, Math.min(to, file.lastIndex + 1), bytesMax);
    place.shared.hold();
    return place;
  }

  /** Makes durable what was changed before the call, without waiting: `done` is called when it is, at once when nothing is dirty. A failure is for good. */
  sync(done: WhenDurable): void {
    this.#sync.submit(done);
  }

  /** The same, now. 0 or a negated errno. */
  syncNow(): number {
    return this.#sync.now();
  }

  /** Closes what is open, after the syncs that are under way. Makes nothing durable. */
  close(): void {
    this.#sync.forgetAll();
    this.#metaFd.release();
    for (const file of this.#files) file.unload();
  }

  /** Closes and removes the folder. 0 or a negated errno. */
  remove(): number {
    this.close();
    return this.#disk.removeTree(this.path);
  }

  #writeMeta(meta: FolderMeta): number {
    this.#sync.changed(FOLDER_META_NAME, this.#metaFd);
    const written = writeFolderMeta(this.#disk, this.#metaFd.fd, meta, this.#meta.bytes);
    if (written === 0) this.#meta = meta;
    return written;
  }

  /** Removes the entries from `index` on (`raft.md` 6.4), the newest first. */
  #truncateBack(index: number): number {
    if (index > this.lastIndex) return 0;
    if (this.#files[0]!.nameIndex >= index) return this.#startOver();
    while (this.#files.at(-1)!.nameIndex > index) {
      const removed = this.#remove(this.#files.length - 1);
      if (removed < 0) return removed;
    }
    const file = this.#files.at(-1)!;
    if (index > file.lastIndex) return 0;
    const loaded = this.#loadActive();
    if (loaded < 0) return loaded;
    this.#sync.changed(file.path, file.shared);
    this.#runs.dropFrom(index);
    return file.truncate(index);
  }

  /** Removes all files, the newest first, and makes the first one. */
  #startOver(): number {
    while (this.#files.length > 0) {
      const removed = this.#remove(this.#files.length - 1);
      if (removed < 0) return removed;
    }
    const created = this.#create(1, 1);
    if (created === 0) this.#resetUnderWay = false;
    return created;
  }

  /** Makes the active file ready for a record of `recordBytes`. The bytes that fit into it, the record's at least; or a negated errno. */
  #roomFor(recordBytes: number): number {
    const loaded = this.#files.length === 0 ? this.#create(1, 1) : this.#loadActive();
    if (loaded < 0) return loaded;
    const active = this.#files.at(-1)!;
    if (active.count > 0 && active.endBytes + recordBytes > this.#fileBytesMax) {
      this.#sync.changed(active.path, active.shared);
      const sealed = active.seal(this.#termOf);
      const created = sealed < 0 ? sealed : this.#create(active.seq + 1, active.lastIndex + 1);
      if (created < 0) return created;
      this.#keepLoaded(active);
    }
    return Math.max(recordBytes, this.#fileBytesMax - this.#files.at(-1)!.endBytes);
  }

  /** Number of the first entry from `first` on that does not fit into `room` with those before it. */
  #fitting(entries: readonly AppendedEntry[], first: number, room: number): number {
    let end = first;
    for (let bytes = 0; end < entries.length; end += 1) {
      bytes += entries[end]!.recordBytes;
      if (bytes > room) break;
    }
    return end;
  }

  #appendToFile(entries: readonly AppendedEntry[], first: number, end: number, source: RecordSource): number {
    const active = this.#files.at(-1)!;
    let bytes = 0;
    for (let at = first; at < end; at += 1) bytes += entries[at]!.recordBytes;
    this.#sync.changed(active.path, active.shared);
    const written = active.write(source, bytes);
    if (written < 0) return written;
    for (let at = first; at < end; at += 1) {
      const { index, term, recordBytes } = entries[at]!;
      active.added(index, recordBytes);
      this.#runs.add(index, term);
    }
    return 0;
  }

  #create(seq: number, index: number): number {
    const file = new LogFile(this.#disk, this.path, seq, index, 0);
    const created = file.create();
    if (created < 0) return created;
    this.#files.push(file);
    this.#sync.namesChanged();
    return 0;
  }

  /** Removes file number `at`, the first or the last one. */
  #remove(at: number): number {
    const file = this.#files[at]!;
    const removed = this.#disk.unlink(file.path);
    if (removed < 0 && removed !== -ENOENT) return removed;
    this.#sync.namesChanged();
    this.#sync.forget(file.path);
    this.#forgetLoaded(file);
    file.unload();
    this.#files.splice(at, 1);
    if (this.#files.length === 0) this.#runs.dropFrom(0);
    else if (at > 0) this.#runs.dropFrom(file.firstIndex);
    return 0;
  }

  /** The last file is ready to be written, also when it was a sealed one before. */
  #loadActive(): number {
    const active = this.#files.at(-1)!;
    const loaded = active.load();
    if (loaded === 0) this.#forgetLoaded(active);
    return loaded;
  }

  #load(file: LogFile): number {
    if (file === this.#files.at(-1)) return this.#loadActive();
    const loaded = file.load();
    if (loaded === 0) this.#keepLoaded(file);
    return loaded;
  }

  #keepLoaded(file: LogFile): void {
    this.#forgetLoaded(file);
    this.#loadedSealed.push(file);
    if (this.#loadedSealed.length > LOADED_SEALED_MAX) this.#loadedSealed.shift()!.unload();
  }

  #forgetLoaded(file: LogFile): void {
    const at = this.#loadedSealed.indexOf(file);
    if (at >= 0) this.#loadedSealed.splice(at, 1);
  }

  /** Number of the file that holds `index`: the last one whose name does not say more. */
  #locate(index: number): number {
    let at = this.#files.length - 1;
    while (at > 0 && this.#files[at]!.nameIndex > index) at -= 1;
    return at;
  }
}
