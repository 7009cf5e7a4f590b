/**
 * The ids of deleted normal extents on their way into NORMALEXTENT_DELETE (`storage.md` 9, W5, W6): written and made durable before a file goes away, so that
 * no crash leaves a missing file without its id.
 *
 * One group of ids a store is on its way at a time: one write, one fdatasync; deletes that come meanwhile are the next group. A group that fails is written
 * over by the next one. An id that is in the list already is not written again.
 */
import { actionOf } from '../protocol/opcodes.js';
import { BASE_BYTES, encodeBase } from '../storage/extentMeta.js';
import { FILE } from '../storage/layout.js';
import type { ExtentStore } from './extentStore.js';
import { EAGAIN, ioErrorText, reportDiskError } from './ioErrors.js';
import { Operation, type OperationHandler } from './operation.js';
import { SCRATCH_ENTRY_BYTES, SCRATCH_ZERO_BYTES, type StoreHost } from './storeHost.js';

/** Ids of one group: what fits the scratch of one batch entry. */
const GROUP_MAX = SCRATCH_ENTRY_BYTES / BASE_BYTES;

/** The carrier of one group through the batch. */
class Group extends Operation {
  readonly store: ExtentStore;
  readonly members: Operation[] = [];

  constructor(store: ExtentStore) {
    super();
    this.store = store;
  }
}

export class DeleteRecords implements OperationHandler {
  /** Deletes that wait for their id to be durable. */
  parked = 0;
  private readonly host: StoreHost;
  private readonly recorded: (store: ExtentStore, op: Operation) => void;
  private readonly failed: (store: ExtentStore, op: Operation, message: string) => void;
  private readonly ownFdReleased: (store: ExtentStore) => void;
  /** Stores with deletes that wait for a group. */
  private readonly stores = new Set<ExtentStore>();

  /** @param done `recorded`: the operation's id is durable; `failed`: it could not be made so; `ownFdReleased`: a file of the store is not in use any more. */
  constructor(
    host: StoreHost,
    done: {
      recorded: (store: ExtentStore, op: Operation) => void;
      failed: (store: ExtentStore, op: Operation, message: string) => void;
      ownFdReleased: (store: ExtentStore) => void;
    },
  ) {
    this.host = host;
    this.recorded = done.recorded;
    this.failed = done.failed;
    this.ownFdReleased = done.ownFdReleased;
  }

  /** Takes a delete; `recorded` or `failed` follows, unless the store is taken out of service. */
  add(store: ExtentStore, op: Operation): void {
    if (store.deletedIds.has(op.extentId)) return this.recorded(store, op);
    this.parked += 1;
    store.recordWaiting.push(op);
    this.stores.add(store);
  }

  /** Begins the groups that can begin. The batch must be free. */
  advance(hasRoom: () => boolean): void {
    for (const store of this.stores) {
      if (store.recording) continue;
      if (!hasRoom()) return;
      this.stores.delete(store);
      if (!store.recordWaiting.isEmpty) this.begin(store);
      if (!store.recordWaiting.isEmpty) this.stores.add(store);
    }
  }

  /** Ends the deletes that wait; for stores that are taken out of service. A group under way ends by itself. */
  failWaiting(store: ExtentStore, message: string): void {
    for (let op = store.recordWaiting.shift(); op !== null; op = store.recordWaiting.shift()) {
      this.parked -= 1;
      this.host.fail(op, actionOf(op.opcode), message);
    }
    this.stores.delete(store);
  }

  ioDone(op: Operation, index: number): void {
    const group = op as Group;
    const result = this.host.disk.batch.result(index);
    if (result === group.members.length * BASE_BYTES) this.sync(group);
    else this.end(group, result, 'write');
  }

  private begin(store: ExtentStore): void {
    const { disk, entryOperations, regions, scratchRegion } = this.host;
    const group = new Group(store);
    group.handler = this;
    const at = SCRATCH_ZERO_BYTES + disk.batch.length * SCRATCH_ENTRY_BYTES;
    while (group.members.length < GROUP_MAX && !store.recordWaiting.isEmpty) {
      const op = store.recordWaiting.shift()!;
      encodeBase(regions[scratchRegion]!, at + group.members.length * BASE_BYTES, op.extentId);
      group.members.push(op);
    }
    store.recording = true;
    store.ownFdUsers += 1;
    const bytes = group.members.length * BASE_BYTES;
    const { normalDeleteFd, normalDeleteBytes } = store;
    const index = disk.batch.pwrite(normalDeleteFd, normalDeleteBytes, scratchRegion, at, bytes, false);
    entryOperations[index] = group;
  }

  private sync(group: Group): void {
    this.host.disk.submitFdatasync(group.store.normalDeleteFd, (io) => {
      if (io.result === -EAGAIN) this.sync(group);
      else this.end(group, io.result, 'sync');
    });
  }

  private end(group: Group, result: number, call: 'write' | 'sync'): void {
    const { store, members } = group;
    store.recording = false;
    store.ownFdUsers -= 1;
    this.parked -= members.length;
    const durable = call === 'sync' && result >= 0;
    if (durable) {
      store.normalDeleteBytes += members.length * BASE_BYTES;
      for (const op of members) {
        store.deletedIds.add(op.extentId);
        this.recorded(store, op);
      }
    } else {
      reportDiskError(this.host, result, true);
      const problem = ioErrorText(this.host, call, `${store.path}/${FILE.normalDelete}`, result);
      this.host.log('error', `deletes cannot be recorded: ${problem}`, { partition: store.partitionId });
      for (const op of members) this.failed(store, op, problem);
    }
    this.ownFdReleased(store);
  }
}
