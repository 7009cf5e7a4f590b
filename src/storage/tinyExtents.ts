/**
 * Which of a partition's 64 tiny extents may take appends (`storage.md` 11, W23, `repair.md` 5): one state an id, so that no id can be queued twice, nor be written and repaired at once.
 *
 * A primary takes an available extent for one append and gives it back when that has ended: to the end of the queue when it was acknowledged, otherwise
 * as broken. A round of repair takes broken ones and gives them back as available where all replicas agree, else as broken. After a start all are broken until somebody has made sure that the
 * replicas agree. Nothing is persisted.
 */
import assert from 'node:assert';
import { TINY_EXTENTS_TO_REPAIR } from '../protocol/constants.js';
import { TINY_EXTENT_FIRST, TINY_EXTENT_LAST } from './layout.js';

export const TINY_STATE = { broken: 0, available: 1, writing: 2, repairing: 3 } as const;
export type TinyState = (typeof TINY_STATE)[keyof typeof TINY_STATE];

export class TinyExtents {
  private readonly states = new Uint8Array(TINY_EXTENT_LAST + 1).fill(TINY_STATE.broken);
  /** Available ids, and broken ones, the one to be taken next first. */
  private readonly queue: number[] = [];
  private readonly brokenQueue = Array.from({ length: TINY_EXTENT_LAST }, (_, i) => i + TINY_EXTENT_FIRST);

  /** How many there are. */
  get idCount(): number {
    return TINY_EXTENT_LAST;
  }

  state(id: number): TinyState {
    return this.states[id] as TinyState;
  }

  /** Moves an extent that nobody writes to or repairs. Moving it to where it is changes nothing. */
  move(id: number, state: typeof TINY_STATE.broken | typeof TINY_STATE.available): void {
    const before = this.states[id];
    const idle = before === TINY_STATE.broken || before === TINY_STATE.available;
    assert(idle, `tiny extent ${id} is being written or repaired`);
    if (before === state) return;
    const from = before === TINY_STATE.available ? this.queue : this.brokenQueue;
    from.splice(from.indexOf(id), 1);
    this.enter(id, state);
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
    this.enter(id, acknowledged ? TINY_STATE.available : TINY_STATE.broken);
  }

  /**
   * Takes extents for a round of repair: all broken ones, which get no appends either way; when there are none, some of the available ones, so that each is looked at now and then and the others stay writable
   * meanwhile.
   */
  takeForRepair(): number[] {
    if (this.brokenQueue.length === 0) {
      for (const id of this.queue.slice(0, TINY_EXTENTS_TO_REPAIR)) this.move(id, TINY_STATE.broken);
    }
    const ids = this.brokenQueue.splice(0);
    for (const id of ids) this.states[id] = TINY_STATE.repairing;
    return ids;
  }

  /** A round gives an extent back. One that no round has is left alone: a round that was given up may still say what became of it. */
  repaired(id: number, good: boolean): void {
    if (this.states[id] === TINY_STATE.repairing)
      this.enter(id, good ? TINY_STATE.available : TINY_STATE.broken);
  }

  /** Nobody knows of any round any more: what was taken for one is broken. */
  forgetRounds(): void {
    for (let id = TINY_EXTENT_FIRST; id <= TINY_EXTENT_LAST; id += 1) this.repaired(id, false);
  }

  /** Ids in a state. */
  count(state: TinyState): number {
    let count = 0;
    for (let id = TINY_EXTENT_FIRST; id <= TINY_EXTENT_LAST; id += 1)
      if (this.states[id] === state) count += 1;
    return count;
  }

  private enter(id: number, state: typeof TINY_STATE.broken | typeof TINY_STATE.available): void {
    this.states[id] = state;
    (state === TINY_STATE.available ? this.queue : this.brokenQueue).push(id);
  }
}
