/**
 * When which partition has its next round, and of which kind (`repair.md` 4). Pure: time comes in with each call, monotonic ms.
 *
 * As in the reference rounds of normal and of tiny extents take turns, a minute apart. Unlike there the first two come as soon as the partition can have them, so that tiny extents are writable within seconds of a
 * start; a round that was left unfinished by its bound goes on at once; one that finds a member back is followed by the other kind at once; one that misses a host is followed sooner by the next, a few times; and a partition never waits for another one's round but for the bounds of its disk and of the node. Who has been due longest
 * is next.
 */
import assert from 'node:assert';

/** From the beginning of one round of a partition to the next, ms. */
export const ROUND_INTERVAL_MS = 60_000;
/**
 * After rounds that have missed a host: what comes before the usual interval again. Nodes of a cluster that start together are not there in the same second, and without them no tiny extent is writable; one
 * that stays away costs these rounds and no more.
 */
export const RETRIES_MS: readonly number[] = [5_000, 10_000, 20_000];

export interface ScheduleLimits {
  /** Rounds at one time, on one disk and in all. */
  readonly perDiskMax: number;
  readonly inAllMax: number;
}

export type RoundKind = 'normal' | 'tiny';

export interface DueRound {
  readonly partitionId: number;
  readonly kind: RoundKind;
}

/** How a round has ended: `unfinished`, its bound has left something out; `memberBack`, a host took part that had not taken part before; `absent`, a host did not take part. */
export type RoundEnd = 'done' | 'unfinished' | 'memberBack' | 'absent';

/** What a round leaves to the schedule. `absentBefore` and `absent`: hosts that did not take part in the last round before it, of either kind, and in it. Hosts that have left are nobody. */
export function roundEnd(
  leftOut: number,
  hosts: readonly string[],
  absentBefore: ReadonlySet<string>,
  absent: ReadonlySet<string>,
): RoundEnd {
  if (leftOut > 0) return 'unfinished';
  if (hosts.some((host) => absentBefore.has(host) && !absent.has(host))) return 'memberBack';
  return hosts.some((host) => absent.has(host)) ? 'absent' : 'done';
}

interface Entry {
  readonly disk: number;
  kind: RoundKind;
  dueMs: number;
  startedMs: number;
  running: boolean;
  /** Left the schedule while its round runs. */
  gone: boolean;
  /** No tiny round has ended yet: it follows the first normal one at once. */
  isNew: boolean;
  /** Rounds that came sooner because a host was absent, since all were there. */
  retries: number;
}

export class RepairSchedule {
  #limits: ScheduleLimits;
  readonly #entries = new Map<number, Entry>();
  readonly #runningOn = new Map<number, number>();
  #running = 0;

  constructor(limits: ScheduleLimits) {
    checkLimits(limits);
    this.#limits = limits;
  }

  /** Other bounds from now on; rounds that run go on. */
  setLimits(limits: ScheduleLimits): void {
    checkLimits(limits);
    this.#limits = limits;
  }

  /** Partitions in the schedule, and rounds that run. */
  get size(): number {
    return this.#entries.size;
  }

  get running(): number {
    return this.#running;
  }

  /** This node is the first host of the partition and knows its replicas: its first round is due now. One that is here already stays as it is. */
  add(partitionId: number, disk: number, nowMs: number): void {
    const known = this.#entries.get(partitionId);
    if (known !== undefined) {
      known.gone = false;
      return;
    }
    this.#entries.set(partitionId, {
      ...{ disk, kind: 'normal', dueMs: nowMs, startedMs: 0 },
      ...{ running: false, gone: false, isNew: true, retries: 0 },
    });
  }

  /** The partition has another first host, is gone, or is out of service. A round that runs ends by itself. */
  remove(partitionId: number): void {
    const entry = this.#entries.get(partitionId);
    if (entry === undefined) return;
    if (entry.running) entry.gone = true;
    else this.#entries.delete(partitionId);
  }

  /** A round of both kinds is due now: the list of hosts has changed, or somebody asks for it. */
  hasten(partitionId: number, nowMs: number): void {
    const entry = this.#entries.get(partitionId);
    if (entry !== undefined) entry.dueMs = Math.min(entry.dueMs, nowMs);
  }

  /** The next round to begin, which runs from now on until `ended`; null: none is due, or the bounds are reached. */
  next(nowMs: number): DueRound | null {
    if (this.#running >= this.#limits.inAllMax) return null;
    let best: [id: number, entry: Entry] | null = null;
    for (const [id, entry] of this.#entries) {
      if (entry.running || entry.dueMs > nowMs || !this.#hasRoom(entry.disk)) continue;
      if (best === null || entry.dueMs < best[1].dueMs) best = [id, entry];
    }
    if (best === null) return null;
    const [partitionId, entry] = best;
    entry.running = true;
    entry.startedMs = nowMs;
    this.#running += 1;
    this.#runningOn.set(entry.disk, (this.#runningOn.get(entry.disk) ?? 0) + 1);
    return { partitionId, kind: entry.kind };
  }

  /** The round of a partition has ended. */
  ended(partitionId: number, end: RoundEnd, nowMs: number): void {
    const entry = this.#entries.get(partitionId);
    assert(entry?.running, `partition ${partitionId} has no round`);
    entry.running = false;
    this.#running -= 1;
    this.#runningOn.set(entry.disk, this.#runningOn.get(entry.disk)! - 1);
    if (entry.gone) {
      this.#entries.delete(partitionId);
      return;
    }
    if (end === 'unfinished') {
      // Behind all others that are due already.
      entry.dueMs = nowMs;
      return;
    }
    const wasNormal = entry.kind === 'normal';
    entry.kind = wasNormal ? 'tiny' : 'normal';
    const atOnce = (wasNormal && entry.isNew) || end === 'memberBack';
    if (!wasNormal) entry.isNew = false;
    const pauseMs = end === 'absent' && !atOnce ? RETRIES_MS[entry.retries++] : undefined;
    if (end === 'done') entry.retries = 0;
    entry.dueMs = atOnce ? nowMs : Math.max(nowMs, entry.startedMs + (pauseMs ?? ROUND_INTERVAL_MS));
  }

  /** Ms until `next` may give something by the passing of time; Infinity without partitions that wait. */
  wakeInMs(nowMs: number): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { running, dueMs } of this.#entries.values()) {
      if (!running) first = Math.min(first, dueMs);
    }
    return Math.max(0, first - nowMs);
  }

  #hasRoom(disk: number): boolean {
    return (this.#runningOn.get(disk) ?? 0) < this.#limits.perDiskMax;
  }
}

function checkLimits({ perDiskMax, inAllMax }: ScheduleLimits): void {
  assert(perDiskMax > 0 && inAllMax > 0, 'somebody must be allowed a round');
}
