/**
 * The snapshots that are on their way to peers: at most so many, and of one group to one node only the newest (`raft.md` 2.6). Pure.
 */
import assert from 'node:assert';

/** `T`: what stands for one that runs. */
export class RunningSnapshots<T> {
  readonly #max: number;
  readonly #running = new Map<string, T>();

  constructor(max: number) {
    this.#max = max;
  }

  get count(): number {
    return this.#running.size;
  }

  /** Whether one more may be started: another of the same group to the same node gives way. */
  hasRoomFor(group: number, to: number): boolean {
    return this.#running.size < this.#max || this.#running.has(keyOf(group, to));
  }

  /** Counts one; returns the one that it takes the place of, of whose end nobody is to hear. */
  start(group: number, to: number, snapshot: T): T | null {
    assert(this.hasRoomFor(group, to), 'as many snapshots as there may be');
    const replaced = this.#running.get(keyOf(group, to)) ?? null;
    this.#running.set(keyOf(group, to), snapshot);
    return replaced;
  }

  /** One has ended. One that was replaced has ended before. */
  end(group: number, to: number, snapshot: T): void {
    if (this.#running.get(keyOf(group, to)) === snapshot) this.#running.delete(keyOf(group, to));
  }

  /** Forgets all; returns them. */
  clear(): T[] {
    const all = [...this.#running.values()];
    this.#running.clear();
    return all;
  }
}

function keyOf(group: number, to: number): string {
  return `${group} ${to}`;
}
