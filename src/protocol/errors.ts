/**
 * Every error text that peers, operators or the code rule (`resultCodes.ts`) depend on: one name a meaning (`wire.md` 5.4, `storage.md` 15).
 *
 * Fixed texts are in `ERROR_TEXT`; texts with numbers or paths have a function each. Everyone who refuses something takes its text from here.
 */
import { resultCodeFor } from './resultCodes.js';

export { resultCodeFor };

/** Fixed texts. Spelling, dots and typing errors are the reference's. */
export const ERROR_TEXT = {
  /** ExtentType is neither 0 nor 1. */
  incorrectStoreType: 'Incorrect store type',
  crcMismatch: 'packet Crc is incorrect',
  partitionNotExists: 'data partition not exists',
  /** Partition full, or disk read-only or rejecting writes: the node's own check. */
  noSpace: 'no space left on the device',
  brokenDisk: 'disk has broken',
  argLenMismatch: 'ArgLenMismatchErr',
  badNodes: 'BadNodesErr',
  extentExists: 'extent already exists',
  extentNotFound: 'extent does not exist',
  extentDeleted: 'extent has been deleted',
  extentIsFull: 'extent is full',
  extentBroken: 'extent has been broken',
  parameterMismatch: 'parameter mismatch error',
  noAvailableExtent: 'no available extent',
  noBrokenExtent: 'no unavailable extent',
  /** Read past the end. */
  eof: 'EOF',
  unexpectedEof: 'unexpected EOF',
  tryAgain: 'try again',
  notRaftLeader: 'raft is not the leader.',
  noRaftLeader: 'no raft leader',
  raftNotStarted: 'RaftNotStarted key=<nil>',
  raftShutdown: 'raft is already shutdown.',
  raftNotExists: 'raft not exists.',
  noDiskForPartition: 'No disk space to create a data partition',
  newSpaceManagerFailed: 'Creater new space manager failed',
  illegalPartitionMetadata: 'illegal data partition metadata',
  adminTaskUndecodable: 'cannnot unmashal adminTask',
  illegalOpcode: 'illegal opcode',
  /** A read of bytes that raft has changed and this replica could not write yet; another one has them. Ours: the reference hands out what it has. */
  contentMissing: 'content is missing on this replica',
  /** The sender's address is in none of the access lists that its packet wants. Ours: the reference has no such lists. */
  notAdmitted: 'address not admitted',
  /** The same for a read, which the client may try at another replica. */
  readNotAdmitted: 'address not admitted by this replica',
} as const;

/** Actions that are not an opcode's own (`wire.md` 5.3); those are in `opcodes.ts`. */
export const ACTION = {
  /** Refused before execution. */
  prepare: 'ActionPreparePkt',
  /** No connection to a follower, or sending failed. */
  sendToFollowers: 'ActionSendToFollowers',
  /** A follower answered an error, something else, or nothing. */
  receiveFromFollower: 'ActionReceiveFromFollower',
  /** Words of log lines only. */
  notifyFollowerToRepair: 'ActionNotifyFollowerRepair',
  syncTinyDeleteRecord: 'ActionSyncTinyDeleteRecord',
} as const;

/** Range check of a normal extent. */
export function parameterMismatch(extentOffset: number, sizeBytes: number): string {
  return `${ERROR_TEXT.parameterMismatch}: offset=${extentOffset} size=${sizeBytes}`;
}

/** The message of an unhandled opcode; the action is `unknown opcode` (`opcodes.ts`). */
export function unknownOpcode(opcode: number): string {
  return `unknown opcode${opcode}`;
}

/** First byte of a packet is not 0xFF; a log line, the peer gets no reply. */
export function badMagic(firstByte: number): string {
  return `Bad Magic ${firstByte}`;
}

/** Primary: a tiny write and no tiny extent is free. */
export function noTinyExtentAvailable(partitionId: number): string {
  return `addExtentInfo partition ${partitionId} GetAvailableTinyExtent error ${ERROR_TEXT.noAvailableExtent}`;
}

/** Primary: the tiny extent's end is unknown. Two blanks, as in the reference. */
export function tinyExtentOffsetFailed(partitionId: number, extentId: number, cause: string): string {
  return `addExtentInfo partition ${partitionId}  ${extentId} GetTinyExtentOffset error ${cause}`;
}

/** Primary: 60,000 extents or more. */
export function extentCountExhausted(partitionId: number): string {
  return `addExtentInfo partition ${partitionId} has reached maxExtentId`;
}

/** Primary: the id base could not be persisted. */
export function extentIdAllocationFailed(partitionId: number, osMessage: string): string {
  return `addExtentInfo partition ${partitionId} alloc NextExtentId error ${osMessage}`;
}

/** Primary: the body of a tiny mark delete is not JSON. */
export function markDeleteBodyFailed(jsonMessage: string): string {
  return `addExtentInfo failed ${jsonMessage}`;
}

/** A block whose checksum is known to be right does not have it. The reference has no such error; its code is that of a disk's. */
export function blockChecksumMismatch(partitionId: number, extentId: number, block: number): string {
  return `extent ${partitionId}_${extentId} block ${block} is damaged: its checksum does not fit`;
}

/** The extent has a record but its file is gone. */
export function extentFileMissing(partitionId: number, extentId: number, path: string): string {
  const load = `load  extent ${partitionId}_${extentId} from disk: restore from file ${path} putCache true system: `;
  return load + ERROR_TEXT.extentNotFound;
}

/** Negative offset that reached the file layer. */
export function negativeOffset(operation: 'writeat' | 'readat', path: string): string {
  return `${operation} ${path}: negative offset`;
}

/** Tiny repair read of an id outside 1..64. */
export function unavailableTinyExtent(extentId: number): string {
  return `unavali extentID (${extentId})`;
}

/** A random write could not be applied on the leader; the code follows from `cause`. */
export function applyRandomWriteFailed(
  raftIndex: number,
  partitionId: number,
  extentId: number,
  extentOffset: number,
  sizeBytes: number,
  cause: string,
): string {
  const extent = `Partition(${partitionId})_Extent(${extentId})_ExtentOffset(${extentOffset})_Size(${sizeBytes})`;
  return `[ApplyRandomWrite] ApplyID(${raftIndex}) ${extent} apply err(${cause}) retry[20]`;
}

/** A random write met a disk that rejects writes. */
export function diskRejectsWrite(partitionId: number, diskPath: string): string {
  return `partition(${partitionId}) disk(${diskPath}) err(${OS_ERROR_TEXT.ENOSPC})`;
}

/** Admin tasks and the debug command 0x69 for a partition that is not here. */
export function partitionNotExist(partitionId: number): string {
  return `partition ${partitionId} not exsit`;
}

/** A decommission task that adds whom it removes. The reference puts a place in its source before it, which differs from build to build. */
export function samePeer(add: { id: number; addr: string }, remove: { id: number; addr: string }): string {
  return `[opOfflineDataPartition]: AddPeer(${peerText(add)}) same withRemovePeer(${peerText(remove)})`;
}

/** A member that its leader has not heard for longer than two heartbeats, and for how long beyond, whole seconds. */
export interface DownMember {
  id: number;
  downSeconds: number;
}

function peerText({ id, addr }: { id: number; addr: string }): string {
  return `{${id} ${addr}}`;
}

function downText(down: readonly DownMember[]): string {
  return `[${down.map(({ id, downSeconds }) => `{${id} ${downSeconds}}`).join(' ')}]`;
}

/** Who is to be removed is no member. */
export function noSuchMember(peer: { id: number; addr: string }, down: readonly DownMember[]): string {
  return `peer(${peerText(peer)}) not exsit hasDownReplicasExcludePeer(${downText(down)})`;
}

/** With this member gone, too few of the others would be up. */
export function tooManyDown(peer: { id: number; addr: string }, down: readonly DownMember[]): string {
  return `hasDownReplicasExcludePeer(${downText(down)}) too much,so donnot offline (${peerText(peer)})`;
}

/** Who is to be added has no address that can be dialled. Ours: the reference takes it, and never reaches that member. */
export function noMemberAddress(peer: { id: number; addr: string }): string {
  return `${ERROR_TEXT.parameterMismatch}: AddPeer(${peerText(peer)}) has no address`;
}

/** A load task for a partition that is not here. */
export function partitionNotFound(partitionId: number): string {
  return `DataPartition(${partitionId}) not found`;
}

/** A disk path that is not configured. */
export function diskNotExist(path: string): string {
  return `disk(${path}) not exsit`;
}

/** A follower's reply belongs to another packet. Two blanks at the end, as in the reference. */
export function followerReplyMismatch(request: string, reply: string): string {
  return `ActionCheckReply request(${request}), reply(${reply})  `;
}

/** The operating system's words for an errno name, as they stand in the reference's messages. Codes and disk-error tests depend on them. */
export const OS_ERROR_TEXT = {
  EIO: 'input/output error',
  EROFS: 'read-only file system',
  ENOSPC: 'no space left on device',
  ENOENT: 'no such file or directory',
  EEXIST: 'file exists',
  ENXIO: 'no such device or address',
} as const;

/** Whether an error text tells of a failing disk (`admin.md` 8.2): EIO or EROFS. Running out of space is none. */
export function isDiskErrorText(message: string): boolean {
  return message.includes(OS_ERROR_TEXT.EIO) || message.includes(OS_ERROR_TEXT.EROFS);
}

/** Whether an error text refuses a packet because of its sender's address. */
export function isNotAdmittedText(message: string): boolean {
  return message.includes(ERROR_TEXT.notAdmitted);
}

/** Longest error body that is sent. A client takes at most the bytes it still wants, so longer texts only cost. */
export const ERROR_BODY_BYTES_MAX = 4096;

/** Body of an error reply, `<action>_<message>` in UTF-8, cut at a character's border if it is longer than the cap. */
export function errorBody(
  action: string,
  message: string,
  bytesMax: number = ERROR_BODY_BYTES_MAX,
): Uint8Array {
  const bytes = Buffer.from(`${action}_${message}`);
  if (bytes.byteLength <= bytesMax) return bytes;
  let end = bytesMax;
  // 10xxxxxx continues a character: step back to its first byte.
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}
