/**
 * One extent looked at by the checksum job, from its slots to its entry in EXTENT_CLEAN (`docs/checksums.md`).
 *
 * Slots are read, then blocks, one at a time, on the I/O threads, through a descriptor of its own. What goes into EXTENT_CRC and EXTENT_CLEAN is added to the
 * owner's batch by `advance`. A write to the extent that starts meanwhile ends the check, and nothing that it has found out counts.
 */
import assert from 'node:assert';
import { constants } from 'node:fs';
import { CLEAN_KIND, type CleanKind, canHaveEntry } from '../storage/cleanFile.js';
import { SLOT_BYTES, SLOT_TABLE_BYTES, slotOffset } from '../storage/crcFile.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import type { IoDone } from '../storage/io.js';
import { BLOCK_BYTES, CHECKSUM_QUIET_SECONDS } from '../storage/layout.js';
import type { ChecksumFindings } from './checksumFindings.js';
import { CleanRecord, type Recorded } from './cleanRecord.js';
import type { DirectReads } from './directReads.js';
import { HANDLE_STATE } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import { Operation, type OperationHandler } from './operation.js';
import { RowWatch } from './rowWatch.js';
import { type StoreHost, scratchCheck } from './storeHost.js';

/** What a check is for: missing checksums, a comparison of every block, or only the entry that says that the extent is broken. */
export type CheckKind = 'compute' | 'compare' | 'broken';

/** `done`; `dropped`: something came in between, to be tried again; `failed`: the disk did not do it. */
export type CheckOutcome = 'done' | 'dropped' | 'failed';

/** Says when a block may be read. */
export interface ReadPace {
  /** Charges a read of `bytes`; false: not now, `advance` asks again. */
  take(bytes: number): boolean;
  /** A charged read has ended. */
  ended(): void;
}

type Phase = 'idle' | 'submitted' | 'pace' | 'slots' | 'slotsInBatch' | 'record';

export class ExtentCheck implements OperationHandler {
  /** For whoever writes to extents. */
  readonly watch = new RowWatch();
  kind: CheckKind = 'compute';
  store: ExtentStore | null = null;
  extentId = 0;
  /** Blocks read by this check, and slots of our own that a crash had left wrong. */
  blocksRead = 0;
  recomputed = 0;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly findings: ChecksumFindings;
  private readonly direct: DirectReads;
  private readonly pace: ReadPace;
  private readonly ended: (outcome: CheckOutcome) => void;
  private readonly ownFdReleased: (store: ExtentStore) => void;
  private readonly record: CleanRecord;
  private readonly carrier = new Operation();
  /** Places in the scratch region: the slot table, a block. */
  private readonly tableAt: number;
  private readonly blockAt: number;
  private readonly scratch: DataView;
  private phase: Phase = 'idle';
  private row = NONE;
  private sizeBytes = 0;
  private blocks = 0;
  private fd = -1;
  private next = 0;
  private again = false;
  private differing = 0;
  private changedFirst = 0;
  private changedLast = -1;

  /**
   * @param ended the check is over; the next one may begin with the next `advance`.
   */
  constructor(
    host: StoreHost,
    files: OpenExtents,
    findings: ChecksumFindings,
    direct: DirectReads,
    pace: ReadPace,
    ended: (outcome: CheckOutcome) => void,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.files = files;
    this.findings = findings;
    this.direct = direct;
    this.pace = pace;
    this.ended = ended;
    this.ownFdReleased = ownFdReleased;
    this.carrier.handler = this;
    this.tableAt = scratchCheck(host.disk.batch.capacity);
    this.blockAt = this.tableAt + SLOT_TABLE_BYTES;
    const region = host.regions[host.scratchRegion]!;
    this.scratch = new DataView(region.buffer, region.byteOffset, region.byteLength);
    this.record = new CleanRecord(host, files, this.blockAt + BLOCK_BYTES);
  }

  get active(): boolean {
    return this.phase !== 'idle';
  }

  /** Whether it waits for the pace. */
  get waitsForPace(): boolean {
    return this.phase === 'pace';
  }

  /** Looks at the extent in `row`, which must not be deleted. Only from the owner's `advance`: no batch is away. */
  begin(store: ExtentStore, row: number, kind: CheckKind): void {
    assert(!this.active, 'one extent at a time');
    const { table } = store;
    this.store = store;
    this.row = row;
    this.kind = kind;
    this.extentId = table.ids[row]!;
    this.sizeBytes = table.sizes[row]!;
    this.blocks = Math.ceil(this.sizeBytes / BLOCK_BYTES);
    this.next = 0;
    this.again = false;
    this.blocksRead = 0;
    this.recomputed = 0;
    this.differing = 0;
    this.changedLast = -1;
    this.watch.begin(store, row);
    // A write that is in the batch already would not be seen to start.
    const handle = table.handles[row]!;
    const written = handle !== NONE && this.files.handles[handle]!.isBeingWritten;
    if (written || store.healingRow === row) this.watch.touch(store, row);
    store.ownFdUsers += 1;
    this.phase = 'submitted';
    if (kind === 'broken') this.writeEntry(CLEAN_KIND.broken);
    else this.readSlots(store);
  }

  /** Adds what waits for the batch, which must be free, or goes on when the pace allows it. */
  advance(hasRoom: () => boolean): void {
    if (this.phase === 'pace') this.readBlock();
    else if (this.phase === 'slots' && hasRoom()) this.addSlots();
    else if (this.record.waitsForBatch && hasRoom()) this.record.add();
  }

  /** Ends a check that waits for its turn, at a stop; one with work under way ends by itself. */
  giveUp(): void {
    const waits = this.phase === 'pace' || this.phase === 'slots' || this.record.waitsForBatch;
    if (!waits) return;
    this.record.giveUp();
    this.end('dropped');
  }

  ioDone(_op: Operation, index: number): void {
    assert(this.phase === 'slotsInBatch', 'a result comes for slots that were added');
    const result = this.host.disk.batch.result(index);
    const store = this.store!;
    if (result === (this.changedLast - this.changedFirst + 1) * SLOT_BYTES) return this.compared();
    // A part of a slot may have been written: a wrong one.
    store.table.unset(this.row, EXTENT_FLAG.trusted);
    this.fail('write', store.crcPath, result, true);
  }

  // Slots and blocks.

  private readSlots(store: ExtentStore): void {
    const region = this.host.regions[this.host.scratchRegion]!;
    region.fill(0, this.tableAt, this.tableAt + SLOT_TABLE_BYTES);
    const from = slotOffset(this.extentId, 0);
    const bytes = Math.min(this.blocks * SLOT_BYTES, store.crcBytes - from);
    if (bytes <= 0) return this.proceed();
    const { disk, scratchRegion } = this.host;
    const done: IoDone = ({ result }) => {
      if (result < 0) this.fail('read', store.crcPath, result, false);
      else this.proceed();
    };
    disk.submitPread(store.crcFd, from, scratchRegion, this.tableAt, bytes, false, done);
  }

  /** Goes to the next block that must be read, or on to what follows. */
  private proceed(): void {
    if (this.isDisturbed()) return this.end('dropped');
    const trusted = this.store!.table.has(this.row, EXTENT_FLAG.trusted);
    const all = this.kind === 'compare' || !trusted;
    while (!all && this.next < this.blocks && this.slot(this.next) !== 0) this.next += 1;
    if (this.next < this.blocks && this.fd < 0) return this.open(() => this.proceed());
    if (this.next < this.blocks) return this.readBlock();
    if (this.changedLast >= 0) this.phase = 'slots';
    else this.compared();
  }

  private open(then: () => void): void {
    const path = this.store!.extentPath(this.extentId);
    this.phase = 'submitted';
    this.host.disk.submitOpen(path, constants.O_RDONLY, 0, ({ result }) => {
      if (result < 0) return this.fail('open', path, result, false);
      this.fd = result;
      then();
    });
  }

  private readBlock(): void {
    if (this.isDisturbed()) return this.end('dropped');
    const at = this.next * BLOCK_BYTES;
    const bytes = Math.min(BLOCK_BYTES, this.sizeBytes - at);
    const { again } = this;
    if (!again && !this.pace.take(bytes)) {
      this.phase = 'pace';
      return;
    }
    this.phase = 'submitted';
    const { disk, scratchRegion } = this.host;
    const done: IoDone = ({ result, crc, value0 }) => {
      if (!again) this.pace.ended();
      if (value0 !== 0) this.direct.refused(value0);
      if (this.isDisturbed()) return this.end('dropped');
      if (result === bytes) return this.blockRead(crc);
      // A short answer without an errno: the file has become shorter than its record.
      this.fail('read', this.store!.extentPath(this.extentId), result, false);
    };
    const direct = this.direct.wantsInBackground(this.store!, this.row);
    disk.submitPread(this.fd, at, scratchRegion, this.blockAt, bytes, true, done, direct);
  }

  private blockRead(crc: number): void {
    const slot = this.slot(this.next);
    if (slot !== 0 && slot !== crc && !this.again) {
      this.again = true;
      return this.readBlock();
    }
    if (slot === 0) this.setSlot(this.next, crc);
    else if (slot !== crc) this.different(crc);
    this.again = false;
    this.blocksRead += 1;
    this.next += 1;
    this.proceed();
  }

  /** A block differs for good. What is our own and was not clean is what a crash has left: the slot is the wrong part. */
  private different(crc: number): void {
    const store = this.store!;
    const crashed =
      !store.table.has(this.row, EXTENT_FLAG.trusted) &&
      this.extentId >= store.ownFrom &&
      store.unhealed.get(this.extentId)?.includes(this.next) !== true;
    if (crashed) {
      this.recomputed += 1;
      this.setSlot(this.next, crc);
    } else {
      this.differing += 1;
      this.findings.mismatch(store, this.row, this.next);
    }
  }

  private slot(block: number): number {
    return this.scratch.getUint32(this.tableAt + block * SLOT_BYTES);
  }

  private setSlot(block: number, crc: number): void {
    if (crc === this.slot(block)) return;
    this.scratch.setUint32(this.tableAt + block * SLOT_BYTES, crc);
    if (this.changedLast < 0) this.changedFirst = block;
    this.changedLast = block;
  }

  /** Adds the slots from the first to the last that is new; those between are as they were. */
  private addSlots(): void {
    if (this.isDisturbed()) return this.end('dropped');
    const store = this.store!;
    const index = store.table.handles[this.row]!;
    if (index !== NONE) {
      const handle = this.files.handles[index]!;
      // A handle that has not read its slots yet might read them before ours are there.
      if (handle.state < HANDLE_STATE.draining) return;
      for (let block = this.changedFirst; block <= this.changedLast; block += 1) {
        if (this.slot(block) !== 0) this.files.slotBits.set(index, block);
      }
    }
    const { disk, scratchRegion, entryOperations } = this.host;
    const offset = slotOffset(this.extentId, this.changedFirst);
    const at = this.tableAt + this.changedFirst * SLOT_BYTES;
    const bytes = (this.changedLast - this.changedFirst + 1) * SLOT_BYTES;
    this.phase = 'slotsInBatch';
    entryOperations[disk.batch.pwrite(store.crcFd, offset, scratchRegion, at, bytes, false)] = this.carrier;
    store.crcBytes = Math.max(store.crcBytes, offset + bytes);
  }

  /** All slots stand in EXTENT_CRC. */
  private compared(): void {
    if (this.isDisturbed()) return this.end('dropped');
    const { table } = this.store!;
    const all = this.kind === 'compare' || !table.has(this.row, EXTENT_FLAG.trusted);
    const wasDamaged = table.has(this.row, EXTENT_FLAG.damaged);
    if (this.differing === 0) {
      table.set(this.row, EXTENT_FLAG.trusted);
      if (all) this.findings.cleared(this.store!, this.row);
    }
    if (this.recomputed > 0) this.tellRecomputed();
    // What was found in a clean extent is kept however young it is.
    if (!this.isQuiet() && !table.has(this.row, EXTENT_FLAG.clean)) return this.end('done');
    if (this.isQuiet()) {
      table.crcs[this.row] = this.host.crc32(this.host.scratchRegion, this.tableAt, this.blocks * SLOT_BYTES);
    }
    const damaged = table.has(this.row, EXTENT_FLAG.damaged);
    const kind = damaged ? CLEAN_KIND.damaged : CLEAN_KIND.clean;
    const stands = table.has(this.row, EXTENT_FLAG.clean) && (!all || (!damaged && !wasDamaged));
    // What was lost cannot be synced: a later fdatasync succeeds all the same.
    const lost = this.store!.slotsLost || table.has(this.row, EXTENT_FLAG.syncFailed);
    const wanted = table.has(this.row, EXTENT_FLAG.trusted) && canHaveEntry(this.extentId) && !stands;
    if (!wanted || lost) this.end('done');
    else if (this.fd < 0) this.open(() => this.writeEntry(kind));
    else this.writeEntry(kind);
  }

  private writeEntry(kind: CleanKind): void {
    const store = this.store!;
    const { row, extentId, fd } = this;
    const sizeBytes = kind === CLEAN_KIND.broken ? 0 : this.sizeBytes;
    this.phase = 'record';
    const recorded: Recorded = {
      ...{ store, row, extentId, fd, kind, sizeBytes },
      isDisturbed: () => this.isDisturbed(),
      recorded: () => this.end('done'),
      dropped: () => this.end('dropped'),
      failed: (call, path, result) => this.fail(call, path, result, true),
      broken: (result) => {
        store.syncFailed(row);
        this.findings.broken.push({ store, extentId });
        this.fail('sync', store.extentPath(extentId), result, true);
      },
    };
    this.record.begin(recorded);
  }

  private tellRecomputed(): void {
    const fields = { partition: this.store!.partitionId, extent: this.extentId, blocks: this.recomputed };
    this.host.log('warn', 'checksums that a crash had left wrong were computed again', fields);
  }

  // The end.

  private isQuiet(): boolean {
    const nowSeconds = this.host.clock.nowMs() / 1000;
    return nowSeconds - this.store!.table.modTimes[this.row]! > CHECKSUM_QUIET_SECONDS;
  }

  /** Whether what was found out is not true any more: a write has started, or the extent goes away. */
  private isDisturbed(): boolean {
    const { table, closed } = this.store!;
    if (closed || this.watch.touched) return true;
    const gone = EXTENT_FLAG.deleting | EXTENT_FLAG.deleted;
    return table.ids[this.row] !== this.extentId || table.has(this.row, gone);
  }

  private fail(call: string, path: string, result: number, writing: boolean): void {
    if (result === -EAGAIN) return this.end('dropped');
    reportDiskError(this.host, result, writing);
    const words = result < 0 ? this.host.disk.errnoText(result) : 'not all bytes';
    const fields = { partition: this.store!.partitionId, extent: this.extentId };
    this.host.log('warn', `checksums of an extent cannot be looked at: ${call} ${path}: ${words}`, fields);
    this.end('failed');
  }

  private end(outcome: CheckOutcome): void {
    const store = this.store!;
    this.phase = 'idle';
    this.watch.end();
    if (this.fd >= 0) this.close(this.fd);
    this.fd = -1;
    store.ownFdUsers -= 1;
    this.ended(outcome);
    this.store = null;
    this.ownFdReleased(store);
  }

  private close(fd: number): void {
    this.host.disk.submitClose(fd, ({ result }) => {
      if (result === -EAGAIN) this.close(fd);
    });
  }
}
