/**
 * What is inside the extents that the generator writes, so that every byte can be checked when it is read back.
 *
 * An extent is a row of *units* of the operation's size. A unit is cut into cells of 4 KiB; each cell starts with a stamp of 32 bytes that says
 * where it belongs, and goes on with bytes that are the same in all cells:
 *
 * | byte | u32 little endian                                        |
 * | 0    | run number                                               |
 * | 4    | partition id                                             |
 * | 8    | extent id, low and high word                             |
 * | 16   | offset of the cell in the extent, low and high word      |
 * | 24   | version: 0 as first written, another with each rewriting |
 * | 28   | run number, all bits inverted                            |
 *
 * (A last cell shorter than a stamp has none.) So the content is a function of (run, unit size, partition, extent, offset, version), and of what is written once nothing has to be
 * remembered to verify it (`versions.ts` remembers the rest); and a page that went to the wrong place says where it came from. The checksum of a packet is
 * computed from its stamps alone (`crc.ts`): a slot's constant bytes are filled once, and per packet only the stamps change.
 */
import assert from 'node:assert';
import { CRC_START, crcOfBytes, crcOfRegister, crcOfWord, ZeroRun } from './crc.js';

/** Distance of stamps inside a unit: the page, so that a page written to the wrong place shows. */
export const CELL_BYTES = 4096;
/** Bytes of a stamp, and the smallest unit. */
export const STAMP_BYTES = 32;
const TWO_32 = 0x1_0000_0000;

/** The constant bytes, one cell of them: xorshift32 from a fixed seed. */
const PATTERN = makePattern();

function makePattern(): Uint8Array {
  const made = new Uint8Array(CELL_BYTES);
  let state = 0x9e3779b9;
  for (let at = 0; at < CELL_BYTES; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    made[at] = state;
  }
  return made;
}

/** The constant end of a cell of one length: what it does to the CRC register. */
class CellTail {
  readonly #zeros: ZeroRun;
  readonly #register: number;

  constructor(cellBytes: number) {
    this.#zeros = new ZeroRun(cellBytes - STAMP_BYTES);
    this.#register = crcOfBytes(0, PATTERN, STAMP_BYTES, cellBytes);
  }

  append(register: number): number {
    return this.#zeros.apply(register) ^ this.#register;
  }
}

/** The content of all extents of one run. See the file comment. */
export class Payload {
  readonly runNumber: number;
  readonly unitBytes: number;
  readonly #fullTail = new CellTail(CELL_BYTES);
  readonly #lastTail: CellTail | null;
  readonly #lastCellBytes: number;

  /** `runNumber`: 32 bits that tell this run's data from older runs'. `unitBytes`: the operation's size, at least `STAMP_BYTES`. */
  constructor(runNumber: number, unitBytes: number) {
    assert(unitBytes >= STAMP_BYTES, 'a unit holds at least a stamp');
    this.runNumber = runNumber >>> 0;
    this.unitBytes = unitBytes;
    this.#lastCellBytes = unitBytes % CELL_BYTES || CELL_BYTES;
    this.#lastTail = this.#lastCellBytes >= STAMP_BYTES ? new CellTail(this.#lastCellBytes) : null;
  }

  /** Bytes of the cell at `offset`, which must be the start of one. */
  #cellBytes(offset: number): number {
    const inUnit = offset % this.unitBytes;
    assert(inUnit % CELL_BYTES === 0, 'not the start of a cell');
    return inUnit + CELL_BYTES > this.unitBytes ? this.#lastCellBytes : CELL_BYTES;
  }

  /** Fills `bytes` bytes at `at`, the place of whole units, with the bytes that never change. */
  fillPattern(into: Uint8Array, at: number, bytes: number): void {
    for (let done = 0; done < bytes; ) {
      const cell = this.#cellBytes(done);
      into.set(PATTERN.subarray(0, cell), at + done);
      done += cell;
    }
  }

  /**
   * CRC-32 of the extent's bytes `[offset, offset + bytes)`; both ends must be ends of cells. With `into`, also writes the stamps of these
   * cells at `at`, over a pattern that `fillPattern` has put there. `version`: of all of them.
   */
  stamp(
    partitionId: number,
    extentId: number,
    offset: number,
    bytes: number,
    into: DataView | null,
    at: number,
    version = 0,
  ): number {
    const extentLow = extentId | 0;
    const extentHigh = (extentId / TWO_32) | 0;
    const run = this.runNumber | 0;
    let register = CRC_START;
    for (let done = 0; done < bytes; ) {
      const cellOffset = offset + done;
      const cell = this.#cellBytes(cellOffset);
      assert(done + cell <= bytes, 'the range ends inside a cell');
      const tail = cell === CELL_BYTES ? this.#fullTail : this.#lastTail;
      if (tail === null) {
        register = crcOfBytes(register, PATTERN, 0, cell);
      } else {
        const offsetLow = cellOffset | 0;
        const offsetHigh = (cellOffset / TWO_32) | 0;
        register = crcOfWord(register, run);
        register = crcOfWord(register, partitionId | 0);
        register = crcOfWord(register, extentLow);
        register = crcOfWord(register, extentHigh);
        register = crcOfWord(register, offsetLow);
        register = crcOfWord(register, offsetHigh);
        register = crcOfWord(register, version | 0);
        register = crcOfWord(register, ~run);
        register = tail.append(register);
        if (into !== null) {
          const start = at + done;
          into.setInt32(start, run, true);
          into.setInt32(start + 4, partitionId, true);
          into.setInt32(start + 8, extentLow, true);
          into.setInt32(start + 12, extentHigh, true);
          into.setInt32(start + 16, offsetLow, true);
          into.setInt32(start + 20, offsetHigh, true);
          into.setInt32(start + 24, version, true);
          into.setInt32(start + 28, ~run, true);
        }
      }
      done += cell;
    }
    return crcOfRegister(register);
  }

  /** CRC-32 that the extent's bytes `[offset, offset + bytes)` must have. */
  crcOf(partitionId: number, extentId: number, offset: number, bytes: number, version = 0): number {
    return this.stamp(partitionId, extentId, offset, bytes, null, 0, version);
  }

  /** The extent's bytes `[offset, offset + bytes)`, in memory of their own. For tests and for explaining a mismatch. */
  make(partitionId: number, extentId: number, offset: number, bytes: number, version = 0): Uint8Array {
    const made = new Uint8Array(bytes);
    for (let done = 0; done < bytes; ) {
      const cell = this.#cellBytes(offset + done);
      made.set(PATTERN.subarray(0, cell), done);
      done += cell;
    }
    this.stamp(partitionId, extentId, offset, bytes, new DataView(made.buffer), 0, version);
    return made;
  }

  /** Says in one line how `found` differs from what belongs at `offset`; null when it does not. */
  explain(
    partitionId: number,
    extentId: number,
    offset: number,
    found: Uint8Array,
    version = 0,
  ): string | null {
    const wanted = this.make(partitionId, extentId, offset, found.length, version);
    const at = wanted.findIndex((byte, index) => byte !== found[index]);
    if (at < 0) return null;
    const inUnit = (offset + at) % this.unitBytes;
    const cellAt = at - (inUnit % CELL_BYTES);
    const place = `partition ${partitionId} extent ${extentId}: byte ${offset + at}`;
    const stamped = at - cellAt >= STAMP_BYTES;
    const what = stamped ? 'the right stamp and other bytes' : this.#describeCell(found, cellAt);
    return `${place} is not what was written; its cell holds ${what}`;
  }

  #describeCell(found: Uint8Array, at: number): string {
    const cell = found.subarray(at, at + CELL_BYTES);
    if (cell.every((byte) => byte === 0)) return 'zeros';
    if (cell.length < STAMP_BYTES) return `${cell.length} other bytes`;
    const view = new DataView(cell.buffer, cell.byteOffset, cell.length);
    const run = view.getUint32(0, true);
    if ((run ^ view.getUint32(28, true)) >>> 0 !== 0xffffffff) return 'no stamp';
    const long = (from: number) => view.getUint32(from + 4, true) * TWO_32 + view.getUint32(from, true);
    const owner = run === this.runNumber ? 'this run' : `run ${run}`;
    const what = `partition ${view.getUint32(4, true)} extent ${long(8)} offset ${long(16)} version ${view.getUint32(24, true)}`;
    return `the stamp of ${owner}, ${what}`;
  }
}
