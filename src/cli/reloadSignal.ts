/**
 * SIGHUP of a node: read the config file again. Caught from when the node begins to start, and remembered until it serves.
 */
import type { EventEmitter } from 'node:events';

export class ReloadSignal {
  #pending = false;
  #running = false;
  #listener: (() => Promise<void>) | null = null;

  /** `source` emits the signal: `process`. It is listened to for good, so that it never has its default effect, the end of the process. */
  constructor(source: EventEmitter) {
    source.on('SIGHUP', () => {
      this.#pending = true;
      void this.#run();
    });
  }

  /** Calls `listener` with each signal, at once when one has come already; not while it is still busy with the one before: then once more behind it. */
  onReload(listener: () => Promise<void>): void {
    this.#listener = listener;
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#listener === null || this.#running) return;
    this.#running = true;
    try {
      while (this.#pending) {
        this.#pending = false;
        await this.#listener();
      }
    } finally {
      this.#running = false;
    }
  }
}
