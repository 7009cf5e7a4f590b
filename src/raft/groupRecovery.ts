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
import { KiB } from '../storage/layout.js';
import { type FolderMeta, readFolderMeta } from './folderMeta.js';
import { createGroupFolder, openGroupFolder } from './folderOpen.js';
import type { AppendedEntry, GroupFolder } from './groupFolder.js';
import type { FoundEntries } from './journalFrame.js';
import type { GroupPlan, GroupSummary, LogPoint, RecordPlace } from './journalReplay.js';
import { parseLogFileName } from './logFile.js';
import { RecordPieces } from './recordSource.js';
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
  summary: GroupSummary;
  /** All records were taken. */
  plan: GroupPlan;
  /** See `FolderOptions`. */
  fileBytesMax?: number;
}

const ENOENT = 2;
/** Log records of a group that wait to be appended together. */
const PENDING_BYTES = 64 * KiB;

/** Nothing of it can be emptied: the disk refused something that is not the fault of one folder. */
export class RecoveryFailure extends Error {}

/** The folder of one group on its way. Each call may throw a `RecoveryFailure`; `close` is to be called in any case. */
export class GroupCompletion {
  readonly recovery: GroupRecovery;
  readonly #input: GroupRecoveryInput;
  #folder: GroupFolder | null = null;
  /** Entries that are to be appended, without a gap. */
  #entries: AppendedEntry[] = [];
  #records: Uint8Array[] = [];
  #bytes = 0;
  /** A frame was whole and has no log records where it says: what follows cannot be appended. */
  #broken = false;

  /** Puts the folder in order up to where the journal goes on, or finds out that nothing can be done with it. */
  constructor(input: GroupRecoveryInput) {
    const { group, path, plan } = input;
    this.#input = input;
    this.recovery = recoveryOf(group, path, plan);
    this.#begin();
  }

  /** Takes the log records of `found`, which lie in `payload`, when they count. In the order of the journal. */
  take(found: FoundEntries, place: RecordPlace, payload: Uint8Array): void {
    const folder = this.#folder;
    if (folder === null || !this.#input.plan.counts(place)) return;
    if (this.#broken || found.lastIndex <= folder.cutIndex) return;
    const first = Math.max(found.firstIndex, folder.cutIndex + 1);
    const bytes = payload.slice(found.at, found.at + found.byteLength);
    const taken = entriesIn(bytes, found, first);
    if (typeof taken === 'string') return this.#lose(`frame ${place.frame} of the journal: ${taken}`);
    if (first !== (this.#entries.at(-1)?.index ?? first - 1) + 1) this.#flush();
    for (const entry of taken.entries) this.#entries.push(entry);
    this.#records.push(taken.records);
    this.#bytes += taken.records.byteLength;
    if (this.#bytes >= PENDING_BYTES) this.#flush();
  }

  /** Makes the folder durable. Nothing is taken any more. */
  finish(): void {
    const { recovery } = this;
    const folder = this.#folder;
    if (folder === null) return;
    this.#flush();
    const synced = folder.syncNow();
    if (synced < 0) throw this.#failure('sync', synced);
    recovery.lastIndex = folder.lastIndex;
    const commit = recovery.hardState?.commit ?? 0;
    if (recovery.lost === null && commit > folder.lastIndex)
      this.#lose(`the log ends at ${folder.lastIndex}, and ${commit} was committed here`);
  }

  close(): void {
    this.#folder?.close();
    this.#folder = null;
  }

  #begin(): void {
    const { disk, path, plan, summary, fileBytesMax } = this.#input;
    const meta = readFolderMeta(disk, path);
    const foreign = 'reason' in meta ? null : foreignReason(meta, summary);
    if (foreign !== null) return this.#end('foreign', foreign, null);
    const missing = folderIsMissing(this.#input);
    if (missing !== null) return this.#end('gone', missing, null);
    const { keepBelow, hardState, cut } = plan;
    // Nothing of the folder is needed when all that it keeps is up to the cut.
    const keepsNothing = keepBelow !== null && (cut?.index ?? 0) >= keepBelow - 1;
    if (keepBelow !== null) removeFiles(disk, path, keepsNothing ? 0 : keepBelow);
    const limit = fileBytesMax === undefined ? {} : { fileBytesMax };
    const opened = openGroupFolder(disk, path, { ...limit, repair: { keepBelow, hardState, cut } });
    if (opened.ok) {
      this.#folder = opened.folder;
      this.recovery.notes.push(...opened.state.notes);
      if (plan.lost !== null) syncFiles(disk, path);
      return;
    }
    if (opened.errno < 0 && !isMediumError(opened.errno))
      throw new RecoveryFailure(`${path}: ${opened.reason}`);
    if (opened.errno === 0) keepHardState(this.#input);
    this.#end('refused', opened.reason, `its log could not be completed: ${opened.reason}`);
  }

  /** The log ends with what was taken so far, and the replica may have forgotten something. */
  #lose(why: string): void {
    this.#broken = true;
    this.recovery.lost = why;
    this.recovery.notes.push(why);
  }

  /** Nothing is to be done with the folder. */
  #end(outcome: GroupRecovery['outcome'], note: string, lost: string | null): void {
    Object.assign(this.recovery, { outcome, lost, notes: [note] });
  }

  #flush(): void {
    const first = this.#entries[0];
    if (first === undefined) return;
    const appended = this.#folder!.append(first.index, this.#entries, new RecordPieces(this.#records));
    if (appended < 0) throw this.#failure('write', appended);
    if (this.recovery.entries === 0) this.recovery.firstIndex = first.index;
    this.recovery.entries += this.#entries.length;
    this.#entries = [];
    this.#records = [];
    this.#bytes = 0;
  }

  #failure(what: string, errno: number): RecoveryFailure {
    const { disk, path } = this.#input;
    return new RecoveryFailure(`${what} of ${path}: ${disk.errnoText(errno)}`);
  }
}

/**
 * What the journal has cannot follow what is left of the folder. Its term and vote count all the same, and are gone with the journal: META gets them, above a log that ends
 * where it is damaged. A folder that is refused for itself stays as it is.
 */
function keepHardState({ disk, path, plan, fileBytesMax }: GroupRecoveryInput): void {
  const { hardState, cut } = plan;
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
function foreignReason({ hardState, cutIndex, cutTerm }: FolderMeta, summary: GroupSummary): string | null {
  const known = summary.hardState;
  if (known === null) return null;
  const cut = summary.cut ?? { index: 0, term: 0 };
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
function folderIsMissing({ disk, path, fileBytesMax, summary, plan }: GroupRecoveryInput): string | null {
  const entries = disk.scan(path);
  if (typeof entries !== 'number') return null;
  if (entries !== -ENOENT) throw new RecoveryFailure(`readdir ${path}: ${disk.errnoText(entries)}`);
  const isWhole = plan.keepBelow === 1 || (plan.cut !== null && plan.keepBelow === plan.cut.index + 1);
  if (summary.checkpointed > 0 && !isWhole) return `${path} is gone; what the journal has of it is dropped`;
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

/** The entries from `first` on, and their records; a text when the bytes are not the log records of `found`. */
function entriesIn(
  bytes: Uint8Array,
  { firstIndex, lastIndex }: FoundEntries,
  first: number,
): { entries: AppendedEntry[]; records: Uint8Array } | string {
  const entries: AppendedEntry[] = [];
  let [at, from] = [0, 0];
  for (let index = firstIndex; index <= lastIndex; index += 1) {
    const end = recordEnd(bytes, at);
    const entry = decodeEntryRecord(bytes, at, end);
    if (typeof entry === 'string') return `entry ${index}: ${entry}`;
    if (entry.index !== index) return `entry ${entry.index} in place of ${index}`;
    if (index >= first) entries.push({ index, term: entry.term, recordBytes: end - at });
    else from = end;
    at = end;
  }
  return { entries, records: bytes.subarray(from, at) };
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

/** End of the record at `at`, as its head says. */
function recordEnd(bytes: Uint8Array, at: number): number {
  if (at + RECORD_HEAD_BYTES > bytes.byteLength) return at;
  const view = viewOf(bytes);
  // A record in a frame is far shorter than 4 GiB; a longer one ends behind its bytes.
  const dataBytes = view.getUint32(at + 1) * 2 ** 32 + view.getUint32(at + 5);
  return at + RECORD_OVERHEAD_BYTES + dataBytes;
}
