/**
 * Records read from a log file, whatever the file holds: in steps of bounded size, each checked against the end of the file before its bytes are believed, and against its checksum.
 * Changes nothing, allocates its window once, throws on nothing that a disk can hold.
 */
import { readUint64 } from '../protocol/header.js';
import { crc32c } from '../storage/crc32c.js';
import type { Disk } from '../storage/io.js';
import { maskedCrc, RECORD_CRC_BYTES, RECORD_HEAD_BYTES, RECORD_OVERHEAD_BYTES, viewOf } from './records.js';

const WINDOW_BYTES = 128 * 1024;

/** What is found at an offset. `cutOff`: the file ends inside the record, or its length is no length. */
export type Found = 'whole' | 'cutOff' | 'wrongChecksum' | 'unreadable';

/** Reads one file after the other. After `read`, the fields tell of the record at that offset. */
export class RecordReader {
  /** First byte of the record. */
  type = 0;
  /** Length of its data; meaningful when the record is whole or has a wrong checksum. */
  dataBytes = 0;
  /** Why bytes could not be read: a negated errno, or 0 when the file was shorter than told. */
  errno = 0;
  readonly #disk: Disk;
  readonly #window = new Uint8Array(WINDOW_BYTES);
  readonly #view = viewOf(this.#window);
  #fd = -1;
  #sizeBytes = 0;
  #windowAt = 0;
  #windowBytes = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Goes over to the open file `fd` of `sizeBytes`. */
  use(fd: number, sizeBytes: number): void {
    this.#fd = fd;
    this.#sizeBytes = sizeBytes;
    this.#windowBytes = 0;
  }

  /** Looks at the record at `offset`, which is before the end of the file. */
  read(offset: number): Found {
    const left = this.#sizeBytes - offset;
    if (left < RECORD_OVERHEAD_BYTES)
      return this.#load(offset, left) < 0 ? 'unreadable' : this.#tooShort(offset);
    const head = this.#load(offset, RECORD_HEAD_BYTES);
    if (head < 0) return 'unreadable';
    this.type = this.#window[head]!;
    this.dataBytes = readUint64(this.#view, head + 1);
    if (this.dataBytes < 0 || this.dataBytes > left - RECORD_OVERHEAD_BYTES) return 'cutOff';
    return this.#checksum(offset + RECORD_HEAD_BYTES);
  }

  /** Offset behind the record at `offset` that `read` has looked at. */
  endOf(offset: number): number {
    return offset + RECORD_OVERHEAD_BYTES + this.dataBytes;
  }

  /** Where the `length` bytes at `offset`, at most a window of them, are in `view`; -1 when they cannot be read, with `errno`. Valid until the next call. */
  load(offset: number, length: number): number {
    return offset + length > this.#sizeBytes ? this.#unreadable(0) : this.#load(offset, length);
  }

  /** The window that `load` fills. */
  get view(): DataView {
    return this.#view;
  }

  /** A tail too short for a record, which tells its type at most. */
  #tooShort(offset: number): Found {
    this.type = this.#window[offset - this.#windowAt]!;
    this.dataBytes = 0;
    return 'cutOff';
  }

  #checksum(dataAt: number): Found {
    let crc = 0;
    for (let done = 0; done < this.dataBytes; ) {
      const step = Math.min(WINDOW_BYTES, this.dataBytes - done);
      const at = this.#load(dataAt + done, step);
      if (at < 0) return 'unreadable';
      crc = crc32c(this.#window.subarray(at, at + step), crc);
      done += step;
    }
    const at = this.#load(dataAt + this.dataBytes, RECORD_CRC_BYTES);
    if (at < 0) return 'unreadable';
    return this.#view.getUint32(at) === maskedCrc(crc) ? 'whole' : 'wrongChecksum';
  }

  /** As `load`, inside the file. */
  #load(offset: number, length: number): number {
    const end = this.#windowAt + this.#windowBytes;
    if (offset < this.#windowAt || offset + length > end) {
      const want = Math.min(WINDOW_BYTES, this.#sizeBytes - offset);
      const got = this.#disk.read(this.#fd, this.#window.subarray(0, want), offset);
      this.#windowAt = offset;
      this.#windowBytes = Math.max(0, got);
      if (got < length) return this.#unreadable(Math.min(0, got));
    }
    return offset - this.#windowAt;
  }

  #unreadable(errno: number): number {
    this.errno = errno;
    return -1;
  }
}
