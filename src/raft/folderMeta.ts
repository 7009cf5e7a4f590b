/**
 * META of a group's folder (`raft.md` 6.2): hard state and truncation point, without a checksum, written in place.
 *
 * It has 0, 24 or 40 bytes, never anything between: each write is one pwrite from the front, far smaller than a sector, and what an interrupted one has added is cut
 * off again. Not the META of the partition, which is JSON and lies one folder above.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { readUint64, writeInt64 } from '../protocol/header.js';
import {
  decodeHardState,
  encodeHardState,
  HARD_STATE_BYTES,
  type HardState,
} from '../protocol/raftStructs.js';
import type { Disk } from '../storage/io.js';
import { readWholeFile, writeFully } from '../storage/wholeFile.js';
import { viewOf } from './records.js';

export const FOLDER_META_NAME = 'META';
export const FOLDER_META_MODE = 0o600;
export const FOLDER_META_BYTES = 40;

const META_BYTES_MAX = 4096;
const ENOENT = 2;

/** What META says; missing parts are zeros. */
export interface FolderMeta {
  /** 0, 24 or 40. */
  bytes: number;
  hardState: HardState;
  /** Everything up to this index is compacted; 0 when nothing is. */
  cutIndex: number;
  /** Term of the entry at `cutIndex`. */
  cutTerm: number;
}

/** The META of a group that has stored nothing. */
export function emptyFolderMeta(): FolderMeta {
  return { bytes: 0, hardState: { term: 0, commit: 0, vote: 0 }, cutIndex: 0, cutTerm: 0 };
}

/** Decodes META; a text that says what is wrong with it. */
export function decodeFolderMeta(bytes: Uint8Array): FolderMeta | string {
  const { byteLength } = bytes;
  if (byteLength !== 0 && byteLength !== HARD_STATE_BYTES && byteLength !== FOLDER_META_BYTES)
    return `META has ${byteLength} bytes, and 0, ${HARD_STATE_BYTES} or ${FOLDER_META_BYTES} are right`;
  const full = new Uint8Array(FOLDER_META_BYTES);
  full.set(bytes);
  const hardState = decodeHardState(full.subarray(0, HARD_STATE_BYTES));
  if (!hardState.ok) return `META: ${hardState.message}`;
  const view = viewOf(full);
  const cutIndex = readUint64(view, HARD_STATE_BYTES);
  const cutTerm = readUint64(view, HARD_STATE_BYTES + 8);
  if (cutIndex < 0 || cutTerm < 0) return 'META: index or term of the cut is larger than 2^53 - 1';
  return { bytes: byteLength, hardState: hardState.value, cutIndex, cutTerm };
}

/** The `meta.bytes` bytes of META. */
export function encodeFolderMeta(meta: FolderMeta): Uint8Array {
  const full = new Uint8Array(FOLDER_META_BYTES);
  full.set(encodeHardState(meta.hardState));
  const view = viewOf(full);
  writeInt64(view, HARD_STATE_BYTES, meta.cutIndex);
  writeInt64(view, HARD_STATE_BYTES + 8, meta.cutTerm);
  return full.subarray(0, meta.bytes);
}

/**
 * Reads META of the folder at `path` and changes nothing: for recovery, which compares it with the journal. A folder without META has an empty one. A text, with the errno
 * where it is one, when it cannot be read or has a length that META never has.
 */
export function readFolderMeta(disk: Disk, path: string): FolderMeta | { reason: string; errno: number } {
  const bytes = readWholeFile(disk, join(path, FOLDER_META_NAME), META_BYTES_MAX);
  if (bytes === -ENOENT) return emptyFolderMeta();
  if (typeof bytes === 'number')
    return { reason: `META cannot be read: ${disk.errnoText(bytes)}`, errno: bytes };
  const meta = decodeFolderMeta(bytes);
  return typeof meta === 'string' ? { reason: meta, errno: 0 } : meta;
}

/** Opens META for writing, made if it is missing. An fd or a negated errno. */
export function openFolderMeta(disk: Disk, path: string): number {
  return disk.open(join(path, FOLDER_META_NAME), constants.O_RDWR | constants.O_CREAT, FOLDER_META_MODE);
}

/**
 * Writes `meta` over the one of `bytesBefore` bytes. 0 or a negated errno; then the length is what it was, and the content old or new or, where the disk failed in the middle of it,
 * unknown: the caller writes again.
 */
export function writeFolderMeta(disk: Disk, fd: number, meta: FolderMeta, bytesBefore: number): number {
  const written = writeFully(disk, fd, encodeFolderMeta(meta), 0);
  if (written < 0 && meta.bytes > bytesBefore) disk.truncate(fd, bytesBefore);
  return written;
}
