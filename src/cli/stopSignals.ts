/**
 * SIGINT and SIGTERM, caught from the first moment of the program and remembered until somebody can act on them.
 *
 * Made by the entry point before anything else is loaded: a signal that comes while modules load would otherwise end the process with the
 * system's default, not with exit code 0.
 */
import type { EventEmitter } from 'node:events';

export class StopSignals {
  #first: NodeJS.Signals | null = null;
  #listener: ((name: NodeJS.Signals) => void) | null = null;

  /** `source` emits the signals: `process`. It is listened to for good, so that a later signal never has its default effect. */
  constructor(source: EventEmitter) {
    source.on('SIGINT', () => this.raise('SIGINT'));
    source.on('SIGTERM', () => this.raise('SIGTERM'));
  }

  /** Calls `listener` once, with the first signal: at once if it has come already. Later signals change nothing. One listener at a time. */
  onFirst(listener: (name: NodeJS.Signals) => void): void {
    this.#listener = listener;
    if (this.#first !== null) listener(this.#first);
  }

  /** As if the signal had come. */
  raise(name: NodeJS.Signals): void {
    if (this.#first !== null) return;
    this.#first = name;
    this.#listener?.(name);
  }
}
