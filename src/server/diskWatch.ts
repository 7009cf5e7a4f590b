/**
 * Notices disks that complete nothing. Pure: fed with what main sees of a worker, it says when its disk stops and starts to take work.
 */

/** What main sees of one worker. */
export interface WorkerProgress {
  inFlight: number;
  /** How long nothing was answered although work waited, ms: added up look by look, so that a pause of the whole process counts as one look. */
  silentMs: number;
  /** Why its disk takes no work; empty: it does. */
  refusal: string;
}

export type WatchVerdict = 'unchanged' | 'stalled' | 'recovered';

/** Judges a worker: work waits and nothing was answered for `stallMs` → stalled; answered again → recovered. */
export function watchWorker(worker: WorkerProgress, stallMs: number): WatchVerdict {
  if (worker.refusal === '')
    return worker.inFlight > 0 && worker.silentMs > stallMs ? 'stalled' : 'unchanged';
  return worker.inFlight === 0 || worker.silentMs === 0 ? 'recovered' : 'unchanged';
}
