/**
 * Counters in shared memory: written by the one thread that owns them, read by anybody (metrics, heartbeat, console).
 *
 * A counter is one Float64 at an address that is a multiple of 8. Its owner adds with a plain load and a plain store, no locked instruction: there is no
 * second writer to lose an addition to. A reader sees the old value or the new one and never half of each, because x64 and arm64, the only CPUs that
 * we build for, move an aligned 8-byte word in one access and V8 uses one for a Float64Array element. (The language itself promises this for 32-bit words
 * and for `Atomics`, which has no floating point; BigInt64 with Atomics would allocate on each addition.) Doubles count exactly to 2^53.
 *
 * There is no order between counters: a reader may see a request counted and its bytes not yet. Values that must fit each other belong into one message.
 */
import assert from 'node:assert';
import { LINE_BYTES } from './layout.js';

/** The memory of one owner's counters: a plain object that may be posted to a thread or put into workerData. */
export interface CountersMemory {
  readonly sab: SharedArrayBuffer;
  readonly names: readonly string[];
}

/** Makes one zero counter a name. The order of `names` gives the indexes. Throws an AssertionError on a name that comes twice. */
export function createCounters(names: readonly string[]): CountersMemory {
  assert(new Set(names).size === names.length, 'counters: a name comes twice');
  // A line before and after: what the allocator puts next to us may be another thread's.
  const sizeBytes = 2 * LINE_BYTES + names.length * Float64Array.BYTES_PER_ELEMENT;
  return { sab: new SharedArrayBuffer(sizeBytes), names: [...names] };
}

/** One owner's counters. `add` and `set` on the owner's thread only; the rest anywhere. */
export class Counters {
  readonly names: readonly string[];
  private readonly values: Float64Array;

  constructor(memory: CountersMemory) {
    this.names = memory.names;
    this.values = new Float64Array(memory.sab, LINE_BYTES, memory.names.length);
  }

  /** Adds `n` to the counter with this index (an index out of range is ignored, as typed arrays do). */
  add(index: number, n: number): void {
    this.values[index]! += n;
  }

  /** For gauges: sets the value. */
  set(index: number, value: number): void {
    this.values[index] = value;
  }

  /** The value as of now. Throws an AssertionError for an index out of range. */
  value(index: number): number {
    const value = this.values[index];
    assert(value !== undefined, 'counters: index out of range');
    return value;
  }

  /** Index of a name; throws an AssertionError for an unknown one. For start-up: keep the number. */
  indexOf(name: string): number {
    const index = this.names.indexOf(name);
    assert(index >= 0, `counters: no counter ${name}`);
    return index;
  }
}
