/**
 * The journal of a worker of a disk: what its groups must not forget, made durable together (`docs/raft.md`, "The journal"). Owned by the worker's raft host.
 *
 * Records go into frames; one frame at a time is under way to the disk, and what comes meanwhile waits for the next one. After `open` everything is submitted
 * work: nothing here blocks or calls back from within a call of its owner. Which frame takes a record is decided by `JournalQueue`, which segment takes a frame by
 * `JournalSegments`. What a durable write that failed was about is not known any more, so a failure is final,
 * but for want of room.
 */
import assert from 'node:assert';
import type { HardState, RaftEntry } from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import { MiB } from '../storage/layout.js';
import { type BufferPlace, FrameBuffer } from './frameBuffer.js';
import { isForWantOfRoom, segmentPath, writeEmptyMark } from './journalFiles.js';
import {
  type Crc32c,
  FRAME_ALIGN_BYTES,
  FRAME_HEADER_BYTES,
  frameBytes,
  type JournalRecord,
} from './journalFrame.js';
import { type JournalFiles, openJournalFiles } from './journalOpen.js';
import { JournalQueue, type PlannedFrame } from './journalQueue.js';
import { JournalSegments } from './journalSegments.js';
import { entryRecordBytes } from './records.js';
import { SegmentMaker } from './segmentMaker.js';

/** The place: where frames are built. */
export interface JournalOptions extends BufferPlace {
  disk: Disk;
  /** `<disk>/.extentd.raft/<worker>`; it and the folder above it are made where they are missing. */
  folder: string;
  /** A multiple of 4 KiB. */
  segmentBytes: number;
  /** More are made only when small records have no other place. */
  segmentsMax: number;
  crc32c: Crc32c;
  log: (level: 'info' | 'warn' | 'error', message: string) => void;
}

/** What the journal knows of a group: for the next checkpoint, and for the first record that it writes. */
interface KnownGroup {
  hardState: HardState;
  cutIndex: number;
  cutTerm: number;
  /** A record of the group was added since it joined, or since its last checkpoint: what it is now stands in front of the next one otherwise. */
  told: boolean;
}

interface FrameUnderWay {
  frame: PlannedFrame;
  fd: number;
  offset: number;
  bufferOffset: number;
  bytes: number;
}

const EAGAIN = 11;
const EIO = 5;
/** What a frame and an entries record take beside one log record, generously. */
const RECORD_ROOM_BYTES = 128;
/** Payload that may wait before proposals have to. */
const QUEUED_BYTES_MAX = 8 * MiB;

export class Journal {
  /** A frame, and all before it, is durable. */
  onDurable: (frame: number) => void = () => undefined;
  /** A durable write failed: nothing more will be written. A negated errno. */
  onFailed: (errno: number) => void = () => undefined;

  readonly #options: JournalOptions;
  readonly #queue: JournalQueue;
  readonly #segments: JournalSegments;
  readonly #maker: SegmentMaker;
  /** By number of the file. */
  readonly #fds: Map<number, number>;
  readonly #groups = new Map<number, KnownGroup>();
  readonly #buffer: FrameBuffer;
  #underWay: FrameUnderWay | null = null;
  /** The frame under way found no room: it waits for a tick, or is tried again. */
  #room: 'there' | 'waits' | 'tried' = 'there';
  #making = false;
  /** The file system has no room for another segment; asked again at each flush. */
  #isFull = false;
  #lastLife: number;
  #durableFrame: number;
  #failed = 0;
  #closed = false;

  private constructor(options: JournalOptions, buffer: FrameBuffer, files: JournalFiles) {
    const { disk, folder, region, segmentBytes } = options;
    const { zerosOffset, zerosBytes } = buffer;
    this.#options = options;
    this.#buffer = buffer;
    this.#fds = files.fds;
    this.#lastLife = files.mark.life;
    this.#durableFrame = files.mark.frame;
    this.#segments = new JournalSegments(segmentBytes, files.mark.life + 1);
    for (const file of files.fds.keys()) this.#segments.addFree(file);
    this.#queue = new JournalQueue(buffer.frameBytesMax - FRAME_HEADER_BYTES, files.mark.frame + 1);
    this.#maker = new SegmentMaker({ disk, folder, segmentBytes, region, zerosOffset, zerosBytes });
  }

  /**
   * Opens the journal in a folder, which must be empty or have been emptied (`recovery.ts`). Makes the folder and the first segment where they are missing, with
   * synchronous calls. A message when that fails, or when there are frames that nobody has recovered.
   */
  static open(options: JournalOptions): Journal | string {
    const { segmentBytes, segmentsMax } = options;
    assert(segmentBytes % FRAME_ALIGN_BYTES === 0 && segmentsMax >= 2, 'two segments of whole pages');
    const buffer = new FrameBuffer(options, segmentBytes);
    const files = openJournalFiles(options, buffer.zeros);
    return typeof files === 'string' ? files : new Journal(options, buffer, files);
  }

  /** Number of the frame into which a small record would go now. */
  get nextFrame(): number {
    return this.#queue.nextNumber;
  }

  get durableFrame(): number {
    return this.#durableFrame;
  }

  /** The negated errno of the durable write that failed; 0. */
  get failed(): number {
    return this.#failed;
  }

  /** A frame has found no room and is tried again at each tick. */
  get lacksRoom(): boolean {
    return this.#room !== 'there';
  }

  /** Payload that is not durable yet, bytes. */
  get queuedBytes(): number {
    return this.#queue.payloadBytes + (this.#underWay?.frame.payloadBytes ?? 0);
  }

  /** False when too much waits, or all but one segment are needed: entries have to wait then, what is small may still come. */
  get hasRoom(): boolean {
    if (this.#failed !== 0 || this.lacksRoom || this.queuedBytes >= QUEUED_BYTES_MAX) return false;
    return this.#roomBytes() - this.#queue.payloadBytes >= this.#options.segmentBytes;
  }

  /** Bytes of the largest log record that a frame holds. */
  get logRecordBytesMax(): number {
    return this.#buffer.frameBytesMax - RECORD_ROOM_BYTES;
  }

  /**
   * Tells with which state a group's folder was opened. Before its first record, and again after `end`. The journal writes what it knows of the group in front of that record,
   * and of the first one behind each checkpoint: by it a recovery knows a folder that somebody else has written to.
   */
  join(group: number, hardState: HardState, cutIndex: number, cutTerm: number): void {
    assert(!this.#groups.has(group), 'a group joins once');
    this.#groups.set(group, { hardState, cutIndex, cutTerm, told: false });
  }

  // Each returns the number of the frame that will hold the record, or the last part of it.

  /** Entries without a gap, at least one, as log records in Go's format. They are encoded when their frame is built. */
  entries(group: number, entries: readonly RaftEntry[]): number {
    for (const { data } of entries)
      assert(entryRecordBytes(data.byteLength) <= this.logRecordBytesMax, 'a log record fits into a frame');
    return this.#add({ kind: 'entries', group, entries });
  }

  hardState(group: number, hardState: HardState): number {
    const number = this.#add({ kind: 'hardState', group, hardState });
    this.#known(group).hardState = hardState;
    return number;
  }

  /** The log of the group begins behind `index` from now on. */
  cut(group: number, index: number, term: number): number {
    const number = this.#add({ kind: 'cut', group, index, term });
    const known = this.#known(group);
    known.cutIndex = index;
    known.cutTerm = term;
    return number;
  }

  /** A snapshot was taken in: the log is empty behind `index`, which is the commit. */
  reset(group: number, index: number, term: number): number {
    const number = this.#add({ kind: 'reset', group, index, term });
    const known = this.#known(group);
    known.hardState = { ...known.hardState, commit: index };
    known.cutIndex = index;
    known.cutTerm = term;
    return number;
  }

  /** The group's folder is durable with everything of it in frames up to `frame`, which is durable itself. */
  checkpoint(group: number, frame: number): number {
    assert(frame <= this.#durableFrame, 'a folder holds what is durable');
    const known = this.#known(group);
    const { hardState, cutIndex: index, cutTerm: term } = known;
    const number = this.#add({ kind: 'checkpoint', group, frame, hardState, index, term });
    // The segment with this record may be written again as soon as nobody else needs it.
    known.told = false;
    return number;
  }

  /** The group leaves this node. */
  end(group: number): number {
    const number = this.#add({ kind: 'end', group });
    this.#groups.delete(group);
    return number;
  }

  /** 300 ms have passed: a frame that found no room is tried again, in its place. */
  tick(): void {
    if (this.#room !== 'waits' || this.#closed || this.#failed !== 0) return;
    this.#room = 'tried';
    this.#submit(this.#underWay!);
  }

  /** Starts the next frame when none is under way and something waits. Once a turn, at its end: so a frame holds what all groups had to say. */
  flush(): void {
    if (this.#closed || this.#failed !== 0) return;
    if (this.#underWay === null && this.#queue.frames.length > 0) this.#start();
    this.#provide();
  }

  /**
   * A group to checkpoint because the oldest segment is kept for it, when less than half of the journal is free; null when there is none. `isBusy` names
   * groups whose checkpoint is under way.
   */
  dueForCheckpoint(isBusy: (group: number) => boolean = () => false): number | null {
    const { segmentBytes, segmentsMax } = this.#options;
    if (this.#roomBytes() >= (segmentBytes * segmentsMax) / 2) return null;
    return this.#segments.oldestHolder(isBusy);
  }

  /** Groups with records behind their last checkpoint. */
  unsettledGroups(): Set<number> {
    return this.#segments.unsettled();
  }

  /**
   * Empties the journal durably and closes it, when nothing waits and each group's records are settled by a checkpoint that is durable. 0, or a negated errno, of an earlier failure
   * too: then it is closed and a start recovers it. Synchronous.
   */
  stop(): number {
    if (this.#failed !== 0) {
      this.close();
      return this.#failed;
    }
    assert(this.#underWay === null && this.#queue.frames.length === 0, 'a journal at rest is stopped');
    assert(this.#segments.unsettled().size === 0, 'no group needs the journal any more');
    const { disk, folder, crc32c } = this.#options;
    const mark = { frame: this.#durableFrame, life: this.#lastLife };
    const result = writeEmptyMark(disk, folder, mark, crc32c);
    this.close();
    return result;
  }

  /** Closes the files. Those that work is under way on stay open: a descriptor must not be given to another file meanwhile. */
  close(): void {
    this.#closed = true;
    const busy = this.#room === 'waits' ? undefined : this.#underWay?.fd;
    for (const fd of this.#fds.values()) if (fd !== busy) this.#options.disk.close(fd);
    this.#fds.clear();
  }

  // Inside.

  #add(record: JournalRecord): number {
    const { group } = record;
    const known = this.#known(group);
    if (this.#failed !== 0) return this.#queue.nextNumber;
    if (!known.told && record.kind !== 'checkpoint' && record.kind !== 'end') {
      known.told = true;
      const { hardState, cutIndex: index, cutTerm: term } = known;
      this.#queue.add({ kind: 'state', group, hardState, index, term });
    }
    const number = record.kind === 'entries' ? this.#queue.addEntries(record) : this.#queue.add(record);
    this.#buffer.copyAhead(this.#queue.frames[0]!);
    return number;
  }

  #known(group: number): KnownGroup {
    const known = this.#groups.get(group);
    assert(known !== undefined, `group ${group} has joined`);
    return known;
  }

  #start(): void {
    const next = this.#queue.frames[0]!;
    const bytes = frameBytes(next.payloadBytes);
    const place = this.#segments.place(next.number, bytes);
    if (place === null) return;
    const frame = this.#queue.take()!;
    const { number, payloadBytes, records } = frame;
    this.#segments.note(number, records);
    this.#lastLife = place.life;
    const tail = this.#segments.tail(number);
    const header = { number, life: place.life, tail, payloadBytes, records: records.length };
    const bufferOffset = this.#buffer.seal(header, this.#options.crc32c);
    const fd = this.#fds.get(place.file)!;
    this.#underWay = { frame, fd, offset: place.offset, bufferOffset, bytes };
    this.#submit(this.#underWay);
    const following = this.#queue.frames[0];
    if (following !== undefined) this.#buffer.copyAhead(following);
  }

  #submit(underWay: FrameUnderWay): void {
    const { disk, region } = this.#options;
    const { fd, offset, bufferOffset, bytes } = underWay;
    const written = ({ result }: { result: number }): void => {
      // The queue of the I/O threads was full: nothing was done.
      if (result === -EAGAIN) return this.#submit(underWay);
      if (this.#failed === 0 && isForWantOfRoom(result)) return this.#wait(result);
      this.#underWay = null;
      if (result !== bytes) this.#fail(result < 0 ? result : -EIO);
      else if (this.#failed === 0) this.#written(underWay);
    };
    disk.submitPwrite(fd, offset, region, bufferOffset, bytes, written, true);
  }

  /** Nothing of the frame was promised to anybody, and nothing else of its file is on its way: written again as a whole it is what it would have been. */
  #wait(result: number): void {
    const { disk, folder, log } = this.#options;
    const text = disk.errnoText(result);
    if (this.#room === 'there')
      log('warn', `raft journal ${folder}: ${text}: tried again until there is room`);
    this.#room = 'waits';
  }

  #written({ frame }: FrameUnderWay): void {
    const { folder, log } = this.#options;
    if (this.#room !== 'there') log('info', `raft journal ${folder}: there is room again`);
    this.#room = 'there';
    this.#durableFrame = frame.number;
    this.#segments.release();
    this.onDurable(frame.number);
  }

  #fail(errno: number): void {
    if (this.#failed !== 0) return;
    this.#failed = errno;
    while (this.#queue.take() !== undefined);
    const { disk, folder, log } = this.#options;
    log('error', `raft journal ${folder}: a durable write failed: ${disk.errnoText(errno)}`);
    this.onFailed(errno);
  }

  /** What can be written from here on, segments that may still be made included. */
  #roomBytes(): number {
    const { segmentBytes, segmentsMax } = this.#options;
    const makeable = this.#isFull ? 0 : Math.max(0, segmentsMax - this.#segments.count);
    return this.#segments.roomBytes + makeable * segmentBytes;
  }

  /** Has a segment made ahead of need: when the current one is half full and no other is free. */
  #provide(): void {
    const { segmentBytes, segmentsMax, folder, log } = this.#options;
    const isStuck = this.#underWay === null && this.#queue.frames.length > 0;
    if (this.#making || (!isStuck && this.#segments.roomBytes >= segmentBytes / 2)) return;
    if (this.#segments.count >= segmentsMax) {
      if (!isStuck) return;
      log('warn', `raft journal ${folder}: all ${segmentsMax} segments are needed, one more is made`);
    }
    this.#making = true;
    const file = freeNumber(this.#fds);
    this.#maker.make(file, (fd) => this.#made(file, fd));
  }

  #made(file: number, fd: number): void {
    this.#making = false;
    const { disk, folder, log } = this.#options;
    if (fd < 0) {
      if (fd !== -EAGAIN && !isForWantOfRoom(fd)) return this.#fail(fd);
      if (!this.#isFull) log('warn', `make ${segmentPath(folder, file)}: ${disk.errnoText(fd)}`);
      this.#isFull = true;
      return;
    }
    if (this.#closed) return void disk.close(fd);
    this.#isFull = false;
    this.#fds.set(file, fd);
    this.#segments.addFree(file);
  }
}

/** The smallest number that no file has. */
function freeNumber(files: ReadonlyMap<number, number>): number {
  let file = 0;
  while (files.has(file)) file += 1;
  return file;
}
