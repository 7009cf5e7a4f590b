/**
 * Writes the file list of a load task's answer (`admin.md` 5.6) as JSON bytes, without an object or a string a file: a full partition has 20,000 files and
 * more, and the thread that makes the list is the one that serves their disk. Pure; used by `src/partition`, once a list.
 */
import assert from 'node:assert';

const START_BYTES = 64 * 1024;
/** Longest entry, 39 bytes and numbers of 16, 10, 10 and 16 digits, with the comma before it and the bracket behind the last one. */
const ENTRY_BYTES_MAX = 96;
const DIGIT_ZERO = 0x30;
const COMMA = 0x2c;
const encoder = new TextEncoder();
const NAME = encoder.encode('{"Name":"');
const CRC = encoder.encode('","Crc":');
const SIZE = encoder.encode(',"Size":');
const MODIFIED = encoder.encode(',"Modified":');
const END = encoder.encode('}');

export class SnapshotText {
  private bytes = new Uint8Array(START_BYTES);
  private length = 1;

  constructor() {
    this.bytes[0] = 0x5b;
  }

  /** Adds a file: extent id, extent CRC (0: unknown), size in bytes (32 bits of it are told), unix seconds of the last append. */
  add(id: number, crc: number, sizeBytes: number, modified: number): void {
    if (this.bytes.length - this.length < ENTRY_BYTES_MAX) this.grow();
    if (this.length > 1) {
      this.bytes[this.length] = COMMA;
      this.length += 1;
    }
    this.put(NAME);
    this.digits(id);
    this.put(CRC);
    this.digits(crc);
    this.put(SIZE);
    this.digits(sizeBytes >>> 0);
    this.put(MODIFIED);
    this.digits(modified);
    this.put(END);
  }

  /** The whole list: an array, also when it is empty. Nothing may be added afterwards. */
  finish(): Uint8Array {
    this.bytes[this.length] = 0x5d;
    return this.bytes.subarray(0, this.length + 1);
  }

  private put(piece: Uint8Array): void {
    const { bytes, length } = this;
    for (let i = 0; i < piece.length; i += 1) bytes[length + i] = piece[i]!;
    this.length += piece.length;
  }

  private digits(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, 'a number of the wire');
    let count = 1;
    for (let power = 10; power <= value; power *= 10) count += 1;
    this.length += count;
    let rest = value;
    for (let at = this.length - 1; count > 0; at -= 1, count -= 1) {
      const tenth = Math.floor(rest / 10);
      this.bytes[at] = DIGIT_ZERO + (rest - tenth * 10);
      rest = tenth;
    }
  }

  private grow(): void {
    const bytes = new Uint8Array(this.bytes.length * 2);
    bytes.set(this.bytes);
    this.bytes = bytes;
  }
}
