/**
 * What a connection writes piece by piece and may delete again: ranges of tiny extents, and whole normal extents with a filling. Pure.
 *
 * Where a range of a tiny extent lies is known from the reply alone, so its content cannot be a function of its place: the stamps (`payload.ts`) of tiny
 * writes carry a number of the connection's own in place of the extent, and the bytes that the connection has written so far in place of the offset.
 * The piece remembers both.
 */
import { KIND } from './kinds.js';
import type { Lanes, Plan, PlanAnswer, PlannedOp } from './plan.js';

/** What the node has said about a piece. */
export const PIECE = { sent: 0, written: 1, deleting: 2, deleted: 3 } as const;
export type PieceState = (typeof PIECE)[keyof typeof PIECE];

/** One piece. */
export interface Piece {
  readonly partitionId: number;
  extentId: number;
  /** Where it begins in its extent. */
  offset: number;
  readonly bytes: number;
  /** What its stamps say; equal to the place in a normal extent. */
  stampExtentId: number;
  readonly stampOffset: number;
  /** Never deleted: its neighbours are, and must not take it along. */
  readonly kept: boolean;
  state: PieceState;
}

/** Numbers in the stamps of tiny writes start here: no extent has such an id. */
const STAMP_EXTENT_FIRST = 2 ** 48;
/** One piece of so many is kept where that is asked for. */
const KEPT_OF = 8;
/** Tiny extents are used in turn: a piece so many later is the next one in the same extent. */
const TURN = 64;
/** Extents that are created or filled at a time. */
const FILLING_MAX = 16;

/** Whether piece `index` is one that stays. Moves on by one each turn, so that every extent holds some. */
function staysOf(index: number): boolean {
  return (index + Math.floor(index / TURN)) % KEPT_OF === KEPT_OF - 1;
}

/** The pieces of one connection, shared by its plans in turn. */
export class Pieces {
  readonly list: Piece[] = [];
  readonly stampExtentId: number;
  readonly #keepSome: boolean;
  /** Bytes of tiny writes sent. */
  stampOffset = 0;
  /** Pieces that may be deleted. */
  deletable = 0;

  /** `index` of the connection. `keepSome`: some pieces are never deleted. */
  constructor(index: number, keepSome: boolean) {
    this.stampExtentId = STAMP_EXTENT_FIRST + index;
    this.#keepSome = keepSome;
  }

  /** Adds a piece of which nothing is known yet. */
  add(partitionId: number, bytes: number, stampExtentId: number, stampOffset: number): Piece {
    const kept = this.#keepSome && staysOf(this.list.length);
    const place = { partitionId, extentId: 0, offset: 0, bytes, stampExtentId, stampOffset };
    const piece: Piece = { ...place, kept, state: PIECE.sent };
    this.list.push(piece);
    if (!kept) this.deletable += 1;
    return piece;
  }
}

function fillTinyWrite(op: PlannedOp, partitionId: number, bytes: number, pieces: Pieces): void {
  op.kind = KIND.tinywrite;
  op.measured = true;
  op.lane = -1;
  op.partitionId = partitionId;
  op.extentId = 0;
  op.offset = 0;
  op.bytes = bytes;
  op.stampExtentId = pieces.stampExtentId;
  op.stampOffset = pieces.stampOffset;
  op.version = 0;
  op.extent = null;
  op.piece = null;
  op.zeros = false;
  pieces.stampOffset += bytes;
}

/** Writes to tiny extents of the partitions of the lanes, in turn. */
export class TinyWritePlan implements Plan {
  readonly #lanes: Lanes;
  readonly #bytes: number;
  readonly #pieces: Pieces;
  readonly #remember: boolean;
  readonly #deletableMax: number;
  #turn = 0;

  /** `remember`: the pieces are read back or deleted later. `deletableMax`: stop when so many may be deleted; Infinity: never. */
  constructor(lanes: Lanes, bytes: number, pieces: Pieces, remember: boolean, deletableMax: number) {
    this.#lanes = lanes;
    this.#bytes = bytes;
    this.#pieces = pieces;
    this.#remember = remember;
    this.#deletableMax = deletableMax;
  }

  next(op: PlannedOp): PlanAnswer {
    if (this.#pieces.deletable >= this.#deletableMax) return 'done';
    const { list } = this.#lanes;
    const { partitionId } = list[this.#turn]!;
    this.#turn = (this.#turn + 1) % list.length;
    fillTinyWrite(op, partitionId, this.#bytes, this.#pieces);
    if (this.#remember)
      op.piece = this.#pieces.add(partitionId, this.#bytes, op.stampExtentId, op.stampOffset);
    return 'send';
  }

  created(): void {
    // Tiny extents are not created.
  }

  lost(): void {
    // What was in flight has no place, and stays `sent`.
  }
}

/** Creates normal extents and fills each, to be deleted later. */
export class ExtentFillPlan implements Plan {
  readonly #lanes: Lanes;
  readonly #pieces: Pieces;
  readonly #packetBytes: number;
  readonly #fillBytes: number;
  readonly #deletableMax: number;
  /** Created and not filled yet, oldest first; how much of the first was sent. */
  readonly #toFill: Piece[] = [];
  #filled = 0;
  #creating = 0;
  #turn = 0;

  /** `fillBytes` of every extent are written, in packets of `packetBytes`, of which it is a multiple. Stops as `TinyWritePlan` does. */
  constructor(lanes: Lanes, pieces: Pieces, packetBytes: number, fillBytes: number, deletableMax: number) {
    this.#lanes = lanes;
    this.#pieces = pieces;
    this.#packetBytes = packetBytes;
    this.#fillBytes = fillBytes;
    this.#deletableMax = deletableMax;
  }

  next(op: PlannedOp): PlanAnswer {
    if (this.#toFill.length > 0) {
      this.#fill(op, this.#toFill[0]!);
      return 'send';
    }
    if (this.#pieces.deletable < this.#deletableMax && this.#creating < FILLING_MAX) {
      this.#create(op);
      return 'send';
    }
    return this.#creating > 0 ? 'wait' : 'done';
  }

  created(lane: number, extentId: number): void {
    const piece = this.#pieces.list[lane]!;
    piece.extentId = extentId;
    piece.stampExtentId = extentId;
    this.#creating -= 1;
    this.#toFill.push(piece);
  }

  lost(): void {
    this.#creating = 0;
    this.#toFill.length = 0;
  }

  #create(op: PlannedOp): void {
    const { list } = this.#lanes;
    const { partitionId } = list[this.#turn]!;
    this.#turn = (this.#turn + 1) % list.length;
    const index = this.#pieces.list.length;
    this.#pieces.add(partitionId, this.#fillBytes, 0, 0);
    this.#creating += 1;
    op.kind = KIND.create;
    op.measured = false;
    op.lane = index;
    op.partitionId = partitionId;
    op.extentId = this.#lanes.idForCreate(partitionId);
    op.offset = 0;
    op.bytes = 0;
    op.extent = null;
    op.piece = null;
    op.zeros = false;
  }

  #fill(op: PlannedOp, piece: Piece): void {
    op.kind = KIND.write;
    op.measured = false;
    op.lane = -1;
    op.partitionId = piece.partitionId;
    op.extentId = piece.extentId;
    op.offset = this.#filled;
    op.bytes = this.#packetBytes;
    op.stampExtentId = piece.extentId;
    op.stampOffset = this.#filled;
    op.version = 0;
    op.extent = null;
    op.zeros = false;
    this.#filled += this.#packetBytes;
    // The answer to the last packet makes the piece complete.
    op.piece = this.#filled >= piece.bytes ? piece : null;
    if (op.piece === null) return;
    this.#toFill.shift();
    this.#filled = 0;
  }
}

/** Deletes the pieces that are not kept, in the order in which they were written. */
export class DeletePlan implements Plan {
  readonly #pieces: Pieces;
  readonly #kind: number;
  #next = 0;

  /** `kind`: delete (the whole extent) or tinydelete (the range). */
  constructor(pieces: Pieces, kind: number) {
    this.#pieces = pieces;
    this.#kind = kind;
  }

  next(op: PlannedOp): PlanAnswer {
    const { list } = this.#pieces;
    for (; this.#next < list.length; this.#next += 1) {
      const piece = list[this.#next]!;
      if (piece.kept || piece.state !== PIECE.written) continue;
      piece.state = PIECE.deleting;
      op.kind = this.#kind;
      op.measured = true;
      op.lane = -1;
      op.partitionId = piece.partitionId;
      op.extentId = piece.extentId;
      op.offset = piece.offset;
      op.bytes = 0;
      op.extent = null;
      op.piece = piece;
      op.zeros = false;
      this.#next += 1;
      return 'send';
    }
    return 'done';
  }

  created(): void {
    // Deletes create nothing.
  }

  lost(): void {
    // What was in flight stays `deleting`: it may or may not be gone.
  }
}

/**
 * Reads pieces once: written ones must hold what was written, and ranges of tiny extents that were deleted must hold zeros. Deleted normal extents cannot be read; whoever
 * verifies asks for them by other means.
 */
export class PieceVerifyPlan implements Plan {
  readonly #pieces: Pieces;
  readonly #kind: number;
  readonly #stepBytes: number;
  readonly #isHere: (partitionId: number) => boolean;
  #next = 0;
  #done = 0;

  /** `kind`: read or followerread. `stepBytes`: bytes asked at a time at most, a multiple of the unit. `isHere`: whether the node that is asked has the partition. */
  constructor(
    pieces: Pieces,
    kind: number,
    stepBytes: number,
    isHere: (partitionId: number) => boolean = () => true,
  ) {
    this.#isHere = isHere;
    this.#pieces = pieces;
    this.#kind = kind;
    this.#stepBytes = stepBytes;
  }

  next(op: PlannedOp): PlanAnswer {
    const { list, stampExtentId } = this.#pieces;
    for (; this.#next < list.length; this.#next += 1) {
      const piece = list[this.#next]!;
      const zeros = piece.state === PIECE.deleted && piece.stampExtentId === stampExtentId;
      if ((piece.state !== PIECE.written && !zeros) || !this.#isHere(piece.partitionId)) continue;
      this.#read(op, piece, zeros);
      return 'send';
    }
    return 'done';
  }

  created(): void {
    // Reading creates nothing.
  }

  lost(): void {
    // What was in flight is counted as failed by the connection.
  }

  #read(op: PlannedOp, piece: Piece, zeros: boolean): void {
    op.kind = this.#kind;
    op.measured = true;
    op.lane = -1;
    op.partitionId = piece.partitionId;
    op.extentId = piece.extentId;
    op.offset = piece.offset + this.#done;
    op.bytes = Math.min(this.#stepBytes, piece.bytes - this.#done);
    op.stampExtentId = piece.stampExtentId;
    op.stampOffset = piece.stampOffset + this.#done;
    op.version = 0;
    op.extent = null;
    op.piece = null;
    op.zeros = zeros;
    this.#done += op.bytes;
    if (this.#done < piece.bytes) return;
    this.#done = 0;
    this.#next += 1;
  }
}
