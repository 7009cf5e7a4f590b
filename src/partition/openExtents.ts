/**
 * The open extent files of one worker, within a budget of file descriptors: opened on demand, closed least recently used first, never while in use.
 *
 * One opening an extent at a time, whoever asks (single flight); operations that come meanwhile wait in the extent's handle and start in their order.
 * A file with unsynced data is fdatasynced before it is closed, because a later fdatasync of another descriptor could not report its write-back errors.
 */
import assert from 'node:assert';
import { constants } from 'node:fs';
import { SLOT_TABLE_BYTES, SlotBits, slotOffset } from '../storage/crcFile.js';
import { NONE } from '../storage/extentTable.js';
import { FILE_MODE, isTinyExtent } from '../storage/layout.js';
import { ExtentHandle, HANDLE_STATE } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN } from './ioErrors.js';
import type { Operation } from './operation.js';
import { OPEN_LANES, SCRATCH_LANE_BYTES, type StoreHost } from './storeHost.js';

/** What the owner does when a file has been opened, or not. */
export interface OpenListener {
  /** The file is open and its slots are known: its waiting operations can start. */
  opened(handle: ExtentHandle): void;
  /** It could not be opened, or its slots not be read (negated errno). The record has no handle any more; its waiting operations must be ended. */
  openFailed(handle: ExtentHandle, errno: number): void;
  /** Data of a file that is to be closed must be made durable; `OpenExtents.release` follows when that has ended. */
  syncForEviction(handle: ExtentHandle): void;
  /** An fdatasync of the handle has ended. */
  synced(handle: ExtentHandle, result: number): void;
  /** Work on EXTENT_CRC of a closed store has ended. */
  ownFdReleased(store: ExtentStore): void;
}

export class OpenExtents {
  readonly slotBits = new SlotBits();
  /** Files open, being opened or being closed. */
  openCount = 0;
  /** All handles ever made, by index. */
  readonly handles: ExtentHandle[] = [];

  private readonly host: StoreHost;
  private readonly listener: OpenListener;
  private readonly lanesOffset: number;
  private readonly freeLanes: number[] = [];
  private readonly freeHandles: ExtentHandle[] = [];
  /** Ready handles, most recently used first. */
  private newest: ExtentHandle | null = null;
  private oldest: ExtentHandle | null = null;
  /** Handles that wait to be opened, and handles that wait for their slots to be read, first in first out. */
  private readonly queued: ExtentHandle[] = [];
  private readonly toLoad: ExtentHandle[] = [];
  /** Files being synced and closed to make room. */
  private leaving = 0;
  private readonly callbacks: ConstructorParameters<typeof ExtentHandle>[1];

  constructor(host: StoreHost, lanesOffset: number, listener: OpenListener) {
    this.host = host;
    this.listener = listener;
    this.lanesOffset = lanesOffset;
    for (let lane = 0; lane < OPEN_LANES; lane += 1) this.freeLanes.push(lane);
    this.callbacks = {
      opened: (handle, result) => this.fileOpened(handle, result),
      slotsRead: (handle, result) => this.slotsRead(handle, result),
      synced: (handle, result) => listener.synced(handle, result),
      closed: (handle, result) => this.fileClosed(handle, result),
    };
  }

  /** The handle of an extent, opened if it is not: look at its state. */
  acquire(store: ExtentStore, row: number): ExtentHandle {
    const index = store.table.handles[row]!;
    if (index === NONE) return this.open(store, row, null);
    const handle = this.handles[index]!;
    if (handle.evicting) {
      // Wanted again while it was being synced: it stays.
      handle.evicting = false;
      this.leaving -= 1;
    }
    if (handle.state === HANDLE_STATE.ready && this.newest !== handle) {
      this.unlink(handle);
      this.linkNewest(handle);
    }
    return handle;
  }

  /** Begins to open an extent without a handle; with `creating`, its file must not exist yet and is created. */
  open(store: ExtentStore, row: number, creating: Operation | null): ExtentHandle {
    const handle = this.freeHandles.pop() ?? this.newHandle();
    assert(handle.state === HANDLE_STATE.free, 'a handle in use was in the pool');
    handle.state = HANDLE_STATE.queued;
    handle.store = store;
    handle.row = row;
    handle.extentId = store.table.ids[row]!;
    handle.path = store.extentPath(handle.extentId);
    handle.creating = creating;
    handle.writes = 0;
    handle.syncedWrites = 0;
    handle.evicting = false;
    store.table.handles[row] = handle.index;
    this.slotBits.reset(handle.index);
    this.queued.push(handle);
    this.openQueued();
    return handle;
  }

  /** The file is used once more / once less. */
  use(handle: ExtentHandle): void {
    handle.users += 1;
  }

  release(handle: ExtentHandle): void {
    assert(handle.users > 0, 'a handle is released more often than used');
    handle.users -= 1;
    if (handle.users > 0) return;
    if (handle.evicting) this.leave(handle);
    else if (handle.store!.closed) this.retire(handle);
  }

  /** The waiting operations of an opened handle have all been started. */
  becomeReady(handle: ExtentHandle): void {
    handle.state = HANDLE_STATE.ready;
    this.linkNewest(handle);
  }

  /**
   * Starts what waits: slot tables to read, files to open, files to close for them. The I/O batch must not be in flight. Slot tables are read only while it
   * is empty: then every slot write of handles that were closed before has reached EXTENT_CRC.
   */
  advance(): void {
    if (this.host.disk.batch.length === 0) {
      for (const handle of this.toLoad) this.readSlots(handle);
      this.toLoad.length = 0;
    }
    this.openQueued();
  }

  /** Takes the handle of a closed store out of use: at once when nobody uses it, otherwise when the last use ends. */
  retire(handle: ExtentHandle): void {
    if (handle.state === HANDLE_STATE.queued) {
      this.queued.splice(this.queued.indexOf(handle), 1);
      this.free(handle);
    } else if (handle.state === HANDLE_STATE.loading && handle.users === 0) {
      this.toLoad.splice(this.toLoad.indexOf(handle), 1);
      this.beginClose(handle);
    } else if (handle.state === HANDLE_STATE.draining && handle.users === 0) {
      this.beginClose(handle);
    } else if (handle.state === HANDLE_STATE.ready && handle.users === 0) {
      this.unlink(handle);
      this.beginClose(handle);
    }
  }

  /** Begins to close a file that nobody uses and whose data need not last; false when somebody does. */
  closeIdle(handle: ExtentHandle): boolean {
    if (handle.state === HANDLE_STATE.closing) return true;
    const idle = handle.users === 0 && !handle.evicting && !handle.syncWanted;
    if (handle.state !== HANDLE_STATE.ready || !idle) return false;
    this.unlink(handle);
    this.beginClose(handle);
    return true;
  }

  /** Closes a handle synchronously, at a clean stop. Nobody may use it. */
  closeNow(handle: ExtentHandle): number {
    assert(handle.state === HANDLE_STATE.ready && handle.users === 0, 'an extent in use cannot be closed');
    this.unlink(handle);
    const result = this.host.disk.close(handle.fd);
    this.openCount -= 1;
    this.free(handle);
    return result;
  }

  private newHandle(): ExtentHandle {
    const handle = new ExtentHandle(this.handles.length, this.callbacks);
    this.handles.push(handle);
    return handle;
  }

  private openQueued(): void {
    while (this.queued.length > 0) {
      if (this.freeLanes.length === 0) return;
      if (this.openCount >= this.host.settings.openExtentsMax) {
        if (this.leaving >= this.queued.length || !this.evictOldest()) return;
        continue;
      }
      const handle = this.queued.shift()!;
      handle.lane = this.freeLanes.pop()!;
      handle.state = HANDLE_STATE.opening;
      this.openCount += 1;
      const create = handle.creating === null ? 0 : constants.O_CREAT | constants.O_EXCL;
      this.host.disk.submitOpen(handle.path, constants.O_RDWR | create, FILE_MODE, handle.onOpened);
    }
  }

  private fileOpened(handle: ExtentHandle, result: number): void {
    const store = handle.store!;
    if (result === -EAGAIN && !store.closed) {
      // The I/O queue was full: its turn comes again.
      this.openCount -= 1;
      this.freeLane(handle);
      handle.state = HANDLE_STATE.queued;
      this.queued.push(handle);
      return;
    }
    if (result < 0) {
      this.openCount -= 1;
      store.table.handles[handle.row] = NONE;
      if (!store.closed) this.listener.openFailed(handle, result);
      this.recycle(handle);
      return this.openQueued();
    }
    handle.fd = result;
    if (store.closed) return this.beginClose(handle);
    handle.state = HANDLE_STATE.loading;
    const hasSlots = !isTinyExtent(handle.extentId) && slotOffset(handle.extentId, 0) < store.crcBytes;
    if (hasSlots) this.toLoad.push(handle);
    else this.opened(handle);
  }

  private readSlots(handle: ExtentHandle): void {
    const store = handle.store!;
    const from = slotOffset(handle.extentId, 0);
    handle.slotBytes = Math.min(SLOT_TABLE_BYTES, store.crcBytes - from);
    store.ownFdUsers += 1;
    this.use(handle);
    const at = this.laneOffset(handle.lane);
    const { disk, scratchRegion } = this.host;
    disk.submitPread(store.crcFd, from, scratchRegion, at, handle.slotBytes, false, handle.onSlotsRead);
  }

  private slotsRead(handle: ExtentHandle, result: number): void {
    const store = handle.store!;
    handle.users -= 1;
    store.ownFdUsers -= 1;
    if (store.closed) {
      this.beginClose(handle);
      this.listener.ownFdReleased(store);
    } else if (result === -EAGAIN) {
      this.toLoad.push(handle);
    } else if (result < 0) {
      store.table.handles[handle.row] = NONE;
      this.listener.openFailed(handle, result);
      this.beginClose(handle);
    } else {
      const bytes = this.host.regions[this.host.scratchRegion]!;
      this.slotBits.load(handle.index, bytes, this.laneOffset(handle.lane), result);
      this.opened(handle);
    }
  }

  private opened(handle: ExtentHandle): void {
    this.freeLane(handle);
    handle.state = HANDLE_STATE.draining;
    this.listener.opened(handle);
    this.openQueued();
  }

  /** Begins to close the least recently used file that nobody needs; false when there is none. */
  private evictOldest(): boolean {
    for (let handle = this.oldest; handle !== null; handle = handle.newer) {
      if (handle.users > 0 || handle.evicting || handle.syncWanted) continue;
      this.leaving += 1;
      if (handle.dirty) {
        handle.evicting = true;
        this.listener.syncForEviction(handle);
      } else {
        this.unlink(handle);
        this.beginClose(handle, true);
      }
      return true;
    }
    return false;
  }

  /** The sync before an eviction has ended. */
  private leave(handle: ExtentHandle): void {
    handle.evicting = false;
    this.unlink(handle);
    this.beginClose(handle, true);
  }

  private beginClose(handle: ExtentHandle, evicted = false): void {
    assert(handle.users === 0, 'an extent in use cannot be closed');
    const { handles } = handle.store!.table;
    if (handles[handle.row] === handle.index) handles[handle.row] = NONE;
    handle.state = HANDLE_STATE.closing;
    handle.evicting = evicted;
    this.freeLane(handle);
    this.host.disk.submitClose(handle.fd, handle.onClosed);
  }

  private fileClosed(handle: ExtentHandle, result: number): void {
    if (result === -EAGAIN) return this.host.disk.submitClose(handle.fd, handle.onClosed);
    if (result < 0) this.host.log('warn', 'close of an extent failed', { path: handle.path, errno: -result });
    if (handle.evicting) this.leaving -= 1;
    this.openCount -= 1;
    this.recycle(handle);
    this.openQueued();
  }

  /** Back into the pool, from a handle that has a row. */
  private free(handle: ExtentHandle): void {
    handle.store!.table.handles[handle.row] = NONE;
    this.recycle(handle);
  }

  private recycle(handle: ExtentHandle): void {
    assert(
      handle.waiting.isEmpty && handle.syncWaiting.isEmpty && handle.syncRunning.isEmpty,
      'operations wait for a handle that is freed',
    );
    this.freeLane(handle);
    handle.state = HANDLE_STATE.free;
    handle.fd = -1;
    handle.row = NONE;
    handle.store = null;
    handle.creating = null;
    handle.evicting = false;
    handle.syncWanted = false;
    this.freeHandles.push(handle);
  }

  private freeLane(handle: ExtentHandle): void {
    if (handle.lane < 0) return;
    this.freeLanes.push(handle.lane);
    handle.lane = -1;
  }

  private laneOffset(lane: number): number {
    return this.lanesOffset + lane * SCRATCH_LANE_BYTES;
  }

  private linkNewest(handle: ExtentHandle): void {
    handle.newer = null;
    handle.older = this.newest;
    if (this.newest === null) this.oldest = handle;
    else this.newest.newer = handle;
    this.newest = handle;
  }

  private unlink(handle: ExtentHandle): void {
    if (handle.newer === null) this.newest = handle.older;
    else handle.newer.older = handle.older;
    if (handle.older === null) this.oldest = handle.newer;
    else handle.older.newer = handle.newer;
    handle.newer = null;
    handle.older = null;
  }
}
