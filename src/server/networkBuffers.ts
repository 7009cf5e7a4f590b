/**
 * The buffers of a network thread: the scratch buffer that all sockets receive into, the staging buffer that small replies are built in, and views of the slab.
 */
import type { Slab } from '../shm/slab.js';
import { MoveList } from './moveList.js';

const SCRATCH_BYTES = 64 * 1024;
/** Scratch offered to a connection whose last body was large: room for a header and Arg, so that the body goes to its slot uncopied. */
const SCRATCH_SMALL_BYTES = 4 * 1024;
const STAGING_BYTES = 256 * 1024;

/** Copies `count` ranges from one buffer to another (`native.copyMany`). */
export type CopyMany = (from: Uint8Array, to: Uint8Array, moves: Float64Array, count: number) => void;

export class NetworkBuffers {
  readonly scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  readonly scratchSmall = this.scratch.subarray(0, SCRATCH_SMALL_BYTES);
  /** Bodies to be copied from what was received into slots, and from slots into the staging buffer; each list is emptied within the call that fills it. */
  readonly movesIn = new MoveList();
  readonly movesOut = new MoveList();
  readonly slabView: DataView;
  staging = Buffer.allocUnsafeSlow(STAGING_BYTES);
  stagingView = viewOf(this.staging);
  readonly #slab: Uint8Array;
  readonly #copyMany: CopyMany;

  constructor(slab: Slab, copyMany: CopyMany) {
    this.#slab = slab.bytes;
    this.slabView = viewOf(slab.bytes);
    this.#copyMany = copyMany;
  }

  /** A view of `bytes` of the slab from `offset`, for socket reads and writes. */
  slabBuffer(offset: number, bytes: number): Buffer {
    return Buffer.from(this.#slab.buffer, this.#slab.byteOffset + offset, bytes);
  }

  /** Makes the collected copies from `from` into the slab. */
  copyIn(from: Uint8Array): void {
    const { movesIn } = this;
    if (movesIn.count > 0) this.#copyMany(from, this.#slab, movesIn.triples, movesIn.count);
    movesIn.count = 0;
  }

  /** Makes the collected copies from the slab into the staging buffer. */
  copyOut(): void {
    this.copyOutTo(this.staging, this.movesOut);
  }

  /** Makes the copies of `moves` from the slab into `to`. */
  copyOutTo(to: Uint8Array, moves: MoveList): void {
    if (moves.count > 0) this.#copyMany(this.#slab, to, moves.triples, moves.count);
    moves.count = 0;
  }

  /** A socket kept the staging buffer, or a reply needs a larger one: the next replies get a new one of at least `bytes`. */
  replaceStaging(bytes = 0): void {
    this.staging = Buffer.allocUnsafeSlow(Math.max(STAGING_BYTES, bytes));
    this.stagingView = viewOf(this.staging);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
