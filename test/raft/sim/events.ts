/**
 * Simulated time: a queue of what happens when, and the time of one node, which may run fast or slow, stand still for a while, or have its wall clock set.
 *
 * One queue drives a whole run, so a run is a function of its seed: what happens at the same moment happens in the order in which it was asked for. Moments are
 * whole milliseconds since the run began. Nothing here draws a random number.
 */
import assert from 'node:assert';
import type { Clock } from '../../../src/storage/io.js';

/** What happens, and when: a binary heap over parallel arrays, because a run has some hundred thousand events a second. */
export class EventQueue {
  /** The present moment, ms. */
  nowMs = 0;
  /** Events that have happened. */
  happened = 0;
  readonly #times: number[] = [];
  readonly #numbers: number[] = [];
  readonly #actions: (() => void)[] = [];
  #asked = 0;

  /** Events that wait. */
  get size(): number {
    return this.#times.length;
  }

  /** Moment of the next event; `Infinity` when there is none. */
  get nextMs(): number {
    return this.#times[0] ?? Infinity;
  }

  /** `action` at a moment that is not past. */
  at(timeMs: number, action: () => void): void {
    assert(Number.isInteger(timeMs) && timeMs >= this.nowMs, 'a moment is whole and not past');
    this.#asked += 1;
    this.#rise(this.#times.length, timeMs, this.#asked, action);
  }

  after(delayMs: number, action: () => void): void {
    this.at(this.nowMs + delayMs, action);
  }

  /** Lets the next event happen; false when there is none. */
  step(): boolean {
    const action = this.#actions[0];
    if (action === undefined) return false;
    this.nowMs = this.#times[0]!;
    this.happened += 1;
    const time = this.#times.pop()!;
    const number = this.#numbers.pop()!;
    const last = this.#actions.pop()!;
    if (this.#times.length > 0) this.#sink(time, number, last);
    action();
    return true;
  }

  /** Lets everything happen up to this moment, which is then the present. */
  runUntil(timeMs: number): void {
    while (this.nextMs <= timeMs) this.step();
    this.nowMs = Math.max(this.nowMs, timeMs);
  }

  /** Puts an event in a free place at the end, and moves it up while it is earlier. */
  #rise(from: number, time: number, number: number, action: () => void): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      // A later number never rises above an equal time.
      if (this.#times[parent]! <= time) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#put(at, time, number, action);
  }

  /** Puts an event in the free place at the top, and moves it down while it is later. */
  #sink(time: number, number: number, action: () => void): void {
    const count = this.#times.length;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= count) break;
      if (child + 1 < count && this.#isBefore(child + 1, this.#times[child]!, this.#numbers[child]!))
        child += 1;
      if (!this.#isBefore(child, time, number)) break;
      this.#move(child, at);
      at = child;
    }
    this.#put(at, time, number, action);
  }

  #isBefore(place: number, time: number, number: number): boolean {
    const other = this.#times[place]!;
    return other < time || (other === time && this.#numbers[place]! < number);
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#times[from]!, this.#numbers[from]!, this.#actions[from]!);
  }

  #put(place: number, time: number, number: number, action: () => void): void {
    this.#times[place] = time;
    this.#numbers[place] = number;
    this.#actions[place] = action;
  }
}

/** Wall clock of every node when a run begins: 2019-11-13 10:20:30 UTC. */
const WALL_START_MS = Date.UTC(2019, 10, 13, 10, 20, 30);

/**
 * The time of one life of a node. What it does goes through `run`, so that a pause holds it all back, in order, and its end stops it for good.
 *
 * A pause is what a suspended machine or a long garbage collection is: nothing runs, messages wait, and a timer that was due comes once, late.
 */
export class NodeClock implements Clock {
  readonly #events: EventQueue;
  /** Local ms per simulated ms. */
  #rate: number;
  /** Monotonic local time at `#sinceMs`. */
  #localMs = 0;
  #sinceMs: number;
  #wallOffsetMs = WALL_START_MS;
  #resumeMs = -1;
  /** What waits for the end of a pause; null while there is none. */
  #held: (() => void)[] | null = null;
  #ended = false;

  constructor(events: EventQueue, rate = 1) {
    this.#events = events;
    this.#rate = rate;
    this.#sinceMs = events.nowMs;
  }

  nowMs(): number {
    return Math.floor(this.#local() + this.#wallOffsetMs);
  }

  monotonicNs(): number {
    return Math.floor(this.#local() * 1e6);
  }

  get paused(): boolean {
    return this.#held !== null;
  }

  /** The clock runs at this rate from now on; timers keep the moment that they have. */
  setRate(rate: number): void {
    assert(rate > 0, 'a clock does not stand still');
    this.#localMs = this.#local();
    this.#sinceMs = this.#events.nowMs;
    this.#rate = rate;
  }

  /** The wall clock is set by so much, which may be back; monotonic time does not change. */
  jump(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  /** Nothing runs here for so long; during a pause, at least so long from now. */
  pause(ms: number): void {
    this.#resumeMs = Math.max(this.#resumeMs, this.#events.nowMs + ms);
    if (this.#held !== null || this.#ended) return;
    this.#held = [];
    this.#events.at(this.#resumeMs, () => this.#resume());
  }

  /** Does it now, behind what a pause holds back, or never when this life is over. */
  run(action: () => void): void {
    if (this.#ended) return;
    if (this.#held === null) action();
    else this.#held.push(action);
  }

  /** As `run`, when so many local ms have passed. */
  after(localMs: number, action: () => void): void {
    this.#events.after(this.#simulated(localMs), () => this.run(action));
  }

  /** As `run`, every so many local ms, counted from the end of the last one, as a timer of Node does. */
  every(localMs: number, action: () => void): void {
    const again = (): void => {
      action();
      this.#events.after(this.#simulated(localMs), due);
    };
    const due = (): void => this.run(again);
    this.#events.after(this.#simulated(localMs), due);
  }

  /** This life is over: nothing that it wanted to do happens any more. */
  end(): void {
    this.#ended = true;
    this.#held = null;
  }

  #simulated(localMs: number): number {
    return Math.max(0, Math.round(localMs / this.#rate));
  }

  #local(): number {
    return this.#localMs + (this.#events.nowMs - this.#sinceMs) * this.#rate;
  }

  #resume(): void {
    const held = this.#held;
    if (held === null) return;
    if (this.#resumeMs > this.#events.nowMs) {
      this.#events.at(this.#resumeMs, () => this.#resume());
      return;
    }
    this.#held = null;
    // One of them may pause or end this node again.
    for (const action of held) this.run(action);
  }
}
