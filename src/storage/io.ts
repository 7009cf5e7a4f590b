/**
 * The disk as the storage code sees it: the seam between what decides (extents, partitions) and what acts (the addon, or a simulated disk).
 *
 * Two ways to do I/O, no others. *Inline batches*: entries are put into an operation table in order and run together (appends, reads, checksum
 * slots). *Submitted work*: what can stall (open, create, fsync, unlink) is handed over and completes later through a callback, on the owner's thread.
 * Nothing here returns a promise: the worker is a run-to-completion loop. `NativeDisk` (nativeDisk.ts) and `SimDisk` (test/sim) implement `Disk`.
 */

/** Result of submitted work. `result` is 0, a byte count or an fd; below zero a negated errno. Values as in the addon's completion table. */
export interface IoResult {
  result: number;
  crc: number;
  value0: number;
  value1: number;
  value2: number;
}

/** Called once, on the owner's thread, when submitted work has ended. The object is reused: copy what you keep. */
export type IoDone = (result: IoResult) => void;

/** Kind, size and times of a folder entry. `errno` is not 0 when it could not be read. */
export interface FolderEntry {
  name: string;
  kind: 'file' | 'folder' | 'other';
  sizeBytes: number;
  mtimeMs: number;
  blocks512: number;
  errno: number;
}

/** Gives the scans of some folders, one after the other, in the order in which they were asked for. */
export interface FolderScans {
  /** As `Disk.scan`. Not to be called behind the last folder. */
  next(): FolderEntry[] | number;
}

/** Blocks, blocks available to non-root, and block size in bytes. */
export interface FileSystemSpace {
  blocks: number;
  availableBlocks: number;
  blockBytes: number;
}

/** The operation table. Indexes run from 0 and are valid until `clear`. `capacity` entries at most: assert, never grow. */
export interface IoBatch {
  readonly capacity: number;
  readonly length: number;
  /**
   * Adds a positional write from `region[bufferOffset, +length)`; returns its index. `linked`: not run when an earlier entry of this fd failed.
   * `guards`: when it fails or comes short, the entry behind it does not run.
   */
  pwrite(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    linked: boolean,
    guards?: boolean,
  ): number;
  /** Adds a positional read; `noWait`: -EAGAIN instead of blocking; `crc`: checksum what was read; `direct`: bring nothing into the page cache. */
  pread(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    noWait: boolean,
    crc: boolean,
    direct?: boolean,
  ): number;
  /** After the run: bytes moved, or a negated errno. */
  result(index: number): number;
  /** After the run, entries with `crc`: CRC-32 IEEE of the bytes read. */
  crc(index: number): number;
  clear(): void;
}

/** One disk. Owned by one thread. */
export interface Disk {
  readonly batch: IoBatch;
  /** Runs the whole batch in order, now. Returns ns spent. */
  runBatch(): number;
  /** Runs the whole batch on an I/O thread; `done` when all entries have results. No entry may be added before. */
  submitBatch(done: IoDone): void;
  /**
   * A write beside the batch, on an I/O thread. The buffer must not change before it has ended. `durable`: it ends when all of its bytes are durable; after a failure nothing
   * may be believed of the range.
   */
  submitPwrite(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    done: IoDone,
    durable?: boolean,
  ): void;
  /**
   * One entry of the batch, on an I/O thread, copied: used for reads that `noWait` refused. `direct`: past the page cache; where that is refused for good the
   * read is a plain one, and value0 is the errno of the refusal.
   */
  submitPread(
    fd: number,
    fileOffset: number,
    region: number,
    bufferOffset: number,
    length: number,
    crc: boolean,
    done: IoDone,
    direct?: boolean,
  ): void;

  submitOpen(path: string, flags: number, mode: number, done: IoDone): void;
  submitClose(fd: number, done: IoDone): void;
  submitFdatasync(fd: number, done: IoDone): void;
  submitFsyncFolder(path: string, done: IoDone): void;
  submitUnlink(path: string, done: IoDone): void;
  submitRename(from: string, to: string, done: IoDone): void;
  submitRemoveTree(path: string, done: IoDone): void;
  submitStatfs(path: string, done: IoDone): void;
  /** Offset (value0) of the next data, or hole, at or after `offset`; -ENXIO when there is none up to the end of the file. */
  submitSeek(fd: number, hole: boolean, offset: number, done: IoDone): void;
  /** Size in bytes (value0), time of the last change in unix ms (value1), and blocks of 512 bytes (value2) of a file. */
  submitFstat(fd: number, done: IoDone): void;
  /** ftruncate: the file is `sizeBytes` long then. */
  submitTruncate(fd: number, sizeBytes: number, done: IoDone): void;
  /** fallocate with keep-size (`punch` false) or punch hole + keep-size. */
  submitFallocate(fd: number, punch: boolean, offset: number, length: number, done: IoDone): void;

  /** Calls the `IoDone` of everything that has ended; returns how many. */
  drainCompletions(): number;
  /** Work handed over and not yet called back. */
  pending(): number;

  // Synchronous, for start and stop and tools. Results below zero are negated errnos.
  open(path: string, flags: number, mode: number): number;
  close(fd: number): number;
  /** Reads up to `into.length` bytes; returns the count (short only at the end of file). */
  read(fd: number, into: Uint8Array, fileOffset: number): number;
  write(fd: number, from: Uint8Array, fileOffset: number): number;
  fdatasync(fd: number): number;
  fsyncFolder(path: string): number;
  truncate(fd: number, sizeBytes: number): number;
  fallocate(fd: number, punch: boolean, offset: number, length: number): number;
  seekData(fd: number, offset: number): number;
  seekHole(fd: number, offset: number): number;
  rename(from: string, to: string): number;
  unlink(path: string): number;
  mkdir(path: string, mode: number): number;
  removeTree(path: string): number;
  lock(fd: number): number;
  statfs(path: string): FileSystemSpace | number;
  scan(path: string): FolderEntry[] | number;
  /** Scans folders one after the other. A disk may look ahead: what is in a folder must not change before it was given out. */
  scanAll(paths: readonly string[]): FolderScans;

  /** The C library's words for a negated or plain errno. */
  errnoText(errno: number): string;
}

/** Time as the storage code sees it. */
export interface Clock {
  /** Wall clock, unix ms. */
  nowMs(): number;
  /** Monotonic, ns. */
  monotonicNs(): number;
}
