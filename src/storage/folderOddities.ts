/**
 * What in a partition's folder is not as a node leaves it and does not keep the partition from being served: said in the log, and left alone. Pure.
 */
import { join } from 'node:path';
import type { FolderEntry } from './io.js';
import { FILE, parseExtentName } from './layout.js';

/** So many names stand in one line of the log. */
const NAMES_MAX = 8;
/** Names that are no extents: own files, what a save of META or APPLY leaves when it is cut short, the raft log. */
const OWN = new Set<string>(Object.values(FILE));
const TEMPORARY = /^\.(meta|apply|raft_missing)(\.\d+)?$/;
const RAFT_LOG = /^wal_\d+$/;

/** Log lines on the entries of the folder at `path`. */
export function folderOddities(path: string, entries: readonly FolderEntry[]): string[] {
  const lines: string[] = [];
  const foreign: string[] = [];
  for (const { name, kind } of entries) {
    if (parseExtentName(name) >= 0) {
      if (kind !== 'file') lines.push(unserved(path, name));
    } else if (/^\d+$/.test(name)) {
      lines.push(unserved(path, name));
    } else if (!OWN.has(name) && !TEMPORARY.test(name) && !RAFT_LOG.test(name)) {
      foreign.push(name);
    }
  }
  if (foreign.length > 0)
    lines.push(`${path} holds foreign entries, which are left alone: ${listed(foreign)}`);
  return lines;
}

/** The log line on files that a folder lacked and that were made. */
export function completedFolder(path: string, missing: readonly string[]): string {
  return `${path} was incomplete: made ${listed(missing)}`;
}

function unserved(path: string, name: string): string {
  return `${join(path, name)} is named like an extent but is none: not served`;
}

function listed(names: readonly string[]): string {
  const first = names.slice(0, NAMES_MAX).join(', ');
  return names.length > NAMES_MAX ? `${first} and ${names.length - NAMES_MAX} more` : first;
}
