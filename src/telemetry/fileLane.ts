/**
 * One thing after another: all file calls for logs on one disk. A disk that hangs then holds one of libuv's four threads, and the others go on serving names,
 * sockets and the rest of the process.
 *
 * Owned by whoever opens log files (`log.ts`); files that may hang together share a lane. What waits is bounded by its users: each has one job in the lane at most.
 */

export class FileLane {
  #jobs: (() => Promise<void>)[] = [];
  #busy = false;

  /** A job is under way. */
  get busy(): boolean {
    return this.#busy;
  }

  /** Jobs that wait for the one under way. */
  get waiting(): number {
    return this.#jobs.length;
  }

  /** Runs `job` after those that came before. It must not reject, and have one call under way at a time. */
  run(job: () => Promise<void>): void {
    this.#jobs.push(job);
    if (!this.#busy) void this.#work();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (let job = this.#jobs.shift(); job !== undefined; job = this.#jobs.shift()) await job();
    this.#busy = false;
  }
}
