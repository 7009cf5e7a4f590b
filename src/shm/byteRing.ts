/**
 * A ring of variable-length frames between exactly two threads: the control plane's way (JSON commands, events, log records, large reply
 * bodies in pieces). Descriptors of the data path take `ring.ts`, whose header explains indexes, masks and memory order; here only what differs.
 *
 * The indexes count units of 8 bytes. A frame is
 *
 * | byte | type | field                                            |
 * | 0    | u32  | payload length, bytes, or SKIP                   |
 * | 4    | u32  | kind                                             |
 * | 8    | f64  | a                                                |
 * | 16   | f64  | b                                                |
 * | 24   |      | payload, then padding to a multiple of 8         |
 *
 * in the machine's own byte order. A frame never wraps: when it does not fit before the end of the memory, a SKIP marker is put there and the
 * frame starts at the beginning. (There is always room for the marker: frames are whole units.) So the reader sees each payload in one piece.
 * A payload is at most a quarter of the ring: then a frame and the skip before it always fit into an empty ring.
 *
 * A full ring answers false: the caller keeps the frame and tries again later. Nothing is dropped, nothing grows.
 */
import assert from 'node:assert';
import { assertPowerOfTwo, LINE_BYTES } from './layout.js';

/** A byte ring's memory: a plain object that may be posted to a thread or put into workerData. */
export interface ByteRingMemory {
  readonly sab: SharedArrayBuffer;
  /** Bytes for frames, a power of two. */
  readonly sizeBytes: number;
}

/** Gets one frame. `payload` is a view of shared memory that is valid only during the call: copy what you keep. */
export type FrameReader = (kind: number, a: number, b: number, payload: Uint8Array) => void;

const WRITE_INDEX = 0;
const READ_INDEX = LINE_BYTES / Int32Array.BYTES_PER_ELEMENT;
const CONTROL_BYTES = 2 * LINE_BYTES;
const UNIT_BYTES = 8;
const HEADER_UNITS = 3;
const SKIP = 0xffffffff;
const SIZE_BYTES_MIN = 1 << 10;
const SIZE_BYTES_MAX = 1 << 30;

/** Makes the memory of an empty ring of `sizeBytes` (a power of two, 1 KiB..1 GiB; else an AssertionError). */
export function createByteRing(sizeBytes: number): ByteRingMemory {
  assertPowerOfTwo(sizeBytes, SIZE_BYTES_MIN, SIZE_BYTES_MAX, 'sizeBytes');
  return { sab: new SharedArrayBuffer(CONTROL_BYTES + sizeBytes), sizeBytes };
}

/** The writing end. Owned by one thread. */
export class ByteRingProducer {
  /** Longest payload of one frame, bytes: send larger bodies in pieces. */
  readonly payloadBytesMax: number;
  /** Calls of `tryWrite` that found the ring full. */
  refusals = 0;

  private readonly control: Int32Array;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly bytes: Uint8Array;
  private readonly units: number;
  private written: number;
  /** The write index when the frame begun last is visible. */
  private reservedTo: number;
  private readSeen: number;

  constructor(memory: ByteRingMemory) {
    this.control = new Int32Array(memory.sab, 0, CONTROL_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.u32 = new Uint32Array(memory.sab, CONTROL_BYTES);
    this.f64 = new Float64Array(memory.sab, CONTROL_BYTES);
    this.bytes = new Uint8Array(memory.sab, CONTROL_BYTES);
    this.units = memory.sizeBytes / UNIT_BYTES;
    this.payloadBytesMax = memory.sizeBytes / 4;
    this.written = Atomics.load(this.control, WRITE_INDEX);
    this.reservedTo = this.written;
    this.readSeen = Atomics.load(this.control, READ_INDEX);
  }

  /**
   * Writes one frame and makes it visible. `kind` is a u32, `a` and `b` any doubles, `payload` (may be empty) at most `payloadBytesMax` bytes
   * (else an AssertionError); it is copied. Returns false, with nothing written, when there is no room now: keep the frame and try again.
   */
  tryWrite(kind: number, a: number, b: number, payload: Uint8Array): boolean {
    const at = this.begin(kind, a, b, payload.length);
    if (at < 0) return false;
    this.bytes.set(payload, at);
    this.commit();
    return true;
  }

  /** Room for one frame with `length` bytes of payload, to be filled and then made visible by `commit`; else as `tryWrite`, with null for false. */
  tryReserve(kind: number, a: number, b: number, length: number): Uint8Array | null {
    const at = this.begin(kind, a, b, length);
    return at < 0 ? null : this.bytes.subarray(at, at + length);
  }

  /** Makes the frame visible for which room was reserved last. */
  commit(): void {
    this.written = this.reservedTo;
    Atomics.store(this.control, WRITE_INDEX, this.written);
  }

  /** Writes the head of a frame. Where its payload goes, bytes; below zero: there is no room. */
  private begin(kind: number, a: number, b: number, length: number): number {
    assert(
      length <= this.payloadBytesMax,
      `byte ring: payload of ${length} bytes, at most ${this.payloadBytesMax}`,
    );
    const frameUnits = HEADER_UNITS + Math.ceil(length / UNIT_BYTES);
    let unit = this.written & (this.units - 1);
    const untilEnd = this.units - unit;
    const skipUnits = frameUnits > untilEnd ? untilEnd : 0;
    if (!this.hasRoom(skipUnits + frameUnits)) {
      this.refusals++;
      return -1;
    }
    if (skipUnits > 0) {
      this.u32[unit * 2] = SKIP;
      unit = 0;
    }
    this.u32[unit * 2] = length;
    this.u32[unit * 2 + 1] = kind;
    this.f64[unit + 1] = a;
    this.f64[unit + 2] = b;
    this.reservedTo = (this.written + skipUnits + frameUnits) | 0;
    return (unit + HEADER_UNITS) * UNIT_BYTES;
  }

  /** Whether frames with so many bytes of payload together fit now, in pieces of `payloadBytesMax`. */
  hasRoomFor(payloadBytes: number): boolean {
    const frames = Math.ceil(payloadBytes / this.payloadBytesMax);
    // One of them may be put behind a skip, of less than its own length.
    const bytes = payloadBytes + this.payloadBytesMax;
    return this.hasRoom(Math.ceil(bytes / UNIT_BYTES) + (frames + 1) * (HEADER_UNITS + 1));
  }

  private hasRoom(units: number): boolean {
    if (((this.written - this.readSeen) | 0) + units <= this.units) return true;
    this.readSeen = Atomics.load(this.control, READ_INDEX);
    const inUse = (this.written - this.readSeen) | 0;
    assert(inUse >= 0 && inUse <= this.units, 'byte ring: read index out of range');
    return inUse + units <= this.units;
  }
}

/** The reading end. Owned by one thread. */
export class ByteRingConsumer {
  private readonly control: Int32Array;
  private readonly u32: Uint32Array;
  private readonly f64: Float64Array;
  private readonly bytes: Uint8Array;
  private readonly units: number;
  private taken: number;

  constructor(memory: ByteRingMemory) {
    this.control = new Int32Array(memory.sab, 0, CONTROL_BYTES / Int32Array.BYTES_PER_ELEMENT);
    this.u32 = new Uint32Array(memory.sab, CONTROL_BYTES);
    this.f64 = new Float64Array(memory.sab, CONTROL_BYTES);
    this.bytes = new Uint8Array(memory.sab, CONTROL_BYTES);
    this.units = memory.sizeBytes / UNIT_BYTES;
    this.taken = Atomics.load(this.control, READ_INDEX);
  }

  /** True when `read` would find no frame now. */
  isEmpty(): boolean {
    return Atomics.load(this.control, WRITE_INDEX) === this.taken;
  }

  /**
   * Calls `callback` for each frame written before the call, in order, at most `framesMax`. Returns how many. A frame's room is given back when its
   * callback has returned or thrown; what it throws comes out here.
   */
  read(callback: FrameReader, framesMax = Number.POSITIVE_INFINITY): number {
    const written = Atomics.load(this.control, WRITE_INDEX);
    let frames = 0;
    while (this.taken !== written && frames < framesMax) {
      let unit = this.taken & (this.units - 1);
      if (this.u32[unit * 2] === SKIP) {
        this.taken = (this.taken + this.units - unit) | 0;
        unit = 0;
      }
      const length = this.u32[unit * 2]!;
      const start = (unit + HEADER_UNITS) * UNIT_BYTES;
      const frameUnits = HEADER_UNITS + Math.ceil(length / UNIT_BYTES);
      assert(
        frameUnits <= ((written - this.taken) | 0) && unit + frameUnits <= this.units,
        'byte ring: broken frame',
      );
      try {
        callback(
          this.u32[unit * 2 + 1]!,
          this.f64[unit + 1]!,
          this.f64[unit + 2]!,
          this.bytes.subarray(start, start + length),
        );
      } finally {
        this.taken = (this.taken + frameUnits) | 0;
        Atomics.store(this.control, READ_INDEX, this.taken);
      }
      frames++;
    }
    return frames;
  }
}
