/** Teardown for programs that are not tap tests (long runs): handlers run in reverse order, once. */
import type { Teardown } from './nodeProcess.js';

export class Cleanup implements Teardown {
  readonly #handlers: (() => Promise<void> | void)[] = [];

  teardown(handler: () => Promise<void> | void): void {
    this.#handlers.push(handler);
  }

  /** Runs what was registered since the last call. */
  async run(): Promise<void> {
    for (let handler = this.#handlers.pop(); handler !== undefined; handler = this.#handlers.pop())
      await handler();
  }
}
