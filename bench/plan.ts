/**
 * What each connection sends next. Pure: no sockets, no clock. A plan is asked for one operation at a time
 * by the connection that owns it (`connection.ts`) and told what came of creates; it says when nothing can be sent now, and when all is sent.
 */
import assert from 'node:assert';
import { KIND } from './kinds.js';
import type { Piece, TinyWritePlan } from './pieces.js';
import type { UnitVersions } from './versions.js';

/** One extent that the generator made: what is known of it, for reading back. */
export interface ExtentRecord {
  readonly partitionId: number;
  readonly extentId: number;
  /** Bytes from the start that the node has acknowledged. */
  ackedBytes: number;
  /** Units that were written anew since; null: none was. */
  versions: UnitVersions | null;
}

/** The operation a plan wants sent. One object a connection, filled again each time. */
export class PlannedOp {
  kind: number = KIND.create;
  /** False for creates that only make room for writes: they are not part of the figures. */
  measured = true;
  /** The lane that waits for a create; -1 for a create nobody waits for, and for reads. */
  lane = -1;
  partitionId = 0;
  extentId = 0;
  offset = 0;
  bytes = 0;
  /** What the stamps of its content say. */
  stampExtentId = 0;
  stampOffset = 0;
  version = 0;
  /** The extent's record, for writes that are remembered by extent, and for reads. */
  extent: ExtentRecord | null = null;
  /** The piece that the answer completes or takes away. */
  piece: Piece | null = null;
  /** A read of a deleted range: zeros are due. */
  zeros = false;
}

/** `send`: the op is filled. `wait`: a reply that is under way will unblock. `done`: there will be nothing more. */
export type PlanAnswer = 'send' | 'wait' | 'done';

export interface Plan {
  next(op: PlannedOp): PlanAnswer;
  /** A create for `lane` was answered with this extent id. */
  created(lane: number, extentId: number): void;
  /** The connection was lost: what was in flight is unknown and no answer will come. */
  lost(): void;
}

/** Picks kinds in fixed proportions, evenly interleaved (smooth weighted round robin). */
export class KindMix {
  readonly #kinds: readonly number[];
  readonly #weights: readonly number[];
  readonly #credit: number[];
  readonly #total: number;

  /** `weights` maps kinds to shares of any scale. */
  constructor(weights: ReadonlyMap<number, number>) {
    assert(weights.size > 0, 'a mix holds at least one kind');
    this.#kinds = [...weights.keys()];
    this.#weights = [...weights.values()];
    this.#credit = this.#weights.map(() => 0);
    this.#total = this.#weights.reduce((sum, weight) => sum + weight, 0);
  }

  next(): number {
    if (this.#kinds.length === 1) return this.#kinds[0]!;
    let best = 0;
    for (let index = 0; index < this.#kinds.length; index++) {
      this.#credit[index]! += this.#weights[index]!;
      if (this.#credit[index]! > this.#credit[best]!) best = index;
    }
    this.#credit[best]! -= this.#total;
    return this.#kinds[best]!;
  }
}

/**
 * Where create requests get their extent ids: `server` leaves the choice to the node (0 in the request); `self` numbers them here, `stride` apart
 * from `first`, so that connections do not collide. `first` is by partition id: above the node's highest id there.
 */
export type IdSource =
  | { readonly by: 'server' }
  | { readonly by: 'self'; readonly first: ReadonlyMap<number, number>; readonly stride: number };

interface Lane {
  partitionId: number;
  extent: ExtentRecord | null;
  nextOffset: number;
  /** The following extent, created ahead so that rolling over costs no round trip. */
  spare: ExtentRecord | null;
  creating: boolean;
}

export interface AppendSettings {
  /** Partition of each lane; a lane is one extent being appended to. */
  readonly lanePartitions: readonly number[];
  readonly ids: IdSource;
  /** An extent that has no room for another packet below this size is left for a new one. */
  readonly extentBytesMax: number;
}

/** The extents of one connection that writes: the lanes appended to now, and every extent made so far. Shared by its plans in turn. */
export class Lanes {
  readonly list: Lane[];
  /** Every extent created for a lane, in order. */
  readonly extents: ExtentRecord[] = [];
  readonly extentBytesMax: number;
  readonly #ids: IdSource;
  readonly #nextId = new Map<number, number>();

  constructor(settings: AppendSettings) {
    assert(settings.lanePartitions.length > 0);
    this.extentBytesMax = settings.extentBytesMax;
    this.#ids = settings.ids;
    this.list = settings.lanePartitions.map((partitionId) => ({
      partitionId,
      extent: null,
      nextOffset: 0,
      spare: null,
      creating: false,
    }));
  }

  /** The extent id to put into a create request. */
  idForCreate(partitionId: number): number {
    if (this.#ids.by === 'server') return 0;
    const id = this.#nextId.get(partitionId) ?? this.#ids.first.get(partitionId);
    assert(id !== undefined, 'a first id for every partition');
    this.#nextId.set(partitionId, id + this.#ids.stride);
    return id;
  }

  /** Goes on in new extents of these partitions, one a lane. */
  move(partitions: readonly number[]): void {
    for (const [index, lane] of this.list.entries()) lane.partitionId = partitions[index]!;
    this.lost();
  }

  created(laneIndex: number, extentId: number): void {
    const lane = this.list[laneIndex]!;
    const record = { partitionId: lane.partitionId, extentId, ackedBytes: 0, versions: null };
    this.extents.push(record);
    lane.creating = false;
    if (lane.extent === null) lane.extent = record;
    else lane.spare = record;
  }

  /** After a lost connection the ends of the extents are unknown: go on in new ones. */
  lost(): void {
    for (const lane of this.list) {
      lane.extent = null;
      lane.spare = null;
      lane.nextOffset = 0;
      lane.creating = false;
    }
  }
}

/** Appends (and creates), lane by lane in turn. */
export class AppendPlan implements Plan {
  readonly #lanes: Lanes;
  readonly #mix: KindMix;
  readonly #packetBytes: number;
  readonly #laneBytesMax: number;
  #turn = 0;
  readonly #tinyWrites: TinyWritePlan | null;
  /** The kind that comes next, once it can be sent; -1: ask the mix. */
  #kind = -1;

  /**
   * `packetBytes` a write. `laneBytesMax`: stop when every lane holds that much (Infinity: never; 0: only create the extents). `tinyWrites`: where a mix
   * takes those from.
   */
  constructor(
    lanes: Lanes,
    mix: KindMix,
    packetBytes: number,
    laneBytesMax: number,
    tinyWrites: TinyWritePlan | null = null,
  ) {
    this.#tinyWrites = tinyWrites;
    this.#lanes = lanes;
    this.#mix = mix;
    this.#packetBytes = packetBytes;
    this.#laneBytesMax = laneBytesMax;
  }

  next(op: PlannedOp): PlanAnswer {
    if (this.#laneBytesMax !== Number.POSITIVE_INFINITY) return this.#append(op, KIND.write);
    if (this.#kind < 0) this.#kind = this.#mix.next();
    const answer = this.#measured(op, this.#kind);
    if (answer === 'send' && op.measured) this.#kind = -1;
    return answer;
  }

  #measured(op: PlannedOp, kind: number): PlanAnswer {
    if (kind === KIND.create) return this.#plainCreate(op);
    return kind === KIND.tinywrite ? this.#tinyWrites!.next(op) : this.#append(op, kind);
  }

  created(lane: number, extentId: number): void {
    if (lane >= 0) this.#lanes.created(lane, extentId);
  }

  lost(): void {
    this.#lanes.lost();
  }

  /** A create that is the measured operation itself. */
  #plainCreate(op: PlannedOp): PlanAnswer {
    const lane = this.#lanes.list[this.#turn]!;
    this.#turn = (this.#turn + 1) % this.#lanes.list.length;
    this.#fillCreate(op, lane.partitionId, -1);
    return 'send';
  }

  #append(op: PlannedOp, kind: number): PlanAnswer {
    const lanes = this.#lanes.list;
    let answer: PlanAnswer = 'done';
    for (let tried = 0; tried < lanes.length; tried++) {
      const index = this.#turn;
      this.#turn = index + 1 === lanes.length ? 0 : index + 1;
      const lane = lanes[index]!;
      const laneAnswer = this.#appendTo(op, kind, lane, index);
      if (laneAnswer === 'send') return 'send';
      if (laneAnswer === 'wait') answer = 'wait';
    }
    return answer;
  }

  #appendTo(op: PlannedOp, kind: number, lane: Lane, index: number): PlanAnswer {
    const bytes = this.#packetBytes;
    const { extentBytesMax } = this.#lanes;
    if (lane.extent !== null && lane.nextOffset >= this.#laneBytesMax) return 'done';
    if (lane.extent !== null && lane.nextOffset + bytes > extentBytesMax && lane.spare !== null) {
      lane.extent = lane.spare;
      lane.spare = null;
      lane.nextOffset = 0;
    }
    const endless = this.#laneBytesMax === Number.POSITIVE_INFINITY;
    const wantsSpare = endless && lane.spare === null && lane.nextOffset * 2 >= extentBytesMax;
    if (!lane.creating && (lane.extent === null || wantsSpare)) {
      lane.creating = true;
      this.#fillCreate(op, lane.partitionId, index);
      return 'send';
    }
    if (lane.extent === null || lane.nextOffset + bytes > extentBytesMax) return 'wait';
    op.kind = kind;
    op.measured = true;
    op.lane = index;
    op.partitionId = lane.partitionId;
    op.extentId = lane.extent.extentId;
    op.offset = lane.nextOffset;
    op.bytes = bytes;
    op.stampExtentId = op.extentId;
    op.stampOffset = op.offset;
    op.version = 0;
    op.extent = lane.extent;
    op.piece = null;
    op.zeros = false;
    lane.nextOffset += bytes;
    return 'send';
  }

  #fillCreate(op: PlannedOp, partitionId: number, lane: number): void {
    op.kind = KIND.create;
    op.measured = lane < 0;
    op.lane = lane;
    op.partitionId = partitionId;
    op.extentId = this.#lanes.idForCreate(partitionId);
    op.offset = 0;
    op.bytes = 0;
    op.extent = null;
    op.piece = null;
    op.zeros = false;
  }
}
