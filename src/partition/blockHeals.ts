/**
 * A block of a normal extent gets the content that most replicas have, in the place of another one (`INTERNAL_OP.healBlock`, docs/repair.md "Healing"). One at a time a worker. Called by `storeGroup.ts`.
 *
 * It is a compare-and-swap: nothing is written unless the block is still what was voted against, and from that look to the end no write to the extent begins (`dirtyRecord.ts`), and no read of the block (`holds`).
 *
 * The order, each step durable before the next one begins. An entry in EXTENT_CLEAN says which block is being healed; it takes the place of one that calls the extent clean. Then the slot gets the
 * checksum of the new content, then the block its bytes, then the entry goes. So whatever a crash leaves of the block, its slot is that of the new content or nobody has touched the block yet; and while the entry
 * stands a difference in this block is damage, and never a slot that a crash has left wrong. Where heals of other blocks of the extent were interrupted, the entry names those as well, and they stay in it to their own end. Size and
 * time of the record stay, as with a random write.
 */
import { ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import {
  CLEAN_ENTRY_BYTES,
  CLEAN_KIND,
  canHaveEntry,
  cleanOffset,
  encodeCleanEntry,
  HEALING_BLOCKS_MAX,
  healingMark,
  severalMark,
} from '../storage/cleanFile.js';
import { blockOf, SLOT_BYTES, slotOffset } from '../storage/crcFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import { BLOCK_BYTES } from '../storage/layout.js';
import type { ChecksumFindings } from './checksumFindings.js';
import { CleanFileStart } from './cleanFileStart.js';
import { type ExtentHandle, HANDLE_STATE, OperationQueue } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import type { GroupCommit } from './groupCommit.js';
import { INTERNAL_OP } from './internalOps.js';
import { EAGAIN, ioErrorText, reportDiskError } from './ioErrors.js';
import type { BlockPlace } from './messages.js';
import type { OpenExtents } from './openExtents.js';
import { Operation, type OperationHandler, type OperationOwner } from './operation.js';
import type { RowWatch } from './rowWatch.js';
import { type StoreHost, scratchHeal } from './storeHost.js';

/** The block is not what was voted against: the vote says nothing about it. */
export const BLOCK_CHANGED = 'the block has changed since it was voted on';

/** What the heal waits for from `advance`, beside the ends of submitted work. */
type Step = 'settle' | 'begin' | 'entry' | 'slot' | 'data' | 'removal' | null;

/** Bytes from the entry in the scratch region to the slot. */
const SLOT_BEHIND = 64;

interface Heal {
  readonly handle: ExtentHandle;
  readonly store: ExtentStore;
  readonly row: number;
  readonly op: Operation;
  readonly block: number;
  step: Step;
  inBatch: boolean;
  /** The entry may stand on the disk. */
  marked: boolean;
  /** Why it does not go on, while its entry is taken away. */
  problem: string | null;
}

export class BlockHeals implements OperationHandler, OperationOwner {
  /** Operations that wait: heals, and reads of the block that is being healed. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly commits: GroupCommit;
  private readonly findings: ChecksumFindings;
  private readonly watch: RowWatch;
  private readonly resume: (store: ExtentStore, op: Operation) => void;
  private readonly healed: (place: BlockPlace) => void;
  private readonly ownFdReleased: (store: ExtentStore) => void;
  private readonly cleanFile: CleanFileStart;
  /** Stands in the batch, and waits for the extent's sync, for the heal of the moment. */
  private readonly carrier = new Operation();
  /** Places in the scratch region: the content that is there; an entry or header of EXTENT_CLEAN, and a slot behind it. */
  private readonly blockAt: number;
  private readonly entryAt: number;
  private readonly slotAt: number;
  private readonly queue: Heal[] = [];
  private current: Heal | null = null;
  /** Reads that wait for the end of the heal, or that of the one before, and their store. */
  private readonly readers = new OperationQueue();
  private readersStore: ExtentStore | null = null;

  /** @param resume starts a read that has waited. @param healed hears of blocks that were healed. */
  constructor(
    host: StoreHost,
    files: OpenExtents,
    commits: GroupCommit,
    findings: ChecksumFindings,
    watch: RowWatch,
    resume: (store: ExtentStore, op: Operation) => void,
    healed: (place: BlockPlace) => void,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.files = files;
    this.commits = commits;
    this.findings = findings;
    this.watch = watch;
    this.resume = resume;
    this.healed = healed;
    this.ownFdReleased = ownFdReleased;
    this.carrier.opcode = INTERNAL_OP.healBlock;
    this.carrier.handler = this;
    this.carrier.owner = this;
    this.blockAt = scratchHeal(host.disk.batch.capacity);
    this.entryAt = this.blockAt + BLOCK_BYTES;
    this.slotAt = this.entryAt + SLOT_BEHIND;
    this.cleanFile = new CleanFileStart(host, this.entryAt);
  }

  /** The extent's file is open. */
  start(handle: ExtentHandle, op: Operation): void {
    const { extentOffset, size, bufferBytes, extentId, region, bufferOffset } = op;
    const sane = extentOffset >= 0 && extentOffset % BLOCK_BYTES === 0 && size >= 1 && size <= BLOCK_BYTES;
    if (!sane || size > bufferBytes || !canHaveEntry(extentId)) {
      return this.host.fail(op, actionOf(op.opcode), parameterMismatch(extentOffset, size));
    }
    if (this.host.crc32(region, bufferOffset, size) !== op.crc) {
      return this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.crcMismatch);
    }
    const { row } = handle;
    this.files.use(handle);
    this.parked += 1;
    this.queue.push({
      ...{ handle, store: handle.store!, row, op, block: blockOf(extentOffset) },
      ...{ step: null, inBatch: false, marked: false, problem: null },
    });
  }

  /** Whether a read must wait for the heal of its block; then it was taken. */
  holds(store: ExtentStore, op: Operation): boolean {
    const heal = this.current;
    if (heal === null || heal.store !== store || heal.op.extentId !== op.extentId) return false;
    const { extentOffset, size } = heal.op;
    if (op.extentOffset >= extentOffset + size || op.extentOffset + op.size <= extentOffset) return false;
    this.parked += 1;
    this.readers.push(op);
    this.readersStore = store;
    return true;
  }

  /** Begins the next heal, or adds what the one under way has for the batch. No batch may be away. */
  advance(hasRoom: () => boolean): void {
    if (this.current === null && !this.release(hasRoom)) return;
    while (this.current === null && this.queue.length > 0) this.next(this.queue.shift()!);
    const heal = this.current;
    if (heal === null || heal.step === null || heal.inBatch) return;
    const gone = this.whyGone(heal);
    if (gone !== null && heal.step !== 'removal') return this.giveUp(heal, gone);
    if (heal.step === 'settle') this.settle(heal);
    else if (heal.step === 'begin') this.beginCleanFile(heal);
    else if (hasRoom()) this.add(heal);
  }

  ioDone(_op: Operation, index: number): void {
    const heal = this.current!;
    const { handle, store, row, op } = heal;
    const result = this.host.disk.batch.result(index);
    const { step } = heal;
    heal.inBatch = false;
    heal.step = null;
    if (step === 'data') {
      handle.writesEnded += 1;
      handle.writes += 1;
      store.table.crcs[row] = 0;
      if (result !== op.size) return this.failIo(heal, 'write', handle.path, result);
      return this.commits.wait(handle, this.carrier);
    }
    if (step === 'slot') {
      if (result === SLOT_BYTES) return this.syncSlot(heal);
      // A part of it may have been written.
      store.table.unset(row, EXTENT_FLAG.trusted);
      return this.failIo(heal, 'write', store.crcPath, result);
    }
    if (result !== CLEAN_ENTRY_BYTES) return this.failIo(heal, 'write', store.cleanPath, result);
    this.syncEntry(heal, step === 'removal');
  }

  /** The data is durable, or an fdatasync of the extent has failed. */
  operationEnded(_op: Operation, problem: string | null): void {
    const heal = this.current!;
    if (problem !== null) return this.fail(heal, problem);
    heal.step = 'removal';
  }

  private next(heal: Heal): void {
    const { store, row } = heal;
    this.current = heal;
    store.ownFdUsers += 1;
    const gone = this.whyGone(heal);
    if (gone !== null) return this.fail(heal, gone);
    if (store.table.has(row, EXTENT_FLAG.syncFailed)) return this.fail(heal, ERROR_TEXT.extentBroken);
    const others = othersOf(heal);
    // There is one entry for all.
    if (others.length === HEALING_BLOCKS_MAX) {
      return this.fail(heal, `blocks ${others.join(', ')} of the extent are to be healed first`);
    }
    store.healingRow = row;
    this.watch.touch(store, row);
    heal.step = 'settle';
  }

  /** What began before the heal comes to its end. */
  private settle(heal: Heal): void {
    const { handle, store, row, op } = heal;
    if (handle.state !== HANDLE_STATE.ready || handle.isBeingWritten) return;
    const wanted = Math.min(BLOCK_BYTES, store.table.sizes[row]! - op.extentOffset);
    if (op.size !== wanted) return this.fail(heal, BLOCK_CHANGED);
    heal.step = null;
    this.compare(heal);
  }

  private compare(heal: Heal): void {
    const { handle, op } = heal;
    const { disk, scratchRegion } = this.host;
    const { extentOffset, size } = op;
    disk.submitPread(handle.fd, extentOffset, scratchRegion, this.blockAt, size, true, ({ result, crc }) => {
      if (result === -EAGAIN && this.whyGone(heal) === null) return this.compare(heal);
      if (result < 0) return this.failIo(heal, 'read', handle.path, result, false);
      if (result !== size || crc !== op.expectedCrc) return this.fail(heal, BLOCK_CHANGED);
      heal.step = 'begin';
    });
  }

  private beginCleanFile(heal: Heal): void {
    const { store } = heal;
    if (store.cleanStamp !== 0) {
      heal.step = 'entry';
      return;
    }
    heal.step = null;
    this.cleanFile.begin(store, (result) => {
      if (result < 0 && result !== -EAGAIN) this.failIo(heal, 'write', store.cleanPath, result);
      else heal.step = 'begin';
    });
  }

  private add(heal: Heal): void {
    const { handle, store, op, block, step } = heal;
    const { disk, regions, scratchRegion, entryOperations } = this.host;
    const { batch } = disk;
    const { extentId, crc } = op;
    const others = othersOf(heal);
    let index: number;
    if (step === 'entry') {
      heal.marked = true;
      index = this.addEntry(heal, [...others, block]);
    } else if (step === 'slot') {
      const region = regions[scratchRegion]!;
      new DataView(region.buffer, region.byteOffset + this.slotAt, SLOT_BYTES).setUint32(0, crc);
      const at = slotOffset(extentId, block);
      index = batch.pwrite(store.crcFd, at, scratchRegion, this.slotAt, SLOT_BYTES, false);
      this.files.slotBits.set(handle.index, block);
      store.crcBytes = Math.max(store.crcBytes, at + SLOT_BYTES);
    } else if (step === 'data') {
      handle.writesStarted += 1;
      index = batch.pwrite(handle.fd, op.extentOffset, op.region, op.bufferOffset, op.size, false);
    } else if (others.length > 0) {
      index = this.addEntry(heal, others);
    } else {
      // The scratch region begins with zeros.
      index = batch.pwrite(store.cleanFd, cleanOffset(extentId), scratchRegion, 0, CLEAN_ENTRY_BYTES, false);
    }
    heal.inBatch = true;
    entryOperations[index] = this.carrier;
  }

  /** The entry that names `blocks`; one that names this heal's alone has what belongs there, too. */
  private addEntry({ store, row, op, block }: Heal, blocks: readonly number[]): number {
    const { disk, regions, scratchRegion } = this.host;
    const { extentId, crc } = op;
    const sizeBytes = store.table.sizes[row]!;
    const isAlone = blocks.length === 1 && blocks[0] === block;
    const entry = isAlone
      ? { kind: CLEAN_KIND.healing, sizeBytes, mtimeMs: healingMark(block, crc) }
      : { kind: CLEAN_KIND.healingSeveral, sizeBytes, mtimeMs: severalMark(blocks) };
    encodeCleanEntry(regions[scratchRegion]!, this.entryAt, store.cleanStamp, extentId, entry);
    const at = cleanOffset(extentId);
    return disk.batch.pwrite(store.cleanFd, at, scratchRegion, this.entryAt, CLEAN_ENTRY_BYTES, false);
  }

  private syncEntry(heal: Heal, removed: boolean): void {
    const { store, row, op } = heal;
    this.host.disk.submitFdatasync(store.cleanFd, ({ result }) => {
      if (result === -EAGAIN) return this.syncEntry(heal, removed);
      if (result < 0) return this.failIo(heal, 'sync', store.cleanPath, result);
      if (!removed) {
        store.table.unset(row, EXTENT_FLAG.clean);
        heal.step = 'slot';
        return;
      }
      const others = othersOf(heal);
      if (others.length > 0) store.unhealed.set(op.extentId, others);
      else store.unhealed.delete(op.extentId);
      if (heal.problem === null) this.findings.healed(store, row, heal.block);
      this.end(heal, heal.problem);
    });
  }

  private syncSlot(heal: Heal): void {
    const { store } = heal;
    this.host.disk.submitFdatasync(store.crcFd, ({ result }) => {
      if (result === -EAGAIN) return this.syncSlot(heal);
      if (result >= 0) {
        heal.step = 'data';
        return;
      }
      store.slotsLost = true;
      this.failIo(heal, 'sync', store.crcPath, result);
    });
  }

  // The end.

  /** Why the heal must not go on; null: it may. */
  private whyGone({ store, row, op }: Heal): string | null {
    if (store.closed) return ERROR_TEXT.partitionNotExists;
    const { table } = store;
    const gone = EXTENT_FLAG.deleting | EXTENT_FLAG.deleted;
    return table.ids[row] !== op.extentId || table.has(row, gone) ? ERROR_TEXT.extentNotFound : null;
  }

  /** Nothing was written to the block: what says that it is being healed goes too. */
  private giveUp(heal: Heal, problem: string): void {
    if (!heal.marked || heal.store.closed) return this.fail(heal, problem);
    heal.problem = problem;
    heal.step = 'removal';
  }

  private failIo(heal: Heal, call: string, path: string, result: number, writing = true): void {
    reportDiskError(this.host, result, writing);
    heal.op.ioError = result < 0 ? result : 1;
    this.fail(heal, ioErrorText(this.host, call, path, result));
  }

  /** An entry that may stand goes with the next write to the extent, or the next heal of this block. */
  private fail(heal: Heal, problem: string): void {
    if (heal.marked) heal.store.unhealed.set(heal.op.extentId, [...othersOf(heal), heal.block]);
    this.end(heal, problem);
  }

  private end(heal: Heal, problem: string | null): void {
    const { handle, store, op, block } = heal;
    this.current = null;
    store.healingRow = NONE;
    store.ownFdUsers -= 1;
    this.parked -= 1;
    if (problem === null) this.healed({ partitionId: store.partitionId, extentId: op.extentId, block });
    if (problem === null) this.host.finish(op);
    else this.host.fail(op, actionOf(op.opcode), problem);
    this.files.release(handle);
    this.ownFdReleased(store);
  }

  /** Starts the reads that have waited for the last heal; false when some wait on, for room. */
  private release(hasRoom: () => boolean): boolean {
    const store = this.readersStore;
    while (!this.readers.isEmpty && store !== null) {
      if (!store.closed && !hasRoom()) return false;
      const reader = this.readers.shift()!;
      this.parked -= 1;
      if (store.closed) this.host.fail(reader, actionOf(reader.opcode), ERROR_TEXT.partitionNotExists);
      else this.resume(store, reader);
    }
    this.readersStore = null;
    return true;
  }
}

/** Blocks of the extent whose heals were interrupted, but for this one's. */
function othersOf({ store, op, block }: Heal): readonly number[] {
  return (store.unhealed.get(op.extentId) ?? []).filter((other) => other !== block);
}
