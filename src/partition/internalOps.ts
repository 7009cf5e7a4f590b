/**
 * Requests of this node's own threads to a worker (docs/repair.md, "A thread of its own"): opcodes beside those of the wire, with the fields that each uses. They come through an internal port only; from
 * any other they are unknown opcodes. Requests of the wire may come through such a port too, and are carried out as for a follower.
 *
 * What all of them share. They are background work of the disk's limits where they touch the disk. No poisoned connection and no earlier failure skips them, they never grow too old, and `primary` is never
 * set. A partition that is full takes them: a replica must get what the others have. Answers fit the slot; an error is its text in the slot, under `ActionRepair:`. Fields are those of the request and reply
 * descriptors (`messages.ts`); bodies are in the machine's byte order where nothing else is said (`internalRecords.ts`).
 */

export const INTERNAL_OP = {
  /** Begins the comparison of all contents that a snapshot has asked for: they are listed as missing from then on. Nothing happens where none is wanted. */
  compareAll: 0xda,
  /** Nobody has these bytes any more, as all others say, or the extent was deleted here: from `extentOffset` on nothing of `extentId` is listed as missing. */
  forgetMissing: 0xdb,
  /**
   * A copy of what is missing, from another replica (`missingFills.ts`). In: `extentId`, `extentOffset`; a `FillHeader` in the slot and behind it the bytes, `size` in all. Without bytes: what is here is what the copy has, and durable. Out:
   * `extentOffset` is how many bytes were written. Not durable before APPLY is saved; a crash makes them missing again.
   */
  fillMissing: 0xdc,
  /** A page of missing ranges. In: `extentOffset`, how many extents to pass over. Out: `MissingPart`s in the slot; `extentOffset` as it goes on, -1 at the end. */
  listMissing: 0xdd,
  /**
   * How the partition's raft group stands here. Out: `extentOffset` is the durable applied index, -1 when no group runs; `remainingBytes` that in memory; `holeBytes` 1 when this node leads it, else 0, and 2 more when a
   * comparison is wanted; `extentId` how many ranges are missing.
   */
  raftState: 0xde,
  /**
   * A block that reads wait for (`EVENT.damaged`) has been judged. In: `extentId`, `extentOffset` at the block's beginning, `size` a `JUDGED` (`waitingBlocks.ts`). Answered at once, whether anybody waits or not.
   */
  blockJudged: 0xdf,
  /**
   * A page of extents. In: `extentType` is a `LIST`, `extentOffset` the row to begin with (0 first); for `LIST.tiny` the slot has the wanted ids, a byte each, `size` of them. Out: records in the slot;
   * `extentOffset` the row to go on with, -1 at the end. A page may have no record and not be the last. What lives during all pages is in exactly one; what comes or goes meanwhile may be in none.
   */
  listExtents: 0xe0,
  /** Figures of the partition. Out: `PartitionInfo` in the slot. */
  describe: 0xe1,
  /** Ids that were deleted here for good (W5). In: `extentOffset`, how many to pass over. Out: ids in the slot; `extentOffset` as it goes on, -1 at the end. An id whose extent is created again meanwhile may hide another. */
  listDeleted: 0xe2,
  /** Takes tiny extents for a round (`repair.md` 5): they get no appends of clients until they are given back. Out: their ids in the slot, a byte each; none while nothing can be taken. */
  takeTiny: 0xe3,
  /** Gives tiny extents back. In: two bytes for each in the slot, `size` in all: id, and 1 where all replicas agree, so that it is available, or 0. One that no round has is passed over; one with a failed fdatasync is never available. */
  giveBackTiny: 0xe4,
  /** Whoever ran rounds is gone: all that was taken is broken. */
  forgetRounds: 0xe5,
  /**
   * A hole at the end of a tiny extent (`repair.md` 8.2). In: `extentId`, `extentOffset`, `size`. The offset must be the watermark, with nothing on its way behind it. Bytes that a failed append has left there
   * are zeros afterwards, and the watermark is the end of the hole, rounded up to pages. Not durable before a sync.
   */
  tinyHole: 0xe6,
  /** Out: `extentOffset` is the extent's size now, of a tiny one the watermark; -1 when there is none, or a deleted one. What waits for a limit is not in it. */
  extentSize: 0xe7,
  /** Answered when all that `extentId` has so far is durable, whichever process has written it, its entry in the folder included. One that is not there is durable. */
  syncExtent: 0xe8,
  /** Creates `extentId`, a normal one, unless it exists, or was deleted here for good: `extent has been deleted`. */
  createExtent: 0xe9,
  /**
   * A tiny delete that another replica has recorded. In: `extentId`, and a `MissedRange` in the slot. As a follower's OpMarkDelete, but what is a hole already is recorded too. Out: `extentOffset` is a
   * `MISSED_DELETE`.
   */
  missedDelete: 0xea,
  /** All records of the first host up to `extentOffset` were carried out: the position is there, or where it was if that is farther. */
  finishDeletes: 0xeb,
  /**
   * One block for a comparison between replicas. In: `extentId`, `extentOffset` at a block's beginning, `size` up to a block. Out: what the file has of it, `crc` of that; `remainingBytes` the stored checksum, 0: not
   * known, which it also is while somebody writes there all the time; `holeBytes` 1 when a stored one that is not 0 is surely right (`docs/checksums.md`), else 0. Served whether both agree or not.
   */
  readBlock: 0xec,
  /** The partition has all that it lacked when it joined: META says so, durably (create type 0). */
  endJoining: 0xed,
  /**
   * Replaces the content of one block of a normal extent by that which most replicas have. In: `extentId`, `extentOffset` at the block's beginning, the new content in the slot, `size` bytes, `crc` its checksum,
   * `expectedCrc` that of the content that was voted against, which is as long. Answered when it is durable, with its checksum in EXTENT_CRC. `the block has changed since it was voted on`: nothing was written.
   * What a read finds meanwhile is the one or the other, as a whole.
   */
  healBlock: 0xee,
  /**
   * Extents with blocks that are not what their checksums say, by id. In: `extentOffset`, the first id that is wanted (0 first). Out: findings in the slot; `extentOffset` the id to go on with, -1 at the end.
   */
  listFindings: 0xef,
} as const;

/** What a page lists. */
export const LIST = {
  /** Tiny extents that are named. */
  tiny: 0,
  /** Normal extents as peers are told: with data, not deleted, left alone for a minute. */
  quiet: 1,
  /** All extents that are not deleted. */
  all: 2,
} as const;
