/**
 * Time that passes only when a test says so.
 */
import type { Clock } from '../../src/storage/io.js';

export class SimClock implements Clock {
  private wallMs: number;
  private elapsedMs = 0;

  /** Starts at 2019-11-13 10:20:30 UTC unless told otherwise. */
  constructor(startMs: number = Date.UTC(2019, 10, 13, 10, 20, 30)) {
    this.wallMs = startMs;
  }

  nowMs(): number {
    return this.wallMs;
  }

  monotonicNs(): number {
    return this.elapsedMs * 1e6;
  }

  advance(ms: number): void {
    this.wallMs += ms;
    this.elapsedMs += ms;
  }

  /** The wall clock is set; monotonic time does not move. */
  jumpTo(wallMs: number): void {
    this.wallMs = wallMs;
  }
}
