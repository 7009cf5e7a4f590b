/**
 * A logger for messages that outsiders can cause in any number: bounded by a `RateLimiter`, with one `suppressed` line a key and interval.
 *
 * Owned by the thread that logs through it. The clock is injected; the owner calls `tick` about once an interval, or lets `start` do it.
 */
import type { Logger } from 'pino';
import { RateLimiter, type RateLimits } from './rateLimiter.js';

/** Ten lines a second and kind of event, 256 kinds. */
export const LOG_RATE: RateLimits = { messagesMax: 10, intervalMs: 1_000, keysMax: 256 };

type Level = 'debug' | 'info' | 'warn' | 'error';

export class RateLimitedLog {
  readonly #log: Logger;
  readonly #limiter: RateLimiter;
  readonly #limits: RateLimits;
  readonly #nowMs: () => number;

  /** `nowMs`: a monotonic clock. */
  constructor(log: Logger, limits: RateLimits, nowMs: () => number) {
    this.#log = log;
    this.#limiter = new RateLimiter(limits);
    this.#limits = limits;
    this.#nowMs = nowMs;
  }

  /** Logs unless `key` has used up its interval. A level that is switched off costs and counts nothing. */
  write(level: Level, key: string, message: string, fields: Record<string, unknown> = {}): void {
    if (!this.#log.isLevelEnabled(level)) return;
    if (this.#limiter.admit(key, this.#nowMs())) this.#log[level](fields, message);
  }

  /** Writes the summaries of the intervals that are over. */
  tick(): void {
    for (const { key, count } of this.#limiter.expire(this.#nowMs())) {
      this.#log.warn({ key, suppressed: count }, `suppressed ${count} more messages: ${key}`);
    }
  }

  /** Ticks by a timer that does not keep the process alive. Returns the function that stops it and writes what is left. */
  start(): () => void {
    const timer = setInterval(() => this.tick(), this.#limits.intervalMs);
    timer.unref();
    return () => {
      clearInterval(timer);
      this.tick();
    };
  }
}
