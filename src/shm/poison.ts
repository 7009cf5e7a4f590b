/**
 * Which client connections have failed: one shared word a connection index. After an error reply the reference closes the connection, and
 * packets that came in behind the failed one must not take effect (`wire.md` 6.5). A worker that fails an operation poisons the operation's connection;
 * all workers look before they begin the next operation of it.
 *
 * Connection indexes are used again, so the word holds a *generation*: the network thread gives each new connection on an index the
 * next one, from 1. A poisoning that comes late, for a connection long gone, must not undo that of its successor: the word only moves forward.
 */
import assert from 'node:assert';

/** A poison table's memory: a plain object that may be posted to a thread or put into workerData. */
export interface PoisonMemory {
  readonly sab: SharedArrayBuffer;
  readonly connections: number;
}

/** Makes a table for connection indexes 0..connections-1, none poisoned. */
export function createPoisonTable(connections: number): PoisonMemory {
  assert(Number.isInteger(connections) && connections > 0, `poison table for ${connections} connections`);
  return { sab: new SharedArrayBuffer(connections * Int32Array.BYTES_PER_ELEMENT), connections };
}

/** The generation after `generation`: an int32 that is never 0 (0 means that nothing was ever poisoned). */
export function nextGeneration(generation: number): number {
  return (generation + 1) | 0 || 1;
}

/** Read and written by every thread. */
export class PoisonTable {
  private readonly words: Int32Array;

  constructor(memory: PoisonMemory) {
    this.words = new Int32Array(memory.sab, 0, memory.connections);
  }

  /** Marks generation `generation` of connection `index`, unless a later one is marked already. */
  poison(index: number, generation: number): void {
    assert(generation !== 0, 'poison: generation 0');
    let current = Atomics.load(this.words, index);
    while (current === 0 || ((generation - current) | 0) > 0) {
      const found = Atomics.compareExchange(this.words, index, current, generation);
      if (found === current) return;
      current = found;
    }
  }

  /** True when generation `generation` of connection `index` was poisoned and no later one since. */
  isPoisoned(index: number, generation: number): boolean {
    return Atomics.load(this.words, index) === generation;
  }
}
