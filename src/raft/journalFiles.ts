/**
 * The files of a worker's journal: names of its segments, and the mark that says up to which frame it was emptied. Synchronous calls of start, stop and recovery.
 *
 * The mark is replaced as a whole, so a journal is emptied in one step and a kill at any moment leaves it as it was or empty. Segments are never removed for that.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { Disk } from '../storage/io.js';
import { readWholeFile, replaceFile, writeFully } from '../storage/wholeFile.js';
import { type Crc32c, FRAME_HEADER_BYTES, isWholeFrame, readFrameHeader } from './journalFrame.js';

/** Everything up to this frame, and in segments up to this life, is void. */
export interface EmptyMark {
  frame: number;
  life: number;
}

/** No mark was ever written. */
export const NO_MARK: EmptyMark = { frame: 0, life: 0 };

export const SEGMENT_MODE = 0o600;
const MARK_FILE = 'emptied';
const MARK_BYTES = 24;
const MAGIC = 0x45584a45;
const ENOENT = 2;
const ENOSPC = 28;
const EDQUOT = 122;
const SEGMENT_NAME = /^segment\.(\d{1,6})$/;

/** Path of a segment. */
export function segmentPath(folder: string, file: number): string {
  return join(folder, `segment.${file}`);
}

/** A segment of a folder. */
export interface SegmentFile {
  file: number;
  path: string;
  sizeBytes: number;
}

/** The segments in a folder by number; a negated errno when it cannot be listed. */
export function listSegments(disk: Disk, folder: string): SegmentFile[] | number {
  const entries = disk.scan(folder);
  if (typeof entries === 'number') return entries;
  const segments = entries.flatMap(({ name, sizeBytes }) => {
    const match = SEGMENT_NAME.exec(name);
    return match === null ? [] : [{ file: Number(match[1]), path: join(folder, name), sizeBytes }];
  });
  return segments.sort((a, b) => a.file - b.file);
}

/** Empties a journal durably up to `mark`. 0 or a negated errno; then it may be emptied or not. */
export function writeEmptyMark(disk: Disk, folder: string, mark: EmptyMark, crc32c: Crc32c): number {
  const bytes = new Uint8Array(MARK_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setBigUint64(8, BigInt(mark.frame));
  view.setBigUint64(16, BigInt(mark.life));
  view.setUint32(4, crc32c(bytes.subarray(8), 0));
  return replaceFile(disk, join(folder, MARK_FILE), bytes, SEGMENT_MODE);
}

/** The mark of a journal, `NO_MARK` where there is none; the reason when it cannot be read (with a negated errno) or is damaged (0). */
export function readEmptyMark(
  disk: Disk,
  folder: string,
  crc32c: Crc32c,
): EmptyMark | { reason: string; errno: number } {
  const path = join(folder, MARK_FILE);
  const bytes = readWholeFile(disk, path, MARK_BYTES);
  if (bytes === -ENOENT) return NO_MARK;
  if (typeof bytes === 'number') return { reason: `read ${path}: ${disk.errnoText(bytes)}`, errno: bytes };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isMark = bytes.byteLength === MARK_BYTES && view.getUint32(0) === MAGIC;
  if (!isMark || view.getUint32(4) !== crc32c(bytes.subarray(8), 0))
    return { reason: `${path} is damaged`, errno: 0 };
  return { frame: Number(view.getBigUint64(8)), life: Number(view.getBigUint64(16)) };
}

/** Where a frame lies: whole pages of a segment. */
export interface FramePlace {
  path: string;
  offset: number;
  bytes: number;
}

/**
 * Writes a frame again, durably. It may be read here without being on the medium: after a write that failed, or that nobody has waited for, the kernel keeps pages that it will never write.
 * 0 or a negated errno.
 */
export function writeAgain(disk: Disk, { path, offset, bytes }: FramePlace): number {
  const fd = disk.open(path, constants.O_RDWR, 0);
  if (fd < 0) return fd;
  const frame = new Uint8Array(bytes);
  const count = disk.read(fd, frame, offset);
  let result = count < 0 ? count : writeFully(disk, fd, frame.subarray(0, count), offset);
  if (result === 0) result = disk.fdatasync(fd);
  disk.close(fd);
  return result;
}

/**
 * Whether the segment of an open file begins with a whole frame behind the mark, or cannot be read (a negated errno). A head without its frame is damaged, or torn: its
 * number says nothing.
 */
export function beginsBehind(disk: Disk, fd: number, mark: EmptyMark, crc32c: Crc32c): boolean | number {
  const head = new Uint8Array(FRAME_HEADER_BYTES);
  const count = disk.read(fd, head, 0);
  if (count < 0) return count;
  const header = readFrameHeader(head.subarray(0, count), 0);
  if (header === null || header.number <= mark.frame) return false;
  const frame = new Uint8Array(FRAME_HEADER_BYTES + header.payloadBytes);
  const read = disk.read(fd, frame, 0);
  return read < 0 ? read : read === frame.byteLength && isWholeFrame(frame, 0, header, crc32c);
}

/** The result of a call that found no room on the disk. */
export function isForWantOfRoom(result: number): boolean {
  return result === -ENOSPC || result === -EDQUOT;
}
