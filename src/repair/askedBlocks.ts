/**
 * Blocks of one disk that reads wait for, in the order in which they are to be looked at. Pure: times come in with each call, monotonic ms. Used by `healJob.ts`.
 *
 * Clients decide how often there are any, so all of it is bounded: how many wait, and how many a second are looked at, for each look reads a block on every host. Who is refused loses nothing: the pass comes to the block.
 */
import { TokenBucket } from '../partition/tokenBucket.js';

/** Blocks of a disk that wait for their turn: as many as reads of one worker wait. */
export const ASKED_MAX = 64;
/** Blocks of a disk that are looked at a second, in the long run; an idle time saves up `ASKED_MAX`. */
export const ASKED_PER_SECOND = 16;

export class AskedBlocks<T> {
  readonly #bucket = new TokenBucket(ASKED_PER_SECOND, ASKED_MAX);
  /** By key, the first one next. */
  readonly #waiting = new Map<string, T>();
  #current: string | null = null;

  /** Whether `asked` waits, or one of this key does already or is being looked at; false: there is no room, or it is too soon. */
  add(key: string, asked: T, nowMs: number): boolean {
    if (this.#current === key || this.#waiting.has(key)) return true;
    if (this.#waiting.size >= ASKED_MAX || !this.#bucket.take(1, nowMs)) return false;
    this.#waiting.set(key, asked);
    return true;
  }

  /** The next one, which is being looked at from now on until the next call; null: there is none. */
  next(): T | null {
    this.#current = null;
    for (const [key, asked] of this.#waiting) {
      this.#waiting.delete(key);
      this.#current = key;
      return asked;
    }
    return null;
  }
}
