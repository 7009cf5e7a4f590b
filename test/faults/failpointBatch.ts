/**
 * The operation table of a disk with failpoints: entries are kept here, and go into the real table when it is run, without those that an armed fault answers.
 *
 * A fault fails its entry as the real table would: linked entries of the same file behind it do not run.
 */
import assert from 'node:assert';
import type { IoBatch } from '../../src/storage/io.js';

const ECANCELED = 125;

/** What an armed fault does to one entry: answers instead of the disk (0: nothing was moved), or lets it move at most so many bytes. */
export interface EntryFault {
  errno?: number;
  shortBytes?: number;
}

export interface FailpointEntry {
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
  direct: boolean;
  /** Its index in the real table, -1 when the disk does not see it. */
  inner: number;
  /** The result when the disk does not see it. */
  result: number;
}

export class FailpointBatch implements IoBatch {
  readonly entries: FailpointEntry[] = [];
  private readonly inner: IoBatch;
  private ran = false;

  constructor(inner: IoBatch) {
    this.inner = inner;
  }

  get capacity(): number {
    return this.inner.capacity;
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
    return this.add({
      ...{ write: true, fd, fileOffset, region, bufferOffset, length, linked, guards },
      ...{ noWait: false, crcWanted: false, direct: false, inner: -1, result: 0 },
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
    direct = false,
  ): number {
    return this.add({
      ...{ write: false, fd, fileOffset, region, bufferOffset, length, linked: false, guards: false },
      ...{ noWait, crcWanted, direct, inner: -1, result: 0 },
    });
  }

  /** Puts into the real table what the disk is to run; `faultOf` tells what is armed for an entry that comes to its turn. */
  fill(faultOf: (entry: FailpointEntry) => EntryFault | null): void {
    const failed = new Set<number>();
    let unguarded = false;
    for (const entry of this.entries) {
      if (unguarded || (entry.linked && failed.has(entry.fd))) {
        entry.result = -ECANCELED;
        failed.add(entry.fd);
        unguarded = false;
        continue;
      }
      const fault = faultOf(entry);
      const failing = fault !== null && entry.write;
      if (failing) failed.add(entry.fd);
      unguarded = failing && entry.guards;
      if (fault?.errno !== undefined) entry.result = 0 - fault.errno;
      else this.pass(entry, Math.min(entry.length, fault?.shortBytes ?? entry.length));
    }
    this.ran = true;
  }

  result(index: number): number {
    const entry = this.entry(index);
    return entry.inner < 0 ? entry.result : this.inner.result(entry.inner);
  }

  crc(index: number): number {
    const entry = this.entry(index);
    return entry.inner < 0 ? 0 : this.inner.crc(entry.inner);
  }

  clear(): void {
    this.inner.clear();
    this.entries.length = 0;
    this.ran = false;
  }

  private entry(index: number): FailpointEntry {
    const entry = this.entries[index];
    assert(this.ran && entry !== undefined, 'no such entry, or not run yet');
    return entry;
  }

  private pass(entry: FailpointEntry, length: number): void {
    const { fd, fileOffset, region, bufferOffset, linked, guards, noWait, crcWanted, direct } = entry;
    entry.inner = entry.write
      ? this.inner.pwrite(fd, fileOffset, region, bufferOffset, length, linked, guards)
      : this.inner.pread(fd, fileOffset, region, bufferOffset, length, noWait, crcWanted, direct);
  }

  private add(entry: FailpointEntry): number {
    assert(!this.ran, 'an entry is added to a batch that has run and was not cleared');
    assert(this.entries.length < this.capacity, 'the batch is full');
    return this.entries.push(entry) - 1;
  }
}
