/**
 * Which groups of a disk have no vote: those that may have forgotten something that was durable (`docs/raft.md`, "A damaged folder, a damaged journal"). A file each, beside the
 * journals, so that it survives restarts until the replica has caught up, and so that each worker ends its own without the others.
 */
import { dirname, join } from 'node:path';
import type { Disk } from '../storage/io.js';
import { RAFT_FOLDER } from '../storage/layout.js';
import { readWholeFile, writeNewFile } from '../storage/wholeFile.js';
import type { WhenDurable } from './types.js';

const NAME = /^no-vote\.(\d+)$/;
const REASON_BYTES_MAX = 4096;
const ENOENT = 2;
const MODE = 0o600;

/** A group without a vote, and why. */
export interface NoVote {
  group: number;
  reason: string;
}

function pathOf(root: string, group: number): string {
  return join(root, RAFT_FOLDER, `no-vote.${group}`);
}

/** The groups of the disk at `root` that have no vote; a negated errno. */
export function readNoVotes(disk: Disk, root: string): NoVote[] | number {
  const entries = disk.scan(join(root, RAFT_FOLDER));
  if (entries === -ENOENT) return [];
  if (typeof entries === 'number') return entries;
  const groups = entries.flatMap(({ name }) => {
    const group = Number(NAME.exec(name)?.[1] ?? Number.NaN);
    return Number.isSafeInteger(group) ? [group] : [];
  });
  return groups
    .sort((a, b) => a - b)
    .map((group) => {
      // The name alone counts: without its reason it is a mark all the same.
      const reason = readWholeFile(disk, pathOf(root, group), REASON_BYTES_MAX);
      return { group, reason: typeof reason === 'number' ? '' : new TextDecoder().decode(reason).trim() };
    });
}

/** Takes the vote of a group until it has caught up, durably. The folder of the journals exists. 0 or a negated errno. */
export function takeVote(disk: Disk, root: string, { group, reason }: NoVote): number {
  const path = pathOf(root, group);
  const written = writeNewFile(disk, path, new TextEncoder().encode(`${reason}\n`), MODE);
  return written < 0 ? written : disk.fsyncFolder(dirname(path));
}

/** The group has caught up, or is gone: its mark goes, now. 0 or a negated errno. */
export function returnVoteNow(disk: Disk, root: string, group: number): number {
  const path = pathOf(root, group);
  const removed = disk.unlink(path);
  return removed < 0 && removed !== -ENOENT ? removed : disk.fsyncFolder(dirname(path));
}

/** The same as submitted work. A mark that stays costs a vote after the next start, nothing else. */
export function returnVote(disk: Disk, root: string, group: number, done: WhenDurable): void {
  const path = pathOf(root, group);
  disk.submitUnlink(path, ({ result: removed }) => {
    if (removed < 0 && removed !== -ENOENT) return done(removed);
    disk.submitFsyncFolder(dirname(path), ({ result }) => done(result));
  });
}
