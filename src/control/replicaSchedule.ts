/**
 * Decides when the master is asked for the replicas of which partition (`admin.md` 4.2): each at most once in ten minutes, few at a time, spread over the
 * interval, with growing pauses after failures. Pure: time and randomness come from outside. `replicaLists.ts` asks.
 *
 * The reference asks for all partitions in the same minute, one goroutine each: thousands of calls at once, at the moment when a master has just come back.
 */
import { REPLICA_LIST_INTERVAL_SECONDS } from '../protocol/constants.js';

const INTERVAL_MS = REPLICA_LIST_INTERVAL_SECONDS * 1000;

export const REPLICA_SCHEDULE = {
  /** Time between two answered questions about one partition; up to a tenth longer by chance, so that partitions drift apart. */
  intervalMs: INTERVAL_MS,
  /** First questions come within this, or within this for each partition if that is longer; the interval at most. */
  firstMs: 5_000,
  firstMsEach: 50,
  /** Questions under way at one time. */
  openMax: 4,
  /** Pause after a failure: doubled with each one in a row, the interval at most. For a partition that the master refuses, and for all when there is no master. */
  retryMs: 10_000,
} as const;

interface Row {
  dueMs: number;
  /** Refusals in a row. */
  failures: number;
  isOpen: boolean;
}

export class ReplicaSchedule {
  readonly #random: () => number;
  readonly #rows = new Map<number, Row>();
  /** Due ones that wait for their turn, in order. */
  #ready: number[] = [];
  #open = 0;
  /** Nothing is asked before this: there is no master. */
  #pausedUntilMs = 0;
  #masterFailures = 0;

  /** `random`: 0 up to 1, as `Math.random`. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Takes over which partitions there are now: new ones get their turn, those that are gone are forgotten. */
  keep(ids: readonly number[], nowMs: number): void {
    const { firstMs, firstMsEach, intervalMs } = REPLICA_SCHEDULE;
    const spreadMs = Math.min(intervalMs, Math.max(firstMs, ids.length * firstMsEach));
    const kept = new Set(ids);
    for (const id of this.#rows.keys()) if (!kept.has(id)) this.#rows.delete(id);
    for (const id of ids) {
      if (this.#rows.has(id)) continue;
      this.#rows.set(id, { dueMs: nowMs + this.#random() * spreadMs, failures: 0, isOpen: false });
    }
  }

  /** Nobody has told anything of the partition that has this id now: another one had it before. It gets its turn as a new one does. */
  forget(id: number): void {
    this.#rows.delete(id);
  }

  /** Collects what has become due. Called about once a second. */
  tick(nowMs: number): void {
    if (nowMs < this.#pausedUntilMs || this.#ready.length > 0) return;
    for (const [id, row] of this.#rows) if (!row.isOpen && row.dueMs <= nowMs) this.#ready.push(id);
    this.#ready.sort((a, b) => this.#rows.get(a)!.dueMs - this.#rows.get(b)!.dueMs);
  }

  /** The partition to ask for now; null: nobody's turn. One of `answered`, `refused` and `unreachable` must follow. */
  next(nowMs: number): number | null {
    if (nowMs < this.#pausedUntilMs) return null;
    while (this.#open < REPLICA_SCHEDULE.openMax) {
      const id = this.#ready.shift();
      if (id === undefined) return null;
      const row = this.#rows.get(id);
      // Gone, or gone and here again, since it became due.
      if (row === undefined || row.isOpen || row.dueMs > nowMs) continue;
      row.isOpen = true;
      this.#open += 1;
      return id;
    }
    return null;
  }

  /** The master has told the list. */
  answered(id: number, nowMs: number): void {
    this.#masterFailures = 0;
    const row = this.#close(id);
    if (row === undefined) return;
    row.failures = 0;
    row.dueMs = nowMs + REPLICA_SCHEDULE.intervalMs * (1 + this.#random() / 10);
  }

  /** A master has answered, but not with a list. */
  refused(id: number, nowMs: number): void {
    this.#masterFailures = 0;
    const row = this.#close(id);
    if (row === undefined) return;
    row.failures += 1;
    row.dueMs = nowMs + this.#pauseMs(row.failures);
  }

  /** No master has answered: nobody is asked for anybody for a while, and then for this one again. */
  unreachable(id: number, nowMs: number): void {
    this.#close(id);
    this.#ready = [];
    // Questions that were under way together are one failure.
    if (nowMs < this.#pausedUntilMs) return;
    this.#masterFailures += 1;
    this.#pausedUntilMs = nowMs + this.#pauseMs(this.#masterFailures);
  }

  #close(id: number): Row | undefined {
    this.#open -= 1;
    const row = this.#rows.get(id);
    if (row !== undefined) row.isOpen = false;
    return row;
  }

  #pauseMs(failures: number): number {
    const { retryMs, intervalMs } = REPLICA_SCHEDULE;
    const pauseMs = Math.min(intervalMs, retryMs * 2 ** Math.min(failures - 1, 16));
    return pauseMs * (0.5 + this.#random() / 2);
  }
}
