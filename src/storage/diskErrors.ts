/**
 * Which errnos of file calls mean that the disk fails (`admin.md` 8.2, 15#11; `storage.md` W29). Pure.
 *
 * The reference knows EIO and EROFS only. The rest of the list are errnos that Linux gives for a regular file only when the device or the file system under
 * it is broken: a disk taken for broken stays out of service until a restart, so what one file, one full disk or one busy moment can cause is not in it.
 * `docs/operations.md` has the table; its test holds it to this one.
 */

/** One errno that file calls answer. */
export interface ErrnoMeaning {
  readonly errno: number;
  readonly name: string;
  readonly failingDisk: boolean;
  readonly why: string;
}

/** Linux errnos. What is not here is no disk error either. */
export const ERRNO_MEANINGS: readonly ErrnoMeaning[] = [
  { errno: 5, name: 'EIO', failingDisk: true, why: 'the device did not do it' },
  { errno: 30, name: 'EROFS', failingDisk: true, why: 'the file system was made read-only after an error' },
  { errno: 19, name: 'ENODEV', failingDisk: true, why: 'the device is gone or offline' },
  { errno: 61, name: 'ENODATA', failingDisk: true, why: 'medium error, told by write-back' },
  { errno: 67, name: 'ENOLINK', failingDisk: true, why: 'the path to the device is cut' },
  {
    errno: 110,
    name: 'ETIMEDOUT',
    failingDisk: true,
    why: 'the device did not answer in the time of its driver',
  },
  { errno: 121, name: 'EREMOTEIO', failingDisk: true, why: 'the device refuses a command for good' },
  { errno: 74, name: 'EBADMSG', failingDisk: true, why: 'checksum of file system metadata is wrong' },
  { errno: 117, name: 'EUCLEAN', failingDisk: true, why: 'the file system found itself damaged' },
  {
    errno: 116,
    name: 'ESTALE',
    failingDisk: true,
    why: 'what was opened is of a file system that is no longer there',
  },
  {
    errno: 28,
    name: 'ENOSPC',
    failingDisk: false,
    why: 'full; writes are refused and reads go on; raft waits for room, and what is led here goes to another replica',
  },
  { errno: 122, name: 'EDQUOT', failingDisk: false, why: 'as full' },
  {
    errno: 6,
    name: 'ENXIO',
    failingDisk: false,
    why: 'also the answer to a seek past the last data, and to opening a socket',
  },
  { errno: 11, name: 'EAGAIN', failingDisk: false, why: 'an I/O queue is full, or a lock is held' },
  { errno: 12, name: 'ENOMEM', failingDisk: false, why: 'of the host, not of the disk' },
  { errno: 23, name: 'ENFILE', failingDisk: false, why: 'of the host, not of the disk' },
  { errno: 24, name: 'EMFILE', failingDisk: false, why: 'of the process, not of the disk' },
  { errno: 2, name: 'ENOENT', failingDisk: false, why: 'one file is missing' },
  { errno: 1, name: 'EPERM', failingDisk: false, why: 'one file is immutable or foreign' },
  { errno: 13, name: 'EACCES', failingDisk: false, why: 'one file is foreign' },
];

const FAILING = new Set(ERRNO_MEANINGS.filter(({ failingDisk }) => failingDisk).map(({ errno }) => errno));

/** Whether an errno, plain or negated, means that the disk fails. */
export function isDiskError(errno: number): boolean {
  return FAILING.has(Math.abs(errno));
}

/** Errnos that a part of a medium gives when it is damaged, while others may still be read. */
const MEDIUM = new Set([5, 61, 74, 117]);

/** Whether an errno of a read, plain or negated, can mean that what was read is lost. The other ones may not be given again a moment later. */
export function isMediumError(errno: number): boolean {
  return MEDIUM.has(Math.abs(errno));
}
