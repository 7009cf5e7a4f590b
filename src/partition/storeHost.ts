/**
 * What a worker gives to the partitions it owns: its disk, its clock, its buffers, its settings.
 *
 * Implemented by `src/workers` (and by the test bench). Partitions never reach past this interface, so the same code runs on a
 * simulated disk and clock.
 */
import type { Clock, Disk } from '../storage/io.js';
import type { Status } from '../storage/layout.js';
import type { FreeSpace } from './diskSpace.js';
import type { OperationHost } from './operation.js';

/** Settings of the stores of one worker. */
export interface StoreSettings {
  /** Refuse an append that begins past the current end of its extent. */
  strictAppend: boolean;
  /** Acknowledge every write after fdatasync, as if it were OpSyncWrite, and every create after its folder's fsync (`durability: "always"`). */
  syncEverything: boolean;
  /** Reads of up to so many bytes that are not in the page cache go past it; 0: none. */
  directReadBytes: number;
  /** Extent files that may be open at once in this worker. The stores' own files (four a partition) are not counted. */
  openExtentsMax: number;
}

/** State of the disk as the worker knows it (`storage.md` 12). The worker changes the fields in place. */
export interface DiskHealth {
  status: Status;
  /** Writes and creates are refused when it is used up (`admin.md` 8.1). */
  readonly space: FreeSpace;
}

/** The surroundings of all stores of one worker. */
export interface StoreHost extends OperationHost {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly settings: StoreSettings;
  readonly health: DiskHealth;
  /** The buffer regions that operations and I/O entries name, by index. */
  readonly regions: readonly Uint8Array[];
  /** Index of the region that belongs to the stores alone; at least `scratchBytes(disk.batch.capacity)` bytes, zero at first. */
  readonly scratchRegion: number;
  /** CRC-32 (IEEE) of `regions[region][offset, +length)`. */
  crc32(region: number, offset: number, length: number): number;
}

/** Zeros at the start of the scratch region: as many slots as a 2 MiB body can touch (17), rounded up. */
export const SCRATCH_ZERO_BYTES = 128;
/** Scratch of one batch entry: slot values of a 2 MiB body (16 × 4), or 16 bytes of EXTENT_META. */
export const SCRATCH_ENTRY_BYTES = 64;
/** Slot tables (4096 bytes each) that can be read from EXTENT_CRC at the same time, hence extents that can be opened at the same time. */
export const OPEN_LANES = 32;
/** Bytes of one such table. */
export const SCRATCH_LANE_BYTES = 4096;

/** The last bytes of the region: what a probe writes, and what it reads back (`diskProbe.ts`). */
export const SCRATCH_PROBE_BYTES = 64;

/** Bytes the scratch region must have for a batch of `batchCapacity` entries. */
export function scratchBytes(batchCapacity: number): number {
  const lanes = OPEN_LANES * SCRATCH_LANE_BYTES;
  return SCRATCH_ZERO_BYTES + batchCapacity * SCRATCH_ENTRY_BYTES + lanes + SCRATCH_PROBE_BYTES;
}
