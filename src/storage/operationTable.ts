/**
 * The operation table as JavaScript fills it: entries of `OP_ENTRY_BYTES` bytes in shared memory that the addon runs in order.
 *
 * Owned by `NativeDisk`. Adding an entry writes seven numbers and allocates nothing.
 */
import assert from 'node:assert';
import { IO, IO_FLAG, OP_ENTRY_BYTES } from '../native/addon.js';
import type { IoBatch } from './io.js';

// Fields of an entry, counted in 4-byte and 8-byte words (`addon.ts`).
const WORDS = OP_ENTRY_BYTES / 4;
const DOUBLES = OP_ENTRY_BYTES / 8;
const CODE = 0;
const FLAGS = 1;
const FD = 2;
const LENGTH = 3;
const REGION = 8;
const RESULT = 9;
const CRC = 10;
const FILE_OFFSET = 2;
const BUFFER_OFFSET = 3;

export class OperationTable implements IoBatch {
  readonly capacity: number;
  /** What the addon gets: `capacity` entries and one more, `spareIndex`, for entries that are copied at once. */
  readonly bytes: Uint8Array;
  readonly spareIndex: number;
  /** True while an I/O thread works on the entries: none may be added, and there are no results yet. */
  submitted = false;

  readonly #signed: Int32Array;
  readonly #unsigned: Uint32Array;
  readonly #doubles: Float64Array;
  #length = 0;

  /** @param capacity entries a batch holds at most. */
  constructor(capacity: number) {
    assert(Number.isSafeInteger(capacity) && capacity > 0, 'a batch holds at least one entry');
    const memory = new SharedArrayBuffer((capacity + 1) * OP_ENTRY_BYTES);
    this.capacity = capacity;
    this.spareIndex = capacity;
    this.bytes = new Uint8Array(memory);
    this.#signed = new Int32Array(memory);
    this.#unsigned = new Uint32Array(memory);
    this.#doubles = new Float64Array(memory);
  }

  get length(): number {
    return this.#length;
  }

  pwrite(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    linked: boolean,
    guards = false,
  ): number {
    const index = this.#next();
    const flags = (linked ? IO_FLAG.linked : 0) | (guards ? IO_FLAG.guard : 0);
    this.#fill(index, IO.pwrite, flags, fd, fileOffset, region, bufferOffset, length);
    return index;
  }

  pread(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    noWait: boolean,
    crc: boolean,
    direct = false,
  ): number {
    const index = this.#next();
    const flags = (noWait ? IO_FLAG.noWait : 0) | (crc ? IO_FLAG.crc : 0) | (direct ? IO_FLAG.direct : 0);
    this.#fill(index, IO.pread, flags, fd, fileOffset, region, bufferOffset, length);
    return index;
  }

  /** Puts a waiting read or a write (IO.pread, IO.pwrite; flags of `IO_FLAG`) into the spare entry, to be submitted (and so copied) at once. */
  fillSpare(
    code: number,
    flags: number,
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
  ): void {
    this.#fill(this.spareIndex, code, flags, fd, fileOffset, region, bufferOffset, length);
  }

  result(index: number): number {
    this.#checkRun(index);
    return this.#signed[index * WORDS + RESULT]!;
  }

  crc(index: number): number {
    this.#checkRun(index);
    return this.#unsigned[index * WORDS + CRC]!;
  }

  clear(): void {
    assert(!this.submitted, 'the batch is with an I/O thread');
    this.#length = 0;
  }

  #checkRun(index: number): void {
    assert(!this.submitted && index >= 0 && index < this.#length, 'no such entry, or not run yet');
  }

  #next(): number {
    assert(!this.submitted, 'the batch is with an I/O thread');
    assert(this.#length < this.capacity, 'the batch is full');
    return this.#length++;
  }

  #fill(
    index: number,
    code: number,
    flags: number,
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
  ): void {
    const word = index * WORDS;
    this.#unsigned[word + CODE] = code;
    this.#unsigned[word + FLAGS] = flags;
    this.#signed[word + FD] = fd;
    this.#unsigned[word + LENGTH] = length;
    this.#unsigned[word + REGION] = region;
    this.#signed[word + RESULT] = 0;
    this.#unsigned[word + CRC] = 0;
    this.#doubles[index * DOUBLES + FILE_OFFSET] = fileOffset;
    this.#doubles[index * DOUBLES + BUFFER_OFFSET] = bufferOffset;
  }
}
