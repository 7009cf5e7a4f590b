/**
 * Groups that live on a journal and their folders as the raft host uses them, without a host: seeded operations, and what each group was after each frame. The plain
 * twin against which a crashed disk is judged.
 */
import assert from 'node:assert';
import { native } from '../../src/native/addon.js';
import type { HardState, RaftEntry } from '../../src/protocol/raftStructs.js';
import { createGroupFolder, openGroupFolder } from '../../src/raft/folderOpen.js';
import type { GroupFolder } from '../../src/raft/groupFolder.js';
import { Journal } from '../../src/raft/journal.js';
import { RecordPieces } from '../../src/raft/recordSource.js';
import { WatchedDisk } from '../crash/watchedDisk.js';
import type { Random } from '../sim/random.js';
import { logRecord } from './journalRig.js';

export const LIFE_ROOT = '/disk';
/** Small, so that files are sealed and segments used again all the time. */
export const LIFE_FILE_BYTES = 600;
const SEGMENT_BYTES = 20 * 4096;
const BUFFER_BYTES = 64 * 1024;

/** A group as it has to be found: nothing that changes later. */
export interface GroupTruth {
  hardState: HardState;
  cutIndex: number;
  cutTerm: number;
  /** Behind the cut, by index: term and the bytes of the log record. */
  entries: ReadonlyMap<number, { term: number; record: Uint8Array }>;
}

const NOTHING: GroupTruth = {
  hardState: { term: 0, vote: 0, commit: 0 },
  cutIndex: 0,
  cutTerm: 0,
  entries: new Map(),
};

/** Something for the folder, when the frame is durable. */
interface Filed {
  frame: number;
  hardState: HardState;
  carryOut: (folder: GroupFolder) => number;
}

class LivingGroup {
  truth = NOTHING;
  readonly id: number;
  readonly folder: GroupFolder;
  waiting: Filed[] = [];
  journaled = NOTHING.hardState;
  checkpointing = false;

  constructor(id: number, folder: GroupFolder) {
    this.id = id;
    this.folder = folder;
  }

  get lastIndex(): number {
    return this.truth.cutIndex + this.truth.entries.size;
  }

  termAt(index: number): number {
    return index === this.truth.cutIndex ? this.truth.cutTerm : this.truth.entries.get(index)!.term;
  }
}

export function groupPath(group: number): string {
  return `${LIFE_ROOT}/datapartition_${group}_1024/wal_${group}`;
}

/** What a life has done, so that a test can see that it did everything. */
export interface LifeCounts {
  appends: number;
  conflicts: number;
  cuts: number;
  resets: number;
  checkpoints: number;
}

export class JournalLife {
  readonly disk: WatchedDisk;
  readonly journal: Journal;
  readonly groups: LivingGroup[] = [];
  readonly counts: LifeCounts = { appends: 0, conflicts: 0, cuts: 0, resets: 0, checkpoints: 0 };
  /** By frame: each group as it is when the frame is durable. Frame 0 is the start. */
  readonly after: Map<number, GroupTruth>[] = [];
  readonly failures: number[] = [];
  readonly #random: Random;

  constructor(groupCount: number, random: Random) {
    this.#random = random;
    const region = new Uint8Array(BUFFER_BYTES);
    this.disk = new WatchedDisk({ regions: [region], seed: random.below(2 ** 31) });
    this.disk.mkdir(LIFE_ROOT, 0o755);
    this.disk.fsyncFolder('/');
    for (let id = 1; id <= groupCount; id += 1) this.groups.push(this.#newGroup(id));
    const journal = Journal.open({
      ...{ disk: this.disk, folder: `${LIFE_ROOT}/.extentd.raft/0`, regions: [region], region: 0 },
      ...{ bufferOffset: 0, bufferBytes: BUFFER_BYTES, segmentBytes: SEGMENT_BYTES, segmentsMax: 3 },
      ...{ crc32c: native.crc32c, log: () => undefined },
    });
    assert(typeof journal !== 'string', String(journal));
    this.journal = journal;
    for (const { id } of this.groups) journal.join(id, NOTHING.hardState, 0, 0);
    this.after.push(new Map(this.groups.map(({ id }) => [id, NOTHING])));
    journal.onDurable = (frame) => this.#file(frame);
    journal.onFailed = (errno) => this.failures.push(errno);
  }

  /** Frames that may be the last one found after a crash now. */
  get candidates(): number[] {
    const { durableFrame, nextFrame } = this.journal;
    return Array.from({ length: Math.max(1, nextFrame - durableFrame) }, (_, at) => durableFrame + at);
  }

  /** A group as it is when `frame` is durable. */
  truthAfter(frame: number, group: number): GroupTruth {
    for (let at = Math.min(frame, this.after.length - 1); ; at -= 1) {
      const truth = this.after[at]?.get(group);
      if (truth !== undefined) return truth;
    }
  }

  /** Some operations of some groups, the end of a turn, and some of what is under way. */
  turn(): void {
    for (let operations = this.#random.below(4); operations > 0; operations -= 1)
      this.#operate(this.groups[this.#random.below(this.groups.length)]!);
    const due = this.journal.dueForCheckpoint((id) => this.groups[id - 1]!.checkpointing);
    if (due !== null) this.#checkpoint(this.groups[due - 1]!);
    this.journal.flush();
    for (let steps = this.#random.below(6); steps > 0 && this.disk.step(); steps -= 1)
      this.disk.drainCompletions();
    this.disk.drainCompletions();
  }

  /** Lets everything become durable and carries it into the folders. */
  settle(): void {
    for (let turns = 0; turns < 100 && this.journal.queuedBytes > 0; turns += 1) {
      this.journal.flush();
      while (this.disk.step()) this.disk.drainCompletions();
      this.disk.drainCompletions();
    }
  }

  /** One append of a group, whatever the seed says. */
  append(id: number): void {
    this.#append(this.groups[id - 1]!);
  }

  /** Begins a checkpoint of a group. */
  checkpoint(id: number): void {
    this.#checkpoint(this.groups[id - 1]!);
  }

  /** A group leaves and a new one comes with its number. */
  replace(id: number): void {
    const old = this.groups[id - 1]!;
    assert(!old.checkpointing);
    const frame = this.journal.end(id);
    assert.equal(old.folder.remove(), 0);
    this.groups[id - 1] = this.#newGroup(id);
    this.journal.join(id, NOTHING.hardState, 0, 0);
    this.after[frame] ??= new Map();
    this.after[frame].set(id, NOTHING);
  }

  #newGroup(id: number): LivingGroup {
    const { disk } = this;
    const partition = `${LIFE_ROOT}/datapartition_${id}_1024`;
    disk.mkdir(partition, 0o755);
    disk.fsyncFolder(LIFE_ROOT);
    const made = createGroupFolder(disk, groupPath(id), { fileBytesMax: LIFE_FILE_BYTES });
    assert(made.ok);
    assert.equal(made.folder.syncNow(), 0);
    return new LivingGroup(id, made.folder);
  }

  #operate(group: LivingGroup): void {
    const choice = this.#random.below(20);
    if (choice < 9) this.#append(group);
    else if (choice < 14) this.#vote(group);
    else if (choice < 17) this.#cut(group);
    else if (choice < 18) this.#reset(group);
    else this.#checkpoint(group);
  }

  #append(group: LivingGroup): void {
    if (!this.journal.hasRoom) return;
    const { truth } = group;
    const [floor, last] = [Math.max(truth.cutIndex, truth.hardState.commit), group.lastIndex];
    const back = this.#random.chance(0.3) ? this.#random.below(last - floor + 1) : 0;
    const first = last + 1 - back;
    const term = truth.hardState.term;
    const entries = new Map([...truth.entries].filter(([index]) => index < first));
    const [records, added]: [Uint8Array[], RaftEntry[]] = [[], []];
    for (let index = first; index <= first + this.#random.below(4); index += 1) {
      const data = new Uint8Array(this.#random.below(150)).fill(this.#random.below(256));
      const record = logRecord(index, term, data);
      records.push(record);
      added.push({ type: 0, term, index, data });
      entries.set(index, { term, record });
    }
    this.counts.appends += 1;
    if (back > 0) this.counts.conflicts += 1;
    group.truth = { ...truth, entries };
    const frame = this.journal.entries(group.id, added);
    const metas = records.map(({ byteLength }, at) => ({ index: first + at, term, recordBytes: byteLength }));
    this.#noted(group, frame, (folder) => folder.append(first, metas, new RecordPieces(records)));
  }

  #vote(group: LivingGroup): void {
    const { term, vote, commit } = group.truth.hardState;
    const newTerm = this.#random.chance(0.5);
    const hardState = {
      term: newTerm ? term + 1 : term,
      vote: newTerm ? this.#random.below(3) : vote,
      commit: commit + this.#random.below(group.lastIndex - commit + 1),
    };
    group.truth = { ...group.truth, hardState };
    this.#noted(group, this.journal.hardState(group.id, hardState), () => 0);
  }

  #cut(group: LivingGroup): void {
    const { cutIndex, hardState, entries } = group.truth;
    if (hardState.commit <= cutIndex) return;
    const index = cutIndex + 1 + this.#random.below(hardState.commit - cutIndex);
    const term = group.termAt(index);
    this.counts.cuts += 1;
    group.truth = {
      ...{ hardState, cutIndex: index, cutTerm: term },
      entries: new Map([...entries].filter(([at]) => at > index)),
    };
    this.#noted(group, this.journal.cut(group.id, index, term), (folder) => folder.cut(index, term));
  }

  #reset(group: LivingGroup): void {
    const index = group.lastIndex + 1 + this.#random.below(5);
    const { hardState } = group.truth;
    const { term } = hardState;
    this.counts.resets += 1;
    const committed = { ...hardState, commit: index };
    group.truth = { hardState: committed, cutIndex: index, cutTerm: term, entries: new Map() };
    const frame = this.journal.reset(group.id, index, term);
    this.#noted(group, frame, (folder) => folder.reset(index, term, committed));
  }

  /** As the host does it: what is durable in META as well, the folder durable, then the record. */
  #checkpoint(group: LivingGroup): void {
    if (group.checkpointing || group.waiting.some(({ frame }) => frame <= this.journal.durableFrame)) return;
    assert.equal(group.folder.setHardState(group.journaled), 0);
    group.checkpointing = true;
    const frame = this.journal.durableFrame;
    group.folder.sync((errno) => {
      assert.equal(errno, 0);
      group.checkpointing = false;
      this.counts.checkpoints += 1;
      this.journal.checkpoint(group.id, frame);
    });
  }

  #noted(group: LivingGroup, frame: number, carryOut: Filed['carryOut']): void {
    this.after[frame] ??= new Map();
    this.after[frame].set(group.id, group.truth);
    group.waiting.push({ frame, hardState: group.truth.hardState, carryOut });
  }

  #file(frame: number): void {
    for (const group of this.groups) {
      while (group.waiting.length > 0 && group.waiting[0]!.frame <= frame) {
        const filed = group.waiting.shift()!;
        group.journaled = filed.hardState;
        assert.equal(filed.carryOut(group.folder), 0);
      }
    }
  }
}

/** How a group's folder differs from what it has to be; null when it does not. */
export function difference(disk: WatchedDisk, group: number, truth: GroupTruth): string | null {
  const opened = openGroupFolder(disk, groupPath(group), { fileBytesMax: LIFE_FILE_BYTES });
  if (!opened.ok) return opened.reason;
  const { folder, state } = opened;
  const entries = [...truth.entries];
  const last = truth.cutIndex + entries.length;
  const told = [state.cutIndex, state.cutTerm, state.lastIndex, ...Object.values(sorted(state.stored))];
  const expected = [truth.cutIndex, truth.cutTerm, last, ...Object.values(sorted(truth.hardState))];
  let problem = `${told}` === `${expected}` ? null : `cut, end, hard state ${told}, not ${expected}`;
  // A file is sealed by an append although all of it is cut already; the next cut or open removes it.
  const notes = state.notes.filter((note) => !/nothing of it lies behind the cut/.test(note));
  if (problem === null && notes.length > 0) problem = notes.join();
  if (problem === null && entries.length > 0) {
    const read = folder.read(truth.cutIndex + 1, last + 1, 2 ** 20);
    if (typeof read === 'number') problem = `read: ${read}`;
    else if (read.length !== entries.length) problem = `${read.length} entries`;
    else {
      const differing = read.find(({ index, term, data }) => {
        const { record } = truth.entries.get(index)!;
        return Buffer.compare(logRecord(index, term, data), record) !== 0;
      });
      if (differing !== undefined) problem = `entry ${differing.index} is another`;
    }
  }
  folder.close();
  return problem;
}

function sorted({ term, vote, commit }: HardState): HardState {
  return { term, vote, commit };
}
