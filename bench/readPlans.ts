/**
 * Plans over extents that are there: reading them, writing them anew, reading them back. Pure; randomness comes from a seeded generator.
 */
import assert from 'node:assert';
import type { ExtentRecord, KindMix, Plan, PlanAnswer, PlannedOp } from './plan.js';
import { UnitVersions } from './versions.js';

/** xorshift32: the same seed gives the same offsets. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed | 0, 0x9e3779b1) ^ 0x6b43a9b5) | 0 || 1;
  }

  /** A whole number in `[0, limit)`. */
  below(limit: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state;
    return Math.floor(((state >>> 0) / 0x1_0000_0000) * limit);
  }
}

function fillRead(op: PlannedOp, kind: number, extent: ExtentRecord, offset: number, bytes: number): void {
  op.kind = kind;
  op.measured = true;
  op.lane = -1;
  op.partitionId = extent.partitionId;
  op.extentId = extent.extentId;
  op.offset = offset;
  op.bytes = bytes;
  op.stampExtentId = extent.extentId;
  op.stampOffset = offset;
  op.version = 0;
  op.extent = extent;
  op.piece = null;
  op.zeros = false;
}

/** Reads units of given extents for ever, in order or at random places; or writes them anew, each time with another content. */
export class ReadPlan implements Plan {
  readonly #extents: readonly ExtentRecord[];
  readonly #mix: KindMix;
  readonly #unitBytes: number;
  readonly #random: Random | null;
  readonly #rewrites: boolean;
  #turn = 0;
  #unit = 0;
  /** Of the newest content that was sent. */
  #version = 0;

  /** `random` null: in order, from extent to extent. Every extent holds at least one unit. `rewrites`: the kinds are random writes. */
  constructor(
    extents: readonly ExtentRecord[],
    mix: KindMix,
    unitBytes: number,
    random: Random | null,
    rewrites = false,
  ) {
    assert(extents.every((extent) => extent.ackedBytes >= unitBytes));
    this.#extents = extents;
    this.#mix = mix;
    this.#unitBytes = unitBytes;
    this.#random = random;
    this.#rewrites = rewrites;
  }

  next(op: PlannedOp): PlanAnswer {
    if (this.#extents.length === 0) return 'done';
    const extent = this.#extents[this.#turn]!;
    const units = Math.floor(extent.ackedBytes / this.#unitBytes);
    const unit = this.#random === null ? this.#unit : this.#random.below(units);
    fillRead(op, this.#mix.next(), extent, unit * this.#unitBytes, this.#unitBytes);
    if (this.#rewrites) {
      this.#version += 1;
      op.version = this.#version;
      extent.versions ??= new UnitVersions(this.#unitBytes);
      extent.versions.sent(op.offset, op.version);
    }
    // In order: one extent to its end, then the next. At random: the extents in turn.
    this.#unit++;
    if (this.#random !== null || this.#unit >= units) {
      this.#unit = 0;
      this.#turn = (this.#turn + 1) % this.#extents.length;
    }
    return 'send';
  }

  created(): void {
    assert.fail('a read plan creates nothing');
  }

  lost(): void {
    // Extents outlive connections.
  }
}

/** Reads everything acknowledged in the given extents once, in large steps. */
export class VerifyPlan implements Plan {
  readonly #extents: readonly ExtentRecord[];
  readonly #kind: number;
  readonly #stepBytes: number;
  #turn = 0;
  #offset = 0;

  /** `kind`: read or followerread. `stepBytes`: bytes asked at a time, a multiple of the unit. */
  constructor(extents: readonly ExtentRecord[], kind: number, stepBytes: number) {
    this.#extents = extents;
    this.#kind = kind;
    this.#stepBytes = stepBytes;
  }

  next(op: PlannedOp): PlanAnswer {
    for (;;) {
      const extent = this.#extents[this.#turn];
      if (extent === undefined) return 'done';
      const left = extent.ackedBytes - this.#offset;
      if (left > 0) {
        const bytes = Math.min(left, this.#stepBytes);
        fillRead(op, this.#kind, extent, this.#offset, bytes);
        this.#offset += bytes;
        return 'send';
      }
      this.#turn++;
      this.#offset = 0;
    }
  }

  created(): void {
    assert.fail('a verify plan creates nothing');
  }

  lost(): void {
    // What was in flight is counted as failed by the connection.
  }
}
