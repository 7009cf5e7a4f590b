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

/** A worker goes round its loop once a second at least: silent for two it is blocked, and what it said of those that wait is not true any more. */
const LOOP_SILENT_MS = 2_000;

/**
 * Adds a look, `lookMs` after the last one, to a worker's silence. Requests that wait for a limit of their disk, `limited` of those in flight, are not owed an answer: while
 * there are no others the disk is not silent, however seldom its limit lets one go.
 */
export function silentAfterLook(
  worker: Pick<WorkerProgress, 'inFlight' | 'silentMs'> & Pick<WorkerLife, 'loopSilentMs'>,
  limited: number,
  lookMs: number,
): number {
  if (worker.inFlight === 0) return worker.silentMs;
  const owes = worker.inFlight > limited || worker.loopSilentMs > LOOP_SILENT_MS;
  return owes ? worker.silentMs + lookMs : 0;
}

export type WatchVerdict = 'unchanged' | 'stalled' | 'recovered';

/** Judges a worker: work waits and nothing was answered for `stallMs` → stalled; answered again → recovered. */
export function watchWorker(worker: WorkerProgress, stallMs: number): WatchVerdict {
  if (worker.refusal === '')
    return worker.inFlight > 0 && worker.silentMs > stallMs ? 'stalled' : 'unchanged';
  return worker.inFlight === 0 || worker.silentMs === 0 ? 'recovered' : 'unchanged';
}

/** What main sees of a worker's loop, and of its disk's probe. */
export interface WorkerLife {
  /** Last sign of life of the loop as main saw it; any number that changes. */
  heartbeatMs: number;
  /** How long it has not changed, ms: added up look by look. */
  loopSilentMs: number;
  hung: boolean;
}

/**
 * Takes a look at a worker `lookMs` after the last one: whether its disk hangs, because its loop (blocked in a call) or the probe has been silent for more than
 * `timeoutMs`. Changes `life`; returns whether `hung` has changed.
 */
export function watchLife(
  life: WorkerLife,
  heartbeatMs: number,
  probeMs: number,
  lookMs: number,
  timeoutMs: number,
): boolean {
  life.loopSilentMs = heartbeatMs === life.heartbeatMs ? life.loopSilentMs + lookMs : 0;
  life.heartbeatMs = heartbeatMs;
  // A loop that is blocked cannot tell how the probe goes on.
  const hung = life.loopSilentMs > timeoutMs || (probeMs > 0 && probeMs + life.loopSilentMs > timeoutMs);
  const changed = hung !== life.hung;
  life.hung = hung;
  return changed;
}
