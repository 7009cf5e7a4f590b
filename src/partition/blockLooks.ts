/**
 * One block and its stored checksum, side by side, for a comparison between replicas (`INTERNAL_OP.readBlock`). Unlike a client's read it is served whether they agree or not, and it changes nothing: who compares
 * decides. All of it on the I/O threads, since a comparison reads what nobody has read for long.
 *
 * Slot, then data. Where a write came in between, both are read again, and after some tries the checksum counts as not known.
 */
import { ERROR_TEXT, parameterMismatch } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { blockOf, SLOT_BYTES, type SlotBits, slotOffset } from '../storage/crcFile.js';
import { EXTENT_FLAG } from '../storage/extentTable.js';
import { BLOCK_BYTES, EXTENT_BYTES_MAX, isTinyExtent } from '../storage/layout.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, ioErrorText, reportDiskError } from './ioErrors.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import type { StoreHost } from './storeHost.js';

/** Times that both are read while writes come in between. */
const TRIES_MAX = 5;

/** One look under way. */
interface Look {
  readonly handle: ExtentHandle;
  readonly op: Operation;
  tries: number;
  slot: number;
  /** `writesEnded` of the handle before both were read. */
  writesBefore: number;
}

export class BlockLooks {
  /** Operations that wait for submitted work. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly bits: SlotBits;
  private readonly ownFdReleased: (store: ExtentStore) => void;

  constructor(host: StoreHost, files: OpenExtents, ownFdReleased: (store: ExtentStore) => void) {
    this.host = host;
    this.files = files;
    this.bits = files.slotBits;
    this.ownFdReleased = ownFdReleased;
  }

  /** The extent's file is open. */
  start(handle: ExtentHandle, op: Operation): void {
    const { extentOffset, size, bufferBytes } = op;
    const sane = extentOffset >= 0 && extentOffset % BLOCK_BYTES === 0 && size >= 1 && size <= BLOCK_BYTES;
    const fits = size <= bufferBytes && bufferBytes >= SLOT_BYTES;
    const inRange = isTinyExtent(op.extentId) || extentOffset + size <= EXTENT_BYTES_MAX;
    if (!sane || !fits || !inRange) {
      return this.host.fail(op, actionOf(op.opcode), parameterMismatch(extentOffset, size));
    }
    this.files.use(handle);
    this.parked += 1;
    this.begin({ handle, op, tries: 0, slot: 0, writesBefore: 0 });
  }

  private begin(look: Look): void {
    const { handle, op } = look;
    const block = blockOf(op.extentOffset);
    look.tries += 1;
    look.slot = 0;
    look.writesBefore = handle.writesEnded;
    const hasSlot = !isTinyExtent(op.extentId) && this.bits.any(handle.index, block, block);
    if (hasSlot) this.readSlot(look, handle.store!, block);
    else this.readData(look);
  }

  /** Into the slot of the slab, where the data goes next. */
  private readSlot(look: Look, store: ExtentStore, block: number): void {
    const { region, bufferOffset, extentId } = look.op;
    const at = slotOffset(extentId, block);
    store.ownFdUsers += 1;
    this.host.disk.submitPread(store.crcFd, at, region, bufferOffset, SLOT_BYTES, false, ({ result }) => {
      store.ownFdUsers -= 1;
      if (result === SLOT_BYTES) look.slot = this.bytes(look.op).getUint32(0);
      if (result < 0 && result !== -EAGAIN) this.end(look, () => this.failIo(look, store.crcPath, result));
      else if (store.closed) this.end(look, () => this.fail(look, ERROR_TEXT.partitionNotExists));
      else if (result === -EAGAIN) this.readSlot(look, store, block);
      else this.readData(look);
      this.ownFdReleased(store);
    });
  }

  private readData(look: Look): void {
    const { extentOffset, region, bufferOffset, size } = look.op;
    const { fd, path } = look.handle;
    this.host.disk.submitPread(fd, extentOffset, region, bufferOffset, size, true, ({ result, crc }) => {
      if (look.handle.store!.closed)
        return this.end(look, () => this.fail(look, ERROR_TEXT.partitionNotExists));
      if (result === -EAGAIN) return this.readData(look);
      if (result < 0) return this.end(look, () => this.failIo(look, path, result));
      if (result === 0) return this.end(look, () => this.fail(look, ERROR_TEXT.eof));
      const disturbed = look.handle.writesStarted !== look.writesBefore;
      if (disturbed && look.tries < TRIES_MAX) return this.begin(look);
      this.answer(look, result, crc, disturbed ? 0 : look.slot);
    });
  }

  private answer(look: Look, bytes: number, crc: number, slot: number): void {
    const { handle, op } = look;
    op.replyBytes = bytes;
    op.replyCrc = crc;
    op.remainingBytes = slot;
    const { table, unhealed } = handle.store!;
    // What an interrupted heal has put there was voted on.
    const voted = unhealed.get(op.extentId)?.includes(blockOf(op.extentOffset)) === true;
    op.holeBytes = voted || table.has(handle.row, EXTENT_FLAG.trusted) ? 1 : 0;
    this.end(look, () => this.host.finish(op));
  }

  private bytes({ region, bufferOffset }: Operation): DataView {
    const { buffer, byteOffset } = this.host.regions[region]!;
    return new DataView(buffer, byteOffset + bufferOffset, SLOT_BYTES);
  }

  private end({ handle }: Look, tell: () => void): void {
    this.parked -= 1;
    tell();
    this.files.release(handle);
  }

  private failIo(look: Look, path: string, result: number): void {
    reportDiskError(this.host, result, false);
    look.op.ioError = result;
    this.fail(look, ioErrorText(this.host, 'read', path, result));
  }

  private fail({ op }: Look, message: string): void {
    op.replyBytes = 0;
    this.host.fail(op, actionOf(op.opcode), message);
  }
}
