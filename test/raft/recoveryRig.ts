/**
 * What the tests of recovery share: a life whose process was killed, its recovery, and the comparison with what it was.
 */
import type { Test } from 'tap';
import { openGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { type RecoveryReport, recoverDisk } from '../../src/raft/recovery.js';
import type { WatchedDisk } from '../crash/watchedDisk.js';
import { wholeImage } from '../sim/crashImages.js';
import { Random } from '../sim/random.js';
import { difference, groupPath, JournalLife, LIFE_FILE_BYTES, LIFE_ROOT } from './journalLife.js';

export const JOURNAL = `${LIFE_ROOT}/.extentd.raft/0`;

export function recover(disk: WatchedDisk, lines: string[] = [], progress?: () => void): RecoveryReport {
  const log = (level: string, message: string): void => void lines.push(`${level} ${message}`);
  const options = progress === undefined ? {} : { progress };
  return recoverDisk(disk, LIFE_ROOT, { log, fileBytesMax: LIFE_FILE_BYTES, ...options });
}

/** A life of three groups that each have something in the journal, all of it durable. */
export function life(seed = 1, turns = 40): JournalLife {
  const lived = new JournalLife(3, new Random(seed));
  for (let turn = 0; turn < turns; turn += 1) lived.turn();
  for (const { id } of lived.groups) lived.append(id);
  lived.settle();
  return lived;
}

/** The disk as the next process finds it when the life is killed now. */
export function killed(lived: JournalLife): WatchedDisk {
  return lived.disk.withRoot(wholeImage(lived.disk.rootFolder), 1) as WatchedDisk;
}

export function folderOf(disk: WatchedDisk, group: number): GroupFolder {
  const opened = openGroupFolder(disk, groupPath(group), { fileBytesMax: LIFE_FILE_BYTES });
  if (!opened.ok) throw new Error(opened.reason);
  return opened.folder;
}

/** Groups in `groups` are as they were at the end of the life. */
export function same(t: Test, lived: JournalLife, disk: WatchedDisk, ...groups: number[]): void {
  const last = lived.journal.durableFrame;
  for (const group of groups)
    t.equal(difference(disk, group, lived.truthAfter(last, group)), null, `group ${group}`);
}

/** Groups and what came of them. */
export const outcomes = ({ groups }: RecoveryReport): string[] =>
  groups.map(({ group, outcome }) => `${group} ${outcome}`);
