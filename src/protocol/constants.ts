/**
 * Numbers and words of v1.4.0 that several parts of the node must agree on and that have no better room: intervals of its housekeeping, sizes of its rounds.
 *
 * Numbers of the wire stand with the code that reads them (`header.ts`, `tinyRepairArg.ts`, `tinyDelete.ts`), those of the disk in `storage/layout.ts`.
 */

/** A partition asks the master for its replica list at most this often (`repair.md` 3). */
export const REPLICA_LIST_INTERVAL_SECONDS = 600;
/** A partition's used bytes are counted again at most this often (`storage.md` 12). */
export const PARTITION_SIZE_INTERVAL_SECONDS = 60;
/** Extents that one repair task fetches at a time. */
export const REPAIR_FETCHES_MAX = 17;
/** Tiny extents that a repair round looks at, once some are available. */
export const TINY_EXTENTS_TO_REPAIR = 10;
/** Raft log entries kept behind the truncation point. */
export const RAFT_LOGS_TO_RETAIN = 10;
/** Disk errors before a disk counts as broken, in the reference's logs; there and here the first one breaks it. */
export const DISK_ERRORS_MAX = 1;
/** Folder name and switch that the reference declares and nobody uses. */
export const RAFT_DIR_DEFAULT = 'raft';
export const BUFFER_WRITE = false;
