/**
 * A rate, enforced: what is taken beyond it waits. Pure: time comes in with each call, in monotonic ms.
 *
 * The bucket refills at the rate and holds at most a burst. Taking may overdraw it once (a request larger than the burst must pass some time), and then
 * nobody passes until the debt is paid, so that the mean over any longer time is the rate. The rate may change at any moment; 0 is no limit.
 */
import assert from 'node:assert';

export class TokenBucket {
  private ratePerSecond: number;
  private burst: number;
  private tokens: number;
  private filledAtMs = 0;

  /** @param ratePerSecond tokens (bytes, operations) a second, 0 for no limit. @param burst most tokens that an idle time saves up. */
  constructor(ratePerSecond: number, burst: number) {
    assert(ratePerSecond >= 0 && burst > 0, 'a rate is not negative and a burst is something');
    this.ratePerSecond = ratePerSecond;
    this.burst = burst;
    this.tokens = burst;
  }

  /** Another rate and burst from now on. A debt stays, savings are cut to the burst. */
  setRate(ratePerSecond: number, burst: number, nowMs: number): void {
    assert(ratePerSecond >= 0 && burst > 0, 'a rate is not negative and a burst is something');
    this.refill(nowMs);
    this.ratePerSecond = ratePerSecond;
    this.burst = burst;
    this.tokens = Math.min(this.tokens, burst);
  }

  /** Takes `count` tokens when the bucket is not in debt; false, and nothing is taken, when it is. */
  take(count: number, nowMs: number): boolean {
    if (this.ratePerSecond === 0) return true;
    this.refill(nowMs);
    if (this.tokens <= 0) return false;
    this.tokens -= count;
    return true;
  }

  /** Ms until `take` can succeed again: 0 when it can now. */
  waitMs(nowMs: number): number {
    if (this.ratePerSecond === 0) return 0;
    this.refill(nowMs);
    return this.tokens > 0 ? 0 : Math.ceil(((1 - this.tokens) / this.ratePerSecond) * 1000);
  }

  private refill(nowMs: number): void {
    const elapsedMs = Math.max(0, nowMs - this.filledAtMs);
    this.filledAtMs = Math.max(this.filledAtMs, nowMs);
    this.tokens = Math.min(this.burst, this.tokens + (elapsedMs * this.ratePerSecond) / 1000);
  }
}
