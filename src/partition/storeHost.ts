/**
 * What a worker gives to the partitions it owns: its disk, its clock, its buffers, its settings.
 *
 * Implemented by `src/workers` (and by the test bench). Partitions never reach past this interface, so the same code runs on a
 * simulated disk and clock.
 */
import assert from 'node:assert';
import { SLOT_TABLE_BYTES } from '../storage/crcFile.js';
import type { Clock, Disk } from '../storage/io.js';
import { BLOCK_BYTES, type Status } from '../storage/layout.js';
import type { DiskLimits } from './diskLimits.js';
import type { FreeSpace } from './diskSpace.js';
import type { BlockPlace, ChecksumPaces } from './messages.js';
import type { OperationHost } from './operation.js';
import { SCRUB_FILE_BYTES } from './scrubState.js';

/** Settings of the stores of one worker. */
export interface StoreSettings extends ChecksumPaces {
  /** Refuse an append that begins past the current end of its extent. */
  strictAppend: boolean;
  /** Acknowledge every write after fdatasync, as if it were OpSyncWrite, and every create after its folder's fsync (`durability: "always"`). */
  syncEverything: boolean;
  /** Reads of up to so many bytes that are not in the page cache go past it; 0: none. */
  directReadBytes: number;
  /** Extent files that may be open at once in this worker. The stores' own files (five a partition) are not counted. */
  openExtentsMax: number;
}

/** State of the disk as the worker knows it (`storage.md` 12). The worker changes the fields in place. */
export interface DiskHealth {
  status: Status;
  /** Writes and creates are refused when it is used up (`admin.md` 8.1). */
  readonly space: FreeSpace;
}

/** Whoever heals damaged blocks, on another thread (docs/repair.md, "Healing"). */
export interface BlockHealer {
  /** False: nobody heals now, so nothing may wait for it. */
  readonly isThere: boolean;
  /** Reads wait for this block. False: nobody was told, and nothing may wait. */
  ask(place: BlockPlace): boolean;
}

/** The surroundings of all stores of one worker. */
export interface StoreHost extends OperationHost {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly settings: StoreSettings;
  readonly health: DiskHealth;
  /** Limits of the disk. Requests have passed them when they come to a partition; jobs of this node ask `takeBackground` before their own I/O. */
  readonly limits: DiskLimits;
  readonly healer: BlockHealer;
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

/** One cell for each batch entry that there can be: a checksum slot that a read beside the batch looks at. */
const SCRATCH_CELL_BYTES = 4;

/** A header or an entry of EXTENT_CLEAN, in a cache line of its own. */
const SCRATCH_ENTRY_OF_CLEAN_BYTES = 64;
/** What the checksum job needs: the slot table of its extent, one block, an entry of EXTENT_CLEAN (`extentCheck.ts`), and the place of its scrub. */
const SCRATCH_CHECK_BYTES = SLOT_TABLE_BYTES + BLOCK_BYTES + SCRATCH_ENTRY_OF_CLEAN_BYTES;

/** Buffers for what raft has committed: a random write of a normal extent fits (`applyTurns.ts`). So many applies of a worker are on their way at a time. */
export const APPLY_LANES = 8;
export const APPLY_LANE_BYTES = BLOCK_BYTES;

/** Offset of such a buffer in the scratch region. */
export function scratchApplyLane(batchCapacity: number, lane: number): number {
  return scratchCheck(batchCapacity, 'scrubFile') + SCRUB_FILE_BYTES + lane * APPLY_LANE_BYTES;
}

/** What the healing of a block needs: the content that is there, an entry or header of EXTENT_CLEAN, and a slot (`blockHeals.ts`). */
export const SCRATCH_HEAL_BYTES = BLOCK_BYTES + 2 * SCRATCH_ENTRY_OF_CLEAN_BYTES;

/** Offset of those bytes in the scratch region. */
export function scratchHeal(batchCapacity: number): number {
  return scratchApplyLane(batchCapacity, APPLY_LANES);
}

/** The last bytes of the region: what a probe writes, and what it reads back (`diskProbe.ts`). */
export const SCRATCH_PROBE_BYTES = 64;

/** Offset of cell `index` in the scratch region; as many as entries of the batch. */
export function scratchCell(batchCapacity: number, index: number): number {
  assert(index < batchCapacity, 'more reads than the rings can hold');
  return scratchCells(batchCapacity) + index * SCRATCH_CELL_BYTES;
}

function scratchCells(batchCapacity: number): number {
  return SCRATCH_ZERO_BYTES + batchCapacity * SCRATCH_ENTRY_BYTES + OPEN_LANES * SCRATCH_LANE_BYTES;
}

/** Offset of the checksum job's bytes in the scratch region: those of its extent, or those of the scrub's file. */
export function scratchCheck(batchCapacity: number, part: 'extent' | 'scrubFile' = 'extent'): number {
  const at = scratchCells(batchCapacity) + batchCapacity * SCRATCH_CELL_BYTES;
  return part === 'extent' ? at : at + SCRATCH_CHECK_BYTES;
}

/** Zeros before those: what a deleted range is overwritten with where it cannot be punched (`rangeEraser.ts`). Nobody writes here. */
export const SCRATCH_ERASE_BYTES = 64 * 1024;

/** Where those zeros begin, for a batch of `batchCapacity` entries. */
export function scratchEraseOffset(batchCapacity: number): number {
  return scratchBytes(batchCapacity) - SCRATCH_PROBE_BYTES - SCRATCH_ERASE_BYTES;
}

/** Bytes the scratch region must have for a batch of `batchCapacity` entries. */
export function scratchBytes(batchCapacity: number): number {
  return scratchHeal(batchCapacity) + SCRATCH_HEAL_BYTES + SCRATCH_ERASE_BYTES + SCRATCH_PROBE_BYTES;
}
