/**
 * The operation table of the simulated disk.
 */
import assert from 'node:assert';
import type { IoBatch } from '../../src/storage/io.js';

export interface SimEntry {
  write: boolean;
  fd: number;
  fileOffset: number;
  region: number;
  bufferOffset: number;
  length: number;
  linked: boolean;
  guards: boolean;
  noWait: boolean;
  crcWanted: boolean;
  result: number;
  crc: number;
}

export class SimBatch implements IoBatch {
  readonly capacity: number;
  readonly entries: SimEntry[] = [];
  /** With an I/O thread: nothing may be added or read. */
  inFlight = false;
  private ran = false;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get length(): number {
    return this.entries.length;
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
    // One literal: a batch entry is made some hundred times for each run of a simulated cluster.
    return this.add({
      write: true,
      fd,
      fileOffset,
      region,
      bufferOffset,
      length,
      linked,
      guards,
      noWait: false,
      crcWanted: false,
      result: 0,
      crc: 0,
    });
  }

  pread(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    noWait: boolean,
    crcWanted: boolean,
  ): number {
    return this.add({
      ...{ write: false, fd, fileOffset, region, bufferOffset, length, linked: false, guards: false },
      ...{ noWait, crcWanted, result: 0, crc: 0 },
    });
  }

  result(index: number): number {
    assert(this.ran && !this.inFlight, 'results are read before the batch has run');
    return this.entries[index]!.result;
  }

  crc(index: number): number {
    assert(this.ran && !this.inFlight, 'results are read before the batch has run');
    return this.entries[index]!.crc;
  }

  hasRun(): void {
    this.ran = true;
    this.inFlight = false;
  }

  clear(): void {
    assert(!this.inFlight, 'a batch in flight is cleared');
    this.entries.length = 0;
    this.ran = false;
  }

  private add(entry: SimEntry): number {
    assert(!this.inFlight && !this.ran, 'an entry is added to a batch in flight or not cleared');
    assert(this.entries.length < this.capacity, 'the batch is full');
    assert(entry.length > 0 && entry.fileOffset >= 0, 'an entry moves bytes at an offset of the file');
    this.entries.push(entry);
    return this.entries.length - 1;
  }
}
