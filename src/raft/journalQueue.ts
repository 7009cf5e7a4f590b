/**
 * Which records go into which frame: what waits for the disk, in order, as frames that are planned. Pure; owned by `Journal`, which takes one frame after the other.
 *
 * A record goes into the last planned frame while it fits there, else into a new one, so its frame's number is known when it is added. Entries that no frame
 * has room for are divided between two entries; a single one must fit into a frame (`Journal` says how large that is).
 */
import assert from 'node:assert';
import type { RaftEntry } from '../protocol/raftStructs.js';
import { type EntriesRecord, entriesBytes, type JournalRecord, recordBytes } from './journalFrame.js';
import { entryRecordBytes } from './records.js';

export interface PlannedFrame {
  readonly number: number;
  readonly records: JournalRecord[];
  /** Of the records. */
  payloadBytes: number;
}

export class JournalQueue {
  /** In the order in which they are to be written. */
  readonly frames: PlannedFrame[] = [];
  /** Payload that waits, of all frames. */
  payloadBytes = 0;
  readonly #payloadMax: number;
  #nextNumber: number;

  /** @param payloadMax bytes of records in a frame. @param firstNumber of the first frame. */
  constructor(payloadMax: number, firstNumber: number) {
    this.#payloadMax = payloadMax;
    this.#nextNumber = firstNumber;
  }

  /** Number of the frame into which a small record would go now. */
  get nextNumber(): number {
    return this.frames.at(-1)?.number ?? this.#nextNumber;
  }

  /** Plans a record that fits into a frame; the number of its frame. */
  add(record: JournalRecord): number {
    const bytes = recordBytes(record);
    assert(bytes <= this.#payloadMax, 'a record fits into a frame');
    let frame = this.frames.at(-1);
    if (frame === undefined || frame.payloadBytes + bytes > this.#payloadMax) {
      frame = { number: this.#nextNumber, records: [], payloadBytes: 0 };
      this.#nextNumber += 1;
      this.frames.push(frame);
    }
    frame.records.push(record);
    frame.payloadBytes += bytes;
    this.payloadBytes += bytes;
    return frame.number;
  }

  /** Plans entries; the number of the frame with the last of them. They are divided only where they fit into no frame as a whole. */
  addEntries(record: EntriesRecord): number {
    if (recordBytes(record) <= this.#payloadMax) return this.add(record);
    let number = 0;
    const { kind, group, entries } = record;
    for (let from = 0; from < entries.length; ) {
      const to = this.#fitting(entries, from);
      number = this.add({ kind, group, entries: entries.slice(from, to) });
      from = to;
    }
    return number;
  }

  /** The next frame to write, which takes no more records; undefined when nothing waits. */
  take(): PlannedFrame | undefined {
    const frame = this.frames.shift();
    if (frame !== undefined) this.payloadBytes -= frame.payloadBytes;
    return frame;
  }

  /** End of the entries from `from` on that fit into one frame: at least one. */
  #fitting(entries: readonly RaftEntry[], from: number): number {
    let bytes = 0;
    let to = from;
    while (to < entries.length) {
      bytes += entryRecordBytes(entries[to]!.data.byteLength);
      if (to > from && entriesBytes(bytes) > this.#payloadMax) break;
      to += 1;
    }
    return to;
  }
}
