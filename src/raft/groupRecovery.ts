/**
 * One group's folder brought to what the journal says was durable. Synchronous; may be killed at any moment and is then done again from the start.
 *
 * Behind the last checkpoint of a group nothing in its folder was synced: any of its pages, names and lengths may be old, new or torn. The journal has all of it, so nothing
 * there is looked at: files that begin at or behind the first index that a record has touched go, and the one before is cut at it. Only a folder that says more than the journal has
 * ever known is left alone: somebody else has written to it.
 */
import { constants } from 'node:fs';
import { join } from 'node:path';
import type { HardState } from '../protocol/raftStructs.js';
import { isMediumError } from '../storage/diskErrors.js';
import type { Disk } from '../storage/io.js';
import { MiB } from '../storage/layout.js';
import { type FolderMeta, readFolderMeta } from './folderMeta.js';
import { createGroupFolder, openGroupFolder } from './folderOpen.js';
import type { AppendedEntry, GroupFolder } from './groupFolder.js';
import { segmentPath } from './journalFiles.js';
import type { EntryRun, FrameGap, GroupPlan, GroupReplay, LogPoint } from './journalReplay.js';
import { parseLogFileName } from './logFile.js';
import { decodeEntryRecord, RECORD_HEAD_BYTES, RECORD_OVERHEAD_BYTES, viewOf } from './records.js';

/** What came of a group's records. */
export interface GroupRecovery {
  group: number;
  /** Full path; null when the partition is gone. */
  folder: string | null;
  /**
   * `recovered`: the folder is complete. `foreign`: another node has written to it, the records are void. `gone`: there is no folder for them. `refused`: the folder is
   * damaged below what the journal has, or does not read; of the journal it got term and vote at most.
   */
  outcome: 'recovered' | 'foreign' | 'gone' | 'refused';
  /** Entries that were brought in: the first, and how many. */
  firstIndex: number;
  entries: number;
  hardState: HardState | null;
  cut: LogPoint | null;
  lastIndex: number;
  /** Why the replica may have forgotten something; null. */
  lost: string | null;
  notes: string[];
}

/** What a group's recovery needs. */
export interface GroupRecoveryInput {
  disk: Disk;
  group: number;
  /** `wal_<group>`, which may be missing. */
  path: string;
  /** Folder of the journal, and what was found there. */
  journal: string;
  replay: GroupReplay;
  gaps: readonly FrameGap[];
  /** See `FolderOptions`. */
  fileBytesMax?: number;
}

const ENOENT = 2;
/** Log records that are appended together. */
const BATCH_BYTES = MiB;

/** Nothing of it can be emptied: the disk refused something. */
export class RecoveryFailure extends Error {}

/** Carries out what the journal has for a group. Throws a `RecoveryFailure` when the disk refuses something that is not the fault of this folder. */
export function recoverGroup(input: GroupRecoveryInput): GroupRecovery {
  const { disk, group, path, replay, gaps } = input;
  const plan = replay.plan(gaps);
  const recovery = recoveryOf(group, path, plan);
  const meta = readFolderMeta(disk, path);
  const foreign = 'reason' in meta ? null : foreignReason(meta, replay);
  if (foreign !== null) return { ...recovery, outcome: 'foreign', notes: [foreign], lost: null };
  const missing = folderIsMissing(input, plan);
  if (missing !== null) return { ...recovery, outcome: 'gone', notes: [missing], lost: null };
  const { keepBelow } = plan;
  // Nothing of the folder is needed when all that it keeps is behind the cut.
  const keepsNothing = keepBelow !== null && (plan.cut?.index ?? 0) >= keepBelow - 1;
  if (keepBelow !== null) removeFiles(disk, path, keepsNothing ? 0 : keepBelow);
  const { hardState, cut } = plan;
  const options = input.fileBytesMax === undefined ? {} : { fileBytesMax: input.fileBytesMax };
  const opened = openGroupFolder(disk, path, { ...options, repair: { keepBelow, hardState, cut } });
  if (!opened.ok) {
    if (opened.errno < 0 && !isMediumError(opened.errno))
      throw new RecoveryFailure(`${path}: ${opened.reason}`);
    const lost = `its log could not be completed: ${opened.reason}`;
    if (opened.errno === 0) keepHardState(input, plan);
    return { ...recovery, outcome: 'refused', notes: [opened.reason], lost };
  }
  recovery.notes.push(...opened.state.notes);
  try {
    if (plan.lost !== null) syncFiles(disk, path);
    complete(input, opened.folder, plan, recovery);
  } finally {
    opened.folder.close();
  }
  return recovery;
}

/**
 * What the journal has cannot follow what is left of the folder. Its term and vote count all the same, and are gone with the journal: META gets them, above a log that ends
 * where it is damaged. A folder that is refused for itself stays as it is.
 */
function keepHardState(
  { disk, path, fileBytesMax }: GroupRecoveryInput,
  { hardState, cut }: GroupPlan,
): void {
  const options = fileBytesMax === undefined ? {} : { fileBytesMax };
  const rest = openGroupFolder(disk, path, { ...options, repair: { keepBelow: null, hardState, cut } });
  if (!rest.ok) return;
  const synced = rest.folder.syncNow();
  rest.folder.close();
  if (synced < 0) throw new RecoveryFailure(`sync of ${path}: ${disk.errnoText(synced)}`);
}

function recoveryOf(group: number, folder: string, { hardState, cut, lost }: GroupPlan): GroupRecovery {
  return {
    ...{ group, folder, outcome: 'recovered', firstIndex: 0, entries: 0, hardState, cut, lastIndex: 0 },
    ...{ lost, notes: lost === null ? [] : [lost] },
  };
}

/** Why the folder must have been written by another node; null when it need not. It is written after the journal, so it never says more than that. */
function foreignReason({ hardState, cutIndex, cutTerm }: FolderMeta, replay: GroupReplay): string | null {
  const known = replay.hardState;
  if (known === null) return null;
  const cut = replay.cut ?? { index: 0, term: 0 };
  const commit = Math.max(known.commit, cut.index);
  const told = (what: string, here: number, there: number): string =>
    `another node has written to the log folder: its ${what} is ${here}, and the journal ends with ${there}`;
  if (cutIndex > cut.index) return told('cut', cutIndex, cut.index);
  if (cutIndex > 0 && cutIndex === cut.index && cutTerm !== cut.term)
    return told('term of the cut', cutTerm, cut.term);
  if (hardState.term > known.term) return told('term', hardState.term, known.term);
  if (hardState.commit > commit) return told('commit', hardState.commit, commit);
  const otherVote = hardState.vote !== 0 && hardState.vote !== known.vote;
  return hardState.term === known.term && otherVote ? told('vote', hardState.vote, known.vote) : null;
}

/** Makes the folder where it can be made whole from the journal alone. Why it cannot, where it is missing; null when it is there. */
function folderIsMissing(
  { disk, path, fileBytesMax, replay }: GroupRecoveryInput,
  plan: GroupPlan,
): string | null {
  const entries = disk.scan(path);
  if (typeof entries !== 'number') return null;
  if (entries !== -ENOENT) throw new RecoveryFailure(`readdir ${path}: ${disk.errnoText(entries)}`);
  const isWhole = plan.keepBelow === 1 || (plan.cut !== null && plan.keepBelow === plan.cut.index + 1);
  if (replay.checkpointed > 0 && !isWhole) return `${path} is gone; what the journal has of it is dropped`;
  if (plan.keepBelow !== null && !isWhole) return `${path} is gone, and the journal has its last part only`;
  const made = createGroupFolder(disk, path, fileBytesMax === undefined ? {} : { fileBytesMax });
  if (!made.ok) throw new RecoveryFailure(`${path}: ${made.reason}`);
  made.folder.close();
  return null;
}

/** Removes the log files whose name says `from` or more, the newest first. */
function removeFiles(disk: Disk, path: string, from: number): void {
  const entries = disk.scan(path);
  if (typeof entries === 'number') throw new RecoveryFailure(`readdir ${path}: ${disk.errnoText(entries)}`);
  const named = entries.flatMap(({ name }) => {
    const told = parseLogFileName(name);
    return told === null ? [] : [{ name, ...told }];
  });
  for (const { name, index } of named.sort((a, b) => b.seq - a.seq)) {
    const removed = index >= from ? disk.unlink(join(path, name)) : 0;
    if (removed < 0) throw new RecoveryFailure(`unlink ${join(path, name)}: ${disk.errnoText(removed)}`);
  }
}

/**
 * Makes every log file durable. Where the journal has all that was written since the checkpoint it is written, and synced, again; where frames are missing nobody knows which files the
 * kernel still has to write.
 */
function syncFiles(disk: Disk, path: string): void {
  const entries = disk.scan(path);
  if (typeof entries === 'number') throw new RecoveryFailure(`readdir ${path}: ${disk.errnoText(entries)}`);
  for (const { name } of entries) {
    if (parseLogFileName(name) === null) continue;
    const fd = disk.open(join(path, name), constants.O_RDWR, 0);
    const synced = fd < 0 ? fd : disk.fdatasync(fd);
    if (fd >= 0) disk.close(fd);
    if (synced < 0) throw new RecoveryFailure(`sync ${join(path, name)}: ${disk.errnoText(synced)}`);
  }
}

/** Appends the journal's entries and makes the folder durable. */
function complete(
  input: GroupRecoveryInput,
  folder: GroupFolder,
  plan: GroupPlan,
  recovery: GroupRecovery,
): void {
  const { disk, path, journal } = input;
  const failed = (what: string, errno: number): RecoveryFailure =>
    new RecoveryFailure(`${what} of ${path}: ${disk.errnoText(errno)}`);
  const source = new RunSource(disk, journal);
  try {
    let next = 0;
    while (next < plan.runs.length) {
      const batch = new Batch(folder.cutIndex);
      while (next < plan.runs.length && batch.bytes < BATCH_BYTES) {
        const run = plan.runs[next]!;
        if (run.lastIndex > folder.cutIndex) batch.add(source.read(run), run, journal);
        next += 1;
      }
      const first = batch.entries[0];
      if (first === undefined) continue;
      const appended = folder.append(first.index, batch.entries, batch.records);
      if (appended < 0) throw failed('write', appended);
      if (recovery.entries === 0) recovery.firstIndex = first.index;
      recovery.entries += batch.entries.length;
    }
  } finally {
    source.close();
  }
  const synced = folder.syncNow();
  if (synced < 0) throw failed('sync', synced);
  recovery.lastIndex = folder.lastIndex;
  const commit = plan.hardState?.commit ?? 0;
  if (recovery.lost === null && commit > folder.lastIndex) {
    recovery.lost = `the log ends at ${folder.lastIndex}, and ${commit} was committed here`;
    recovery.notes.push(recovery.lost);
  }
}

/** Entries on their way from the journal into the folder. */
class Batch {
  readonly entries: AppendedEntry[] = [];
  readonly records: Uint8Array[] = [];
  bytes = 0;
  readonly #cutIndex: number;

  constructor(cutIndex: number) {
    this.#cutIndex = cutIndex;
  }

  /** The entries of a run that count and lie behind the cut. */
  add(bytes: Uint8Array, run: EntryRun, journal: string): void {
    let [at, from, index] = [0, 0, run.firstIndex];
    for (; index <= run.lastIndex; index += 1) {
      const end = recordEnd(bytes, at);
      const entry = decodeEntryRecord(bytes, at, end);
      if (typeof entry === 'string' || entry.index !== index)
        throw new RecoveryFailure(
          `${segmentPath(journal, run.segment)} at ${run.offset + at} reads otherwise now`,
        );
      if (index > this.#cutIndex) this.entries.push({ index, term: entry.term, recordBytes: end - at });
      else from = end;
      at = end;
    }
    this.records.push(bytes.subarray(from, at));
    this.bytes += at - from;
  }
}

/** End of the record at `at`, as its head says. */
function recordEnd(bytes: Uint8Array, at: number): number {
  if (at + RECORD_HEAD_BYTES > bytes.byteLength) return at;
  const view = viewOf(bytes);
  // A record in a frame is far shorter than 4 GiB; a longer one ends behind its bytes.
  const dataBytes = view.getUint32(at + 1) * 2 ** 32 + view.getUint32(at + 5);
  return at + RECORD_OVERHEAD_BYTES + dataBytes;
}

/** Reads log records out of the segments of a journal, whose frames were checked before. */
class RunSource {
  readonly #disk: Disk;
  readonly #journal: string;
  #segment = -1;
  #fd = -1;

  constructor(disk: Disk, journal: string) {
    this.#disk = disk;
    this.#journal = journal;
  }

  read({ segment, offset, byteLength }: EntryRun): Uint8Array {
    const path = segmentPath(this.#journal, segment);
    if (segment !== this.#segment) {
      this.close();
      this.#fd = this.#disk.open(path, constants.O_RDONLY, 0);
      if (this.#fd < 0) throw new RecoveryFailure(`open ${path}: ${this.#disk.errnoText(this.#fd)}`);
      this.#segment = segment;
    }
    const bytes = new Uint8Array(byteLength);
    const count = this.#disk.read(this.#fd, bytes, offset);
    if (count === byteLength) return bytes;
    const why = count < 0 ? this.#disk.errnoText(count) : 'it is shorter now';
    throw new RecoveryFailure(`read ${path}: ${why}`);
  }

  close(): void {
    if (this.#fd >= 0) this.#disk.close(this.#fd);
    this.#segment = -1;
    this.#fd = -1;
  }
}
