/**
 * Opening the files of a journal at a start: folders made, segments kept or removed, the first one filled. Synchronous; nothing serves yet.
 */
import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { isMediumError } from '../storage/diskErrors.js';
import type { Disk } from '../storage/io.js';
import { FOLDER_MODE } from '../storage/layout.js';
import { writeFully } from '../storage/wholeFile.js';
import {
  beginsBehind,
  type EmptyMark,
  listSegments,
  readEmptyMark,
  SEGMENT_MODE,
  segmentPath,
} from './journalFiles.js';
import type { Crc32c } from './journalFrame.js';

/** Segments that may be written from their start, by number, and where numbers go on. */
export interface JournalFiles {
  fds: Map<number, number>;
  mark: EmptyMark;
}

export interface JournalFolder {
  disk: Disk;
  folder: string;
  segmentBytes: number;
  segmentsMax: number;
  crc32c: Crc32c;
}

const EEXIST = 17;

/** Opens the segments of an emptied journal, at least one. `zeros`: what a new one is filled with. A message when something fails or has to be recovered first. */
export function openJournalFiles(options: JournalFolder, zeros: Uint8Array): JournalFiles | string {
  const { disk, folder, crc32c } = options;
  const made = makeFolders(disk, folder);
  if (made !== null) return made;
  const mark = readEmptyMark(disk, folder, crc32c);
  if ('reason' in mark) return mark.reason;
  const fds = new Map<number, number>();
  const problem = openSegments(options, mark, fds) ?? makeFirst(options, zeros, fds);
  // A file that an earlier process made has its bytes, but perhaps not yet its name.
  const synced = problem === null ? disk.fsyncFolder(folder) : 0;
  if (problem === null && synced === 0) return { fds, mark };
  for (const fd of fds.values()) disk.close(fd);
  return problem ?? `fsync ${folder}: ${disk.errnoText(synced)}`;
}

function makeFolders(disk: Disk, folder: string): string | null {
  for (const path of [dirname(folder), folder]) {
    const made = disk.mkdir(path, FOLDER_MODE);
    if (made < 0 && made !== -EEXIST) return `mkdir ${path}: ${disk.errnoText(made)}`;
    const synced = disk.fsyncFolder(dirname(path));
    if (synced < 0) return `fsync ${dirname(path)}: ${disk.errnoText(synced)}`;
  }
  return null;
}

/** Opens the segments of the right length, as many as there may be; the others are removed. */
function openSegments(options: JournalFolder, mark: EmptyMark, fds: Map<number, number>): string | null {
  const { disk, folder, segmentBytes, segmentsMax, crc32c } = options;
  const segments = listSegments(disk, folder);
  if (typeof segments === 'number') return `readdir ${folder}: ${disk.errnoText(segments)}`;
  for (const { file, path, sizeBytes } of segments) {
    const fd = disk.open(path, constants.O_RDWR, 0);
    if (fd < 0) return `open ${path}: ${disk.errnoText(fd)}`;
    const behind = beginsBehind(disk, fd, mark, crc32c);
    const isKept = behind === false && sizeBytes === segmentBytes && fds.size < segmentsMax;
    if (isKept) fds.set(file, fd);
    else disk.close(fd);
    // Recovery came before and has told of it; whatever is there is void, and the file is no good.
    const damaged = typeof behind === 'number' && isMediumError(behind);
    if (typeof behind === 'number' && !damaged) return `read ${path}: ${disk.errnoText(behind)}`;
    if (behind === true) return `${path} holds frames that were not recovered`;
    const removed = isKept ? 0 : disk.unlink(path);
    if (removed < 0) return `unlink ${path}: ${disk.errnoText(removed)}`;
  }
  return null;
}

function makeFirst(options: JournalFolder, zeros: Uint8Array, fds: Map<number, number>): string | null {
  if (fds.size > 0) return null;
  const { disk, folder, segmentBytes } = options;
  const path = segmentPath(folder, 0);
  const fd = disk.open(path, constants.O_RDWR | constants.O_CREAT, SEGMENT_MODE);
  if (fd < 0) return `open ${path}: ${disk.errnoText(fd)}`;
  fds.set(0, fd);
  let result = 0;
  for (let at = 0; at < segmentBytes && result === 0; at += zeros.byteLength)
    result = writeFully(disk, fd, zeros.subarray(0, segmentBytes - at), at);
  if (result === 0) result = disk.fdatasync(fd);
  return result < 0 ? `write ${path}: ${disk.errnoText(result)}` : null;
}
