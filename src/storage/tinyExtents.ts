/**
 * Which of a partition's 64 tiny extents may take appends (`storage.md` 11, W23): one state an id, so that no id can be queued twice.
 *
 * A primary takes an available extent for one append and gives it back when that has ended: to the end of the queue when it was acknowledged, otherwise
 * as broken. After a start all are broken until somebody has made sure that the replicas agree. Nothing is persisted.
 */
import assert from 'node:assert';
import { TINY_EXTENT_FIRST, TINY_EXTENT_LAST } from './layout.js';

export const TINY_STATE = { broken: 0, available: 1, writing: 2 } as const;
export type TinyState = (typeof TINY_STATE)[keyof typeof TINY_STATE];

export class TinyExtents {
  private readonly states = new Uint8Array(TINY_EXTENT_LAST + 1).fill(TINY_STATE.broken);
  /** Available ids, the one to be taken next first. */
  private readonly queue: number[] = [];

  state(id: number): TinyState {
    return this.states[id] as TinyState;
  }

  /** Moves an extent that nobody writes to. Moving it to where it is changes nothing. */
  move(id: number, state: typeof TINY_STATE.broken | typeof TINY_STATE.available): void {
    const before = this.states[id];
    assert(before !== TINY_STATE.writing, `tiny extent ${id} is being written`);
    if (before === state) return;
    this.states[id] = state;
    if (state === TINY_STATE.available) this.queue.push(id);
    else this.queue.splice(this.queue.indexOf(id), 1);
  }

  /** Moves every broken extent for which `sound` holds to the available ones. */
  repairAll(sound: (id: number) => boolean): void {
    for (let id = TINY_EXTENT_FIRST; id <= TINY_EXTENT_LAST; id += 1) {
      if (this.states[id] === TINY_STATE.broken && sound(id)) this.move(id, TINY_STATE.available);
    }
  }

  /** Takes the available extent that has waited longest among those for which `fits` holds; 0 when there is none. */
  take(fits: (id: number) => boolean): number {
    const position = this.queue.findIndex(fits);
    if (position < 0) return 0;
    const id = this.queue[position]!;
    if (position === 0) this.queue.shift();
    else this.queue.splice(position, 1);
    this.states[id] = TINY_STATE.writing;
    return id;
  }

  /** The append that took the extent has ended. Once for each `take`. */
  giveBack(id: number, acknowledged: boolean): void {
    assert(this.states[id] === TINY_STATE.writing, `tiny extent ${id} was given back twice`);
    this.states[id] = acknowledged ? TINY_STATE.available : TINY_STATE.broken;
    if (acknowledged) this.queue.push(id);
  }

  /** Ids in a state. */
  count(state: TinyState): number {
    let count = 0;
    for (let id = TINY_EXTENT_FIRST; id <= TINY_EXTENT_LAST; id += 1)
      if (this.states[id] === state) count += 1;
    return count;
  }
}
