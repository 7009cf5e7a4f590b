/**
 * Copies from other replicas on their way into extents of one partition: only what is still missing of them is written, so that nothing that a later random write owns is
 * written over. A copy waits for entries of its extent that are on their way; one that starts behind it is carried out behind it, as all writes of an extent.
 */
import { OP } from '../protocol/opcodes.js';
import { isTinyExtent } from '../storage/layout.js';
import { afterFailure, viewExtent } from './applyDecision.js';
import type { ApplyLane, ApplyTurns } from './applyTurns.js';
import type { ExtentStore } from './extentStore.js';
import type { MissingFile } from './missingFile.js';
import type { Operation, OperationOwner } from './operation.js';
import type { StoreGroup } from './storeGroup.js';

/** Bytes of an extent from `from` on, as a replica had them that had applied `appliedIndex` before they were read. */
export interface Copy {
  readonly extentId: number;
  readonly from: number;
  readonly bytes: Uint8Array;
  readonly appliedIndex: number;
}

/** `writtenBytes`: how many of them were missing and are not any more. `problem`: null when all that could be written was. */
export type CopyDone = (writtenBytes: number, problem: string | null) => void;

interface Fill {
  readonly copy: Copy;
  readonly done: CopyDone;
  writtenBytes: number;
  lane: ApplyLane | null;
}

/** What copies are written for. */
export interface FillsFor {
  readonly store: ExtentStore;
  readonly missing: MissingFile;
  readonly isHalted: boolean;
  /** An entry that changes the extent is on its way. */
  isChanging(extentId: number): boolean;
  /** An extent was changed. */
  changed(extentId: number): void;
  wake(): void;
  halt(reason: string): void;
}

export class MissingFills implements OperationOwner {
  private readonly stores: StoreGroup;
  private readonly turns: ApplyTurns;
  private readonly of: FillsFor;
  private fills: Fill[] = [];

  constructor(stores: StoreGroup, of: FillsFor) {
    this.stores = stores;
    this.turns = stores.applies;
    this.of = of;
  }

  /** Copies that are being written. */
  get running(): number {
    return this.fills.filter(({ lane }) => lane !== null).length;
  }

  add(copy: Copy, done: CopyDone): void {
    this.fills.push({ copy, done, writtenBytes: 0, lane: null });
    this.of.wake();
  }

  /** Those that are not in the store's hands end as they are. */
  endWaiting(): void {
    for (const fill of [...this.fills]) if (fill.lane === null) this.end(fill, null);
  }

  private isFilling(extentId: number): boolean {
    return this.fills.some(({ lane, copy }) => lane !== null && copy.extentId === extentId);
  }

  /** Starts what can start; true when room or a lane is lacking. */
  advance(hasRoom: () => boolean): boolean {
    for (const fill of [...this.fills]) {
      const { extentId } = fill.copy;
      if (fill.lane !== null || this.of.isChanging(extentId) || this.isFilling(extentId)) continue;
      const piece = this.of.isHalted ? null : this.nextPiece(fill.copy);
      if (piece === null) {
        this.end(fill, null);
      } else {
        const lane = hasRoom() ? this.turns.takeLane() : null;
        if (lane === null) return true;
        this.write(fill, lane, piece.from, piece.to);
      }
    }
    return false;
  }

  operationEnded(op: Operation, problem: string | null): void {
    const fill = this.fills.find(({ lane }) => lane === op)!;
    const { extentId, extentOffset, size, ioError } = op;
    this.turns.giveLane(fill.lane!);
    fill.lane = null;
    if (problem === null) {
      this.of.changed(extentId);
      this.of.missing.copied(extentId, extentOffset, extentOffset + size, fill.copy.appliedIndex);
      fill.writtenBytes += size;
    } else {
      if (afterFailure(ioError) === 'stop') this.of.halt(problem);
      this.end(fill, problem);
    }
    this.of.wake();
  }

  /** The first part of a copy that is missing, that the copy is new enough for, and that is inside the extent as it is here. */
  private nextPiece(copy: Copy): { from: number; to: number } | null {
    const { store, missing } = this.of;
    const { state, sizeBytes } = viewExtent(store, copy.extentId);
    if (state !== 'there') return null;
    const copyEnd = copy.from + copy.bytes.byteLength;
    for (const range of missing.ranges.of(copy.extentId)) {
      const from = Math.max(range.from, copy.from);
      const to = Math.min(range.to, copyEnd, sizeBytes);
      if (range.index <= copy.appliedIndex && from < to) return { from, to };
    }
    return null;
  }

  private write(fill: Fill, lane: ApplyLane, from: number, to: number): void {
    const { extentId, bytes, from: copyFrom } = fill.copy;
    const size = Math.min(to - from, lane.bufferBytes);
    const { host } = this.stores;
    const at = from - copyFrom;
    host.regions[lane.region]!.set(bytes.subarray(at, at + size), lane.bufferOffset);
    const crc = isTinyExtent(extentId) ? 0 : host.crc32(lane.region, lane.bufferOffset, size);
    lane.prepare(this, { opcode: OP.randomWrite, extentId, extentOffset: from, size, crc, bodyCrc: crc });
    fill.lane = lane;
    this.stores.accessExtent(this.of.store, lane);
  }

  private end(fill: Fill, problem: string | null): void {
    this.fills = this.fills.filter((each) => each !== fill);
    fill.done(fill.writtenBytes, problem);
  }
}
