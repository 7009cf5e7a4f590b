/**
 * SIGHUP of a node: read the config file again. Caught from when the node begins to start, and remembered until it serves.
 */
import type { EventEmitter } from 'node:events';

export class ReloadSignal {
  #pending = false;
  #listener: (() => void) | null = null;

  /** `source` emits the signal: `process`. It is listened to for good, so that it never has its default effect, the end of the process. */
  constructor(source: EventEmitter) {
    source.on('SIGHUP', () => {
      if (this.#listener === null) this.#pending = true;
      else this.#listener();
    });
  }

  /** Calls `listener` with each signal; at once when one has come already. */
  onReload(listener: () => void): void {
    this.#listener = listener;
    if (!this.#pending) return;
    this.#pending = false;
    listener();
  }
}
