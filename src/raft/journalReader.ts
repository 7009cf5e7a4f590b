/**
 * Reading the journals of a disk, whatever they hold: which frames are there, which are missing, what each group's records come to. Reads only, synchronously, one window of a
 * segment in memory; never throws because of what is on the disk.
 *
 * A segment that begins with a frame that is void is void as a whole: another life of it would have begun there. Else its frames are those of one life in ascending
 * order, at any page; what does not fit is what earlier lives have left. The last frame of all tells from which one on the journal is needed, and between that one and itself none
 * may be missing. What comes behind the last whole frame was never said to be durable, or cannot be told from it.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { isMediumError } from '../storage/diskErrors.js';
import type { Disk } from '../storage/io.js';
import { MiB } from '../storage/layout.js';
import {
  type EmptyMark,
  type FramePlace,
  listSegments,
  NO_MARK,
  readEmptyMark,
  type SegmentFile,
} from './journalFiles.js';
import {
  type Crc32c,
  type FoundRecord,
  FRAME_ALIGN_BYTES,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameBytes,
  isWholeFrame,
  readFrameHeader,
  readRecords,
} from './journalFrame.js';
import { type FrameGap, GroupSummary, type RecordPlace } from './journalReplay.js';

/** Is called with the records of one frame after the other; the payload is valid during the call. */
export type VisitFrame = (frame: number, records: readonly FoundRecord[], payload: Uint8Array) => void;

/** The journal of one worker. */
export interface FoundJournal {
  folder: string;
  /** Nothing was written since it was emptied, and nothing is wrong: there is nothing to do. */
  isEmpty: boolean;
  /** Up to where it was emptied. */
  mark: EmptyMark;
  /** Whole frames that are needed. */
  frames: number;
  /** The last whole frame and life on the disk; those of the mark when there is none behind it. */
  last: EmptyMark;
  /** Where that frame is; null when there is none behind the mark. */
  lastPlace: FramePlace | null;
  /** Groups that have not ended. */
  groups: Map<number, GroupSummary>;
  /** Frames that were durable and are missing, in order. */
  gaps: FrameGap[];
  /** The medium is damaged, so nobody knows what is missing. */
  unreadable: boolean;
  /** Why it could not be read this time, as a medium that is damaged does not explain; null. */
  failure: string | null;
  /** What is wrong, for the operator. */
  problems: string[];
  /** Reads the needed frames again, in order. False when they are no longer the same. */
  walk(visit: VisitFrame): boolean;
}

interface Segment {
  file: SegmentFile;
  life: number;
}

const ENOENT = 2;
const EIO = 5;
/** Of a segment, kept in memory at a time; more for a frame that is larger. */
const WINDOW_BYTES_MAX = MiB;
/** Pages of a segment that cannot be read before it is given up: a dying disk may take long for each. */
const ERRORS_MAX = 8;

/** The journals below `raftFolder`, one a worker. Empty where there is no such folder; a message when it cannot be listed. `progress` is called after each read, then and in later walks. */
export function readJournals(
  disk: Disk,
  raftFolder: string,
  crc32c: Crc32c,
  progress: () => void = () => undefined,
): FoundJournal[] | string {
  const entries = disk.scan(raftFolder);
  if (entries === -ENOENT) return [];
  if (typeof entries === 'number') return `readdir ${raftFolder}: ${disk.errnoText(entries)}`;
  const workers = entries.filter(({ name, kind }) => kind === 'folder' && /^\d+$/.test(name));
  return workers
    .map(({ name }) => name)
    .sort((a, b) => Number(a) - Number(b))
    .map((name) => new JournalReader(disk, join(raftFolder, name), crc32c, progress).read());
}

/** A frame that is whole: where it is, and its payload, which must be used before the next one is asked for. */
interface WholeFrame {
  header: FrameHeader;
  offset: number;
  payload: Uint8Array;
}

interface NeededFrame {
  place: FramePlace;
  frame: number;
  life: number;
  records: FoundRecord[] | null;
  payload: Uint8Array;
}

class JournalReader {
  readonly #disk: Disk;
  readonly #crc32c: Crc32c;
  readonly #progress: () => void;
  readonly #found: FoundJournal;
  #window = new Uint8Array(0);
  #windowStart = 0;
  #windowBytes = 0;
  /** A segment begins with a frame behind the mark, whole or torn. */
  #begun = false;
  /** With frames behind the mark, oldest first. */
  #segments: Segment[] = [];
  /** The first frame that is needed. */
  #tail = 0;
  /** The last end of each group that has ended. */
  readonly #ends = new Map<number, RecordPlace>();

  constructor(disk: Disk, folder: string, crc32c: Crc32c, progress: () => void) {
    this.#disk = disk;
    this.#progress = progress;
    this.#crc32c = crc32c;
    this.#found = {
      ...{ folder, isEmpty: false, mark: NO_MARK, frames: 0, last: NO_MARK, groups: new Map(), gaps: [] },
      ...{
        lastPlace: null,
        unreadable: false,
        failure: null,
        problems: [],
        walk: (visit) => this.#walkAgain(visit),
      },
    };
  }

  read(): FoundJournal {
    const found = this.#found;
    const { folder } = found;
    const mark = readEmptyMark(this.#disk, folder, this.#crc32c);
    // Without its mark everything counts: what was emptied was settled, or is recovered once more.
    if ('reason' in mark) this.#unreadable(mark.reason, mark.errno);
    else found.mark = mark;
    found.last = found.mark;
    this.#segments = this.#findSegments();
    const newest = this.#segments.at(-1);
    found.isEmpty = newest === undefined && !this.#begun && found.problems.length === 0;
    if (newest === undefined) return found;
    this.#tail = found.mark.frame + 1;
    for (const { header } of this.#framesOf(newest)) this.#tail = Math.max(found.mark.frame + 1, header.tail);
    let expected = this.#tail;
    for (const { frame, life, records, place } of this.#neededFrames()) {
      if (frame > expected) this.#miss(expected, frame - 1);
      if (records === null) this.#miss(frame, frame);
      else this.#summarize(frame, records);
      expected = frame + 1;
      found.last = { frame, life };
      found.lastPlace = place;
    }
    return found;
  }

  #walkAgain(visit: VisitFrame): boolean {
    let count = 0;
    for (const { frame, records, payload } of this.#neededFrames()) {
      if (records === null) continue;
      visit(frame, records, payload);
      count += 1;
    }
    return count === this.#found.frames;
  }

  /** Segments with frames behind the mark, oldest first. */
  #findSegments(): Segment[] {
    const { folder, mark } = this.#found;
    const files = listSegments(this.#disk, folder);
    if (typeof files === 'number') {
      this.#unreadable(`readdir ${folder}: ${this.#disk.errnoText(files)}`, files);
      return [];
    }
    const segments: Segment[] = [];
    for (const file of files) {
      for (const { header, offset } of this.#wholeFrames(file, mark.life)) {
        if (header.number > mark.frame) segments.push({ file, life: header.life });
        else if (offset > 0) continue;
        break;
      }
    }
    return segments.sort((a, b) => a.life - b.life);
  }

  /** Whole frames from the tail on, ascending. Records null: they are none although the checksum holds. */
  *#neededFrames(): Generator<NeededFrame> {
    let last = this.#tail - 1;
    for (const segment of this.#segments) {
      for (const { header, payload, offset } of this.#framesOf(segment)) {
        const { number: frame, life } = header;
        if (frame <= last) continue;
        last = frame;
        const records = readRecords(payload, header.records);
        const place = { path: segment.file.path, offset, bytes: frameBytes(header.payloadBytes) };
        yield { place, frame, life, records: typeof records === 'string' ? null : records, payload };
      }
    }
  }

  #miss(from: number, to: number): void {
    this.#found.gaps.push({ from, to });
    this.#found.problems.push(`frames ${from} to ${to} are damaged or missing`);
  }

  #summarize(frame: number, records: readonly FoundRecord[]): void {
    const { groups } = this.#found;
    for (const [number, record] of records.entries()) {
      const { group } = record;
      if (record.kind === 'end') {
        groups.delete(group);
        this.#ends.set(group, { frame, number });
        continue;
      }
      const summary = groups.get(group) ?? new GroupSummary(this.#ends.get(group));
      groups.set(group, summary);
      summary.take(record, frame);
    }
    this.#found.frames += 1;
  }

  /** The frames of the segment's life behind the mark, ascending. */
  *#framesOf({ file, life }: Segment): Generator<WholeFrame> {
    let last = this.#found.mark.frame;
    for (const frame of this.#wholeFrames(file, life)) {
      if (frame.header.life !== life || frame.header.number <= last) continue;
      last = frame.header.number;
      yield frame;
    }
  }

  /** Every whole frame of a segment whose life is at least `lifeMin`, and the one at its start whatever its life. */
  *#wholeFrames({ path, sizeBytes }: SegmentFile, lifeMin: number): Generator<WholeFrame> {
    const fd = this.#disk.open(path, constants.O_RDONLY, 0);
    if (fd < 0) return this.#unreadable(`open ${path}: ${this.#disk.errnoText(fd)}`, fd);
    const windowBytes = Math.min(WINDOW_BYTES_MAX, sizeBytes);
    if (this.#window.byteLength < windowBytes) this.#window = new Uint8Array(windowBytes);
    this.#windowBytes = 0;
    try {
      let errors = 0;
      for (let offset = 0; offset + FRAME_HEADER_BYTES <= sizeBytes && errors < ERRORS_MAX; ) {
        const frame = this.#frameAt(fd, offset, sizeBytes, offset === 0 ? 0 : lifeMin);
        if (typeof frame === 'number') {
          errors += 1;
          this.#unreadable(`read ${path} at ${offset}: ${this.#disk.errnoText(frame)}`, frame);
        } else if (frame !== null) {
          yield frame;
          offset += frameBytes(frame.header.payloadBytes);
          continue;
        }
        offset += FRAME_ALIGN_BYTES;
      }
    } finally {
      this.#disk.close(fd);
    }
  }

  /** The whole frame at `offset`; null when there is none; a negated errno. */
  #frameAt(fd: number, offset: number, sizeBytes: number, lifeMin: number): WholeFrame | number | null {
    const head = this.#bytesAt(fd, offset, FRAME_HEADER_BYTES);
    if (typeof head === 'number') return head;
    const header = readFrameHeader(head, 0);
    if (header !== null && offset === 0 && header.number > this.#found.mark.frame) this.#begun = true;
    if (header === null || header.life < lifeMin) return null;
    const length = FRAME_HEADER_BYTES + header.payloadBytes;
    if (offset + length > sizeBytes) return null;
    const bytes = this.#bytesAt(fd, offset, length);
    if (typeof bytes === 'number') return bytes;
    if (!isWholeFrame(bytes, 0, header, this.#crc32c)) return null;
    return { header, offset, payload: bytes.subarray(FRAME_HEADER_BYTES) };
  }

  /** The bytes `[offset, offset + length)` of the file, valid until the next call; a negated errno, -EIO when the file ends before. */
  #bytesAt(fd: number, offset: number, length: number): Uint8Array | number {
    const from = offset - this.#windowStart;
    if (from >= 0 && from + length <= this.#windowBytes) return this.#window.subarray(from, from + length);
    if (length > this.#window.byteLength) this.#window = new Uint8Array(length);
    this.#windowStart = offset;
    this.#windowBytes = 0;
    // Of most segments of an emptied journal nothing but the first page is looked at.
    const bytes = offset === 0 ? Math.max(length, FRAME_ALIGN_BYTES) : this.#window.byteLength;
    const count = this.#disk.read(fd, this.#window.subarray(0, bytes), offset);
    this.#progress();
    if (count < length) return count < 0 ? count : -EIO;
    this.#windowBytes = count;
    return this.#window.subarray(0, length);
  }

  /** `errno`: of a read that failed; 0 where what was read is damaged and nothing depends on it. */
  #unreadable(what: string, errno: number): void {
    if (isMediumError(errno)) this.#found.unreadable = true;
    else if (errno < 0) this.#found.failure ??= what;
    if (!this.#found.problems.includes(what)) this.#found.problems.push(what);
  }
}
