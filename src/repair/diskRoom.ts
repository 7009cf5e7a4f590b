/**
 * Whether fetches of a disk make sense: one that is full refuses every piece, and asking peers for bytes that nobody can keep only costs them (pains.md 8). Pure; time comes in with each call, monotonic ms.
 *
 * After a write that found no space the disk counts as full for a while; then one fetch may try, and what comes of it decides. Nothing here looks at the file system: what is free there may be kept back for
 * others, and only a write knows.
 */

/** How long a disk counts as full, ms. Space comes back by deletes, which take as long. */
export const FULL_MS = 10_000;

/** What a fetch is told while the disk is full. */
export const DISK_FULL = 'no space left on the disk: fetches wait until there is';

export class DiskRoom {
  #fullUntilMs = Number.NEGATIVE_INFINITY;
  #isFull = false;

  get isFull(): boolean {
    return this.#isFull;
  }

  /** Whether a fetch may begin, or go on with its next piece. Of a full disk the first one that asks after a while tries for all. */
  admits(nowMs: number): boolean {
    if (!this.#isFull) return true;
    if (nowMs < this.#fullUntilMs) return false;
    this.#fullUntilMs = nowMs + FULL_MS;
    return true;
  }

  /** A write of repair found no space. */
  full(nowMs: number): void {
    this.#isFull = true;
    this.#fullUntilMs = nowMs + FULL_MS;
  }

  /** What was to try has ended without a word about room: an extent that exists, a source that failed. The next one tries, or a disk with room again would stay full for as long as such come first. */
  untried(nowMs: number): void {
    if (this.#isFull) this.#fullUntilMs = nowMs;
  }

  /** A write of repair has succeeded. */
  wrote(): void {
    this.#isFull = false;
  }
}

/** Whether an error text tells that the disk has no room. */
export function tellsFullDisk(text: string): boolean {
  return /no space left on (the )?device/.test(text);
}
