/**
 * What a node would make of a disk: its own lock, space and loading code (`src/partition/diskLoad.ts`) run on a `TrialDisk`, which changes nothing.
 */

import assert from 'node:assert';
import { basename, join } from 'node:path';
import { UNLIMITED } from '../config/diskLimits.js';
import { DiskLimits } from '../partition/diskLimits.js';
import { loadDisk, lockDisk } from '../partition/diskLoad.js';
import { type DiskSpace, FreeSpace, spaceOf } from '../partition/diskSpace.js';
import type { Partition } from '../partition/partition.js';
import { StoreGroup } from '../partition/storeGroup.js';
import { type StoreHost, scratchBytes } from '../partition/storeHost.js';
import { leftovers } from '../storage/partitionFolder.js';
import { TrialDisk } from './trialDisk.js';

/** What would become of one partition folder. */
export interface PartitionVerdict {
  /** Name under the disk's root. */
  folder: string;
  verdict: 'loaded' | 'refused';
  /** The loader's own words; null when it is loaded. */
  reason: string | null;
  /** What the loader would write to the log, and what else an operator should know. */
  warnings: string[];
  /** Files that the loader would create in it, and files that it would fill up. */
  wouldCreate: string[];
  wouldFill: string[];
  /** Of loaded ones. */
  partition: { id: number; volume: string; sizeBytes: number; usedBytes: number; extents: number } | null;
}

/** What would become of one disk. */
export interface DiskTrial {
  /** Why the node could not serve it; null when it could. */
  failure: string | null;
  space: DiskSpace | null;
  partitions: PartitionVerdict[];
  /** Folders of deleted partitions, which the next start removes. */
  leftovers: string[];
}

/** Tries the disk at `root`. `locked`: shared by the trials of all disks of one node. Synchronous, like the loader. */
export function tryDisk(root: string, locked: Set<string>): DiskTrial {
  const disk = new TrialDisk(locked);
  const trial: DiskTrial = { failure: null, space: null, partitions: [], leftovers: [] };
  const lock = lockDisk(disk, root);
  // The folders are told all the same: a disk that is in use is what an operator may want to see.
  if (!lock.ok) trial.failure = lock.message;
  const space = disk.statfs(root);
  if (typeof space === 'number') trial.failure ??= `statfs ${root}: ${disk.errnoText(-space)}`;
  else trial.space = spaceOf(space.blocks, space.availableBlocks, space.blockBytes);
  const warnings = new Map<number, string[]>();
  const stores = new StoreGroup(trialHost(disk, warnings));
  const loaded = loadDisk(stores, root, () => true, false);
  if (!loaded.ok) {
    trial.failure ??= loaded.message;
    return trial;
  }
  const { partitions, refused } = loaded.value;
  trial.partitions = [
    ...partitions.map((partition) => verdictOn(partition, warnings.get(partition.id) ?? [])),
    ...refused.map(({ name, reason }) => refusal(name, reason)),
  ].sort((a, b) => (a.folder < b.folder ? -1 : 1));
  for (const verdict of trial.partitions) {
    const inside = (path: string): boolean => path.startsWith(`${join(root, verdict.folder)}/`);
    verdict.wouldCreate = disk.created.filter(inside).map((path) => basename(path));
    verdict.wouldFill = disk.filled.filter(inside).map((path) => basename(path));
  }
  const entries = disk.scan(root);
  if (typeof entries !== 'number') trial.leftovers = leftovers(root, entries).map((path) => basename(path));
  return trial;
}

function verdictOn(partition: Partition, warnings: string[]): PartitionVerdict {
  const { id, volume, sizeBytes, usedBytes, extentCount } = partition;
  return {
    ...{ folder: basename(partition.path), verdict: 'loaded', reason: null, warnings },
    ...{ wouldCreate: [], wouldFill: [] },
    partition: { id, volume, sizeBytes, usedBytes, extents: extentCount },
  };
}

function refusal(folder: string, reason: string): PartitionVerdict {
  return {
    ...{ folder, verdict: 'refused', reason, warnings: [], wouldCreate: [], wouldFill: [] },
    partition: null,
  };
}

/** Surroundings of stores that are loaded and never asked for anything. */
function trialHost(disk: TrialDisk, warnings: Map<number, string[]>): StoreHost {
  return {
    disk,
    clock: { nowMs: () => Date.now(), monotonicNs: () => 0 },
    settings: {
      ...{ strictAppend: true, syncEverything: false, directReadBytes: 0, openExtentsMax: 1 },
      ...{ checksumBytesPerSecond: 0, scrubBytesPerSecond: 0, scrubIntervalMs: 0 },
    },
    health: { status: 2, space: new FreeSpace() },
    limits: new DiskLimits(UNLIMITED, 1, 0),
    healer: { isThere: false, ask: noOperation },
    regions: [new Uint8Array(scratchBytes(disk.batch.capacity))],
    scratchRegion: 0,
    entryOperations: [],
    crc32: noOperation,
    finish: noOperation,
    fail: noOperation,
    assigned: noOperation,
    diskError: () => undefined,
    log(_level, message, fields) {
      const id = Number(fields?.['partition']);
      warnings.set(id, [...(warnings.get(id) ?? []), message]);
    },
  };
}

function noOperation(): never {
  assert.fail('a trial has no operations');
}
