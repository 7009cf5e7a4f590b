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
import { GroupCompletion, type GroupRecovery, RecoveryFailure } from './groupRecovery.js';
import { writeAgain, writeEmptyMark } from './journalFiles.js';
import { type FoundJournal, readJournals } from './journalReader.js';
import { GroupPlan, type GroupRecord, type GroupSummary, type RecordPlace } from './journalReplay.js';
import { type NoVote, readNoVotes, returnVoteNow, takeVote } from './noVote.js';

export interface RecoveryOptions {
  log: (level: 'info' | 'warn' | 'error', message: string) => void;
  /** See `FolderOptions`. */
  fileBytesMax?: number;
  /** Called whenever the disk has done something: a piece of a journal was read, or a group's folder has got on. */
  progress?: () => void;
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
  summary: GroupSummary;
}

/** Folders that are open at a time: two files each. */
const GROUPS_AT_A_TIME = 256;
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
    const journals = readJournals(this.#disk, join(this.#root, RAFT_FOLDER), crc32c, this.#options.progress);
    if (typeof journals === 'string') return this.#failed(journals);
    for (const { failure } of journals) if (failure !== null) return this.#failed(failure);
    const begun = journals.filter((journal) => !journal.isEmpty);
    report.journals = begun.map(({ folder, frames, problems }) => ({ folder, frames, problems }));
    for (const { folder, problems } of begun)
      for (const problem of problems) this.#options.log('error', `raft journal ${folder}: ${problem}`);
    const listed = this.#findPartitions();
    if (listed !== null) return this.#failed(listed);
    const sources = this.#sourcesOf(begun);
    for (const journal of begun) this.#doubt(journal, sources);
    for (const journal of begun) this.#makeLastDurable(journal);
    if (report.failures.length > 0) return report;
    for (const journal of begun)
      this.#recover(
        journal,
        [...sources].filter(([, source]) => source.journal === journal),
      );
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
      for (const [group, summary] of journal.groups) {
        if (summary.isSettled) continue;
        const other = sources.get(group);
        if (other !== undefined) this.#lost.set(group, 'two journals have records of it');
        if (other === undefined || isNewer(summary, other.summary)) sources.set(group, { journal, summary });
      }
    }
    return sources;
  }

  /**
   * Only the last frame can be one whose write has failed or was never waited for: the next one starts when it is durable. It is made so before anything follows from it, since a folder
   * that says more than the journal would count as another node's.
   */
  #makeLastDurable({ lastPlace }: FoundJournal): void {
    const written = lastPlace === null ? 0 : writeAgain(this.#disk, lastPlace);
    if (written < 0) this.#failed(`write ${lastPlace!.path}: ${this.#disk.errnoText(written)}`);
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

  /** Recovers groups of one journal. One walk for the plans, and one for each so many groups. */
  #recover(journal: FoundJournal, groups: readonly [number, Source][]): void {
    const plans = new Map(
      groups.map(([group, { summary }]) => [group, new GroupPlan(summary, journal.gaps)]),
    );
    try {
      walkRecords(journal, (group, record, place) => plans.get(group)?.take(record, place));
      for (let from = 0; from < groups.length; from += GROUPS_AT_A_TIME)
        this.#complete(journal, groups.slice(from, from + GROUPS_AT_A_TIME), plans);
    } catch (error) {
      if (!(error instanceof RecoveryFailure)) throw error;
      this.#failed(error.message);
    }
  }

  /** Throws a `RecoveryFailure`. */
  #complete(
    journal: FoundJournal,
    groups: readonly [number, Source][],
    plans: ReadonlyMap<number, GroupPlan>,
  ): void {
    const { fileBytesMax, progress = () => undefined } = this.#options;
    const shared = { disk: this.#disk, ...(fileBytesMax === undefined ? {} : { fileBytesMax }) };
    const completions = new Map<number, GroupCompletion>();
    try {
      for (const [group, { summary }] of groups) {
        const path = this.#pathOf(group);
        if (path === null) continue;
        progress();
        const plan = plans.get(group)!;
        completions.set(group, new GroupCompletion({ ...shared, group, path, summary, plan }));
      }
      walkRecords(journal, (group, record, place, payload) => {
        if (record.kind === 'entries') completions.get(group)?.take(record, place, payload);
      });
      for (const completion of completions.values()) {
        completion.finish();
        this.#done(completion.recovery);
        progress();
      }
    } finally {
      for (const completion of completions.values()) completion.close();
    }
  }

  #done(recovery: GroupRecovery): void {
    this.#report.groups.push(recovery);
    if (recovery.lost !== null) this.#lost.set(recovery.group, recovery.lost);
    const fine = recovery.outcome === 'recovered' && recovery.lost === null;
    this.#options.log(fine ? 'info' : 'error', recoveryText(recovery));
  }

  /** The log folder of a group; null, and told, when its partition is gone. */
  #pathOf(group: number): string | null {
    const partition = this.#partitions.get(group);
    if (partition !== undefined) return join(partition, `wal_${group}`);
    this.#done({
      ...{ group, folder: null, outcome: 'gone', firstIndex: 0, entries: 0, hardState: null, cut: null },
      ...{
        lastIndex: 0,
        lost: null,
        notes: ['the partition is gone; what the journal has of it is dropped'],
      },
    });
    return null;
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

function isNewer({ hardState: a }: GroupSummary, { hardState: b }: GroupSummary): boolean {
  if (a === null || b === null) return a !== null;
  return a.term > b.term || (a.term === b.term && a.commit > b.commit);
}

/** Walks over the records of a journal but for the ends of groups. Throws a `RecoveryFailure` when it is no longer what it was. */
export function walkRecords(
  journal: FoundJournal,
  visit: (group: number, record: GroupRecord, place: RecordPlace, payload: Uint8Array) => void,
): void {
  const same = journal.walk((frame, records, payload) => {
    for (const [number, record] of records.entries())
      if (record.kind !== 'end') visit(record.group, record, { frame, number }, payload);
  });
  if (!same) throw new RecoveryFailure(`${journal.folder} reads otherwise than a moment ago`);
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
