/**
 * Reads of whole blocks that have met damage and wait for the other replicas to heal it, so that their clients get data and not an error (docs/repair.md, "A read that waits"). Owned by the worker's
 * stores; called by `readPath.ts` when a block is found damaged, and never else. Who waits, and until when, is decided in `waitingBlocks.ts`.
 *
 * A read that waits uses nothing but its slot and its place in the ring: its file may be closed, its extent deleted, and no place of a limit is taken. Once its block was healed, or somebody says that it may be right, it goes the way of a new read, and is
 * verified again; a second time it does not wait.
 */
import { blockChecksumMismatch, ERROR_TEXT } from '../protocol/errors.js';
import { actionOf, OP } from '../protocol/opcodes.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { OperationQueue } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import type { BlockPlace } from './messages.js';
import type { Operation, OperationLoan } from './operation.js';
import type { StoreHost } from './storeHost.js';
import { JUDGED, type Judged, type Left, WaitingBlocks } from './waitingBlocks.js';
import { wholeBlockOf } from './wholeBlock.js';

/** A read that waits, as the store has it. */
interface Read {
  readonly store: ExtentStore;
  readonly op: Operation;
}

export class WaitingReads implements OperationLoan {
  /** Reads that have waited: those that got their block after all, and those that were answered with an error. */
  served = 0;
  gaveUp = 0;
  private readonly host: StoreHost;
  private readonly resume: (store: ExtentStore, op: Operation) => void;
  private readonly blocks = new WaitingBlocks<Read>();
  /** Those that are to be read again, and their stores. */
  private readonly ready = new OperationQueue();
  private readonly readyStores: ExtentStore[] = [];
  private stopping = false;

  /** @param resume starts a read that has waited. */
  constructor(host: StoreHost, resume: (store: ExtentStore, op: Operation) => void) {
    this.host = host;
    this.resume = resume;
  }

  /** Operations that wait. */
  get parked(): number {
    return this.blocks.count + this.readyStores.length;
  }

  /** Whether the read of a damaged block waits; then it was taken. */
  keep(store: ExtentStore, op: Operation): boolean {
    // Repair has other sources. What has a loan has waited before.
    if (op.internal || op.opcode === OP.extentRepairRead || op.loan !== null) return false;
    if (this.isVain || store.closed) return false;
    const nowMs = this.nowMs();
    const place = { partitionId: store.partitionId, extentId: op.extentId, block: wholeBlockOf(op) };
    if (!this.blocks.mayWait(place, nowMs)) return false;
    if (!this.blocks.isAwaited(place) && !this.host.healer.ask(place)) return false;
    this.blocks.add(place, { store, op }, nowMs);
    op.loan = this;
    if (op.chargedLane !== 0) this.host.limits.ended(op);
    return true;
  }

  /** A heal of the block has ended well. */
  healed(place: BlockPlace): void {
    for (const read of this.blocks.healed(place)) this.makeReady(read);
  }

  /** Whoever was asked to heal the block has come to an end with it. */
  judged(place: BlockPlace, judged: Judged): void {
    if (judged === JUDGED.sound) return this.healed(place);
    const reads = this.blocks.fruitless(place, judged === JUDGED.undecided, this.nowMs());
    this.giveUp({ ...place, reads });
  }

  /** Starts what is to be read again, and ends what waits in vain. No batch may be away. */
  advance(hasRoom: () => boolean): void {
    if (this.parked === 0) return;
    while (!this.ready.isEmpty && hasRoom()) {
      const op = this.ready.shift()!;
      this.resume(this.readyStores.shift()!, op);
    }
    if (this.blocks.count === 0) return;
    for (const left of this.blocks.due(this.nowMs())) this.giveUp(left);
    if (this.isVain) return this.giveUpAll();
    const deleted = this.blocks.takeOut(({ extentId }, { store }) => isDeleted(store, extentId));
    for (const left of deleted) this.giveUp(left);
  }

  /** Ms until `advance` has something to do that nobody tells of; Infinity: it has not. */
  wakeInMs(): number {
    return this.blocks.count === 0 ? Number.POSITIVE_INFINITY : this.blocks.dueInMs(this.nowMs());
  }

  /** Nothing waits any more. */
  stop(): void {
    this.stopping = true;
    this.giveUpAll();
  }

  /** Ends what waits for this store; for stores that are taken out of service. */
  failWaiting(store: ExtentStore, message: string): void {
    for (const { reads } of this.blocks.takeOut((_, read) => read.store === store)) {
      for (const { op } of reads) this.host.fail(op, actionOf(op.opcode), message);
    }
    for (let left = this.readyStores.length; left > 0; left -= 1) {
      const op = this.ready.shift()!;
      const its = this.readyStores.shift()!;
      if (its !== store) this.makeReady({ store: its, op });
      else this.host.fail(op, actionOf(op.opcode), message);
    }
  }

  /** A read that has waited has ended. */
  loanEnded(_op: Operation, acknowledged: boolean): void {
    if (acknowledged) this.served += 1;
    else this.gaveUp += 1;
  }

  /** No heal is to be waited for: nobody heals, or nothing can be written. */
  private get isVain(): boolean {
    const { healer, health } = this.host;
    return this.stopping || !healer.isThere || health.status === -1;
  }

  private makeReady({ store, op }: Read): void {
    this.ready.push(op);
    this.readyStores.push(store);
  }

  private giveUpAll(): void {
    for (const left of this.blocks.takeOut(() => true)) this.giveUp(left);
  }

  /** Answers as without the wait. */
  private giveUp({ partitionId, extentId, block, reads }: Left<Read>): void {
    for (const { store, op } of reads) {
      const damaged = blockChecksumMismatch(partitionId, extentId, block);
      const message = isDeleted(store, extentId) ? ERROR_TEXT.extentNotFound : damaged;
      this.host.fail(op, actionOf(op.opcode), message);
    }
  }

  private nowMs(): number {
    return this.host.clock.monotonicNs() / 1e6;
  }
}

function isDeleted({ table }: ExtentStore, extentId: number): boolean {
  const row = table.find(extentId);
  return row === NONE || table.has(row, EXTENT_FLAG.deleted);
}
