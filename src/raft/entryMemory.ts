/**
 * The entries of a log that are in memory: the end of the log, and one run that was read back from disk for a replica that is far behind. Only the log uses it.
 */
import assert from 'node:assert';
import { ENTRY_HEAD_BYTES, type RaftEntry } from '../protocol/raftStructs.js';

/** Dropped slots at the front of the array are given back when there are this many and they are half of it. */
const FREE_SLOTS_MIN = 64;

/** The bytes of an entry on the wire and in the limit of an append. */
export function entryBytes(entry: RaftEntry): number {
  return ENTRY_HEAD_BYTES + entry.data.length;
}

export class EntryMemory {
  /** Encoded bytes of all entries here. */
  bytes = 0;
  /** The end of the log without a hole: `#tail[#head]` has index `#tailFrom`; in front of it lie dropped slots. */
  #tail: (RaftEntry | undefined)[] = [];
  #head = 0;
  #tailFrom: number;
  /** Entries in index order, all below `#tailFrom`. */
  #back: readonly RaftEntry[] = [];

  constructor(nextIndex: number) {
    this.#tailFrom = nextIndex;
  }

  at(index: number): RaftEntry | undefined {
    if (index >= this.#tailFrom) return this.#tail[this.#head + index - this.#tailFrom];
    const backFrom = this.#back[0]?.index ?? 0;
    return index >= backFrom ? this.#back[index - backFrom] : undefined;
  }

  /** As `RaftLog.slice`. */
  slice(from: number, to: number, bytesMax: number): RaftEntry[] | null {
    const entries: RaftEntry[] = [];
    let bytes = 0;
    for (let index = from; index <= to; index += 1) {
      const entry = this.at(index);
      if (entry === undefined) break;
      bytes += entryBytes(entry);
      if (bytes > bytesMax && entries.length > 0) break;
      entries.push(entry);
    }
    return entries.length === 0 && from <= to ? null : entries;
  }

  /** The last index of the hole that `from` is in. */
  holeEnd(from: number): number {
    const backFrom = this.#back[0]?.index ?? this.#tailFrom;
    return (from < backFrom ? backFrom : this.#tailFrom) - 1;
  }

  push(entry: RaftEntry): void {
    this.#tail.push(entry);
    this.bytes += entryBytes(entry);
  }

  /** A run read from disk takes the place of the one before; what is here anyway is passed over. */
  putBack(entries: readonly RaftEntry[]): void {
    this.#dropBack();
    const end = entries.findIndex((entry) => entry.index >= this.#tailFrom);
    this.#back = end < 0 ? entries : entries.slice(0, end);
    for (const entry of this.#back) this.bytes += entryBytes(entry);
  }

  /** Drops entries up to this index. */
  evict(upTo: number): void {
    if ((this.#back.at(-1)?.index ?? Number.POSITIVE_INFINITY) <= upTo) this.#dropBack();
    while (this.#head < this.#tail.length && this.#tailFrom <= upTo) {
      this.bytes -= entryBytes(this.#tail[this.#head]!);
      this.#tail[this.#head] = undefined;
      this.#head += 1;
      this.#tailFrom += 1;
    }
    if (this.#head < FREE_SLOTS_MIN || this.#head * 2 < this.#tail.length) return;
    this.#tail.splice(0, this.#head);
    this.#head = 0;
  }

  /** Drops entries from this index on; the next one pushed has it. */
  removeFrom(index: number): void {
    if ((this.#back.at(-1)?.index ?? 0) >= index) this.#dropBack();
    if (index < this.#tailFrom) {
      this.clear(index);
      return;
    }
    while (this.#tail.length - this.#head > index - this.#tailFrom)
      this.bytes -= entryBytes(this.#tail.pop()!);
  }

  clear(nextIndex: number): void {
    this.#tail = [];
    this.#head = 0;
    this.#tailFrom = nextIndex;
    this.#back = [];
    this.bytes = 0;
  }

  #dropBack(): void {
    for (const entry of this.#back) this.bytes -= entryBytes(entry);
    this.#back = [];
    assert(this.bytes >= 0, 'the bytes in memory are counted wrongly');
  }
}
