/**
 * A partition's folder: made, read, taken away (`storage.md` 3, 13). Synchronous calls, for start, stop and admin commands.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import { readApply } from './applyFile.js';
import { beginCleanFile, decodeStamp, nextStamp, openCleanFile } from './cleanFile.js';
import { BASE_BYTES, decodeBase, EXTENT_META_BYTES } from './extentMeta.js';
import { completedFolder, folderOddities } from './folderOddities.js';
import type { HoleSearch } from './holes.js';
import type { Disk, FolderEntry } from './io.js';
import {
  deletedFolderName,
  EXTENT_ID_MAX,
  FILE,
  FILE_MODE,
  FOLDER_MODE,
  isDeletedFolderName,
  isTinyExtent,
  parseExtentName,
  parsePartitionFolderName,
  partitionFolderName,
  TINY_EXTENT_FIRST,
  TINY_EXTENT_LAST,
} from './layout.js';
import { encodeMeta, type PartitionMeta, readMeta, writeMeta } from './metaFile.js';
import { readWholeFile, writeFully } from './wholeFile.js';

export type FolderResult<T> = { ok: true; value: T } | { ok: false; message: string };

/** One extent file. */
export interface FoundExtent {
  id: number;
  sizeBytes: number;
  mtimeMs: number;
  blocks512: number;
}

/** What a partition's folder holds. */
export interface PartitionContents {
  meta: PartitionMeta;
  extents: FoundExtent[];
  /** Base id stored in EXTENT_META, and the stamp of EXTENT_CLEAN there, 0 for none. */
  storedBase: number;
  stamp: number;
  /** Highest id over extents and NORMALEXTENT_DELETE. */
  highestId: number;
  /** Length of EXTENT_CRC. */
  crcBytes: number;
  /** Length of TINYEXTENT_DELETE. */
  tinyDeleteBytes: number;
  /** Ids in NORMALEXTENT_DELETE, and its length, whole records only: a torn one at its end is written over. */
  deletedIds: Set<number>;
  normalDeleteBytes: number;
  appliedIndex: number;
  /** Oddities that do not keep the partition from being served, for the log. */
  warnings: string[];
}

const EEXIST = 17;
const ENOENT = 2;
/** NORMALEXTENT_DELETE grows by 8 bytes a delete for ever in the reference: 64 million deletes. */
const DELETE_LIST_BYTES_MAX = 512 * 1024 * 1024;

/** Extents with holes that a partition's warning names. */
const HOLED_NAMED_MAX = 5;

const AUXILIARY = new Set<string>([FILE.extentCrc, FILE.normalDelete, FILE.tinyDelete, FILE.extentMeta]);
/** Only its first 16 bytes mean something. */
const EXTENT_META_FILE_MAX = 4096;

/** Opens for reading and writing, creating the file when it is missing. */
export const OPEN_OR_CREATE = constants.O_RDWR | constants.O_CREAT;

/**
 * Creates the folder of a partition at `nowMs`: 64 tiny extents and the auxiliary files, durable before META, and META last, so that a folder with META is
 * complete after any crash. A folder left by such a crash, or by a creation of the same partition that failed, is completed, but only while all its extents are empty
 * and its META, if it has one, says what is asked for. Value: the folder's path.
 */
export function createPartitionFolder(
  disk: Disk,
  root: string,
  meta: PartitionMeta,
  nowMs: number,
): FolderResult<string> {
  const name = partitionFolderName(meta.partitionId, meta.sizeBytes);
  const path = join(root, name);
  const refusal = existingFolderRefusal(disk, root, meta, name);
  if (refusal !== null) return { ok: false, message: refusal };
  const made = disk.mkdir(path, FOLDER_MODE);
  if (made < 0 && made !== -EEXIST) return failed(disk, 'mkdir', path, made);
  const present = readWholeFile(disk, join(path, FILE.extentMeta), EXTENT_META_FILE_MAX);
  if (typeof present === 'number' && present !== -ENOENT) {
    return failed(disk, 'read', join(path, FILE.extentMeta), present);
  }
  const files = ensureFiles(disk, path, typeof present === 'number' ? 0 : present.byteLength);
  if (!files.ok) return files;
  const begun = beginOwnExtents(disk, path, nowMs);
  if (begun < 0) return failed(disk, 'write', join(path, FILE.extentClean), begun);
  const durable = disk.fsyncFolder(path);
  if (durable < 0) return failed(disk, 'sync', path, durable);
  const saved = writeMeta(disk, path, meta);
  if (saved < 0) return failed(disk, 'write', join(path, FILE.meta), saved);
  const synced = disk.fsyncFolder(root);
  if (synced < 0) return failed(disk, 'sync', root, synced);
  return { ok: true, value: path };
}

/** EXTENT_CLEAN of a new folder: every extent of it will be our own. Result 0 or a negated errno. */
function beginOwnExtents(disk: Disk, path: string, nowMs: number): number {
  const metaFd = disk.open(join(path, FILE.extentMeta), OPEN_OR_CREATE, FILE_MODE);
  if (metaFd < 0) return metaFd;
  const found = openCleanFile(disk, path, 0);
  if (found.fd >= 0) disk.close(found.fd);
  const stamp = nextStamp(nowMs, found.lastStamp);
  const fd = beginCleanFile(disk, path, metaFd, { stamp, ownFrom: TINY_EXTENT_FIRST });
  disk.close(metaFd);
  return fd < 0 ? fd : disk.close(fd);
}

/** Why a partition with this id cannot be created under `root` (W25); null when it can. */
function existingFolderRefusal(disk: Disk, root: string, meta: PartitionMeta, name: string): string | null {
  const id = meta.partitionId;
  const entries = disk.scan(root);
  if (typeof entries === 'number') return `readdir ${root}: ${disk.errnoText(entries)}`;
  const same = entries.find((entry) => parsePartitionFolderName(entry.name)?.id === id);
  if (same === undefined) return null;
  if (same.name !== name) return `partition ${id} exists already as ${join(root, same.name)}`;
  const inside = disk.scan(join(root, name));
  if (typeof inside === 'number') return `readdir ${join(root, name)}: ${disk.errnoText(inside)}`;
  const filled = inside.some(
    ({ name, sizeBytes, errno }) => parseExtentName(name) >= 0 && (errno !== 0 || sizeBytes > 0),
  );
  const complete = inside.some((entry) => entry.name === FILE.meta);
  if (!filled && (!complete || isSamePartition(disk, join(root, name), meta))) return null;
  return `folder ${join(root, name)} exists and holds a partition`;
}

/** Whether META in `path` says the same as `meta`, the time of creation aside. */
function isSamePartition(disk: Disk, path: string, meta: PartitionMeta): boolean {
  const found = readMeta(disk, path);
  if (!found.ok) return false;
  return encodeMeta({ ...found.value, createTime: meta.createTime }) === encodeMeta(meta);
}

/**
 * Creates what is missing of the files that a fresh store has; an EXTENT_META of `extentMetaBytes` is filled up to 16 bytes with zeros, which leave the
 * base as it was.
 */
function ensureFiles(disk: Disk, path: string, extentMetaBytes: number): FolderResult<null> {
  const names = [...AUXILIARY];
  for (let id = TINY_EXTENT_FIRST; id <= TINY_EXTENT_LAST; id += 1) names.push(String(id));
  const fill = new Uint8Array(Math.max(0, EXTENT_META_BYTES - extentMetaBytes));
  for (const name of names) {
    const file = join(path, name);
    const fd = disk.open(file, OPEN_OR_CREATE, FILE_MODE);
    if (fd < 0) return failed(disk, 'open', file, fd);
    let result = 0;
    if (name === FILE.extentMeta && fill.byteLength > 0) {
      result = writeFully(disk, fd, fill, extentMetaBytes);
      if (result >= 0) result = disk.fdatasync(fd);
    }
    disk.close(fd);
    if (result < 0) return failed(disk, 'write', file, result);
  }
  return { ok: true, value: null };
}

/**
 * Reads the folder `name` under `root`, and looks for holes with what serves for all folders of the disk. A missing or bad META, a META of another
 * partition (W25), or a file that cannot be looked at (W18) refuses the partition. Missing tiny extents and auxiliary files are created, as the reference
 * does. `scanned` is the folder's scan where there is one already.
 */
export function readPartitionFolder(
  disk: Disk,
  root: string,
  name: string,
  holes: HoleSearch,
  scanned?: FolderEntry[] | number,
): FolderResult<PartitionContents> {
  const path = join(root, name);
  const told = parsePartitionFolderName(name);
  if (told === null) return { ok: false, message: `${name} is no partition folder` };
  const meta = readMeta(disk, path);
  if (!meta.ok) return meta;
  if (meta.value.partitionId !== told.id || meta.value.sizeBytes !== told.sizeBytes) {
    const inside = `partition ${meta.value.partitionId} of ${meta.value.sizeBytes} bytes`;
    return { ok: false, message: `META of ${path} names ${inside}` };
  }
  const found = listed(disk, path, scanned ?? disk.scan(path));
  if (!found.ok) return found;
  const incomplete = isIncomplete(found.value);
  if (incomplete) {
    const created = ensureFiles(disk, path, sizeIn(found.value, FILE.extentMeta));
    if (!created.ok) return created;
  }
  const entries = incomplete ? listed(disk, path, disk.scan(path)) : found;
  if (!entries.ok) return entries;
  const contents = readContents(disk, path, meta.value, entries.value);
  if (!contents.ok) return contents;
  const { warnings, extents } = contents.value;
  if (incomplete) warnings.push(completedFolder(path, missingFiles(found.value)));
  warnings.push(...holeWarning(holes, path, extents));
  return contents;
}

/** The entries of a partition's folder, of which this is the scan. A file that cannot be looked at seems to be empty, and must not be taken for that: no list then. */
function listed(disk: Disk, path: string, entries: FolderEntry[] | number): FolderResult<FolderEntry[]> {
  if (typeof entries === 'number') return failed(disk, 'readdir', path, entries);
  const unreadable = entries.find(
    ({ name, errno }) => errno !== 0 && (parseExtentName(name) >= 0 || AUXILIARY.has(name)),
  );
  if (unreadable === undefined) return { ok: true, value: entries };
  return failed(disk, 'lstat', join(path, unreadable.name), unreadable.errno);
}

function readContents(
  disk: Disk,
  path: string,
  meta: PartitionMeta,
  entries: FolderEntry[],
): FolderResult<PartitionContents> {
  const warnings = folderOddities(path, entries);
  const extents: FoundExtent[] = [];
  for (const entry of entries) {
    const id = parseExtentName(entry.name);
    if (id >= 0 && entry.kind === 'file') {
      extents.push({ id, sizeBytes: entry.sizeBytes, mtimeMs: entry.mtimeMs, blocks512: entry.blocks512 });
    }
  }
  const extentMeta = readWholeFile(disk, join(path, FILE.extentMeta), EXTENT_META_FILE_MAX);
  if (typeof extentMeta === 'number') return failed(disk, 'read', join(path, FILE.extentMeta), extentMeta);
  const deleted = readDeletedIds(disk, join(path, FILE.normalDelete), entries);
  if (typeof deleted === 'number') return failed(disk, 'read', join(path, FILE.normalDelete), deleted);
  const applied = readApply(disk, path);
  if (applied.problem !== null) warnings.push(`${path}: ${applied.problem}`);
  const value: PartitionContents = {
    meta,
    extents,
    storedBase: Math.min(decodeBase(extentMeta), EXTENT_ID_MAX),
    stamp: decodeStamp(extentMeta, BASE_BYTES),
    highestId: highestOf(extents, deleted),
    crcBytes: sizeIn(entries, FILE.extentCrc),
    tinyDeleteBytes: sizeIn(entries, FILE.tinyDelete),
    deletedIds: deleted,
    normalDeleteBytes: Math.floor(sizeIn(entries, FILE.normalDelete) / BASE_BYTES) * BASE_BYTES,
    appliedIndex: applied.index,
    warnings,
  };
  return { ok: true, value };
}

/** What the log shall say of holes in normal extents. */
function holeWarning(holes: HoleSearch, path: string, extents: FoundExtent[]): string[] {
  const holed: { id: number; text: string }[] = [];
  for (const { id, sizeBytes, blocks512 } of extents) {
    if (isTinyExtent(id)) continue;
    const hole = holes.firstHole(`${path}/${id}`, sizeBytes, blocks512);
    if (hole < sizeBytes) holed.push({ id, text: `${id} at ${hole} of ${sizeBytes}` });
  }
  if (holed.length === 0) return [];
  holed.sort((a, b) => a.id - b.id);
  const named = holed.slice(0, HOLED_NAMED_MAX).map(({ text }) => text);
  if (holed.length > named.length) named.push('and others');
  return [`${path}: ${holed.length} extents have a hole, which reads as zeros: ${named.join(', ')}`];
}

/** Highest id that an extent has or had. */
function highestOf(extents: FoundExtent[], deleted: Set<number>): number {
  let highest = 0;
  for (const { id } of extents) highest = Math.max(highest, id);
  for (const id of deleted) highest = Math.max(highest, id);
  return highest;
}

/** Ids in NORMALEXTENT_DELETE; those that no extent can have are passed over. A negated errno. */
function readDeletedIds(disk: Disk, path: string, entries: FolderEntry[]): Set<number> | number {
  const ids = new Set<number>();
  if (sizeIn(entries, FILE.normalDelete) === 0) return ids;
  const bytes = readWholeFile(disk, path, DELETE_LIST_BYTES_MAX);
  if (typeof bytes === 'number') return bytes;
  for (let at = 0; at + BASE_BYTES <= bytes.byteLength; at += BASE_BYTES) {
    const id = decodeBase(bytes.subarray(at, at + BASE_BYTES));
    if (id > 0 && id <= EXTENT_ID_MAX) ids.add(id);
  }
  return ids;
}

/** Whether a file is missing that a store has from its beginning. */
function isIncomplete(entries: FolderEntry[]): boolean {
  let tiny = 0;
  let auxiliary = 0;
  for (const { name } of entries) {
    if (isTinyExtent(parseExtentName(name))) tiny += 1;
    else if (AUXILIARY.has(name)) auxiliary += 1;
  }
  const complete = tiny === TINY_EXTENT_LAST && auxiliary === AUXILIARY.size;
  return !complete || sizeIn(entries, FILE.extentMeta) < EXTENT_META_BYTES;
}

/** Names of what `isIncomplete` misses. */
function missingFiles(entries: FolderEntry[]): string[] {
  const present = new Set(entries.map(({ name }) => name));
  if (sizeIn(entries, FILE.extentMeta) < EXTENT_META_BYTES) present.delete(FILE.extentMeta);
  const names = [...AUXILIARY];
  for (let id = TINY_EXTENT_FIRST; id <= TINY_EXTENT_LAST; id += 1) names.push(String(id));
  return names.filter((name) => !present.has(name));
}

function sizeIn(entries: FolderEntry[], name: string): number {
  return entries.find((entry) => entry.name === name)?.sizeBytes ?? 0;
}

/**
 * Takes a folder out of sight for every loader (W24): renamed and the root fsynced. Value: the path to remove in the background. A failure says whether
 * the folder is `renamed` all the same.
 */
export function renameForRemoval(
  disk: Disk,
  root: string,
  name: string,
  nowMs: number,
): { ok: true; value: string } | { ok: false; message: string; renamed: boolean } {
  const target = join(root, deletedFolderName(name, nowMs));
  const renamed = disk.rename(join(root, name), target);
  if (renamed === -ENOENT) return { ok: true, value: target };
  if (renamed < 0) return { ...failed(disk, 'rename', join(root, name), renamed), renamed: false };
  const synced = disk.fsyncFolder(root);
  return synced < 0 ? { ...failed(disk, 'sync', root, synced), renamed: true } : { ok: true, value: target };
}

/** Folders of deleted partitions that a crash left behind. */
export function leftovers(root: string, entries: FolderEntry[]): string[] {
  return entries.filter((entry) => isDeletedFolderName(entry.name)).map((entry) => join(root, entry.name));
}

function failed(disk: Disk, call: string, path: string, errno: number): { ok: false; message: string } {
  return { ok: false, message: `${call} ${path}: ${disk.errnoText(errno)}` };
}
