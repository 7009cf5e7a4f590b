/**
 * What the applies of one worker share: buffers for their data, places for saves of APPLY, and the turns of the partitions that have something to do.
 *
 * The bytes of a committed command are in memory of the worker, and entries of the batch name a region: so each write that is on its way has a lane, an operation
 * with a buffer in the scratch region. `StoreGroup.advance` calls `advance` when the batch may take entries; nobody adds any outside of it.
 */
import assert from 'node:assert';
import { Operation, type OperationOwner } from './operation.js';
import { APPLY_LANE_BYTES, APPLY_LANES, type StoreHost, scratchApplyLane } from './storeHost.js';

/** Partitions of a worker that save APPLY at a time: their syncs must not crowd out those of clients. */
const SAVES_AT_A_TIME = 2;

/** One partition's applies, as the worker's turn sees them. */
export interface Applier {
  /** Starts what can start; true when more could with room or a lane. Called after `wake`. */
  advance(hasRoom: () => boolean): boolean;
  /** About once a second. */
  tick(): void;
  /** Nothing new is to begin; true when nothing is under way. */
  comeToRest(): boolean;
}

/** A buffer in the scratch region, and the operation that writes from it. */
export class ApplyLane extends Operation {
  constructor(region: number, at: number) {
    super();
    this.region = region;
    this.bufferOffset = at;
    this.bufferBytes = APPLY_LANE_BYTES;
  }

  /** Sets what the operation is to do with the first `size` bytes of the buffer, for `owner`. */
  prepare(
    owner: OperationOwner,
    write: Pick<Operation, 'opcode' | 'extentId' | 'extentOffset' | 'size' | 'crc' | 'bodyCrc'>,
  ): void {
    Object.assign(this, write);
    this.owner = owner;
    this.ioError = 0;
    this.next = null;
  }
}

export class ApplyTurns {
  private readonly appliers = new Set<Applier>();
  private due = new Set<Applier>();
  /** Somebody was woken since the last `advance`. */
  woken = false;
  private readonly freeLanes: ApplyLane[] = [];
  private saving = 0;
  private readonly saveQueue: (() => void)[] = [];

  constructor(host: StoreHost) {
    const { capacity } = host.disk.batch;
    for (let lane = 0; lane < APPLY_LANES; lane += 1) {
      this.freeLanes.push(new ApplyLane(host.scratchRegion, scratchApplyLane(capacity, lane)));
    }
  }

  attach(applier: Applier): void {
    this.appliers.add(applier);
  }

  /** No more ticks. What is under way goes on to its end. */
  detach(applier: Applier): void {
    this.appliers.delete(applier);
  }

  /** `applier` is asked at the next `advance`. */
  wake(applier: Applier): void {
    this.due.add(applier);
    this.woken = true;
  }

  advance(hasRoom: () => boolean): void {
    this.woken = false;
    if (this.due.size === 0) return;
    const due = this.due;
    this.due = new Set();
    for (const applier of due) {
      if (!hasRoom() || applier.advance(hasRoom)) this.due.add(applier);
    }
  }

  tick(): void {
    for (const applier of this.appliers) applier.tick();
  }

  comeToRest(): boolean {
    let quiet = true;
    for (const applier of this.appliers) quiet = applier.comeToRest() && quiet;
    return quiet;
  }

  /** A free lane, null when all are taken. */
  takeLane(): ApplyLane | null {
    return this.freeLanes.pop() ?? null;
  }

  giveLane(lane: ApplyLane): void {
    assert(this.freeLanes.length < APPLY_LANES, 'a lane is given back once');
    lane.owner = null;
    this.freeLanes.push(lane);
  }

  /** Calls `begin` when a save may begin: now, or when others have ended. */
  askToSave(begin: () => void): void {
    if (this.saving >= SAVES_AT_A_TIME) {
      this.saveQueue.push(begin);
      return;
    }
    this.saving += 1;
    begin();
  }

  saveEnded(): void {
    this.saving -= 1;
    const next = this.saveQueue.shift();
    if (next !== undefined) this.askToSave(next);
  }
}
