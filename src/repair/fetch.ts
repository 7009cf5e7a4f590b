/**
 * One extent's stream from a source (`repair.md` 7.3, 7.4, 8.1): what to ask for, what each packet of the answer means, when it ends. Pure; sockets and files are the caller's.
 *
 * The extent only grows at its end, so what has been written stays, and the next round goes on behind it. A packet that is not exactly what was asked for ends the stream: its bytes are not
 * written, and nothing else is harmed (pains.md 10).
 */
import assert from 'node:assert';
import type { PacketHeader } from '../protocol/header.js';
import { OP } from '../protocol/opcodes.js';
import { encodeRequest, hasRequestId } from '../protocol/packet.js';
import { RESULT } from '../protocol/resultCodes.js';
import { readTinyRepairArg } from '../protocol/tinyRepairArg.js';
import { BLOCK_BYTES, isTinyExtent, PAGE_BYTES, roundUpToPage } from '../storage/layout.js';

/** Most bytes of one request: the wire has 32 bits for them, and the reference computes with signed ones. A larger lag takes several rounds. */
export const FETCH_BYTES_MAX = 2 ** 30;
/** Most bytes of one packet's body. */
export const PIECE_BYTES_MAX = BLOCK_BYTES;

export interface FetchJob {
  readonly partitionId: number;
  readonly extentId: number;
  /** Bytes here, and bytes to be reached. A tiny extent's are watermarks. */
  readonly localBytes: number;
  readonly targetBytes: number;
  readonly reqId: number;
}

/**
 * What a packet asks for. `data`: the first `bytes` of its body go to `offset`; `hole`: so many zero bytes that take no room on disk. The rest of a body that is longer belongs behind the
 * target and is dropped.
 */
export type Piece =
  | {
      readonly kind: 'data' | 'hole';
      readonly offset: number;
      readonly bytes: number;
      readonly isLast: boolean;
    }
  | { readonly kind: 'failed'; readonly reason: string };

export class ExtentFetch {
  readonly #job: FetchJob;
  readonly #tiny: boolean;
  readonly #end: number;
  #position: number;
  #received = 0;
  #ended = false;

  constructor(job: FetchJob) {
    assert(job.localBytes < job.targetBytes, `extent ${job.extentId} has what it is to fetch`);
    this.#job = job;
    this.#tiny = isTinyExtent(job.extentId);
    this.#end = Math.min(job.targetBytes, job.localBytes + FETCH_BYTES_MAX);
    this.#position = job.localBytes;
    if (this.#tiny)
      assert(
        job.localBytes % PAGE_BYTES === 0 && this.#end % PAGE_BYTES === 0,
        'tiny extents end with a page',
      );
  }

  /** Up to where the extent is complete once all pieces so far are written. */
  get position(): number {
    return this.#position;
  }

  /** Nothing more belongs to this answer. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The request packet. */
  request(): Uint8Array {
    const { partitionId, extentId, localBytes, reqId } = this.#job;
    return encodeRequest({
      opcode: this.#tiny ? OP.tinyExtentRepairRead : OP.extentRepairRead,
      extentType: this.#tiny ? 0 : 1,
      ...{ reqId, partitionId, extentId, extentOffset: localBytes },
      size: this.#end - localBytes,
    });
  }

  /**
   * Judges the next packet of the answer by its header and Arg; of an error packet `errorText` is the body. Its body's checksum is compared by who writes it. After `failed` or a last piece nothing
   * more may be judged.
   */
  judge(header: PacketHeader, arg: Uint8Array, errorText: () => string): Piece {
    assert(!this.#ended, 'the answer has ended');
    const piece = this.#judge(header, arg, errorText);
    if (piece.kind === 'failed') {
      this.#ended = true;
      return piece;
    }
    this.#position = this.#tiny ? roundUpToPage(piece.offset + piece.bytes) : piece.offset + piece.bytes;
    this.#ended = piece.isLast;
    return piece;
  }

  #judge(header: PacketHeader, arg: Uint8Array, errorText: () => string): Piece {
    if (header.resultCode !== RESULT.ok) return failed(errorText());
    const { partitionId, extentId, reqId } = this.#job;
    const expected =
      header.exact &&
      header.partitionId === partitionId &&
      header.extentId === extentId &&
      hasRequestId(header, reqId);
    if (!expected) return failed('a packet of another answer');
    if (header.extentOffset !== this.#position)
      return failed(`a piece at ${header.extentOffset}, expected at ${this.#position}`);
    if (header.size > PIECE_BYTES_MAX) return failed(`a piece of ${header.size} bytes`);
    return this.#tiny ? this.#tinyPiece(header, arg) : this.#normalPiece(header, arg);
  }

  #normalPiece(header: PacketHeader, arg: Uint8Array): Piece {
    const left = this.#end - this.#position;
    if (header.size === 0 || header.size > left || arg.byteLength > 0)
      return failed(`a piece of ${header.size} bytes where ${left} are missing`);
    return { kind: 'data', offset: this.#position, bytes: header.size, isLast: header.size === left };
  }

  #tinyPiece(header: PacketHeader, arg: Uint8Array): Piece {
    const parsed = readTinyRepairArg(arg);
    if (parsed === null) return failed(`an Arg of ${arg.byteLength} bytes`);
    const { holeBytes, availableBytes } = parsed;
    const isHole = holeBytes > 0;
    if (isHole === header.size > 0) return failed('a piece that is neither a hole nor data');
    const bytes = isHole ? holeBytes : header.size;
    const isLast = this.#received + bytes >= availableBytes || this.#position + bytes >= this.#end;
    this.#received += bytes;
    // Only the end of the whole answer may lie within a page: what follows would have no place.
    if (bytes % PAGE_BYTES !== 0 && !isLast) return failed(`a piece of ${bytes} bytes in the middle`);
    const kept = Math.min(bytes, this.#end - this.#position);
    return { kind: isHole ? 'hole' : 'data', offset: this.#position, bytes: kept, isLast };
  }
}

function failed(reason: string): Piece {
  return { kind: 'failed', reason };
}
