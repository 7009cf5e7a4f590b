/**
 * The typed surface of the Rust addon: everything extentd asks of the kernel that Node cannot give it.
 *
 * The addon knows files, checksums, waiting and threads; it knows nothing of packets, extents or raft. Only
 * `src/storage` (through `io.ts`), `src/shm` and the entry points may import this file.
 *
 * Errors: no call throws for an operating error. A result below zero is a negated errno (`-28` is ENOSPC) and
 * `errnoText(28)` gives the C library's words. A call throws a TypeError only for arguments that can never be
 * right (a broken invariant of the caller).
 */

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Operation codes of an entry in the operation table (`OpTable`) and of `DiskIo.submit*`. */
export const IO = {
  pread: 1,
  pwrite: 2,
  fdatasync: 3,
  fsync: 4,
  ftruncate: 5,
  fallocateKeepSize: 6,
  punchHole: 7,
  seekData: 8,
  seekHole: 9,
  close: 10,
  fstat: 11,
  // with a path
  open: 20,
  unlink: 21,
  rename: 22,
  mkdir: 23,
  removeTree: 24,
  fsyncFolder: 25,
  statfs: 26,
} as const;

/** Flags of an operation-table entry. */
export const IO_FLAG = {
  /**
   * pread: answer -EAGAIN instead of waiting for the disk (preadv2 RWF_NOWAIT), also when only a part was at hand: a short count
   * means the end of the file. Where the file system cannot do that, the read is a plain one.
   */
  noWait: 1,
  /** pread: put CRC-32 (IEEE) of the bytes read into the entry's crc field. */
  crc: 2,
  /**
   * Answer -ECANCELED if an earlier entry of this batch with the same fd has failed or was cut short (a write, that is: a read that
   * answered -EAGAIN or ended at the end of the file has not failed).
   */
  linked: 4,
  /**
   * pread: leave the page cache as it is. With `noWait` the read answers -EAGAIN, and starts nothing, when a part is not in the cache (cachestat, Linux 6.5; RWF_NOWAIT
   * alone starts to read what it does not find). Without, it goes past the cache (O_DIRECT), whatever its alignment. Where that is refused it is a plain read, and
   * the entry's value, or the completion's value0, is the errno if the refusal is for good.
   */
  direct: 8,
  /** When this entry fails or is cut short, the next one answers -ECANCELED instead of being run, whatever its fd. */
  guard: 16,
  /**
   * pwrite: the bytes are durable when it ends (pwritev2 RWF_DSYNC, or a write and an fdatasync where the kernel refuses that). Never merged with its neighbours. Faults of
   * fdatasync act on it as well.
   */
  durable: 32,
} as const;

/**
 * One entry of the operation table is 64 bytes, little endian:
 *
 * | byte | type | field                                                         |
 * | 0    | u32  | code (`IO`)                                                   |
 * | 4    | u32  | flags (`IO_FLAG`)                                             |
 * | 8    | i32  | fd                                                            |
 * | 12   | u32  | length, bytes                                                 |
 * | 16   | f64  | offset in the file, bytes                                     |
 * | 24   | f64  | offset in the buffer region, bytes                            |
 * | 32   | u32  | buffer region (index into `regions` of the DiskIo)            |
 * | 36   | i32  | result: bytes moved or 0; below zero a negated errno, even    |
 * |      |      | when a part was moved before the failure                      |
 * | 40   | u32  | crc (IO_FLAG.crc)                                             |
 * | 44   | u32  | reserved                                                      |
 * | 48   | f64  | value: in: ftruncate/fallocate/punchHole length; out:         |
 * |      |      | seekData/seekHole offset, fstat size; direct pread: why not   |
 * | 56   | f64  | reserved                                                      |
 *
 * A range outside its region answers -EFAULT, an offset that is not a whole number from 0 on -EINVAL. Only the owner's thread reads and
 * writes the table: entries are copied when submitted, and their results copied back by `takeCompletions`.
 */
export const OP_ENTRY_BYTES = 64;

/**
 * One completion is 64 bytes, little endian:
 *
 * | 0  | f64 | token given at submission                                                       |
 * | 8  | i32 | result (open: the fd), below zero a negated errno                                |
 * | 12 | u32 | crc                                                                              |
 * | 16 | f64 | value0  seek offset; fstat size; statfs blocks; batch: entries run; direct pread |
 * | 24 | f64 | value1  fstat mtime, unix ms; statfs bavail                                      |
 * | 32 | f64 | value2  fstat blocks of 512 bytes; statfs bsize                                  |
 * | 40 | f64 | value3  time spent in the operation, ns                                          |
 */
export const COMPLETION_BYTES = 64;

/**
 * What a `DiskIo` is made of. All views lie over SharedArrayBuffers. The object holds them, but not beyond the end of its worker thread:
 * somebody else (the main thread) must hold the regions, because an I/O thread that is stuck in the kernel may still write there.
 */
export interface DiskIoOptions {
  /** Number under which `setFault` and the I/O record know this disk, 0..255. */
  device: number;
  /** Buffer regions that entries may name: the slabs of the network threads. Bounds are checked at each use. */
  regions: Uint8Array[];
  /** The operation table, a multiple of OP_ENTRY_BYTES, aligned to 8. */
  opTable: Uint8Array;
  /** Completions ring storage, a power of two × COMPLETION_BYTES. */
  completions: Uint8Array;
  /** Doorbell rung after each completion: `[sequence, sleeping]` (see `waitDoorbell`). */
  doorbell: Int32Array;
  /** I/O threads to start, 1..64. Thread 0 alone runs submitted batches, in order. */
  threads: number;
}

/**
 * One disk's I/O: inline batches, submitted work, completions. Owned by one worker thread. Running or submitting after `close` throws. When
 * the worker thread ends without `close`, queued work is dropped and work under way is waited for, 2 s at most.
 */
export interface DiskIo {
  /**
   * Runs entries `[first, first+count)` in order on the calling thread. Neighbouring pwrites of one fd whose file
   * ranges touch are issued as one pwritev; a short transfer is continued; each entry gets its own result.
   * Returns the time spent, ns.
   */
  runBatch(first: number, count: number): number;
  /** The same on I/O thread 0; one completion with `token` when all have run. The entries must not be touched before. */
  submitBatch(first: number, count: number, token: number): void;
  /** Copies entry `index` and runs it on an I/O thread. Returns 0, or -EAGAIN when the queue (4096) is full. */
  submit(index: number, token: number): number;
  /**
   * An operation on one fd without a table entry: fdatasync, fsync, close, ftruncate(a), fallocateKeepSize/punchHole(a offset, b length),
   * seekData/seekHole(a offset), fstat.
   */
  submitFd(code: number, fd: number, a: number, b: number, token: number): number;
  /**
   * An operation on a path: open(a = O_ flags, b = mode, completion's value0..2 as fstat), unlink, rename(path → path2), mkdir(b = mode), removeTree,
   * fsyncFolder, statfs.
   */
  submitPath(code: number, path: string, path2: string, a: number, b: number, token: number): number;
  /**
   * Copies up to `max` finished completions into `completions` view given at construction, from byte 0, and returns their number.
   */
  takeCompletions(max: number): number;
  /** Operations submitted and not yet taken. */
  pending(): number;
  /** Stops the threads after what is queued; waits at most `timeoutMs`; false when a thread is stuck (it is then left alone). */
  close(timeoutMs: number): boolean;
}

/** Entries found by `scanFolder`, in the file system's order, without `.` and `..`. Symbolic links are not followed. */
export interface FolderScan {
  /** Names, `/`-joined (no name can hold a slash); bytes that are not UTF-8 come as U+FFFD. Empty string for an empty folder. */
  names: string;
  /** Five numbers a name: kind (1 regular file, 2 folder, 3 other), size bytes, mtime unix ms, blocks of 512 bytes, errno of the stat (0). */
  stats: Float64Array;
  /** 0, or the negated errno of opening or reading the folder. */
  result: number;
}

/** Scans folders on threads of its own, a few ahead of the one who takes them. */
export interface FolderScanner {
  /** The next folder, in the order asked for. Blocks until it is there; throws behind the last one. */
  next(): FolderScan;
}

/** The addon's functions. */
export interface NativeAddon {
  /** CRC-32 IEEE (zlib's) of `data`, continued from `seed` (0 to start). */
  crc32(data: Uint8Array, seed: number): number;
  /** CRC-32C (Castagnoli) of `data`, continued from `seed` (0 to start). */
  crc32c(data: Uint8Array, seed: number): number;
  /**
   * Checksums many ranges of one region in one call. `ranges` holds pairs (byte offset, length) as f64, `out` receives one CRC-32 IEEE a
   * pair. `count` pairs. A range outside the region throws.
   */
  crc32Many(region: Uint8Array, ranges: Float64Array, out: Uint32Array, count: number): void;
  /**
   * Copies many ranges between two buffers in one call. `moves` holds triples (offset in `from`, offset in `to`, bytes) as f64, `count` of them. V8 copies into
   * shared memory byte by byte unless both sides are aligned alike: 4 KiB take 1.3 µs there and 0.2 µs here. A range outside its buffer throws.
   */
  copyMany(from: Uint8Array, to: Uint8Array, moves: Float64Array, count: number): void;
  /** Which implementations the CPU got, for the log: e.g. `pclmulqdq` / `portable`. */
  crcImplementation(): string;

  /** Creates the I/O of one disk. */
  createDiskIo(options: DiskIoOptions): DiskIo;

  /** The C library's words for an errno, first letter lower case: 5 → `input/output error`. */
  errnoText(errno: number): string;
  /** The name: 28 → `ENOSPC`; unknown → `E<number>`. */
  errnoName(errno: number): string;

  // Synchronous calls for start-up, stop and tools. They may block: never on the main thread once it serves.
  openSync(path: string, flags: number, mode: number): number;
  closeSync(fd: number): number;
  preadSync(fd: number, into: Uint8Array, offset: number): number;
  pwriteSync(fd: number, from: Uint8Array, offset: number): number;
  fdatasyncSync(fd: number): number;
  fsyncSync(fd: number): number;
  ftruncateSync(fd: number, size: number): number;
  /** fallocate(2); mode 1 keep size, 3 punch hole and keep size. */
  fallocateSync(fd: number, mode: number, offset: number, length: number): number;
  /** For benchmarks and tests: posix_fadvise(2) of a whole file; advice 1 random (no readahead), 4 forget its clean pages. */
  adviseSync(fd: number, advice: number): number;
  /** lseek(2) SEEK_DATA / SEEK_HOLE; -ENXIO (-6) when there is no more data. */
  seekDataSync(fd: number, offset: number): number;
  seekHoleSync(fd: number, offset: number): number;
  renameSync(from: string, to: string): number;
  unlinkSync(path: string): number;
  mkdirSync(path: string, mode: number): number;
  fsyncFolderSync(path: string): number;
  removeTreeSync(path: string): number;
  /** `[blocks, bavail, bsize]`, or one negated errno. */
  statfsSync(path: string): Float64Array;
  /** Takes an exclusive advisory lock without waiting: 0, or -EWOULDBLOCK (-11). Released when the fd is closed. */
  flockSync(fd: number): number;
  /** Lists a folder with the stat of each entry in one call. */
  scanFolder(path: string): FolderScan;
  /** Begins to scan these folders with so many threads; without threads, or where none can be had, each is scanned when it is asked for. */
  scanFolders(paths: string[], threads: number): FolderScanner;

  /**
   * A worker's wait, in one call: returns as soon as `doorbell[0] !== seen`, after spinning up to `spinNs`, then sleeping on the futex at
   * most `timeoutMs`. `doorbell[1]` is 1 while it sleeps. Returns 1 when woken while spinning (or at once), 2 after a sleep, 0 on time-out.
   */
  waitDoorbell(doorbell: Int32Array, seen: number, spinNs: number, timeoutMs: number): number;
  /** Adds 1 to `doorbell[0]` and wakes the sleeper if there is one. Callable from any thread. Returns true when a system call was made. */
  ringDoorbell(doorbell: Int32Array): boolean;
  /** Spins until `view[index] !== expected` or `maxNs` passed; true when it changed. Never sleeps. */
  spinWhileEqual(view: Int32Array, index: number, expected: number, maxNs: number): boolean;

  /**
   * Registers an event-loop wake-up on the calling thread: `callback` runs there, once for any number of `notifyLoop(id)` calls made from other threads
   * before it started. Does not keep the loop alive. What it throws becomes an uncaught exception. Returns its id.
   */
  registerLoop(callback: () => void): number;
  /** Wakes the loop registered under `id`, from any thread. Unknown ids are ignored. */
  notifyLoop(id: number): void;
  unregisterLoop(id: number): void;

  /** Raises RLIMIT_NOFILE towards `wanted`; returns the soft limit now in force. */
  raiseFileLimit(wanted: number): number;
  /**
   * dup2(2): makes the descriptor `target` another name of what `fd` is open on. Returns a new descriptor of what `target` was before (closed by exec), or a negated
   * errno, and nothing has changed.
   */
  replaceDescriptor(target: number, fd: number): number;
  /** Monotonic clock, ns. */
  monotonicNs(): number;
  /** Ends the process at once with `code`, whatever its threads are stuck in (`_exit`). */
  exitProcess(code: number): void;

  /**
   * Test hook: from now on operations of `device` whose code is in `codes` (empty: all) act up. kind: `delay` (sleep `value` ms first),
   * `hang` (sleep until cleared), `errno` (answer -value without touching the disk), `short` (move at most `value` bytes). `count` operations are
   * affected, 0 for no end. Applies to inline batches, submitted work and completions alike.
   */
  setFault(
    device: number,
    codes: number[],
    kind: 'delay' | 'hang' | 'errno' | 'short',
    value: number,
    count: number,
  ): void;
  clearFaults(device: number): void;

  /** Test hook: starts (true) or stops the record of operations in the order in which they returned. */
  recordIo(on: boolean): void;
  /** Puts a mark (an acknowledgement, say) into the record. */
  recordMark(text: string): void;
  /**
   * Takes the record: lines `code fd offset length result path-or-mark`, e.g. `pwrite 21 4096 4096 4096 -`, `open -1 0 0 21 /a/b`,
   * `rename -1 0 0 0 /a -> /b`, `mark -1 0 0 0 text`. Of all disks, the synchronous calls included (flock and the scans of folders aside).
   */
  takeIoRecord(): string[];
}

const packageRoot = findPackageRoot(dirname(fileURLToPath(import.meta.url)));

function findPackageRoot(from: string): string {
  let folder = from;
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder);
    if (parent === folder) throw new Error(`no package.json above ${from}`);
    folder = parent;
  }
  return folder;
}

/** The addon, loaded once a thread. */
export const native: NativeAddon = createRequire(import.meta.url)(
  join(packageRoot, 'src', 'native', 'extentd.node'),
) as NativeAddon;
