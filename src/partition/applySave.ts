/**
 * APPLY of one partition: saved every 10 s and at a stop, never ahead of what is durable (`storage.md` 3.3, W4).
 *
 * A save takes the applied index of its moment, syncs every extent that an applied write has changed since the last save, makes RAFT_MISSING durable, and only then
 * replaces APPLY. What a crash leaves is an older index at worst: the replay behind it writes the same bytes to the same places again.
 */
import { ERROR_TEXT } from '../protocol/errors.js';
import { OP } from '../protocol/opcodes.js';
import { APPLY_MODE } from '../storage/applyFile.js';
import { FILE } from '../storage/layout.js';
import { afterFailure } from './applyDecision.js';
import type { ApplyLane, ApplyTurns } from './applyTurns.js';
import type { ExtentStore } from './extentStore.js';
import type { MissingFile } from './missingFile.js';
import { Operation, type OperationOwner } from './operation.js';
import type { StoreGroup } from './storeGroup.js';
import { replaceOnThread } from './threadFiles.js';

const SAVE_INTERVAL_NS = 10e9;
/** Syncs of one save at a time. */
const SYNCS_AT_A_TIME = 4;

/** Whose index is saved. */
export interface SavesFor {
  readonly store: ExtentStore;
  readonly appliedIndex: number;
  /** Asked again at the next turn. */
  wake(): void;
  /** What was written is not to be made durable any more. */
  stop(reason: string): void;
}

export class ApplySave implements OperationOwner {
  /** As found, or saved: what a restart begins with. */
  durableIndex: number;
  private readonly stores: StoreGroup;
  private readonly turns: ApplyTurns;
  private readonly missing: MissingFile;
  private readonly of: SavesFor;
  /** Extents that applied writes have changed, and that no running or completed save covers. */
  private readonly changed = new Set<number>();
  private phase: 'idle' | 'asked' | 'syncing' | 'missing' | 'writing' = 'idle';
  /** Index that is being saved, extents still to be synced, syncs that run. */
  private index = 0;
  private toSync: number[] = [];
  private running = 0;
  private nextNs: number;
  /** Called when an index as high is durable. */
  private waiting: { index: number; saved: () => void }[] = [];

  constructor(stores: StoreGroup, missing: MissingFile, of: SavesFor, durableIndex: number) {
    this.stores = stores;
    this.turns = stores.applies;
    this.missing = missing;
    this.of = of;
    this.durableIndex = durableIndex;
    this.nextNs = stores.host.clock.monotonicNs() + SAVE_INTERVAL_NS;
  }

  /** A write to the extent was carried out; before the applied index passes it. */
  written(extentId: number): void {
    this.changed.add(extentId);
  }

  /** A save is under way, or waits for others to end. */
  get isActive(): boolean {
    return this.phase !== 'idle';
  }

  /** RAFT_MISSING is being written. */
  get writesMissing(): boolean {
    return this.phase === 'missing';
  }

  tick(): void {
    if (this.stores.host.clock.monotonicNs() < this.nextNs && this.waiting.length === 0) return;
    if (this.of.appliedIndex !== this.durableIndex || this.missing.isUnsaved) this.begin();
  }

  /** Calls `saved` when the applied index of now is durable; the save that failed is tried again at each tick. */
  whenSaved(saved: () => void): void {
    this.waiting.push({ index: this.of.appliedIndex, saved });
    this.begin();
  }

  /** Goes on; `missingIsBusy`: somebody else writes RAFT_MISSING. True when a lane is lacking. */
  advance(missingIsBusy: boolean): boolean {
    if (this.phase === 'syncing') this.sync();
    if (this.phase === 'missing' && !missingIsBusy) return this.withLane((lane) => this.saveMissing(lane));
    return false;
  }

  operationEnded(op: Operation, problem: string | null): void {
    this.running -= 1;
    if (problem !== null) this.fail(`sync of extent ${op.extentId}: ${problem}`);
    else this.of.wake();
  }

  private begin(): void {
    if (this.phase !== 'idle') return;
    this.phase = 'asked';
    this.turns.askToSave(() => this.take());
  }

  private take(): void {
    this.index = this.of.appliedIndex;
    this.nextNs = this.stores.host.clock.monotonicNs() + SAVE_INTERVAL_NS;
    this.toSync = [...this.changed];
    this.changed.clear();
    this.missing.beginSave();
    this.phase = 'syncing';
    this.of.wake();
  }

  private sync(): void {
    while (this.running < SYNCS_AT_A_TIME && this.toSync.length > 0) {
      const op = new Operation();
      op.opcode = OP.syncRandomWrite;
      op.extentId = this.toSync.pop()!;
      op.owner = this;
      this.running += 1;
      this.stores.syncExtent(this.of.store, op);
    }
    if (this.running === 0 && this.toSync.length === 0) this.phase = 'missing';
  }
}
