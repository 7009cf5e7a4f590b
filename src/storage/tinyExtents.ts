/**
 * Which of a partition's 64 tiny extents may take appends (`storage.md` 11, W23): one state an id, so that no id can be queued twice.
 *
 * After a start all are suspect until a repair round has compared them with the other replicas. Nothing is persisted.
 */
import { TINY_EXTENT_LAST } from './layout.js';

export const TINY_STATE = { broken: 0, available: 1 } as const;
export type TinyState = (typeof TINY_STATE)[keyof typeof TINY_STATE];

export class TinyExtents {
  private readonly states = new Uint8Array(TINY_EXTENT_LAST + 1).fill(TINY_STATE.broken);

  state(id: number): TinyState {
    return this.states[id] === TINY_STATE.available ? TINY_STATE.available : TINY_STATE.broken;
  }

  move(id: number, state: TinyState): void {
    this.states[id] = state;
  }

  /** Ids in a state. */
  count(state: TinyState): number {
    return this.states.subarray(1).filter((entry) => entry === state).length;
  }
}
