/**
 * What the network threads and the disk workers say to each other: the fields of a ring descriptor and the frames of the control rings.
 *
 * A descriptor is 64 bytes: sixteen i32 words, or eight f64 words over the same bytes. Requests and replies use the layouts below; the payload itself
 * lies in the slab slot that the request names, and the reply's body (or error text) comes back in the same slot.
 */
import type { MemberChange, MemberChangeKind } from '../protocol/memberChange.js';
import type { Finding } from './checksumFindings.js';
import type { ScrubState } from './scrubState.js';

/** i32 word indexes of a request descriptor. */
export const REQUEST_I32 = {
  tag: 0,
  /** opcode | extentType << 8 | remainingFollowers << 16 | REQUEST_KIND << 24 */
  kind: 1,
  crc: 2,
  size: 3,
  bufferBytes: 6,
  connection: 7,
  generation: 14,
  /** Of a request of the node's own threads, which has no connection: `Operation.expectedCrc`. */
  expectedCrc: 14,
  /** ms since the process's epoch (see `issuedAt`). */
  issuedAtMs: 15,
} as const;

/** f64 word indexes of a request descriptor. */
export const REQUEST_F64 = { bufferOffset: 2, partitionId: 4, extentId: 5, extentOffset: 6 } as const;

/** What a request descriptor is. */
export const REQUEST_KIND = {
  packet: 0,
  /**
   * A packet that the network thread sends to followers too. Its worker answers `RESULT_ASSIGNED` first where it gives out an id or a place, leaves the slot alone from then on (an error
   * text comes as `largeBody`), and keeps a tiny extent lent until the packet's `settle`.
   */
  forwarded: 1,
  /** The outcome of a forwarded tiny append. No packet; nothing answers it. Sent once for each `RESULT_ASSIGNED` with a loan, behind it. */
  settle: 2,
} as const;
export const REQUEST_KIND_SHIFT = 24;

/** i32 word indexes of a `settle` descriptor; `kind` has `REQUEST_KIND.settle` in its high bits, the rest 0. `acknowledged`: 1 when every replica has the append. */
export const SETTLE_I32 = { kind: 1, acknowledged: 3 } as const;

/** f64 word indexes of a `settle` descriptor. `loan` as it was assigned: one that has ended meanwhile is not taken for a later one of the same extent. */
export const SETTLE_F64 = { partitionId: 4, extentId: 5, loan: 6 } as const;

/** i32 word indexes of a reply descriptor. */
export const REPLY_I32 = {
  tag: 0,
  /** Result code of the packet, `RESULT_SKIPPED` or `RESULT_ASSIGNED`. */
  resultCode: 1,
  crc: 2,
  /** Bytes of body in the slot. With `largeBody` the body's total length; its pieces come over the event ring. */
  bodyBytes: 3,
  largeBody: 8,
  /** 1: it waited for a limit of its disk until nobody wanted it any more; its disk was not asked, so this is no sign of life of it. */
  unserved: 9,
} as const;

/** f64 word indexes of a reply descriptor. */
export const REPLY_F64 = {
  extentId: 2,
  extentOffset: 3,
  /** Streams of unknown length only: bytes that the whole answer covers from this packet on (0: it has no packet), and the hole that it stands for. */
  remainingBytes: 5,
  holeBytes: 6,
  /** `RESULT_ASSIGNED` only: number of the loan to be settled, 0 when nothing was lent. */
  loan: 5,
} as const;

/** The worker did not execute the request: its connection has failed or is gone. Nothing is sent to the peer. */
export const RESULT_SKIPPED = 0;

/**
 * No answer yet: what the worker has given to a forwarded packet, before it executes it, so that followers can be told. `extentId` and `extentOffset` as the followers are to get them; for a
 * delete inside a tiny extent the body that they are to get stands in the slot, `bodyBytes` long. The request's answer follows as another descriptor.
 */
export const RESULT_ASSIGNED = -1;

/** Frames main → worker. `a` is the command's number, echoed in the answer. Payloads are JSON. */
export const COMMAND = {
  /** CreatePartitionRequest → `answer` with AttachedPartition. */
  createPartition: 1,
  /** `{ id }` → `answer`. */
  deletePartition: 2,
  /** `{ kind, partitionId, extentId }` → `answer`. */
  query: 3,
  /** Finish what was taken on, sync everything, close, end the thread. */
  stop: 4,
  /** `{ scrub }` → `answer` with ChecksumReport; with `scrub` a pass begins first. */
  checksums: 5,
  /** `{ partitionId }` → `answerBytes` with the partition's file list for the master; `answer` when there is no such partition. */
  snapshot: 6,
  /** Limits (`config/diskLimits.ts`) → `answer` when they are in force. */
  setLimits: 7,
  /** ChecksumPaces, this worker's share → `answer` when they are in force. */
  setPaces: 8,
  /** `{ partitionId, replicas }`: the master's list of a partition's replicas → `answer`. */
  setReplicas: 9,
  /** `{}`: the data port listens, so groups may campaign → `answer`. */
  serve: 10,
  /** MemberCommand → `answer` with MemberOutcome, when the change is applied here, or has failed. */
  changeMembers: 11,
  /** `{ id }`: the partition's group is to campaign → `answer` at once. */
  tryToLead: 12,
} as const;

/** A change of a partition's members, to be carried out by whoever leads its group. */
export interface MemberCommand {
  kind: MemberChangeKind;
  change: MemberChange;
}

/** Address of the node that leads, which is to be asked instead; empty: it was done here. */
export interface MemberOutcome {
  leader: string;
}

/** How fast checksums of quiet extents are computed and blocks are scrubbed, and how often. May change while the worker runs. */
export interface ChecksumPaces {
  /** Bytes a second read to compute checksums of quiet extents, and by the scrub; 0: not at all. */
  checksumBytesPerSecond: number;
  scrubBytesPerSecond: number;
  /** A scrub begins this long after the last one began; 0: none does by itself. */
  scrubIntervalMs: number;
}

/** Frames worker → main. */
export const EVENT = {
  /** A partition was loaded: AttachedPartition. */
  attached: 1,
  /** A folder that looks like a partition was refused: `{ folder, reason }`. */
  refused: 2,
  /** All partitions of this worker are loaded: `{}`. */
  loaded: 3,
  /** The worker cannot serve its disk at all: `{ reason }`. */
  failed: 4,
  /** Answer to command `a`: `CommandAnswer`, in pieces. `b`: bytes still to come. */
  answer: 5,
  /** Piece of a large reply body for tag `a`; `b` = offset. */
  bodyPiece: 6,
  /** A log record: `{ level, message, fields }`. */
  log: 7,
  /** Everything is synced and closed; the thread ends: `{ clean }`. */
  stopped: 8,
  /** Answer to command `a` that is taken as it is: its value is the bytes. In pieces, as `answer`. */
  answerBytes: 9,
  /** Reads wait for a block to be healed: BlockPlace. */
  damaged: 10,
  /** A partition is gone, because its group has removed this replica: `{ id }`. */
  detached: 11,
  /** The group of a partition has decided on other members: `{ id, hosts, peers }`. */
  members: 12,
  /** A partition's raft group does not run: `{ id, reason }`; an empty reason: it does again. */
  raft: 13,
  /** Something for an operator: `{ kind, text }`. */
  alarm: 14,
} as const;

/** A block of a normal extent. */
export interface BlockPlace {
  readonly partitionId: number;
  readonly extentId: number;
  /** Number of the block. */
  readonly block: number;
}

/** What main must know of a partition to route and report it. Numbers that change live in the shared tables. */
export interface AttachedPartition {
  id: number;
  volume: string;
  sizeBytes: number;
  path: string;
  hosts: string[];
  peers: { id: number; addr: string }[];
  /** Row in the worker's PartitionTable. */
  row: number;
  /** 1: it joins a group that has data, and is not complete yet. */
  createType: number;
}

export type CommandAnswer =
  | { ok: true; value: unknown }
  | { ok: false; message: string; httpStatus?: number };

/** Answer to the question how the checksums of a worker are. Times in unix ms; `nextMs` is 0 when no scrub is scheduled. */
export interface ChecksumReport {
  computing: { bytesPerSecond: number; extents: number; blocks: number; recomputedBlocks: number };
  scrub: ScrubState & { bytesPerSecond: number; intervalMs: number; totalBytes: number; nextMs: number };
  extents: { normal: number; trusted: number; clean: number };
  damagedBlocks: number;
  suspectBlocks: number;
  findings: Finding[];
  findingsLeftOut: number;
}

const processEpochMs = 1_700_000_000_000;

/** Packs a wall-clock time into 31 bits of ms (wraps every 24 days; compare with `ageMs`). */
export function issuedAt(nowMs: number): number {
  return ((nowMs - processEpochMs) % 0x7fff_ffff) | 0;
}

/** Age in ms of a request packed by `issuedAt`; a request from the future counts as new. */
export function ageMs(packed: number, nowMs: number): number {
  const age = issuedAt(nowMs) - packed;
  return age >= 0 ? age : age < -0x3fff_ffff ? age + 0x7fff_ffff : 0;
}

/** End of the failure of a disk that another process has locked: a node does not start beside it. */
export const DISK_HELD = 'is in use by another process';
