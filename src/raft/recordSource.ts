/**
 * The bytes of records on their way into files, small ones gathered so that a batch of entries is one write. Copies, or encodes, at most its scratch at a time.
 */
import assert from 'node:assert';
import type { RaftEntry } from '../protocol/raftStructs.js';
import { encodeEntryRecord, entryRecordBytes, recordsBytes, viewOf, writeEntryRecord } from './records.js';

const SCRATCH_BYTES = 64 * 1024;
/** Of the thread: a step is written before the next one is asked for. */
const scratch = new Uint8Array(SCRATCH_BYTES);
const scratchView = viewOf(scratch);

/** Records in their order. */
export interface RecordSource {
  /** Of all of them. */
  readonly byteLength: number;
  /** The next bytes, at least one and at most `bytesMax`, which is where a record ends. Valid until the next call of any source. */
  next(bytesMax: number): Uint8Array;
}

/** The records of entries, encoded when they are asked for. */
export class EntryRecords implements RecordSource {
  readonly byteLength: number;
  readonly #entries: readonly RaftEntry[];
  #next = 0;

  constructor(entries: readonly RaftEntry[]) {
    this.#entries = entries;
    this.byteLength = recordsBytes(entries);
  }

  next(bytesMax: number): Uint8Array {
    const room = Math.min(bytesMax, SCRATCH_BYTES);
    let filled = 0;
    for (; this.#next < this.#entries.length; this.#next += 1) {
      const entry = this.#entries[this.#next]!;
      if (filled + entryRecordBytes(entry.data.byteLength) > room) break;
      filled = writeEntryRecord(entry, scratch, filled, scratchView);
    }
    return filled > 0 ? scratch.subarray(0, filled) : this.#long(bytesMax);
  }

  /** A record that has no room in the scratch. */
  #long(bytesMax: number): Uint8Array {
    const entry = this.#entries[this.#next];
    assert(entry !== undefined, 'the records have as many bytes as their entries tell');
    const record = encodeEntryRecord(entry);
    assert(record.byteLength <= bytesMax, 'records are asked for as a whole');
    this.#next += 1;
    return record;
  }
}

/** Records that are bytes already, cut into pieces anywhere. */
export class RecordPieces implements RecordSource {
  readonly byteLength: number;
  readonly #pieces: readonly Uint8Array[];
  #piece = 0;
  /** Bytes of that piece that are gone. */
  #at = 0;

  constructor(pieces: readonly Uint8Array[]) {
    this.#pieces = pieces;
    this.byteLength = pieces.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /** A part of a large piece, or small ones gathered; `bytesMax` may be anything. */
  next(bytesMax: number): Uint8Array {
    const whole = this.#take(bytesMax);
    if (whole.byteLength === bytesMax || whole.byteLength >= SCRATCH_BYTES) return whole;
    let filled = 0;
    for (let part = whole; ; part = this.#take(Math.min(bytesMax, SCRATCH_BYTES) - filled)) {
      scratch.set(part, filled);
      filled += part.byteLength;
      if (filled === Math.min(bytesMax, SCRATCH_BYTES)) return scratch.subarray(0, filled);
    }
  }

  /** At most `bytesMax` bytes of the piece that is at hand. */
  #take(bytesMax: number): Uint8Array {
    assert(bytesMax > 0);
    while (this.#at === this.#pieces[this.#piece]?.byteLength) {
      this.#piece += 1;
      this.#at = 0;
    }
    const piece = this.#pieces[this.#piece];
    assert(piece !== undefined, 'the records have as many bytes as their entries tell');
    const part = piece.subarray(this.#at, this.#at + bytesMax);
    this.#at += part.byteLength;
    return part;
  }
}
