/** Lets a bounded number of works run at one time; the others wait in order. The bound may change. Used by the repair thread for tasks of other nodes. */

export class Gate {
  #most: number;
  #running = 0;
  #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#most = most;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Another bound, for those that wait too. Who runs goes on. */
  change(most: number): void {
    this.#most = most;
    this.#next();
  }

  /** Resolves when the caller may run; `leave` must follow. */
  async enter(): Promise<void> {
    if (this.#running < this.#most) {
      this.#running += 1;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  leave(): void {
    this.#running -= 1;
    this.#next();
  }

  #next(): void {
    while (this.#running < this.#most) {
      const resolve = this.#waiting.shift();
      if (resolve === undefined) return;
      this.#running += 1;
      resolve();
    }
  }
}
