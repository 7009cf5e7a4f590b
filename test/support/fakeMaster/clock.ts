/**
 * Time of the fake master: its seconds may be shorter than real ones, so that a minute between heartbeats passes in a fraction of a second. Deadlines of connections
 * are real time, because what is on the other side of them is.
 */

/** A moment at which the fake time began, unix seconds. */
const EPOCH_SECONDS = 1_600_000_000;

export class FakeClock {
  /** Real milliseconds of one fake second. */
  readonly msPerSecond: number;
  readonly #fromMs = performance.now();

  constructor(msPerSecond: number) {
    this.msPerSecond = msPerSecond;
  }

  /** Unix seconds, whole ones. */
  seconds(): number {
    return EPOCH_SECONDS + Math.floor((performance.now() - this.#fromMs) / this.msPerSecond);
  }

  /** Calls `work` every `seconds`, the next time when the last one has ended. The returned function ends it, and resolves when the last call has. */
  every(seconds: number, work: () => Promise<void> | void): () => Promise<void> {
    let stopped = false;
    let wake = (): void => {};
    const loop = async (): Promise<void> => {
      while (!stopped) {
        await work();
        if (stopped) return;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, seconds * this.msPerSecond);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
    };
    const running = loop();
    return () => {
      stopped = true;
      wake();
      return running;
    };
  }
}
