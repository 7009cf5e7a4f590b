/**
 * Brings partitions up and down: a disk's folders at start, one partition for an admin command, all of them at stop.
 *
 * Synchronous file calls; the caller is the worker that owns the partitions, with an empty batch.
 */
import type { Disk } from '../storage/io.js';
import type { Partition, Peer } from './partition.js';
import type { StoreGroup } from './storeGroup.js';

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
  throw new Error(`not built yet: ${root} ${disk.pending()}`);
}

/**
 * Loads the partitions under `root`. `owns` picks those of this worker when several share a disk; one of them (`cleanup`) also removes what deleted
 * partitions left. An unreadable root is an error; an unreadable partition is refused and the rest is loaded.
 */
export function loadDisk(
  stores: StoreGroup,
  root: string,
  owns: (partitionId: number) => boolean,
  cleanup: boolean,
): Outcome<LoadedDisk> {
  throw new Error(`not built yet: ${root} ${stores.parkedOperations} ${owns(0)} ${cleanup}`);
}

/** Creates a partition under `root`; crash-safe, META last. */
export function createPartition(stores: StoreGroup, root: string, request: NewPartition): Outcome<Partition> {
  throw new Error(`not built yet: ${root} ${stores.parkedOperations} ${request.partitionId}`);
}

/** Loads the folder `folderName` under `root`. */
export function loadPartition(stores: StoreGroup, root: string, folderName: string): Outcome<Partition> {
  throw new Error(`not built yet: ${root} ${stores.parkedOperations} ${folderName}`);
}

/** Takes a partition out of service and its folder away: renamed now, removed in the background. Its parked operations fail. */
export function deletePartition(stores: StoreGroup, partition: Partition): Outcome<null> {
  throw new Error(`not built yet: ${stores.parkedOperations} ${partition.id}`);
}

/** Clean stop: syncs what is dirty, writes the exact id base, closes. No operation of it may be parked. */
export function closePartition(stores: StoreGroup, partition: Partition): Outcome<null> {
  throw new Error(`not built yet: ${stores.parkedOperations} ${partition.id}`);
}
