/**
 * One file of a group's log: `<seq>-<index>.log` (`raft.md` 6.1, 6.3). Records of entries back to back; in a sealed file an index and a footer behind them.
 *
 * What the object knows is what it has written or read whole. Behind `endBytes` the file may hold more (an index that is no longer one, the beginning of a write that
 * failed); it is cut off before anything is written there. Names, order and verdicts belong to `groupFolder.ts` and `folderOpen.ts`.
 */
import assert from 'node:assert';
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { RaftEntry } from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import { writeFully } from '../storage/wholeFile.js';
import { type Damage, readSealedIndex, type SealedIndex } from './logFileScan.js';
import { OffsetTable } from './offsetTable.js';
import { RecordReader } from './recordReader.js';
import type { RecordSource } from './recordSource.js';
import { decodeEntryRecord, encodeSeal, RECORD_OVERHEAD_BYTES } from './records.js';
import { SharedFd } from './sharedFd.js';

export const LOG_FILE_MODE = 0o600;
/** Answered where a record that was whole is damaged now: EILSEQ, which no call on a file gives. */
export const RECORD_DAMAGED = 84;

const LOG_NAME = /^([0-9a-f]{16})-([0-9a-f]{16})\.log$/;

/** The name of the file with sequence number `seq` whose first entry is `index`. */
export function logFileName(seq: number, index: number): string {
  const digits = (value: number): string => value.toString(16).padStart(16, '0');
  return `${digits(seq)}-${digits(index)}.log`;
}

/** Sequence number and index that a name tells, not safe integers where the name has no possible ones; null for what is no log file. */
export function parseLogFileName(name: string): { seq: number; index: number } | null {
  const match = LOG_NAME.exec(name);
  return match === null ? null : { seq: Number(`0x${match[1]}`), index: Number(`0x${match[2]}`) };
}

export class LogFile {
  readonly seq: number;
  /** The index in its name. */
  readonly nameIndex: number;
  readonly path: string;
  /** Of its first entry; what the name says while it is empty. */
  firstIndex: number;
  /** Entries. */
  count = 0;
  /** Bytes of their records. */
  endBytes = 0;
  /** Bytes of the file, seal included; what `endBytes` says of an active one that has nothing behind its records. */
  sizeBytes: number;
  readonly #disk: Disk;
  #shared: SharedFd | null = null;
  #offsets: OffsetTable | null = null;

  constructor(disk: Disk, folder: string, seq: number, nameIndex: number, sizeBytes: number) {
    this.#disk = disk;
    this.seq = seq;
    this.nameIndex = nameIndex;
    this.firstIndex = nameIndex;
    this.path = join(folder, logFileName(seq, nameIndex));
    this.sizeBytes = sizeBytes;
  }

  /** Index of the last entry; one before the name's while it is empty. */
  get lastIndex(): number {
    return this.firstIndex + this.count - 1;
  }

  /** Open, with the offsets of its entries in memory. */
  get loaded(): boolean {
    return this.#offsets !== null;
  }

  /** The open fd. */
  get shared(): SharedFd {
    assert(this.#shared !== null, 'the file is open');
    return this.#shared;
  }

  /** Opens the file, which must exist. 0 or a negated errno. */
  open(): number {
    return this.#open(constants.O_RDWR);
  }

  /** Makes the file, empty. 0 or a negated errno. */
  create(): number {
    const opened = this.#open(constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
    if (opened === 0) this.#offsets = new OffsetTable();
    return opened;
  }

  /** Takes what a scan has found in the open file. */
  take(firstIndex: number, offsets: OffsetTable, endBytes: number): void {
    this.firstIndex = offsets.length > 0 ? firstIndex : this.nameIndex;
    this.count = offsets.length;
    this.endBytes = endBytes;
    this.#offsets = offsets;
  }

  /** Opens a sealed file whose index was read before, and reads it again. 0 or a negated errno. */
  load(): number {
    if (this.loaded) return 0;
    const opened = this.open();
    if (opened < 0) return opened;
    const reader = new RecordReader(this.#disk);
    reader.use(this.shared.fd, this.sizeBytes);
    const index = readSealedIndex(reader, this.sizeBytes, () => null);
    if (!isSame(index, this.count, this.endBytes)) {
      this.unload();
      return 'errno' in index && index.errno < 0 ? index.errno : -RECORD_DAMAGED;
    }
    this.#offsets = new OffsetTable(index.offsets);
    return 0;
  }

  /** Closes the file and forgets the offsets. */
  unload(): void {
    this.#shared?.release();
    this.#shared = null;
    this.#offsets = null;
  }

  /** Writes the next `bytes` of `source` behind the entries, whose number does not change: `added` tells that. 0 or a negated errno. */
  write(source: RecordSource, bytes: number): number {
    const cut = this.cutRest();
    return cut < 0 ? cut : this.#write(this.endBytes, bytes, (step) => source.next(step));
  }

  /** An entry of `recordBytes` has been written whole. */
  added(index: number, recordBytes: number): void {
    if (this.count === 0) this.firstIndex = index;
    assert(index === this.lastIndex + 1, 'an entry is written behind the last one');
    this.#loadedOffsets().push(this.endBytes);
    this.count += 1;
    this.endBytes += recordBytes;
    this.sizeBytes = Math.max(this.sizeBytes, this.endBytes);
  }

  /** Cuts off what lies behind the entries. 0 or a negated errno. */
  cutRest(): number {
    if (this.sizeBytes === this.endBytes) return 0;
    const cut = this.#disk.truncate(this.shared.fd, this.endBytes);
    if (cut === 0) this.sizeBytes = this.endBytes;
    return cut;
  }

  /** Forgets the entries from `index` on, and cuts the file before them. 0 or a negated errno; then the entries are forgotten, and the file is cut when it is written. */
  truncate(index: number): number {
    const kept = index - this.firstIndex;
    assert(kept >= 0 && kept < this.count, 'truncation begins at an entry of the file');
    this.endBytes = this.#loadedOffsets().at(kept);
    this.#loadedOffsets().truncate(kept);
    this.count = kept;
    if (kept === 0) this.firstIndex = this.nameIndex;
    return this.cutRest();
  }

  /** Writes index and footer. 0 or a negated errno; then the file is as it was for those who ask it. */
  seal(termOf: (index: number) => number): number {
    const cut = this.cutRest();
    if (cut < 0) return cut;
    const offsets = this.#loadedOffsets().values();
    const seal = encodeSeal(this.firstIndex, offsets, this.endBytes, termOf);
    return this.#write(this.endBytes, seal.byteLength, () => seal);
  }

  /** Where the bytes of entries [from, to) lie, as far as `bytesMax` reaches: one record at least. */
  place(
    from: number,
    to: number,
    bytesMax: number,
  ): { shared: SharedFd; offset: number; byteLength: number } {
    const offsets = this.#loadedOffsets();
    const offset = offsets.at(from - this.firstIndex);
    const behind = to - this.firstIndex;
    const end = behind < this.count ? offsets.at(behind) : this.endBytes;
    return { shared: this.shared, offset, byteLength: Math.min(end - offset, bytesMax) };
  }

  /**
   * Adds the entries from `from` up to `to` (exclusive) to `entries`, each compared with its checksum, its place and `termOf`: as many as fit in `bytesMax` of encoded entries, the first one
   * whatever its size when `entries` is empty. Bytes of the entries that were added, or a negated errno; -RECORD_DAMAGED when a record is not what it was.
   */
  read(
    from: number,
    to: number,
    bytesMax: number,
    termOf: (index: number) => number,
    entries: RaftEntry[],
  ): number {
    const offsets = this.#loadedOffsets();
    const first = from - this.firstIndex;
    const behind = to - this.firstIndex;
    assert(first >= 0 && first < behind && behind <= this.count, 'the entries are in this file');
    const endOf = (at: number): number => (at + 1 < this.count ? offsets.at(at + 1) : this.endBytes);
    let end = first;
    let bytes = 0;
    for (; end < behind; end += 1) {
      const more = endOf(end) - offsets.at(end) - RECORD_OVERHEAD_BYTES;
      if (bytes + more > bytesMax && (end > first || entries.length > 0)) break;
      bytes += more;
    }
    if (end === first) return 0;
    const start = offsets.at(first);
    const records = new Uint8Array(endOf(end - 1) - start);
    const got = this.#disk.read(this.shared.fd, records, start);
    if (got < 0) return got;
    for (let at = first; at < end; at += 1) {
      const entry = decodeEntryRecord(records.subarray(0, got), offsets.at(at) - start, endOf(at) - start);
      const index = this.firstIndex + at;
      if (typeof entry === 'string' || entry.index !== index || entry.term !== termOf(index))
        return -RECORD_DAMAGED;
      entries.push(entry);
    }
    return bytes;
  }

  /** Writes steps from `next` at `offset`. What a failed write has left behind the entries is remembered. */
  #write(offset: number, bytes: number, next: (bytesMax: number) => Uint8Array): number {
    for (let done = 0; done < bytes; ) {
      const step = next(bytes - done);
      this.sizeBytes = Math.max(this.sizeBytes, offset + done + step.byteLength);
      const written = writeFully(this.#disk, this.shared.fd, step, offset + done);
      if (written < 0) return written;
      done += step.byteLength;
    }
    return 0;
  }

  #open(flags: number): number {
    assert(this.#shared === null, 'the file is not open');
    const fd = this.#disk.open(this.path, flags, LOG_FILE_MODE);
    if (fd < 0) return fd;
    this.#shared = new SharedFd(this.#disk, fd);
    return 0;
  }

  #loadedOffsets(): OffsetTable {
    assert(this.#offsets !== null, 'the offsets are in memory');
    return this.#offsets;
  }
}

function isSame(index: SealedIndex | Damage, count: number, endBytes: number): index is SealedIndex {
  return 'offsets' in index && index.offsets.length === count && index.endBytes === endBytes;
}
