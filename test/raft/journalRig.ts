/**
 * A journal on a simulated disk, for the tests of the journal and of recovery: small segments and frames, log records in Go's format, and the reading of
 * what is on the disk without the production reader.
 */
import assert from 'node:assert';
import { native } from '../../src/native/addon.js';
import type { RaftEntry } from '../../src/protocol/raftStructs.js';
import { Journal, type JournalOptions } from '../../src/raft/journal.js';
import {
  type FoundRecord,
  type FrameHeader,
  frameBytes,
  isWholeFrame,
  readFrameHeader,
  readRecords,
} from '../../src/raft/journalFrame.js';
import type { FoundJournal } from '../../src/raft/journalReader.js';
import { GroupPlan, type GroupRecord, GroupSummary, type RecordPlace } from '../../src/raft/journalReplay.js';
import { SimDisk } from '../sim/simDisk.js';

export const RIG_SEGMENT_BYTES = 64 * 1024;
export const RIG_BUFFER_BYTES = 64 * 1024;
export const RIG_FOLDER = '/disk/.extentd.raft/0';

/** A disk with a root and room for the buffers of a journal. */
export function rigDisk(seed = 1): SimDisk {
  const disk = new SimDisk({ regions: [new Uint8Array(RIG_BUFFER_BYTES)], seed });
  disk.mkdir('/disk', 0o755);
  disk.fsyncFolder('/');
  return disk;
}

/** Opens a journal on the disk, whose first region is its buffer. Messages of its log go to `lines`. */
export function openJournal(
  disk: SimDisk,
  region: Uint8Array,
  changes: Partial<JournalOptions> = {},
  lines: string[] = [],
): Journal | string {
  return Journal.open({
    ...{ disk, folder: RIG_FOLDER, regions: [region], region: 0, bufferOffset: 0 },
    ...{ bufferBytes: RIG_BUFFER_BYTES, segmentBytes: RIG_SEGMENT_BYTES, segmentsMax: 4 },
    crc32c: native.crc32c,
    log: (level, message) => lines.push(`${level} ${message}`),
    ...changes,
  });
}

/** A journal on a disk of its own. */
export class JournalRig {
  readonly region = new Uint8Array(RIG_BUFFER_BYTES);
  readonly disk: SimDisk;
  readonly journal: Journal;
  readonly lines: string[] = [];
  /** As told, in order. */
  readonly durable: number[] = [];
  readonly failures: number[] = [];

  constructor(changes: Partial<JournalOptions> = {}, seed = 1) {
    this.disk = new SimDisk({ regions: [this.region], seed });
    this.disk.mkdir('/disk', 0o755);
    this.disk.fsyncFolder('/');
    const journal = openJournal(this.disk, this.region, changes, this.lines);
    assert(typeof journal !== 'string', String(journal));
    this.journal = journal;
    journal.onDurable = (frame) => this.durable.push(frame);
    journal.onFailed = (errno) => this.failures.push(errno);
  }

  /** Lets everything happen that was submitted, and what follows from it. */
  settle(): void {
    while (this.disk.step()) this.disk.drainCompletions();
    this.disk.drainCompletions();
  }

  /** As many turns as it takes until nothing waits, or nothing moves any more. */
  run(): void {
    for (let turn = 0; turn < 200 && this.journal.queuedBytes > 0; turn += 1) {
      this.journal.flush();
      this.settle();
    }
  }
}

/** A log record in Go's format around an entry of so many bytes of data (`raft.md` 6.3). */
export function logRecord(index: number, term: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(13 + 17 + data.byteLength);
  const view = new DataView(bytes.buffer);
  bytes[0] = 1;
  view.setBigUint64(1, BigInt(17 + data.byteLength));
  view.setBigUint64(10, BigInt(term));
  view.setBigUint64(18, BigInt(index));
  bytes.set(data, 26);
  const crc = native.crc32c(bytes.subarray(9, 26 + data.byteLength), 0);
  view.setUint32(26 + data.byteLength, (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0);
  return bytes;
}

/** Records of the entries `[first, last]` of one term; their data tells index and term. */
export function logRecords(first: number, last: number, term: number, dataBytes = 20): Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let index = first; index <= last; index += 1) {
    records.push(logRecord(index, term, dataOf(index, term, dataBytes)));
  }
  return records;
}

/** The entries of `logRecords`. */
export function logEntries(first: number, last: number, term: number, dataBytes = 20): RaftEntry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => {
    const index = first + at;
    return { type: 0, term, index, data: dataOf(index, term, dataBytes) };
  });
}

function dataOf(index: number, term: number, dataBytes: number): Uint8Array {
  return new Uint8Array(dataBytes).fill((index * 7 + term) & 0xff);
}

/** A frame as it lies on the disk. */
export interface SeenFrame extends FrameHeader {
  segment: string;
  offset: number;
  found: FoundRecord[];
}

/** Every whole frame at a page of a segment, by number. */
export function framesOn(disk: SimDisk, folder = RIG_FOLDER): SeenFrame[] {
  const names = (disk.scan(folder) as { name: string }[]).map(({ name }) => name);
  const seen: SeenFrame[] = [];
  for (const segment of names.filter((name) => name.startsWith('segment.'))) {
    const bytes = disk.content(`${folder}/${segment}`);
    for (let offset = 0; offset < bytes.byteLength; offset += 4096) {
      const header = readFrameHeader(bytes, offset);
      if (header === null || !isWholeFrame(bytes, offset, header, native.crc32c)) continue;
      assert(offset + frameBytes(header.payloadBytes) <= bytes.byteLength);
      const payload = bytes.subarray(offset + 40, offset + 40 + header.payloadBytes);
      const found = readRecords(payload, header.records);
      assert(typeof found !== 'string', String(found));
      seen.push({ ...header, segment, offset, found });
    }
  }
  return seen.sort((a, b) => a.number - b.number);
}

/** What a journal has of a group, and the entries of it that count: first and last index, and their log records. */
export function plannedOf(
  journal: FoundJournal,
  group: number,
): { plan: GroupPlan; runs: { firstIndex: number; lastIndex: number; bytes: Uint8Array }[] } {
  const plan = new GroupPlan(journal.groups.get(group) ?? new GroupSummary(), journal.gaps);
  const runs: { firstIndex: number; lastIndex: number; bytes: Uint8Array }[] = [];
  const look = (visit: (record: GroupRecord, place: RecordPlace, payload: Uint8Array) => void): void => {
    const same = journal.walk((frame, records, payload) => {
      for (const [number, record] of records.entries())
        if (record.kind !== 'end' && record.group === group) visit(record, { frame, number }, payload);
    });
    assert(same);
  };
  look((record, place) => plan.take(record, place));
  look((record, place, payload) => {
    if (record.kind !== 'entries' || !plan.counts(place)) return;
    const { firstIndex, lastIndex, at, byteLength } = record;
    runs.push({ firstIndex, lastIndex, bytes: payload.slice(at, at + byteLength) });
  });
  return { plan, runs };
}

/** The state of a group that is new. */
export const NEW = { term: 0, vote: 0, commit: 0 };

/** Groups join, each as a new one. */
export function joined(rig: JournalRig, ...groups: number[]): Journal {
  for (const group of groups) rig.journal.join(group, NEW, 0, 0);
  return rig.journal;
}

/** Appends `count` entries of a group from `first` on, in one record. */
export function append(
  journal: Journal,
  group: number,
  first: number,
  count: number,
  dataBytes = 20,
): number {
  const last = first + count - 1;
  return journal.entries(group, logEntries(first, last, 1, dataBytes));
}
