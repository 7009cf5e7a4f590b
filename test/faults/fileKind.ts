/**
 * What a path below a disk's root is to the storage code: the second half of a failpoint's name.
 */
import { basename } from 'node:path';
import { FILE, isDeletedFolderName, isTinyExtent, LOCK_FILE } from '../../src/storage/layout.js';

const OWN_FILES = new Set<string>([...Object.values(FILE), LOCK_FILE, '.diskStatus', '.holeTrial']);

/** `root`, `partition`, `deletedPartition`, `tiny`, `extent`, `temporary META`, or a file's own name. */
export function fileKind(path: string, root: string): string {
  if (path === root) return 'root';
  const name = basename(path);
  if (OWN_FILES.has(name)) return name;
  if (/^\.extentd\.scrub\.\d+$/.test(name)) return '.extentd.scrub';
  if (isDeletedFolderName(name)) return 'deletedPartition';
  if (/^datapartition_/.test(name)) return 'partition';
  if (/^\d+$/.test(name)) return isTinyExtent(Number(name)) ? 'tiny' : 'extent';
  const temporary = /^\.(\w+?)(\.\d+)?$/.exec(name);
  return temporary === null ? name : `temporary ${temporary[1]!.toUpperCase()}`;
}
