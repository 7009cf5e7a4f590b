/**
 * What an operator must hear of: disk errors, partitions that cannot be loaded, failed applies, partitions that are missing at the start (`admin.md` 11.4).
 *
 * Owned by the main thread. An alarm is a line in the log and one more in the count that the metrics show; who writes it elsewhere too adds a sink.
 */
import type { Logger } from 'pino';

/** Takes an alarm's text, one line, and writes it somewhere. Returns at once, never throws. */
export type AlarmSink = (text: string) => void;

export class Alarms {
  readonly #log: Pick<Logger, 'error'>;
  readonly #sinks: readonly AlarmSink[];
  #count = 0;

  constructor(log: Pick<Logger, 'error'>, sinks: readonly AlarmSink[] = []) {
    this.#log = log;
    this.#sinks = sinks;
  }

  /** Alarms raised since the start. */
  get count(): number {
    return this.#count;
  }

  /** Raises one. `text`: one line for people; `fields`: for the log. */
  raise(text: string, fields: Record<string, unknown> = {}): void {
    this.#count += 1;
    this.#log.error({ ...fields, alarm: true }, text);
    for (const sink of this.#sinks) sink(text);
  }
}
