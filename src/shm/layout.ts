/**
 * Sizes that every structure in shared memory agrees on. Used inside `src/shm` and by those who write descriptor fields.
 */
import assert from 'node:assert';

/**
 * Distance between two words that different threads write, bytes. A cache line is 64 bytes on the machines we know, but Intel's
 * adjacent-line prefetcher pulls lines in pairs, so words 64 bytes apart still travel together; 128 keeps them apart. It also makes the
 * alignment of the SharedArrayBuffer itself irrelevant: whatever the base address is, two such words never share a line.
 */
export const LINE_BYTES = 128;

/** One ring descriptor, bytes: a whole decoded packet header with its slot and tag. */
export const DESCRIPTOR_BYTES = 64;
/** Descriptor `slot` starts at element `slot * DESCRIPTOR_I32` of an Int32Array view. */
export const DESCRIPTOR_I32 = DESCRIPTOR_BYTES / Int32Array.BYTES_PER_ELEMENT;
/** Descriptor `slot` starts at element `slot * DESCRIPTOR_F64` of a Float64Array view. */
export const DESCRIPTOR_F64 = DESCRIPTOR_BYTES / Float64Array.BYTES_PER_ELEMENT;

/** Throws unless `value` is a power of two within `[min, max]`; `name` goes into the message. */
export function assertPowerOfTwo(value: number, min: number, max: number, name: string): void {
  assert(
    Number.isInteger(value) && value >= min && value <= max && (value & (value - 1)) === 0,
    `${name} must be a power of two in [${min}, ${max}], got ${value}`,
  );
}
