/**
 * The raft log of a partition as it lies on disk (`raft.md` 6): hard state, truncation point, files with their first and last entries. Reads only; bounded
 * memory whatever the files claim.
 *
 * Sealed files are told from their index, the last file is read through with every checksum. What is damaged is a line in `problem` of its file, never an
 * error of the tool.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { native } from '../native/addon.js';
import type { Disk } from '../storage/io.js';
import { readWholeFile } from '../storage/wholeFile.js';
import { shown, type Uint64, viewOf } from './uint64.js';

/** One `<seq>-<index>.log`. */
export interface RaftLogFile {
  name: string;
  sizeBytes: number;
  /** Has an index and a footer; the last file usually has none. */
  sealed: boolean;
  /** Entries told by the index, or found before the first damage. */
  entries: number;
  firstIndex: Uint64 | null;
  lastIndex: Uint64 | null;
  lastTerm: Uint64 | null;
  /** What is wrong with it, null for nothing. */
  problem: string | null;
}

/** The folder `wal_<id>`. */
export interface RaftLogReport {
  folder: string;
  /** Bytes of its META; 0, 24 or 40 are right. */
  metaBytes: number;
  hardState: { term: Uint64; commit: Uint64; vote: Uint64 };
  truncated: { index: Uint64; term: Uint64 };
  /** By sequence number; the last is the active one. */
  files: RaftLogFile[];
  firstIndex: Uint64;
  /** As far as it can be read. */
  lastIndex: Uint64;
  /** Entries of the folder that are no log files. */
  others: string[];
  problems: string[];
}

const HARD_STATE_BYTES = 24;
const META_BYTES = 40;
const META_BYTES_MAX = 4096;
/** Type and length in front, checksum behind. */
const RECORD_HEAD_BYTES = 9;
const RECORD_BYTES = 13;
const RECORD = { entry: 1, index: 2, footer: 3 } as const;
const ENTRY_HEAD_BYTES = 17;
const INDEX_ITEM_BYTES = 20;
const FOOTER_DATA_BYTES = 16;
const FOOTER_BYTES = RECORD_BYTES + FOOTER_DATA_BYTES;
const FOOTER_MAGIC = 0xf9bf3e0ad3c5cc3fn;
const STEP_BYTES = 128 * 1024;

const LOG_NAME = /^([0-9a-f]{16})-([0-9a-f]{16})\.log$/;

/** Reads the raft log folder at `folder`. A message when it cannot be listed. */
export function readRaftLog(disk: Disk, folder: string): RaftLogReport | string {
  const entries = disk.scan(folder);
  if (typeof entries === 'number') return `readdir ${folder}: ${disk.errnoText(entries)}`;
  const problems: string[] = [];
  const meta = readLogMeta(disk, join(folder, 'META'), problems);
  const named = entries.flatMap((entry) => {
    const match = LOG_NAME.exec(entry.name);
    return match === null ? [] : [{ entry, seq: BigInt(`0x${match[1]}`), index: BigInt(`0x${match[2]}`) }];
  });
  named.sort((a, b) => (a.seq < b.seq ? -1 : 1));
  const scans = named.map(({ entry }, at) => {
    const file = new LogFile(disk, join(folder, entry.name), entry.name, entry.sizeBytes);
    file.readAll(at === named.length - 1);
    return file;
  });
  let lastIndex = meta.truncIndex;
  for (const { last } of scans) if (last !== null && last > lastIndex) lastIndex = last;
  const active = scans.at(-1);
  const nameIndex = named.at(-1)?.index ?? 1n;
  if (active?.last === null && named.length > 1 && nameIndex - 1n > lastIndex) lastIndex = nameIndex - 1n;
  if (meta.commit > lastIndex)
    problems.push(`the log ends at ${lastIndex}, before the commit ${meta.commit}`);
  return {
    folder,
    metaBytes: meta.bytes,
    hardState: { term: shown(meta.term), commit: shown(meta.commit), vote: shown(meta.vote) },
    truncated: { index: shown(meta.truncIndex), term: shown(meta.truncTerm) },
    files: scans.map((file) => file.report),
    firstIndex: shown(meta.truncIndex + 1n),
    lastIndex: shown(lastIndex),
    others: entries.map(({ name }) => name).filter((name) => name !== 'META' && !LOG_NAME.test(name)),
    problems,
  };
}

interface LogMeta {
  bytes: number;
  term: bigint;
  commit: bigint;
  vote: bigint;
  truncIndex: bigint;
  truncTerm: bigint;
}

/** META of the log: missing parts are zeros. */
function readLogMeta(disk: Disk, path: string, problems: string[]): LogMeta {
  const bytes = readWholeFile(disk, path, META_BYTES_MAX);
  const found = typeof bytes === 'number' ? new Uint8Array(0) : bytes;
  if (typeof bytes === 'number') problems.push(`read ${path}: ${disk.errnoText(bytes)}`);
  else if (![0, HARD_STATE_BYTES, META_BYTES].includes(bytes.byteLength))
    problems.push(`META of the log has ${bytes.byteLength} bytes: 0, 24 or 40 are right`);
  const full = new Uint8Array(META_BYTES);
  full.set(found.subarray(0, META_BYTES));
  const view = viewOf(full);
  const at = (offset: number): bigint => view.getBigUint64(offset);
  return {
    bytes: found.byteLength,
    ...{ term: at(0), commit: at(8), vote: at(16), truncIndex: at(24), truncTerm: at(32) },
  };
}

/** One log file while it is read. */
class LogFile {
  readonly report: RaftLogFile;
  /** Index of the last entry, null while there is none. */
  last: bigint | null = null;
  readonly #disk: Disk;
  readonly #path: string;
  readonly #buffer = new Uint8Array(STEP_BYTES);
  readonly #head = new Uint8Array(RECORD_HEAD_BYTES + ENTRY_HEAD_BYTES);
  #fd = -1;

  constructor(disk: Disk, path: string, name: string, sizeBytes: number) {
    this.#disk = disk;
    this.#path = path;
    this.report = {
      ...{ name, sizeBytes, sealed: false, entries: 0, problem: null },
      ...{ firstIndex: null, lastIndex: null, lastTerm: null },
    };
  }

  /** `active`: records are read from the front; else the index at the end is taken. */
  readAll(active: boolean): void {
    this.#fd = this.#disk.open(this.#path, constants.O_RDONLY, 0);
    if (this.#fd < 0) {
      this.report.problem = `open: ${this.#disk.errnoText(this.#fd)}`;
      return;
    }
    this.report.problem = active ? this.#readRecords() : this.#readSealed();
    this.#disk.close(this.#fd);
  }

  /** All records from the front; what ended the reading before the end of the file, or null. */
  #readRecords(): string | null {
    const { sizeBytes } = this.report;
    let offset = 0;
    while (offset < sizeBytes) {
      const record = this.#recordAt(offset);
      if (typeof record === 'string') return record;
      if (record.type === RECORD.index) return this.#indexAt(offset, record.dataBytes);
      if (record.type !== RECORD.entry) return `record of type ${record.type} at ${offset}`;
      if (record.dataBytes < ENTRY_HEAD_BYTES) return `entry of ${record.dataBytes} bytes at ${offset}`;
      const view = viewOf(this.#head);
      const index = view.getBigUint64(RECORD_HEAD_BYTES + 9);
      if (this.last !== null && index !== this.last + 1n)
        return `entry ${index} follows entry ${this.last} at ${offset}`;
      this.#take(index, view.getBigUint64(RECORD_HEAD_BYTES + 1));
      this.report.entries += 1;
      offset += RECORD_BYTES + record.dataBytes;
    }
    return null;
  }

  #take(index: bigint, term: bigint): void {
    this.last = index;
    this.report.firstIndex ??= shown(index);
    this.report.lastIndex = shown(index);
    this.report.lastTerm = shown(term);
  }

  /** Footer, index record, its first and last item. */
  #readSealed(): string | null {
    const footerAt = this.report.sizeBytes - FOOTER_BYTES;
    if (footerAt < 0) return 'a sealed file without a footer';
    const footer = this.#recordAt(footerAt);
    if (typeof footer === 'string' || footer.type !== RECORD.footer || footer.dataBytes !== FOOTER_DATA_BYTES)
      return 'a sealed file without a footer';
    const view = viewOf(this.#head);
    if (view.getBigUint64(RECORD_HEAD_BYTES + 8) !== FOOTER_MAGIC) return 'the footer has a wrong mark';
    const indexAt = Number(view.getBigUint64(RECORD_HEAD_BYTES));
    if (indexAt >= footerAt) return 'the footer names no index record';
    const record = this.#recordAt(indexAt);
    if (typeof record === 'string') return record;
    if (record.type !== RECORD.index) return 'the footer names no index record';
    return this.#indexAt(indexAt, record.dataBytes);
  }

  /** The index record at `offset`, whose checksum holds. The file must end with it, or with the footer behind it. */
  #indexAt(offset: number, dataBytes: number): string | null {
    if (this.report.sizeBytes > offset + RECORD_BYTES + dataBytes + FOOTER_BYTES)
      return `something follows the index at ${offset}`;
    const count = viewOf(this.#head).getUint32(RECORD_HEAD_BYTES);
    if (dataBytes !== 4 + count * INDEX_ITEM_BYTES) return `the index at ${offset} has a wrong count`;
    this.report.sealed = true;
    this.report.entries = count;
    this.report.firstIndex = null;
    this.last = null;
    for (const item of count === 0 ? [] : [0, count - 1]) {
      const bytes = this.#head.subarray(0, INDEX_ITEM_BYTES);
      const at = offset + RECORD_HEAD_BYTES + 4 + item * INDEX_ITEM_BYTES;
      if (this.#disk.read(this.#fd, bytes, at) !== INDEX_ITEM_BYTES)
        return `the index at ${offset} ends early`;
      this.#take(viewOf(bytes).getBigUint64(0), viewOf(bytes).getBigUint64(8));
    }
    return null;
  }

  /**
   * Type and length of the record at `offset`, its checksum compared; the first bytes of its data are left in `#head`. A message when it is cut off or
   * damaged.
   */
  #recordAt(offset: number): { type: number; dataBytes: number } | string {
    this.#head.fill(0);
    const got = this.#disk.read(this.#fd, this.#head, offset);
    if (got < 0) return `read at ${offset}: ${this.#disk.errnoText(got)}`;
    const view = viewOf(this.#head);
    const dataBytes = Number(view.getBigUint64(1));
    if (got < RECORD_HEAD_BYTES || offset + RECORD_BYTES + dataBytes > this.report.sizeBytes)
      return `the record at ${offset} is cut off by the end of the file`;
    let crc = 0;
    const dataAt = offset + RECORD_HEAD_BYTES;
    for (let done = 0; done < dataBytes; ) {
      const piece = this.#buffer.subarray(0, Math.min(STEP_BYTES, dataBytes - done));
      if (this.#disk.read(this.#fd, piece, dataAt + done) !== piece.byteLength)
        return `the record at ${offset} cannot be read whole`;
      crc = native.crc32c(piece, crc);
      done += piece.byteLength;
    }
    const stored = this.#buffer.subarray(0, 4);
    if (this.#disk.read(this.#fd, stored, dataAt + dataBytes) !== 4)
      return `the record at ${offset} cannot be read whole`;
    if (viewOf(stored).getUint32(0) !== maskedCrc(crc)) return `the record at ${offset} has a wrong checksum`;
    return { type: this.#head[0]!, dataBytes };
  }
}

/** The form in which the log stores a CRC-32C: rotated and offset. */
export function maskedCrc(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
