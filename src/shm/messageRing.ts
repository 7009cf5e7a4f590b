/**
 * Messages of any length between two threads over a byte ring: raft's way between main and a worker, whose sending ends are `waitingRing.ts`. A message is a run of frames of one kind with the same `a`; `b` tells how
 * many of its bytes are still to come behind a frame.
 *
 * What may not happen: half a message. So a message for which there is no room is refused whole, and one that is larger than half of the ring, for which there may never be room at once, goes piece by piece: its rest is kept here
 * until `flush` has written it, and what comes meanwhile is refused. Refusing new messages and never dropping old ones keeps the order.
 */
import { ByteRingConsumer, type ByteRingMemory, ByteRingProducer } from './byteRing.js';

/** Gets one message. Its bytes are valid only during the call: copy what you keep. */
export type MessageReader = (kind: number, a: number, message: Uint8Array) => void;

interface Rest {
  readonly kind: number;
  readonly a: number;
  readonly bytes: Uint8Array;
  written: number;
}

export class MessageRingProducer {
  private readonly ring: ByteRingProducer;
  private readonly wholeBytesMax: number;
  private rest: Rest | null = null;

  constructor(memory: ByteRingMemory) {
    this.ring = new ByteRingProducer(memory);
    this.wholeBytesMax = memory.sizeBytes / 2;
  }

  /** The rest of a message waits for room: `flush` again, soon. */
  get waits(): boolean {
    return this.rest !== null;
  }

  /** Writes a message, of which it keeps nothing: a rest that has to wait is copied. False: there is no room, and nothing was written. */
  write(kind: number, a: number, bytes: Uint8Array): boolean {
    if (this.rest === null && bytes.length <= this.ring.payloadBytesMax) {
      if (this.ring.tryWrite(kind, a, 0, bytes)) return true;
    } else if (this.rest === null) {
      const isLong = bytes.length > this.wholeBytesMax;
      if (isLong || this.ring.hasRoomFor(bytes.length)) {
        const rest = { kind, a, bytes, written: 0 };
        if (this.writePieces(rest)) return true;
        if (rest.written > 0) {
          this.rest = { kind, a, bytes: bytes.slice(rest.written), written: 0 };
          return true;
        }
      }
    }
    return false;
  }

  /** Room for a message of `length` bytes, to be filled and then made visible by `commit`; null: it has to be written, or waits. */
  reserve(kind: number, a: number, length: number): Uint8Array | null {
    if (this.rest !== null || length > this.ring.payloadBytesMax) return null;
    return this.ring.tryReserve(kind, a, 0, length);
  }

  /** The message for which there was room last is complete. */
  commit(): void {
    this.ring.commit();
  }

  /** Goes on with a message whose rest waits; whether anything of it was written. */
  flush(): boolean {
    const { rest } = this;
    if (rest === null) return false;
    const { written } = rest;
    if (this.writePieces(rest)) this.rest = null;
    return rest.written > written;
  }

  /** True when all of it is written. */
  private writePieces(rest: Rest): boolean {
    const { kind, a, bytes } = rest;
    const max = this.ring.payloadBytesMax;
    while (rest.written < bytes.length) {
      const piece = bytes.subarray(rest.written, rest.written + max);
      if (!this.ring.tryWrite(kind, a, bytes.length - rest.written - piece.length, piece)) return false;
      rest.written += piece.length;
    }
    return true;
  }
}

export class MessageRingConsumer {
  private readonly ring: ByteRingConsumer;
  /** Pieces of the message that is not complete. */
  private pieces: Uint8Array[] = [];

  constructor(memory: ByteRingMemory) {
    this.ring = new ByteRingConsumer(memory);
  }

  isEmpty(): boolean {
    return this.ring.isEmpty();
  }

  /** Calls `callback` for each message that is complete, in order, looking at `framesMax` frames at most. Returns how many frames it has taken. */
  read(callback: MessageReader, framesMax?: number): number {
    return this.ring.read((kind, a, bytesToCome, payload) => {
      if (bytesToCome === 0 && this.pieces.length === 0) return callback(kind, a, payload);
      this.pieces.push(payload.slice());
      if (bytesToCome > 0) return;
      const whole = joined(this.pieces);
      this.pieces = [];
      callback(kind, a, whole);
    }, framesMax);
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
