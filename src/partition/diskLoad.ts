/**
 * Brings partitions up and down: a disk's folders at start, one partition for an admin command, all of them at stop.
 *
 * Synchronous file calls; the caller is the worker that owns the partitions, with an empty batch.
 */
import { join } from 'node:path';
import { ERROR_TEXT } from '../protocol/errors.js';
import { openCleanFile } from '../storage/cleanFile.js';
import { BASE_BYTES, encodeBase } from '../storage/extentMeta.js';
import { HoleSearch } from '../storage/holes.js';
import type { Disk, FolderEntry } from '../storage/io.js';
import {
  FILE,
  FILE_MODE,
  LOCK_FILE,
  parsePartitionFolderName,
  partitionFolderName,
  resemblesPartitionFolder,
} from '../storage/layout.js';
import { formatCreateTime, type PartitionMeta } from '../storage/metaFile.js';
import {
  createPartitionFolder,
  leftovers,
  OPEN_OR_CREATE,
  readPartitionFolder,
  renameForRemoval,
} from '../storage/partitionFolder.js';
import { writeFully } from '../storage/wholeFile.js';
import { loadCleanEntries, saveCleanEntries } from './cleanEntries.js';
import { ExtentStore, type OwnFds } from './extentStore.js';
import { EAGAIN, reportDiskError } from './ioErrors.js';
import { DISK_HELD } from './messages.js';
import { Partition, type Peer } from './partition.js';
import type { StoreGroup } from './storeGroup.js';
import type { StoreHost } from './storeHost.js';

export type Outcome<T> = { ok: true; value: T } | { ok: false; message: string };

/** A folder that looks like a partition and was not loaded. */
export interface RefusedFolder {
  name: string;
  reason: string;
}

export interface LoadedDisk {
  partitions: Partition[];
  refused: RefusedFolder[];
}

/** What came of a deletion, and of the partition when it failed. */
export type Deletion = { ok: true; value: null } | { ok: false; message: string; serves: boolean };

/** Request of OpCreateDataPartition, already validated (`admin.md` 5.3). */
export interface NewPartition {
  partitionId: number;
  sizeBytes: number;
  volume: string;
  members: Peer[];
  hosts: string[];
  createType: 0 | 1;
}

/** Takes the disk for this process. Value: the fd that holds the lock until it is closed. Once a disk, not once a worker. */
export function lockDisk(disk: Disk, root: string): Outcome<number> {
  const path = join(root, LOCK_FILE);
  const fd = disk.open(path, OPEN_OR_CREATE, FILE_MODE);
  if (fd < 0) return failed(`open ${path}: ${disk.errnoText(fd)}`);
  const locked = disk.lock(fd);
  if (locked >= 0) return { ok: true, value: fd };
  disk.close(fd);
  const held = locked === -EAGAIN;
  return failed(held ? `disk ${root} ${DISK_HELD}` : `flock ${path}: ${disk.errnoText(locked)}`);
}

/**
 * Loads the partitions under `root`. `owns` picks those of this worker when several share a disk; one of them (`cleanup`) also removes what deleted
 * partitions left. An unreadable root is an error; an unreadable partition is refused and the rest is loaded. `progress` is told after each folder how many
 * are done, and how many there are.
 */
export function loadDisk(
  stores: StoreGroup,
  root: string,
  owns: (partitionId: number) => boolean,
  cleanup: boolean,
  progress: (done: number, found: number) => void = () => {},
): Outcome<LoadedDisk> {
  const { disk } = stores.host;
  const entries = disk.scan(root);
  if (typeof entries === 'number') return failed(`readdir ${root}: ${disk.errnoText(entries)}`);
  const loaded: LoadedDisk = { partitions: [], refused: [] };
  const seen = new Set<number>();
  const holes = new HoleSearch(disk, root);
  const folders = entries.flatMap(({ name }) => {
    const folder = parsePartitionFolderName(name);
    return folder === null || !owns(folder.id) ? [] : [{ name, id: folder.id }];
  });
  const scans = disk.scanAll(folders.map(({ name }) => join(root, name)));
  for (const [done, { name, id }] of folders.entries()) {
    progress(done, folders.length);
    const inside = scans.next();
    const outcome = seen.has(id)
      ? failed(`another folder of partition ${id} is served`)
      : loadPartition(stores, root, name, holes, inside);
    if (outcome.ok) {
      seen.add(id);
      loaded.partitions.push(outcome.value);
    } else {
      loaded.refused.push({ name, reason: outcome.message });
    }
  }
  progress(folders.length, folders.length);
  if (!cleanup) return { ok: true, value: loaded };
  for (const path of leftovers(root, entries)) removeInBackground(stores, path);
  for (const { name } of entries) {
    if (resemblesPartitionFolder(name))
      stores.host.log('warn', `${join(root, name)} is no partition folder: not served`);
  }
  return { ok: true, value: loaded };
}

/** Creates a partition under `root`; crash-safe, META last (`storage.md` 13.3, W3, W25). */
export function createPartition(stores: StoreGroup, root: string, request: NewPartition): Outcome<Partition> {
  const { disk, clock } = stores.host;
  const meta: PartitionMeta = {
    volume: request.volume,
    partitionId: request.partitionId,
    sizeBytes: request.sizeBytes,
    createTime: formatCreateTime(clock.nowMs()),
    peers: request.members,
    hosts: request.hosts,
    createType: request.createType,
    lastTruncateId: 0,
  };
  if (meta.volume.trim() === '' || meta.partitionId < 1 || meta.sizeBytes < 1) {
    return failed(ERROR_TEXT.illegalPartitionMetadata);
  }
  const created = createPartitionFolder(disk, root, meta, clock.nowMs());
  if (!created.ok) return created;
  return loadPartition(stores, root, partitionFolderName(meta.partitionId, meta.sizeBytes));
}

/** Loads the folder `folderName` under `root` (`storage.md` 13.1); `scanned` is its scan where there is one already. */
export function loadPartition(
  stores: StoreGroup,
  root: string,
  folderName: string,
  holes: HoleSearch = new HoleSearch(stores.host.disk, root),
  scanned?: FolderEntry[] | number,
): Outcome<Partition> {
  const { host } = stores;
  const { disk } = host;
  const contents = readPartitionFolder(disk, root, folderName, holes, scanned);
  if (!contents.ok) return contents;
  const { meta, warnings, appliedIndex } = contents.value;
  const path = join(root, folderName);
  const fds = openOwnFiles(disk, path);
  if (!fds.ok) return fds;
  for (const warning of warnings) host.log('warn', warning, { partition: meta.partitionId });
  const clean = openCleanFile(disk, path, contents.value.stamp);
  const store = new ExtentStore(path, contents.value, fds.value, clean);
  loadCleanEntries(disk, store, contents.value.extents);
  stores.attach(store);
  return { ok: true, value: new Partition(stores, root, store, meta, appliedIndex) };
}

/** Opens the files that a store keeps open; all of them or none. */
function openOwnFiles(disk: Disk, path: string): Outcome<OwnFds> {
  const fds: number[] = [];
  for (const name of [FILE.extentMeta, FILE.extentCrc, FILE.normalDelete, FILE.tinyDelete]) {
    const fd = disk.open(join(path, name), OPEN_OR_CREATE, FILE_MODE);
    if (fd < 0) {
      for (const open of fds) disk.close(open);
      return failed(`open ${join(path, name)}: ${disk.errnoText(fd)}`);
    }
    fds.push(fd);
  }
  const [meta, crc, normalDelete, tinyDelete] = fds as [number, number, number, number];
  return { ok: true, value: { meta, crc, normalDelete, tinyDelete } };
}

/**
 * Takes a partition's folder away and the partition out of service: renamed now, removed in the background (W24). Its parked operations fail. A partition whose
 * folder cannot be renamed `serves` on.
 */
export function deletePartition(stores: StoreGroup, partition: Partition): Deletion {
  const { disk, clock } = stores.host;
  const name = partitionFolderName(partition.id, partition.sizeBytes);
  const renamed = renameForRemoval(disk, partition.root, name, clock.nowMs());
  if (!renamed.ok && !renamed.renamed) return { ...failed(renamed.message), serves: true };
  partition.raftApply?.abandon(ERROR_TEXT.partitionNotExists);
  stores.retire(partition.store, ERROR_TEXT.partitionNotExists);
  if (!renamed.ok) return { ...failed(renamed.message), serves: false };
  removeInBackground(stores, renamed.value);
  return { ok: true, value: null };
}

/** Clean stop: syncs what is dirty, writes the exact id base, closes. No operation of it may be parked. */
export function closePartition(stores: StoreGroup, partition: Partition): Outcome<null> {
  const { host } = stores;
  const { disk } = host;
  const { store } = partition;
  const problems: string[] = [];
  const note = (call: string, path: string, result: number): void => {
    if (result >= 0) return;
    reportDiskError(host, result, true);
    problems.push(`${call} ${path}: ${disk.errnoText(result)}`);
  };
  stores.detach(store);
  note('sync', store.path, stores.closeExtents(store));
  if (problems.length === 0) noteClean(host, store, saveCleanEntries(host, store));
  if (problems.length === 0) note('write', join(store.path, FILE.apply), partition.raftApply?.close() ?? 0);
  for (const id of store.lostExtents) problems.push(`unsynced data of ${store.extentPath(id)} was lost`);
  store.closed = true;
  store.ownFdsClosed = true;
  const base = new Uint8Array(BASE_BYTES);
  encodeBase(base, 0, store.ids.base);
  note('write', store.metaPath, writeFully(disk, store.metaFd, base, 0));
  for (const fd of store.ownFds) {
    note('sync', store.path, disk.fdatasync(fd));
    note('close', store.path, disk.close(fd));
  }
  note('sync', store.path, disk.fsyncFolder(store.path));
  return problems.length === 0 ? { ok: true, value: null } : failed(problems.join('; '));
}

/** Without its entries the next start has to compare more; nothing is lost. */
function noteClean(host: StoreHost, store: ExtentStore, result: number): void {
  if (result >= 0) return;
  reportDiskError(host, result, true);
  const text = `checksums will be compared again: write ${store.cleanPath}: ${host.disk.errnoText(result)}`;
  host.log('warn', text, { partition: store.partitionId });
}

function removeInBackground(stores: StoreGroup, path: string): void {
  const { disk } = stores.host;
  disk.submitRemoveTree(path, ({ result }) => {
    if (result === -EAGAIN) return removeInBackground(stores, path);
    const text = result < 0 ? `remove ${path}: ${disk.errnoText(result)}` : `removed ${path}`;
    stores.host.log(result < 0 ? 'error' : 'info', text);
  });
}

function failed(message: string): { ok: false; message: string } {
  return { ok: false, message };
}
