/**
 * What becomes of a committed random write here, and of one that a client proposes (`raft.md` 5.2-5.4). Pure: an entry and what is known of its extent go in.
 *
 * Only what every replica decides alike may be rejected: bytes that are no command, ids and ranges that no extent can have. Whether an extent exists, or how long
 * it is, differs between replicas, because appends, creates and deletes are not ordered with raft: what does not fit here is recorded as missing and fetched later. No
 * decision keeps the applied index from moving, so that a replay at a start never ends at an entry (`go-node-replay` in `docs/open.md`).
 */
import {
  applyRandomWriteFailed,
  diskRejectsWrite,
  ERROR_TEXT,
  negativeOffset,
  parameterMismatch,
} from '../protocol/errors.js';
import { isRandomWriteOp } from '../protocol/opcodes.js';
import { type RandWriteCommand, unmarshalRandWriteRaftLog } from '../protocol/randWrite.js';
import { isDiskError } from '../storage/diskErrors.js';
import { EXTENT_FLAG, NONE } from '../storage/extentTable.js';
import {
  BLOCK_BYTES,
  EXTENT_BYTES_MAX,
  EXTENT_ID_MAX,
  isTinyExtent,
  TINY_END_LIMIT,
} from '../storage/layout.js';
import type { ExtentStore } from './extentStore.js';

/** How an extent stands on this replica. */
export interface ExtentView {
  /** `broken`: an fdatasync of it has failed, so that it takes no writes. `deleted`: its id is listed in NORMALEXTENT_DELETE, or it was deleted in this life. */
  state: 'there' | 'unknown' | 'deleted' | 'broken';
  /** Recorded size; the watermark of a tiny extent. */
  sizeBytes: number;
}

export type ApplyDecision =
  | { kind: 'write' }
  /** Nothing to carry out, on any replica. `cause` is the reference's text. */
  | { kind: 'rejected'; cause: string }
  /** The extent is gone: nothing to carry out and nothing to fetch. */
  | { kind: 'deleted'; cause: string }
  /** Not to be carried out here: the range is recorded. */
  | { kind: 'missing'; cause: string };

/** What to do after a write that was decided upon has failed. */
export type AfterFailure = 'stop' | 'retry' | 'missing';

const NO_EXTENT: ExtentView = { state: 'unknown', sizeBytes: 0 };

/** ENOSPC, EDQUOT, ENOMEM, ENFILE, EMFILE, EINTR: of the moment, or of the host. */
const PASSING_ERRNOS = new Set([28, 122, 12, 23, 24, 4]);

/** How an extent stands in `store`. */
export function viewExtent(store: ExtentStore, extentId: number): ExtentView {
  const { table } = store;
  const row = table.find(extentId);
  if (row === NONE) return store.deletedIds.has(extentId) ? { ...NO_EXTENT, state: 'deleted' } : NO_EXTENT;
  const sizeBytes = table.sizes[row]!;
  if (table.has(row, EXTENT_FLAG.deleted)) return { state: 'deleted', sizeBytes };
  return { state: table.has(row, EXTENT_FLAG.syncFailed) ? 'broken' : 'there', sizeBytes };
}

/** The command of a normal entry that is not empty; the message is the reference's text. */
export function decodeCommand(data: Uint8Array): { command: RandWriteCommand } | { cause: string } {
  const decoded = unmarshalRandWriteRaftLog(data);
  if (!decoded.ok) return { cause: decoded.message };
  const { opcode } = decoded.value;
  // The reference looks at the opcode for nothing but the sync; one that no client sends is no ground to differ from it.
  return { command: isRandomWriteOp(opcode) ? decoded.value : { ...decoded.value, opcode: 0x0f } };
}

/** What to do with a command, given how its extent stands here. */
export function decideApply(command: RandWriteCommand, extent: ExtentView): ApplyDecision {
  const refusal = staticRefusal(command);
  if (refusal !== null) return { kind: 'rejected', cause: refusal };
  if (extent.state === 'deleted') return { kind: 'deleted', cause: ERROR_TEXT.extentNotFound };
  if (extent.state === 'unknown') return { kind: 'missing', cause: ERROR_TEXT.extentNotFound };
  if (extent.state === 'broken') return { kind: 'missing', cause: ERROR_TEXT.extentBroken };
  const fits = command.extentOffset + command.sizeBytes <= extent.sizeBytes;
  return fits ? { kind: 'write' } : { kind: 'missing', cause: ERROR_TEXT.tryAgain };
}

/** What forbids a command on every replica alike; null when nothing does. Tiny extents have no limit but that of their end (`storage.md` 7.2). */
function staticRefusal(command: RandWriteCommand): string | null {
  const { extentId, extentOffset, sizeBytes, exact } = command;
  if (!exact || extentId > EXTENT_ID_MAX) return ERROR_TEXT.extentNotFound;
  const end = extentOffset + sizeBytes;
  if (isTinyExtent(extentId)) {
    if (end >= TINY_END_LIMIT) return ERROR_TEXT.extentIsFull;
  } else if (
    extentOffset >= EXTENT_BYTES_MAX ||
    end > EXTENT_BYTES_MAX ||
    sizeBytes === 0 ||
    sizeBytes > BLOCK_BYTES
  ) {
    return parameterMismatch(extentOffset, sizeBytes);
  }
  return extentOffset < 0 ? negativeOffset('writeat', String(extentId)) : null;
}

/**
 * What follows from a failed write: `errno` is negated, 1 for one that came short, 0 for a refusal without a call. A failing disk stops the replica, what passes
 * is tried again, and what is wrong with one file only must not hold up the others: its range counts as missing.
 */
export function afterFailure(errno: number): AfterFailure {
  if (errno < 0 && isDiskError(errno)) return 'stop';
  return errno === 1 || PASSING_ERRNOS.has(-errno) ? 'retry' : 'missing';
}

/** What a proposer is told of an entry that was applied and not carried out (`raft.md` 5.3). */
export function applyError(
  raftIndex: number,
  partitionId: number,
  command: RandWriteCommand | null,
  cause: string,
): string {
  const { extentId, extentOffset, sizeBytes } = command ?? { extentId: 0, extentOffset: 0, sizeBytes: 0 };
  return applyRandomWriteFailed(raftIndex, partitionId, extentId, extentOffset, sizeBytes, cause);
}

/** A random write as a client sends it. */
export interface ProposedWrite {
  extentId: number;
  extentOffset: number;
  sizeBytes: number;
  /** CRC field of the packet, and CRC-32 of the body as received. */
  crc: number;
  bodyCrc: number;
}

/** What the leader knows when it is asked to propose. */
export interface ProposalView {
  partitionId: number;
  diskPath: string;
  /** The disk is out of service; it takes no writes for want of space. */
  diskFailed: boolean;
  diskFull: boolean;
  extent: ExtentView;
}

/**
 * What forbids the leader to propose a random write: the text of the error reply, whose code follows from it (`raft.md` 5.2); null when nothing does. An entry whose
 * apply fails keeps a Go node from starting, so whatever this replica would not carry out is refused here.
 */
export function checkProposal(write: ProposedWrite, view: ProposalView): string | null {
  if (write.crc !== write.bodyCrc) return ERROR_TEXT.crcMismatch;
  if (view.diskFailed) return ERROR_TEXT.brokenDisk;
  if (view.diskFull) return diskRejectsWrite(view.partitionId, view.diskPath);
  const { extentId, extentOffset, sizeBytes } = write;
  const command = { opcode: 0, extentId, extentOffset, sizeBytes, crc: 0, data: NO_DATA, exact: true };
  const decision = decideApply(command, view.extent);
  return decision.kind === 'write' ? null : decision.cause;
}

const NO_DATA = new Uint8Array(0);
