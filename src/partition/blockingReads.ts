/**
 * Reads on the I/O threads: of what is not in the page cache, and of blocks that differed from their checksum at first sight.
 *
 * A whole block whose slot may be known is compared: slot, then data. Writes may come in between, so a difference counts only when none did; otherwise both
 * are read again, and after some tries the block is served as it is, since somebody is writing to it all the time.
 */
import { SLOT_BYTES, type SlotBits, slotOffset } from '../storage/crcFile.js';
import type { IoDone, IoResult } from '../storage/io.js';
import type { DirectReads } from './directReads.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, reportDiskError } from './ioErrors.js';
import type { Operation } from './operation.js';
import { type StoreHost, scratchCell } from './storeHost.js';
import { wholeBlockOf } from './wholeBlock.js';

/** Times that a block and its slot are read before a difference is believed. */
const TRIES_MIN = 2;
/** Times that they are read while writes come in between. */
const TRIES_MAX = 5;

/** A read under way; recycled, so that cold reads allocate nothing either. */
class BlockingRead {
  op: Operation | null = null;
  handle: ExtentHandle | null = null;
  /** Value of the block's slot, 0 when it is not known or not looked at. */
  slot = 0;
  tries = 0;
  /** `writesEnded` of the handle before slot and data were read. */
  writesBefore = 0;
  /** Where its slot is read to. */
  readonly cell: number;
  readonly onSlot: IoDone;
  readonly onData: IoDone;

  constructor(cell: number, onSlot: (read: BlockingRead, result: number) => void, onData: DataDone) {
    this.cell = cell;
    this.onSlot = (io) => onSlot(this, io.result);
    this.onData = (io) => onData(this, io);
  }
}

type DataDone = (read: BlockingRead, io: IoResult) => void;

/** `differs`: slot and data were read again and again and do not fit. */
export type BlockingReadEnded = (
  handle: ExtentHandle,
  op: Operation,
  result: number,
  crc: number,
  differs: boolean,
) => void;

export class BlockingReads {
  /** Reads under way. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly bits: SlotBits;
  private readonly direct: DirectReads;
  private readonly scratch: DataView;
  private readonly told: BlockingReadEnded;
  private readonly ownFdReleased: (store: ExtentStore) => void;
  private readonly idle: BlockingRead[] = [];
  private made = 0;

  /** @param told ends the operation; the use of the handle goes on until then. */
  constructor(
    host: StoreHost,
    bits: SlotBits,
    direct: DirectReads,
    told: BlockingReadEnded,
    ownFdReleased: (store: ExtentStore) => void,
  ) {
    this.host = host;
    this.bits = bits;
    this.direct = direct;
    this.told = told;
    this.ownFdReleased = ownFdReleased;
    const region = host.regions[host.scratchRegion]!;
    this.scratch = new DataView(region.buffer, region.byteOffset, region.byteLength);
  }

  /** Reads for `op`, from an open file that the caller keeps in use. */
  start(handle: ExtentHandle, op: Operation): void {
    const read = this.idle.pop() ?? this.newRead();
    read.op = op;
    read.handle = handle;
    read.tries = 0;
    this.parked += 1;
    this.begin(read);
  }

  private newRead(): BlockingRead {
    const cell = scratchCell(this.host.disk.batch.capacity, this.made);
    this.made += 1;
    return new BlockingRead(
      cell,
      (read, result) => this.slotRead(read, result),
      (read, io) => this.dataRead(read, io),
    );
  }

  private begin(read: BlockingRead): void {
    const handle = read.handle!;
    const block = wholeBlockOf(read.op!);
    read.tries += 1;
    read.slot = 0;
    read.writesBefore = handle.writesEnded;
    const known = block >= 0 && !handle.store!.closed && this.bits.any(handle.index, block, block);
    if (known) this.readSlot(read, handle.store!, block);
    else this.readData(read);
  }

  private readSlot(read: BlockingRead, store: ExtentStore, block: number): void {
    const { disk, scratchRegion } = this.host;
    const at = slotOffset(read.handle!.extentId, block);
    store.ownFdUsers += 1;
    disk.submitPread(store.crcFd, at, scratchRegion, read.cell, SLOT_BYTES, false, read.onSlot);
  }

  private slotRead(read: BlockingRead, result: number): void {
    const store = read.handle!.store!;
    store.ownFdUsers -= 1;
    if (result === SLOT_BYTES) read.slot = this.scratch.getUint32(read.cell);
    else if (result < 0 && result !== -EAGAIN) reportDiskError(this.host, result, false);
    // The I/O queue was full: the slot's turn comes again, the data's with it.
    if (result === -EAGAIN && !store.closed) return this.readSlot(read, store, wholeBlockOf(read.op!));
    this.readData(read);
    this.ownFdReleased(store);
  }

  private readData(read: BlockingRead): void {
    const { extentOffset, region, bufferOffset, size } = read.op!;
    const { fd } = read.handle!;
    const direct = this.direct.wants(read.handle!, read.op!);
    this.host.disk.submitPread(fd, extentOffset, region, bufferOffset, size, true, read.onData, direct);
  }

  private dataRead(read: BlockingRead, { result, crc, value0 }: IoResult): void {
    if (result === -EAGAIN) return this.readData(read);
    if (value0 !== 0) this.direct.refused(value0);
    const op = read.op!;
    const handle = read.handle!;
    const differs = read.slot !== 0 && result === op.size && crc !== read.slot;
    const disturbed = handle.writesStarted !== read.writesBefore;
    if (differs && read.tries < (disturbed ? TRIES_MAX : TRIES_MIN)) return this.begin(read);
    read.op = null;
    read.handle = null;
    this.idle.push(read);
    this.parked -= 1;
    this.told(handle, op, result, crc, differs && !disturbed);
  }
}
