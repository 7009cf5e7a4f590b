/**
 * APPLY of one partition: saved every 10 s and at a stop, never ahead of what is durable (`storage.md` 3.3, W4).
 *
 * A save takes the applied index of its moment, syncs every extent that an applied write has changed since the last save, makes RAFT_MISSING durable, and only then
 * replaces APPLY. What a crash leaves is an older index at worst: the replay behind it writes the same bytes to the same places again.
 */
import { join } from 'node:path';
import { OP } from '../protocol/opcodes.js';
import { APPLY_MODE, writeApply } from '../storage/applyFile.js';
import { FILE } from '../storage/layout.js';
import { afterFailure } from './applyDecision.js';
import type { ApplyLane, ApplyTurns } from './applyTurns.js';
import type { ExtentStore } from './extentStore.js';
import { reportDiskError } from './ioErrors.js';
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
  /** Nothing is to be made durable any more. */
  readonly isHalted: boolean;
  /** Asked again at the next turn. */
  wake(): void;
  /** What was written cannot be made durable. */
  halt(reason: string): void;
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
  private phase: 'idle' | 'asked' | 'syncing' | 'synced' | 'writing' = 'idle';
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

  tick(): void {
    if (this.stores.host.clock.monotonicNs() < this.nextNs && this.waiting.length === 0) return;
    if (this.of.appliedIndex !== this.durableIndex || this.missing.needsSave) this.begin();
  }

  /** Calls `saved` when the applied index of now is durable; the save that failed is tried again at each tick. */
  whenSaved(saved: () => void): void {
    this.waiting.push({ index: this.of.appliedIndex, saved });
    this.begin();
  }

  /** Goes on; true when a lane is lacking. */
  advance(): boolean {
    if (this.phase === 'syncing') this.sync();
    if (this.phase !== 'synced' || this.missing.busy) return false;
    const lane = this.turns.takeLane();
    if (lane === null) return true;
    this.phase = 'writing';
    this.write(lane);
    return false;
  }

  operationEnded(op: Operation, problem: string | null): void {
    this.running -= 1;
    if (problem !== null) this.of.halt(`sync of extent ${op.extentId}: ${problem}`);
    this.of.wake();
  }

  /** The same at a stop, synchronously: all extents are synced. 0 or a negated errno. */
  saveNow(): number {
    const { disk } = this.stores.host;
    const { store, appliedIndex } = this.of;
    const kept = this.missing.saveNow(disk);
    if (kept < 0 || appliedIndex === this.durableIndex) return kept;
    const written = writeApply(disk, store.path, appliedIndex);
    if (written >= 0) this.durableIndex = appliedIndex;
    return written;
  }

  private begin(): void {
    if (this.phase !== 'idle' || this.of.isHalted) return;
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
    if (this.of.isHalted) this.toSync = [];
    while (this.running < SYNCS_AT_A_TIME && this.toSync.length > 0) {
      const op = new Operation();
      op.opcode = OP.syncRandomWrite;
      op.extentId = this.toSync.pop()!;
      op.owner = this;
      this.running += 1;
      this.stores.syncExtent(this.of.store, op);
    }
    if (this.running > 0 || this.toSync.length > 0) return;
    if (this.of.isHalted) this.end();
    else this.phase = 'synced';
  }

  private write(lane: ApplyLane): void {
    const { host } = this.stores;
    const { store } = this.of;
    const file = { host, isGone: () => store.closed };
    const path = join(store.path, FILE.apply);
    const done = (call: string, result: number): void => {
      this.turns.giveLane(lane);
      if (result >= 0) this.durableIndex = this.index;
      else this.failed(`${call}: ${host.disk.errnoText(result)}`, result);
      this.end();
    };
    this.missing.save(file, lane, true, (kept) => {
      if (kept < 0) return done(`write ${FILE.raftMissing} of ${store.path}`, kept);
      const bytes = Buffer.from(String(this.index));
      replaceOnThread({ ...file, path }, lane, bytes, APPLY_MODE, (result) => done(`write ${path}`, result));
    });
  }

  /** The old APPLY stands, and is right. */
  private failed(problem: string, errno: number): void {
    const { host } = this.stores;
    if (this.of.store.closed) return;
    reportDiskError(host, errno, true);
    if (afterFailure(errno) === 'stop') return this.of.halt(problem);
    host.log('warn', `the applied index could not be saved: ${problem}`, {
      partition: this.of.store.partitionId,
    });
  }

  private end(): void {
    this.phase = 'idle';
    this.turns.saveEnded();
    const saved = this.waiting.filter(({ index }) => index <= this.durableIndex);
    this.waiting = this.waiting.filter(({ index }) => index > this.durableIndex);
    for (const waiter of saved) waiter.saved();
    this.of.wake();
  }
}
