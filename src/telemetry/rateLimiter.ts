/**
 * Decides which repeated messages pass: so many a key and interval, then one summary of what was held back. Pure: time comes in with each call.
 *
 * What a peer can cause (a bad packet, a refused connection) is logged through this, so that it can fill neither the log nor the memory: the
 * number of keys is bounded too, and keys beyond the bound share one budget.
 */
import assert from 'node:assert';

export interface RateLimits {
  /** Messages that pass, a key and interval. */
  readonly messagesMax: number;
  readonly intervalMs: number;
  /** Keys with a budget of their own. */
  readonly keysMax: number;
}

/** A key whose interval is over and of which something was held back. */
export interface Suppressed {
  readonly key: string;
  readonly count: number;
}

interface Window {
  startMs: number;
  passed: number;
  held: number;
}

/** The budget of all keys beyond `keysMax`, and the key under which they are summed up. */
export const OTHER_KEYS = 'other';

export class RateLimiter {
  readonly #limits: RateLimits;
  readonly #windows = new Map<string, Window>();

  constructor(limits: RateLimits) {
    assert(limits.messagesMax > 0 && limits.intervalMs > 0 && limits.keysMax > 0);
    this.#limits = limits;
  }

  /** Whether a message of `key` passes at `nowMs` (monotonic). What does not pass is counted for `expire`. */
  admit(key: string, nowMs: number): boolean {
    const window = this.#window(key, nowMs);
    if (nowMs - window.startMs >= this.#limits.intervalMs && window.held === 0) {
      window.startMs = nowMs;
      window.passed = 0;
    }
    if (window.passed < this.#limits.messagesMax) {
      window.passed += 1;
      return true;
    }
    window.held += 1;
    return false;
  }

  /** Ends the intervals that are over at `nowMs`; returns what they held back. To be called about once an interval. */
  expire(nowMs: number): Suppressed[] {
    const suppressed: Suppressed[] = [];
    for (const [key, window] of this.#windows) {
      if (nowMs - window.startMs < this.#limits.intervalMs) continue;
      if (window.held > 0) suppressed.push({ key, count: window.held });
      this.#windows.delete(key);
    }
    return suppressed;
  }

  /** Keys remembered at the moment, at most `keysMax` + 1. */
  get keyCount(): number {
    return this.#windows.size;
  }

  #window(key: string, nowMs: number): Window {
    const own = this.#windows.get(key);
    if (own !== undefined) return own;
    const name = this.#windows.size < this.#limits.keysMax ? key : OTHER_KEYS;
    const shared = this.#windows.get(name);
    if (shared !== undefined) return shared;
    const window = { startMs: nowMs, passed: 0, held: 0 };
    this.#windows.set(name, window);
    return window;
  }
}
