/**
 * Which partition folders a tool was pointed at: one, or all those of a disk.
 */
import { basename, join, resolve } from 'node:path';
import type { Disk } from '../storage/io.js';
import {
  FILE,
  isDeletedFolderName,
  LOCK_FILE,
  parsePartitionFolderName,
  RAFT_FOLDER,
  SCRUB_FILE_PREFIX,
} from '../storage/layout.js';

/** What DIR turned out to be. */
export interface ToolTarget {
  kind: 'disk' | 'partition';
  path: string;
  /** Partition folders, full paths, by partition id. */
  partitions: string[];
  /** Disks: folders that wait for their removal, and entries that no node looks at. */
  leftovers: string[];
  others: string[];
}

/** Files that tell a partition folder whose name was changed, in a backup say. */
const MARKS = new Set<string>([FILE.meta, FILE.extentMeta, FILE.extentCrc]);
const DISK_NAMES = new Set<string>([LOCK_FILE, RAFT_FOLDER, '.diskStatus']);

/** Looks at DIR. Without a partition in it counts as an empty disk. A message when it cannot be listed. */
export function findTarget(disk: Disk, dir: string): ToolTarget | string {
  const path = resolve(dir);
  const entries = disk.scan(path);
  if (typeof entries === 'number') return `readdir ${path}: ${disk.errnoText(entries)}`;
  const named = entries.flatMap(({ name }) => {
    const told = parsePartitionFolderName(name);
    return told === null ? [] : [{ name, id: told.id }];
  });
  const isPartition =
    parsePartitionFolderName(basename(path)) !== null || entries.some(({ name }) => MARKS.has(name));
  if (isPartition && named.length === 0)
    return { kind: 'partition', path, partitions: [path], leftovers: [], others: [] };
  named.sort((a, b) => a.id - b.id || (a.name < b.name ? -1 : 1));
  const leftovers = entries.map(({ name }) => name).filter(isDeletedFolderName);
  const others = entries
    .map(({ name }) => name)
    .filter((name) => parsePartitionFolderName(name) === null && !isDeletedFolderName(name))
    .filter((name) => !DISK_NAMES.has(name) && !name.startsWith(SCRUB_FILE_PREFIX));
  const partitions = named.map(({ name }) => join(path, name));
  return { kind: 'disk', path, partitions, leftovers: leftovers.sort(), others: others.sort() };
}
