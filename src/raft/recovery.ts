/**
 * Recovery of a disk: its journals carried into the folders of its groups, before any group is opened (`docs/raft.md`, "Start, stop"). Synchronous; runs at a start and in
 * `extentd recover`, under the lock of the disk.
 *
 * The order is what makes it safe to be killed: folders complete and durable, then the marks of groups without a vote, then each journal emptied in one step. Until that step
 * everything is done again from the start. Damage never keeps the other groups from being recovered; a disk that refuses a write ends it, and nothing is emptied.
 */
import { join } from 'node:path';
import { crc32c } from '../storage/crc32c.js';
import type { Disk } from '../storage/io.js';
import { parsePartitionFolderName, RAFT_FOLDER } from '../storage/layout.js';
import { type GroupRecovery, RecoveryFailure, recoverGroup } from './groupRecovery.js';
import { writeEmptyMark } from './journalFiles.js';
import { type FoundJournal, readJournals } from './journalReader.js';
import type { GroupReplay } from './journalReplay.js';
import { type NoVote, readNoVotes, returnVoteNow, takeVote } from './noVote.js';

export interface RecoveryOptions {
  log: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** See `FolderOptions`. */
  fileBytesMax?: number;
}

export interface RecoveryReport {
  /** Why it could not be completed; the journals are as they were, and no group of the disk may be opened. Empty when it was. */
  failures: string[];
  /** Those that were not empty, or not readable. */
  journals: { folder: string; frames: number; problems: string[] }[];
  /** Groups with records that were not in their folder for certain. */
  groups: GroupRecovery[];
  /** Groups of the disk without a vote, older ones included. */
  noVote: NoVote[];
}

/** A group's records, and the journal they are in. */
interface Source {
  journal: FoundJournal;
  replay: GroupReplay;
}

/** What a mark skips where nobody knows which numbers were used. */
const UNKNOWN_FRAMES = 2 ** 32;
const UNKNOWN_LIVES = 2 ** 16;

/** Recovers the disk at `root`. Changes nothing where all journals are empty. */
export function recoverDisk(disk: Disk, root: string, options: RecoveryOptions): RecoveryReport {
  return new DiskRecovery(disk, root, options).run();
}

class DiskRecovery {
  readonly #disk: Disk;
  readonly #root: string;
  readonly #options: RecoveryOptions;
  readonly #report: RecoveryReport = { failures: [], journals: [], groups: [], noVote: [] };
  /** Folders of the partitions by id. */
  readonly #partitions = new Map<number, string>();
  /** Groups that lose their vote now. */
  readonly #lost = new Map<number, string>();

  constructor(disk: Disk, root: string, options: RecoveryOptions) {
    this.#disk = disk;
    this.#root = root;
    this.#options = options;
  }

  run(): RecoveryReport {
    const report = this.#report;
    const journals = readJournals(this.#disk, join(this.#root, RAFT_FOLDER), crc32c);
    if (typeof journals === 'string') return this.#failed(journals);
    const begun = journals.filter((journal) => !journal.isEmpty);
    report.journals = begun.map(({ folder, frames, problems }) => ({ folder, frames, problems }));
    for (const { folder, problems } of begun)
      for (const problem of problems) this.#options.log('error', `raft journal ${folder}: ${problem}`);
    const listed = this.#findPartitions();
    if (listed !== null) return this.#failed(listed);
    const sources = this.#sourcesOf(begun);
    for (const journal of begun) this.#doubt(journal, sources);
    for (const [group, source] of sources) this.#recover(group, source);
    if (report.failures.length === 0) this.#keepMarks();
    if (report.failures.length === 0) for (const journal of begun) this.#empty(journal);
    return report;
  }

  #failed(message: string): RecoveryReport {
    this.#options.log('error', `raft recovery of ${this.#root}: ${message}`);
    this.#report.failures.push(message);
    return this.#report;
  }

  #findPartitions(): string | null {
    const entries = this.#disk.scan(this.#root);
    if (typeof entries === 'number') return `readdir ${this.#root}: ${this.#disk.errnoText(entries)}`;
    for (const { name, kind } of entries) {
      const told = kind === 'folder' ? parsePartitionFolderName(name) : null;
      if (told !== null) this.#partitions.set(told.id, join(this.#root, name));
    }
    return null;
  }

  /** Groups with something to do. Records of one group are in one journal; where two have some, the newer ones count. */
  #sourcesOf(journals: readonly FoundJournal[]): Map<number, Source> {
    const sources = new Map<number, Source>();
    for (const journal of journals) {
      for (const [group, replay] of journal.groups) {
        if (replay.isSettled) continue;
        const other = sources.get(group);
        if (other !== undefined) this.#lost.set(group, 'two journals have records of it');
        if (other === undefined || isNewer(replay, other.replay)) sources.set(group, { journal, replay });
      }
    }
    return sources;
  }

  /** Any group of the disk may have had records in frames that are missing, unless a later checkpoint or another journal shows that it had none. */
  #doubt(journal: FoundJournal, sources: ReadonlyMap<number, Source>): void {
    const { gaps, unreadable, folder } = journal;
    const lastMissing = unreadable ? Number.POSITIVE_INFINITY : (gaps.at(-1)?.to ?? 0);
    if (lastMissing === 0) return;
    for (const group of this.#partitions.keys()) {
      const elsewhere = sources.get(group);
      if (elsewhere !== undefined && elsewhere.journal !== journal) continue;
      const settled = journal.groups.get(group)?.checkpointed ?? 0;
      if (settled < lastMissing) this.#lost.set(group, `frames of the journal ${folder} are lost`);
    }
  }

  #recover(group: number, { journal, replay }: Source): void {
    const partition = this.#partitions.get(group);
    const { log, fileBytesMax } = this.#options;
    if (partition === undefined) {
      const notes = ['the partition is gone; what the journal has of it is dropped'];
      this.#report.groups.push({
        ...{ group, folder: null, outcome: 'gone', firstIndex: 0, entries: 0, hardState: null, cut: null },
        ...{ lastIndex: 0, lost: null, notes },
      });
      return;
    }
    const path = join(partition, `wal_${group}`);
    const limit = fileBytesMax === undefined ? {} : { fileBytesMax };
    try {
      const input = { disk: this.#disk, group, path, journal: journal.folder, replay, gaps: journal.gaps };
      const recovery = recoverGroup({ ...input, ...limit });
      this.#report.groups.push(recovery);
      if (recovery.lost !== null) this.#lost.set(group, recovery.lost);
      const level = recovery.outcome === 'recovered' ? 'info' : 'error';
      log(recovery.lost === null ? level : 'error', recoveryText(recovery));
    } catch (error) {
      if (!(error instanceof RecoveryFailure)) throw error;
      this.#failed(error.message);
    }
  }

  /** Writes the marks of groups that lose their vote, and drops those of partitions that are gone. */
  #keepMarks(): void {
    const marked = readNoVotes(this.#disk, this.#root);
    if (typeof marked === 'number') return void this.#failed(`marks: ${this.#disk.errnoText(marked)}`);
    for (const [group, reason] of this.#lost) {
      const taken = takeVote(this.#disk, this.#root, { group, reason });
      if (taken < 0) return void this.#failed(`mark of group ${group}: ${this.#disk.errnoText(taken)}`);
      this.#report.noVote.push({ group, reason });
    }
    for (const mark of marked) {
      if (this.#lost.has(mark.group)) continue;
      if (this.#partitions.has(mark.group)) this.#report.noVote.push(mark);
      // One that stays does no harm.
      else returnVoteNow(this.#disk, this.#root, mark.group);
    }
  }

  #empty({ folder, last, unreadable }: FoundJournal): void {
    const mark = {
      frame: last.frame + (unreadable ? UNKNOWN_FRAMES : 1),
      life: last.life + (unreadable ? UNKNOWN_LIVES : 1),
    };
    const written = writeEmptyMark(this.#disk, folder, mark, crc32c);
    if (written < 0) this.#failed(`emptying ${folder}: ${this.#disk.errnoText(written)}`);
  }
}

function isNewer({ hardState: a }: GroupReplay, { hardState: b }: GroupReplay): boolean {
  if (a === null || b === null) return a !== null;
  return a.term > b.term || (a.term === b.term && a.commit > b.commit);
}

/** One line about a group, for the log and for people. */
export function recoveryText({
  group,
  outcome,
  firstIndex,
  entries,
  lastIndex,
  notes,
}: GroupRecovery): string {
  const range = entries === 0 ? 'no entries' : `entries ${firstIndex} to ${firstIndex + entries - 1}`;
  const done = outcome === 'recovered' ? `${range} from the journal, the log ends at ${lastIndex}` : outcome;
  return `raft log of partition ${group}: ${[done, ...notes].join('; ')}`;
}
