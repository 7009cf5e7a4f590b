/**
 * What `inspect` tells of the raft journals of a disk: whether a recovery has something to do, and which groups have no vote. Reads only.
 */
import { join } from 'node:path';
import { readJournals } from '../raft/journalReader.js';
import { type NoVote, readNoVotes } from '../raft/noVote.js';
import { crc32c } from '../storage/crc32c.js';
import type { Disk } from '../storage/io.js';
import { RAFT_FOLDER } from '../storage/layout.js';
import { counted, printable } from './textTable.js';

/** One worker's journal. */
export interface JournalSummary {
  folder: string;
  /** Nothing has to be recovered from it. */
  empty: boolean;
  /** Frames and groups that a recovery would look at. */
  frames: number;
  groups: number[];
  problems: string[];
}

export interface JournalsReport {
  journals: JournalSummary[];
  noVote: NoVote[];
  /** What could not be listed. */
  problems: string[];
}

/** Looks at the journals of the disk at `root`. */
export function reportJournals(disk: Disk, root: string): JournalsReport {
  const found = readJournals(disk, join(root, RAFT_FOLDER), crc32c);
  const noVote = readNoVotes(disk, root);
  const problems = typeof found === 'string' ? [found] : [];
  if (typeof noVote === 'number') problems.push(`marks of groups without a vote: ${disk.errnoText(noVote)}`);
  const journals = typeof found === 'string' ? [] : found;
  return {
    journals: journals.map(({ folder, isEmpty, frames, groups, problems }) => ({
      ...{ folder, empty: isEmpty, frames, problems },
      groups: [...groups]
        .flatMap(([group, replay]) => (replay.isSettled ? [] : [group]))
        .sort((a, b) => a - b),
    })),
    noVote: typeof noVote === 'number' ? [] : noVote,
    problems,
  };
}

/** Lines for people; empty where the disk has no journals. */
export function journalsText({ journals, noVote, problems }: JournalsReport): string {
  const lines: string[] = [];
  for (const { folder, empty, frames, groups, problems: wrong } of journals) {
    const state = empty
      ? 'empty'
      : `NOT EMPTY: ${counted(frames, 'frame')}, ${counted(groups.length, 'group')} to recover`;
    lines.push(`raft journal ${printable(folder)}: ${state}`);
    for (const problem of wrong) lines.push(`  PROBLEM: ${printable(problem)}`);
  }
  for (const { group, reason } of noVote)
    lines.push(`no vote until caught up: partition ${group}: ${printable(reason)}`);
  for (const problem of problems) lines.push(`PROBLEM: ${printable(problem)}`);
  return lines.length === 0 ? '' : `${lines.join('\n')}\n\n`;
}
