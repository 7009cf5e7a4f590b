/**
 * What a group's journal holds durably, on its way into the group's folder: in order, through the page cache, never before it is durable.
 *
 * A full disk delays it: the journal has it, so it is tried again. A folder that fails otherwise takes nothing more in this process; the journal then keeps what
 * the folder lacks, for the next start.
 */
import type { HardState, RaftEntry } from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import type { BufferPlace } from './frameBuffer.js';
import type { GroupFolder } from './groupFolder.js';
import type { Journal } from './journal.js';
import { EntryRecords } from './recordSource.js';
import { entryRecordBytes } from './records.js';
import type { CoreOutput } from './types.js';

/** An output of the core, or a cut, that is durable in the journal. */
export interface Filed {
  output: CoreOutput | null;
  cut: { index: number; term: number } | null;
  /** As the journal has it behind this; null when nothing was journaled. */
  hardState: HardState | null;
}

export interface FilingHost {
  readonly disk: Disk;
  readonly journal: Journal;
  /** Where bytes are read to that nobody looks at. */
  readonly scratch: BufferPlace;
}

const EAGAIN = 11;
/** Negated errnos of a disk that is full, or of a quota. */
const FULL: readonly number[] = [-28, -122];

export class Filing {
  /** Entries up to here are in the folder. */
  lastIndex: number;
  /** The folder is being made durable. */
  isBusy = false;
  private readonly group: number;
  private readonly disk: Disk;
  private readonly scratch: BufferPlace;
  private readonly journal: Journal;
  private readonly folder: GroupFolder;
  private readonly done: (filed: Filed) => void;
  private readonly failed: (reason: string) => void;
  private readonly waiting: Filed[] = [];
  /** META is never ahead of the journal. */
  private journaled: HardState;
  private inMeta: HardState;
  private broken = false;

  /** @param done each time something is in the folder. @param failed once, when the folder takes nothing more. */
  constructor(
    group: number,
    host: FilingHost,
    folder: GroupFolder,
    done: (filed: Filed) => void,
    failed: (reason: string) => void,
  ) {
    this.group = group;
    this.disk = host.disk;
    this.scratch = host.scratch;
    this.journal = host.journal;
    this.folder = folder;
    this.done = done;
    this.failed = failed;
    this.lastIndex = folder.lastIndex;
    this.journaled = folder.hardState;
    this.inMeta = folder.hardState;
  }

  /**
   * Makes durable what the folder holds at its opening: a Go node syncs nothing, and everything that this node will promise builds on it. `done` is called once, when it is,
   * maybe at once.
   */
  begin(done: () => void): void {
    if (!this.folder.dirty) return done();
    this.folder.sync((result) => {
      if (this.broken) return;
      if (result === 0) done();
      else if (result === -EAGAIN) this.begin(done);
      else this.fail('sync', result);
    });
  }

  /** Nothing waits. */
  get isDone(): boolean {
    return this.waiting.length === 0;
  }

  /** The commit that a crash would leave. */
  get journaledCommit(): number {
    return this.journaled.commit;
  }

  /** This is durable in the journal. */
  add(filed: Filed): void {
    if (filed.hardState !== null) this.journaled = filed.hardState;
    this.waiting.push(filed);
    this.retry();
  }

  /** Carries into the folder what waits, as far as the disk has room. */
  retry(): void {
    while (this.waiting.length > 0 && !this.broken) {
      const filed = this.waiting[0]!;
      const errno = this.file(filed);
      if (FULL.includes(errno)) return;
      if (errno < 0) return this.fail('write', errno);
      this.waiting.shift();
      this.done(filed);
    }
  }

  /** Makes the folder durable in the background and tells the journal, so that older segments become free. */
  checkpoint(): void {
    if (this.isBusy || this.broken) return;
    this.retry();
    if (this.waiting.length > 0 || this.broken) return;
    const errno = this.journaled === this.inMeta ? 0 : this.folder.setHardState(this.journaled);
    if (FULL.includes(errno)) return;
    if (errno < 0) return this.fail('write', errno);
    this.inMeta = this.journaled;
    this.isBusy = true;
    const frame = this.journal.durableFrame;
    this.folder.sync((result) => {
      this.isBusy = false;
      // The group may have left meanwhile, and the journal knows it no more.
      if (this.broken || result === -EAGAIN) return;
      if (result < 0) this.fail('sync', result);
      else this.journal.checkpoint(this.group, frame);
    });
  }

  /**
   * Has the bytes of those entries brought into the page cache by an I/O thread, so that `read` does not wait for the disk. `done` is called once, later or at once; it says
   * nothing of success.
   */
  fetch(from: number, to: number, bytesMax: number, done: () => void): void {
    const end = Math.min(to, this.lastIndex) + 1;
    if (end <= from || this.broken) return done();
    const { region, bufferOffset, bufferBytes } = this.scratch;
    const place = this.folder.place(from, end, Math.min(bytesMax, bufferBytes));
    if (typeof place === 'number') return done();
    const { shared, offset, byteLength } = place;
    // The bytes themselves are of no interest, so any number of reads may share the buffer.
    this.disk.submitPread(shared.fd, offset, region, bufferOffset, byteLength, false, () => {
      shared.release();
      done();
    });
  }

  /** Entries from `from` on as far as `to` and the folder go, at least one, in `bytesMax` encoded bytes. Null when there is none yet, or when the folder fails. */
  read(from: number, to: number, bytesMax: number): RaftEntry[] | null {
    const end = Math.min(to, this.lastIndex) + 1;
    if (end <= from || this.broken) return null;
    const entries = this.folder.read(from, end, bytesMax);
    if (typeof entries !== 'number') return entries;
    // The group has to stop, but what the journal has may still be carried into the folder.
    this.failed(`read of the log folder: errno ${-entries}`);
    return null;
  }

  /** Closes the folder; it is as durable as its last checkpoint. */
  close(): void {
    this.broken = true;
    this.folder.close();
  }

  /** The folder goes. 0 or a negated errno. */
  remove(): number {
    this.broken = true;
    this.waiting.length = 0;
    return this.folder.remove();
  }

  private file({ output, cut, hardState }: Filed): number {
    if (cut !== null) return this.folder.cut(cut.index, cut.term);
    if (output === null) return 0;
    const { reset, entries } = output;
    if (reset !== null) {
      const errno = this.folder.reset(reset.index, reset.term, hardState!);
      if (errno < 0) return errno;
      this.lastIndex = reset.index;
    }
    if (entries.length === 0) return 0;
    const told = entries.map(({ index, term, data }) => ({
      ...{ index, term },
      recordBytes: entryRecordBytes(data.byteLength),
    }));
    this.lastIndex = Math.min(this.lastIndex, entries[0]!.index - 1);
    const errno = this.folder.append(entries[0]!.index, told, new EntryRecords(entries));
    if (errno >= 0) this.lastIndex = entries.at(-1)!.index;
    return errno;
  }

  private fail(what: string, errno: number): void {
    this.broken = true;
    this.failed(`${what} of the log folder: errno ${-errno}`);
  }
}
