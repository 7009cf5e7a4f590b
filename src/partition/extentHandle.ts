/**
 * One extent whose file is open, being opened or being closed, and the operations that wait for it.
 *
 * Handles are pooled and recycled by `OpenExtents`; their number also names their slot bits. Lists of operations are intrusive (`Operation.next`), so an
 * operation is in one list at most.
 */
import assert from 'node:assert';
import type { IoDone } from '../storage/io.js';
import type { ExtentStore } from './extentStore.js';
import type { Operation } from './operation.js';

export const HANDLE_STATE = {
  /** In the pool. */
  free: 0,
  /** Waits for its turn to be opened: the budget or the lanes are used up. */
  queued: 1,
  opening: 2,
  /** The file is open; its slots are being read from EXTENT_CRC. */
  loading: 3,
  /** Open, but operations that came before are still to be started, in their order. */
  draining: 4,
  ready: 5,
  closing: 6,
} as const;
export type HandleState = (typeof HANDLE_STATE)[keyof typeof HANDLE_STATE];

/** A first-in first-out list of operations. */
export class OperationQueue {
  private head: Operation | null = null;
  private tail: Operation | null = null;

  get isEmpty(): boolean {
    return this.head === null;
  }

  /** The operation that `shift` would give. */
  get first(): Operation | null {
    return this.head;
  }

  push(op: Operation): void {
    assert(op.next === null, 'the operation is in a list already');
    if (this.tail === null) this.head = op;
    else this.tail.next = op;
    this.tail = op;
  }

  shift(): Operation | null {
    const op = this.head;
    if (op === null) return null;
    this.head = op.next;
    op.next = null;
    if (this.head === null) this.tail = null;
    return op;
  }

  /** Moves all operations of `other` behind these. */
  append(other: OperationQueue): void {
    if (other.head === null) return;
    if (this.tail === null) this.head = other.head;
    else this.tail.next = other.head;
    this.tail = other.tail;
    other.head = null;
    other.tail = null;
  }
}

export class ExtentHandle {
  /** Number of the handle. */
  readonly index: number;
  state: HandleState = HANDLE_STATE.free;
  fd = -1;
  /** Whose extent; null in the pool. */
  store: ExtentStore | null = null;
  row = -1;
  extentId = 0;
  path = '';
  /** Batch entries and submitted work that use the fd. It is not closed before this is 0. */
  users = 0;
  /** Lane of the slot table buffer while it is being opened, -1 otherwise. */
  lane = -1;
  /** Bytes of slots that have been read. */
  slotBytes = 0;

  /** The create that made this handle, until the file exists. */
  creating: Operation | null = null;
  /** Operations that wait for the file. */
  readonly waiting = new OperationQueue();

  /** Writes given to the batch, ever, and those of them that have run: tells whether one is under way, or came in between. */
  writesStarted = 0;
  writesEnded = 0;
  /** Writes so far, and how many of them the last successful fdatasync covers. */
  writes = 0;
  syncedWrites = 0;
  /** `writes` when the running fdatasync started. */
  syncingWrites = 0;
  syncing = false;
  /** Listed for the next start of syncs. */
  syncWanted = false;
  /** Written, waiting for an fdatasync that has not started; covered by the running one. */
  readonly syncWaiting = new OperationQueue();
  readonly syncRunning = new OperationQueue();
  /** To be closed when its last sync has ended, unless somebody uses it again. */
  evicting = false;

  /** A hole is being put at the end of it (`tinyHoles.ts`): it takes no append until that has ended. */
  filling = false;

  /** Highest block with a slot write that waits for the next batch, -1 for none. */
  pendingSlotLast = -1;

  /** Links of the list of ready handles, most recently used first, or of the list it waits in. */
  newer: ExtentHandle | null = null;
  older: ExtentHandle | null = null;

  readonly onOpened: IoDone;
  readonly onSlotsRead: IoDone;
  readonly onSynced: IoDone;
  readonly onClosed: IoDone;

  constructor(
    index: number,
    done: {
      opened: (handle: ExtentHandle, result: number) => void;
      slotsRead: (handle: ExtentHandle, result: number) => void;
      synced: (handle: ExtentHandle, result: number) => void;
      closed: (handle: ExtentHandle, result: number) => void;
    },
  ) {
    this.index = index;
    this.onOpened = (io) => done.opened(this, io.result);
    this.onSlotsRead = (io) => done.slotsRead(this, io.result);
    this.onSynced = (io) => done.synced(this, io.result);
    this.onClosed = (io) => done.closed(this, io.result);
  }

  /** The fd can be used. */
  get isOpen(): boolean {
    return this.state === HANDLE_STATE.ready || this.state === HANDLE_STATE.draining;
  }

  /** A write is in the batch. */
  get isBeingWritten(): boolean {
    return this.writesStarted !== this.writesEnded;
  }

  /** Data that no fdatasync covers. */
  get dirty(): boolean {
    return this.writes !== this.syncedWrites;
  }
}
