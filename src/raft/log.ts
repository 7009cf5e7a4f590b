/**
 * A group's log as the core sees it: the terms of all entries, the bytes of those in memory, and how far the log is committed, durable, handed over and applied.
 *
 * Pure: it knows no file. What is not in memory was durable before it was evicted; the host reads it from the folder and puts it back when somebody needs it.
 *
 * Always: cut <= applied <= handed over <= min(committed, durable), and committed <= last.
 */
import assert from 'node:assert';
import type { RaftEntry } from '../protocol/raftStructs.js';
import { EntryMemory } from './entryMemory.js';

/** From this index on, until the next run, entries have this term. */
export interface TermRun {
  from: number;
  term: number;
}

/** What a folder holds when its group is opened. Runs cover (cutIndex, lastIndex], ascending. */
export interface LogStart {
  cutIndex: number;
  cutTerm: number;
  lastIndex: number;
  runs: readonly TermRun[];
}

export class RaftLog {
  /** Everything up to here is gone, its term remembered. */
  cutIndex: number;
  cutTerm: number;
  lastIndex: number;
  /** A majority has everything up to here, as far as this node knows. */
  committed: number;
  /** Everything up to here is durable in the log here. */
  durable: number;
  /** Entries up to here went to the state machine. */
  handedOver: number;
  /** The state machine has applied up to here. */
  applied: number;
  /** Entries up to here were given out for persisting. */
  given: number;
  /** How often entries that were there have been replaced. What was given out under another generation says nothing about the entries of this one. */
  generation = 0;
  readonly #memory: EntryMemory;
  #runs: TermRun[];

  /** Nothing of the log is in memory yet; all of it is durable. Throws an assertion error when the runs do not cover the log. */
  constructor(start: LogStart) {
    this.cutIndex = start.cutIndex;
    this.cutTerm = start.cutTerm;
    this.lastIndex = start.lastIndex;
    this.committed = start.cutIndex;
    this.durable = start.lastIndex;
    this.handedOver = start.cutIndex;
    this.applied = start.cutIndex;
    this.given = start.lastIndex;
    this.#runs = start.runs.map((run) => ({ ...run }));
    this.#memory = new EntryMemory(start.lastIndex + 1);
    assert(start.lastIndex >= start.cutIndex, 'the log ends before its cut');
    assert(this.#runsCoverLog(), 'the runs of terms do not cover the log');
  }

  get firstIndex(): number {
    return this.cutIndex + 1;
  }

  get lastTerm(): number {
    return this.#runs.at(-1)?.term ?? this.cutTerm;
  }

  /** Encoded bytes of the entries in memory. */
  get cachedBytes(): number {
    return this.#memory.bytes;
  }

  /** The term of an entry, or of the cut; -1 below the cut and behind the end. */
  term(index: number): number {
    if (index < this.cutIndex || index > this.lastIndex) return -1;
    for (let i = this.#runs.length - 1; i >= 0; i -= 1) {
      const run = this.#runs[i]!;
      if (run.from <= index) return run.term;
    }
    return this.cutTerm;
  }

  /** Whether a log that ends with this entry has at least what this one has (`raft.md` 4.4), priorities aside: -1 less, 0 the same, 1 more. */
  compareEnd(index: number, term: number): number {
    return Math.sign(term - this.lastTerm) || Math.sign(index - this.lastIndex);
  }

  /**
   * Puts entries behind the log; when the first is not behind the last entry, everything from it on is replaced. An entry that is committed here is never
   * replaced: that is an assertion error, because two leaders have disagreed on it.
   */
  append(entries: readonly RaftEntry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    assert(
      first.index <= this.lastIndex + 1,
      `entry ${first.index} does not follow the last one, ${this.lastIndex}`,
    );
    if (first.index <= this.lastIndex) this.#removeFrom(first.index);
    for (const entry of entries) this.#push(entry);
  }

  /** Raises the commit index. */
  commitTo(index: number): void {
    assert(index <= this.lastIndex, `commit ${index} is behind the last entry, ${this.lastIndex}`);
    if (index > this.committed) this.committed = index;
  }

  /** Everything given out under `generation` is durable up to `index`. Says nothing when entries were replaced since: those are given out again. */
  durableTo(index: number, generation: number): void {
    if (generation !== this.generation || index <= this.durable) return;
    assert(index <= this.given, `entry ${index} was not given out, only up to ${this.given}`);
    this.durable = index;
  }

  /**
   * The next entries for the state machine, committed and durable: at most `bytesMax` encoded bytes, at least one; they count as handed over. Empty when
   * there are none, null when they are not in memory.
   */
  handOver(bytesMax: number): RaftEntry[] | null {
    const to = Math.min(this.committed, this.durable);
    if (this.handedOver >= to) return [];
    const entries = this.slice(this.handedOver + 1, to, bytesMax);
    if (entries !== null) this.handedOver += entries.length;
    return entries;
  }

  /** The state machine has applied up to here. */
  appliedTo(index: number): void {
    assert(
      index >= this.applied && index <= this.handedOver,
      `applied ${index} is outside of ${this.applied} to ${this.handedOver}`,
    );
    this.applied = index;
  }

  /** The entries that were not given out yet; they count as given from now on. */
  take(): readonly RaftEntry[] {
    const entries = this.slice(this.given + 1, this.lastIndex, Number.POSITIVE_INFINITY);
    assert(entries !== null, 'an entry that is not durable has left the memory');
    this.given = this.lastIndex;
    return entries;
  }

  /**
   * Entries [from, to] as far as they are in memory and `bytesMax` encoded bytes reach, at least one; null when the first is not in memory.
   * Empty when `from` is behind `to`.
   */
  slice(from: number, to: number, bytesMax: number): RaftEntry[] | null {
    assert(
      from > this.cutIndex && to <= this.lastIndex,
      `entries ${from} to ${to} are not all between ${this.cutIndex + 1} and ${this.lastIndex}`,
    );
    return this.#memory.slice(from, to, bytesMax);
  }

  /** The entry when it is in memory, else undefined. */
  inMemory(index: number): RaftEntry | undefined {
    return this.#memory.at(index);
  }

  /** The last index of the hole in memory that `from` is in. */
  holeEnd(from: number): number {
    return this.#memory.holeEnd(from);
  }

  /**
   * Entries read from the folder. One run at a time stays in memory besides the end of the log: the next one takes its place. What does not belong to this
   * log (it was cut or replaced while the read was under way) is passed over.
   */
  put(entries: readonly RaftEntry[]): void {
    const first = entries.findIndex((entry) => entry.index > this.cutIndex);
    if (first < 0) return;
    let end = first;
    while (end < entries.length && this.term(entries[end]!.index) === entries[end]!.term) end += 1;
    this.#memory.putBack(entries.slice(first, end));
  }

  /** Drops entries up to this index from memory. Only what is durable in the folder may go. */
  evict(upTo: number): void {
    assert(upTo <= this.durable, `entry ${upTo} is not durable, only up to ${this.durable}`);
    this.#memory.evict(upTo);
  }

  /** Cuts the front: everything up to `index` is gone. Returns the term at the cut. */
  cut(index: number): number {
    assert(
      index > this.cutIndex && index <= this.applied,
      `cut at ${index} is outside of ${this.cutIndex + 1} to ${this.applied}`,
    );
    const term = this.term(index);
    this.#memory.evict(index);
    while (this.#runs.length > 1 && this.#runs[1]!.from <= index + 1) this.#runs.shift();
    if (index === this.lastIndex) this.#runs = [];
    else this.#runs[0]!.from = index + 1;
    this.cutIndex = index;
    this.cutTerm = term;
    return term;
  }

  /** A snapshot takes the place of the log: it is empty behind this index, and everything up to it is committed and in the state machine. */
  reset(index: number, term: number): void {
    assert(index > this.committed, `a snapshot at ${index} is not behind the commit, ${this.committed}`);
    this.cutIndex = index;
    this.cutTerm = term;
    this.lastIndex = index;
    this.committed = index;
    this.durable = index;
    this.handedOver = index;
    this.applied = index;
    this.given = index;
    this.generation += 1;
    this.#runs = [];
    this.#memory.clear(index + 1);
  }

  #removeFrom(index: number): void {
    assert(
      index > this.committed,
      `entry ${index} conflicts with a committed one: the commit is ${this.committed}`,
    );
    this.#memory.removeFrom(index);
    while ((this.#runs.at(-1)?.from ?? 0) >= index) this.#runs.pop();
    this.lastIndex = index - 1;
    this.durable = Math.min(this.durable, this.lastIndex);
    this.given = Math.min(this.given, this.lastIndex);
    this.generation += 1;
  }

  #push(entry: RaftEntry): void {
    assert(entry.index === this.lastIndex + 1, `entry ${entry.index} does not follow ${this.lastIndex}`);
    const lastTerm = this.lastTerm;
    assert(entry.term >= lastTerm, `entry ${entry.index} has term ${entry.term}, below ${lastTerm}`);
    if (entry.term !== lastTerm || this.#runs.length === 0)
      this.#runs.push({ from: entry.index, term: entry.term });
    this.#memory.push(entry);
    this.lastIndex = entry.index;
  }

  #runsCoverLog(): boolean {
    if (this.#runs.length === 0) return this.lastIndex === this.cutIndex;
    let before: TermRun = { from: this.cutIndex, term: this.cutTerm };
    for (const run of this.#runs) {
      if (run.from <= before.from || run.term < before.term) return false;
      before = run;
    }
    return this.#runs[0]!.from === this.cutIndex + 1 && before.from <= this.lastIndex;
  }
}
