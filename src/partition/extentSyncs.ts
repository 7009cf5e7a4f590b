/**
 * Syncs of an extent that somebody asks for, beside those of sync writes: of what this process has written, and of the whole file (`INTERNAL_OP.syncExtent`). Called by `storeGroup.ts`.
 */
import { ERROR_TEXT } from '../protocol/errors.js';
import { actionOf } from '../protocol/opcodes.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import type { ExtentHandle } from './extentHandle.js';
import type { ExtentStore } from './extentStore.js';
import type { GroupCommit } from './groupCommit.js';
import type { OpenExtents } from './openExtents.js';
import type { Operation } from './operation.js';
import type { StoreHost } from './storeHost.js';

export class ExtentSyncs {
  private readonly host: StoreHost;
  private readonly files: OpenExtents;
  private readonly commits: GroupCommit;
  private readonly open: (store: ExtentStore, op: Operation) => void;

  /** @param open opens the operation's extent; `opened` follows, or the operation's failure. */
  constructor(
    host: StoreHost,
    files: OpenExtents,
    commits: GroupCommit,
    open: (store: ExtentStore, op: Operation) => void,
  ) {
    this.host = host;
    this.files = files;
    this.commits = commits;
    this.open = open;
  }

  /**
   * Ends `op` when all that this process has written to its extent so far is durable, its entry in the folder included: at once when it is, or when the extent is gone.
   */
  sync(store: ExtentStore, op: Operation): void {
    const row = this.rowToSync(store, op);
    if (row === NONE) return;
    // A file that was closed was synced before.
    const index = store.table.handles[row]!;
    const handle = index === NONE ? null : this.files.handles[index]!;
    if (handle?.isOpen && handle.dirty) this.commits.wait(handle, op);
    else this.syncEntry(store, row, op);
  }

  /** The same of the whole extent, whoever has written it: a process that was killed may have left data that is not durable. */
  syncWhole(store: ExtentStore, op: Operation): void {
    const row = this.rowToSync(store, op);
    if (row === NONE) return;
    // What is clean was synced when it became so (`docs/checksums.md`).
    if (store.table.has(row, EXTENT_FLAG.clean)) this.syncEntry(store, row, op);
    else this.open(store, op);
  }

  /** Row of an extent that can be synced; NONE when `op` was ended, because there is none, or none that can be. */
  private rowToSync(store: ExtentStore, op: Operation): number {
    const { table } = store;
    const row = table.find(op.extentId);
    if (store.closed) this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.partitionNotExists);
    else if (row === NONE || table.has(row, EXTENT_FLAG.deleted)) this.host.finish(op);
    else if (table.has(row, EXTENT_FLAG.syncFailed))
      this.host.fail(op, actionOf(op.opcode), ERROR_TEXT.extentBroken);
    else return row;
    return NONE;
  }

  private syncEntry(store: ExtentStore, row: number, op: Operation): void {
    if (store.table.creations[row]! > store.creationsSynced) this.commits.waitForFolder(store, op);
    else this.host.finish(op);
  }

  /** The file of an extent that is to be synced as a whole is open. */
  opened(handle: ExtentHandle, op: Operation): void {
    // Before the first sync of an open file nothing is known of what others have left; writes of the batch are to be covered too.
    const unknown = handle.syncedWrites === 0 || handle.isBeingWritten;
    if (!handle.dirty && unknown) handle.writes += 1;
    if (handle.dirty) this.commits.wait(handle, op);
    else this.syncEntry(handle.store!, handle.row, op);
  }
}
