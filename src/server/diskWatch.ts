/**
 * Notices disks that complete nothing. Pure: fed with what main sees of a worker, it says when its disk stops and starts to take work.
 */

/** What main sees of one worker. */
export interface WorkerProgress {
  inFlight: number;
  /** When it last answered, or when it last got its first request; ms. */
  progressMs: number;
  /** Why its disk takes no work; empty: it does. */
  refusal: string;
}

export type WatchVerdict = 'unchanged' | 'stalled' | 'recovered';

/** Judges a worker at `nowMs`: work waits and nothing was answered for `stallMs` → stalled; answered again → recovered. */
export function watchWorker(worker: WorkerProgress, nowMs: number, stallMs: number): WatchVerdict {
  const silentMs = nowMs - worker.progressMs;
  if (worker.refusal === '') return worker.inFlight > 0 && silentMs > stallMs ? 'stalled' : 'unchanged';
  return worker.inFlight === 0 || silentMs <= stallMs / 2 ? 'recovered' : 'unchanged';
}
