/**
 * What an operator must hear of: disk errors, partitions that cannot be loaded, failed applies, partitions that are missing at the start (`admin.md` 11.4).
 *
 * Owned by the main thread. An alarm is an error line in the log, a line in the critical log whatever the level, an entry in the UMP file, and one more
 * in the count that the metrics show. A disk that flaps raises the same alarm again and again: a few pass in an interval, the rest are counted and summed up.
 * The words are the reference's where it has some, so that rules made for its logs go on working. Who applies raft entries raises `apply` alarms when one fails.
 */
import type { Logger } from 'pino';
import { RateLimiter, type RateLimits } from './rateLimiter.js';

/** Three of a text in ten minutes, 256 texts, for each kind. */
export const ALARM_RATE: RateLimits = { messagesMax: 3, intervalMs: 600_000, keysMax: 256 };

/** Each has a budget of its own, so that a thousand bad partitions do not hide a bad disk. */
export type AlarmKind = 'disk' | 'partition' | 'apply' | 'node';

/** An alarm that passed the limit. */
export interface Alarm {
  /** The reference's name for it: `<cluster>_dataNode_warning`. */
  readonly key: string;
  /** One line for people. */
  readonly text: string;
  readonly fields: Record<string, unknown>;
}

/** Takes an alarm and writes it somewhere. Returns at once, never throws. */
export type AlarmSink = (alarm: Alarm) => void;

/** The cluster's name as the reference puts it into keys. */
export function keyedCluster(cluster: string): string {
  return cluster.replace(/[-., ]/g, '_');
}

export class Alarms {
  readonly #log: Pick<Logger, 'error'>;
  readonly #sinks: readonly AlarmSink[];
  readonly #nowMs: () => number;
  readonly #limiters = new Map<AlarmKind, RateLimiter>();
  #cluster = '';
  #localIP = '';
  #count = 0;
  #suppressed = 0;

  /** `nowMs`: a monotonic clock. */
  constructor(
    log: Pick<Logger, 'error'>,
    sinks: readonly AlarmSink[] = [],
    nowMs: () => number = () => performance.now(),
  ) {
    this.#log = log;
    this.#sinks = sinks;
    this.#nowMs = nowMs;
  }

  /** Alarms raised since the start, those that were held back too. */
  get count(): number {
    return this.#count;
  }

  /** Alarms held back since the start. */
  get suppressed(): number {
    return this.#suppressed;
  }

  /** What the registration has told: from now on in keys and texts. */
  identify(cluster: string, localIP: string): void {
    this.#cluster = cluster;
    this.#localIP = localIP;
  }

  /** Raises one. `text`: one line for people; `fields`: for the log. */
  raise(text: string, fields: Record<string, unknown> = {}, kind: AlarmKind = 'node'): void {
    this.tick();
    this.#count += 1;
    let limiter = this.#limiters.get(kind);
    if (limiter === undefined) {
      limiter = new RateLimiter(ALARM_RATE);
      this.#limiters.set(kind, limiter);
    }
    if (limiter.admit(text, this.#nowMs())) this.#write(text, fields);
    else this.#suppressed += 1;
  }

  /** A disk that fails or does not serve; `what` says how when it is not an error that the disk gave, `fields` why. */
  disk(path: string, what: string, fields: Record<string, unknown>): void {
    const text = `disk path ${path} error on ${this.#localIP}${what === '' ? '' : `: ${what}`}`;
    this.raise(text, fields, 'disk');
  }

  /** A folder of a partition that is not served. */
  partition(id: number | string, reason: string, fields: Record<string, unknown>): void {
    this.raise(`action[RestorePartition] new partition(${id}) err(${reason})`, fields, 'partition');
  }

  /** Writes the summaries of the intervals that are over. To be called now and then. */
  tick(): void {
    for (const limiter of this.#limiters.values()) {
      for (const { key, count } of limiter.expire(this.#nowMs())) {
        this.#write(`suppressed ${count} more alarms: ${key}`, { suppressed: count });
      }
    }
  }

  #write(text: string, fields: Record<string, unknown>): void {
    this.#log.error({ ...fields, alarm: true }, text);
    const alarm = { key: `${keyedCluster(this.#cluster)}_dataNode_warning`, text, fields };
    for (const sink of this.#sinks) sink(alarm);
  }
}
