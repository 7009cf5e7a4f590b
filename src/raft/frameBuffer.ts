/**
 * Where frames are built: two halves of a shared buffer, of which one may be under way to the disk, and zeros for new segments behind them. Owned by `Journal`.
 *
 * Records are copied when they are added, while the frame before is under way, so that a frame starts without a copy.
 */
import assert from 'node:assert';
import { KiB } from '../storage/layout.js';
import {
  type Crc32c,
  FRAME_ALIGN_BYTES,
  FRAME_BYTES_MAX,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  frameBytes,
  putRecord,
  sealFrame,
} from './journalFrame.js';
import type { PlannedFrame } from './journalQueue.js';

const ZEROS_BYTES_MAX = 256 * KiB;

/** The bytes of a region that nobody else may use. */
export interface BufferPlace {
  regions: readonly Uint8Array[];
  region: number;
  bufferOffset: number;
  bufferBytes: number;
}

export class FrameBuffer {
  /** Of a frame, header included. */
  readonly frameBytesMax: number;
  readonly zerosOffset: number;
  readonly zerosBytes: number;
  readonly #buffer: Uint8Array;
  readonly #bufferOffset: number;
  /** The half in which the next frame is built, and what of it is there. */
  #half = 0;
  #copiedRecords = 0;
  #copiedEnd = FRAME_HEADER_BYTES;

  /** @param segmentBytes no frame is larger. */
  constructor({ regions, region, bufferOffset, bufferBytes }: BufferPlace, segmentBytes: number) {
    const buffer = regions[region];
    assert(buffer !== undefined && bufferOffset + bufferBytes <= buffer.byteLength, 'a buffer in its region');
    this.#buffer = buffer;
    this.#bufferOffset = bufferOffset;
    this.zerosBytes = Math.max(FRAME_ALIGN_BYTES, wholePages(Math.min(ZEROS_BYTES_MAX, bufferBytes / 8)));
    this.zerosOffset = bufferOffset + bufferBytes - this.zerosBytes;
    const half = wholePages((bufferBytes - this.zerosBytes) / 2);
    this.frameBytesMax = Math.min(half, segmentBytes, FRAME_BYTES_MAX);
    assert(this.frameBytesMax >= FRAME_ALIGN_BYTES, 'the buffer has room for two frames and zeros');
    this.zeros.fill(0);
  }

  get zeros(): Uint8Array {
    return this.#buffer.subarray(this.zerosOffset, this.zerosOffset + this.zerosBytes);
  }

  /** Copies those records of the next frame that are not here yet. */
  copyAhead(frame: PlannedFrame): void {
    if (this.#copiedRecords === frame.records.length) return;
    const half = this.#halfOf(frameBytes(frame.payloadBytes));
    for (; this.#copiedRecords < frame.records.length; this.#copiedRecords += 1)
      this.#copiedEnd = putRecord(half, this.#copiedEnd, frame.records[this.#copiedRecords]!);
  }

  /** Completes the frame, whose records are all here, and goes on in the other half, which must not be under way. Returns where the frame begins in the region. */
  seal(header: FrameHeader, crc32c: Crc32c): number {
    assert(this.#copiedEnd === FRAME_HEADER_BYTES + header.payloadBytes, 'all records were copied');
    const offset = this.#halfOffset();
    sealFrame(this.#halfOf(frameBytes(header.payloadBytes)), header, crc32c);
    this.#half = 1 - this.#half;
    this.#copiedRecords = 0;
    this.#copiedEnd = FRAME_HEADER_BYTES;
    return offset;
  }

  #halfOf(bytes: number): Uint8Array {
    const offset = this.#halfOffset();
    return this.#buffer.subarray(offset, offset + bytes);
  }

  #halfOffset(): number {
    return this.#bufferOffset + this.#half * this.frameBytesMax;
  }
}

function wholePages(bytes: number): number {
  return Math.floor(bytes / FRAME_ALIGN_BYTES) * FRAME_ALIGN_BYTES;
}
