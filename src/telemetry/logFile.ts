/**
 * Lines on their way to a file or to standard error, written in the background: neither a full, a hung nor a closed one may stop or delay the node.
 *
 * Used by `log.ts` and `umpFiles.ts`. Not pino's own destination: its `flushSync`, which `fatal` and the end of the process call, tries again for ever on a full
 * disk (measured with /dev/full). Here one write is under way at most, lines wait in bounded memory, further lines are dropped and
 * counted, and a failed write is tried again later. There is no synchronous flush; the end of the process waits in `drain`, with a bound.
 */
import { codeOf } from './fileCalls.js';
import type { FileLane } from './fileLane.js';

/** Where the bytes go. */
export interface LineOutput {
  /** Resolves with the bytes written, at least 1; rejects with an errno's error. */
  write(bytes: Uint8Array): Promise<number>;
}

/** Bytes of unwritten lines kept a file while its disk does not take them; then lines are dropped. */
export const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

/** What is written at once, a line more or less: small against the least size at which files are renamed, so that they do not go far beyond. */
const BATCH_BYTES_MAX = 256 * 1024;

/** A pipe or terminal in non-blocking mode is full: it empties soon. Anything else is a disk that needs an operator. */
const RETRY_BUSY_MS = 10;
const RETRY_FAILED_MS = 1_000;

export class LogFile {
  readonly #lane: FileLane;
  readonly #output: LineOutput;
  readonly #queuedBytesMax: number;
  readonly #report: (what: string) => void;
  #lines: string[] = [];
  #queuedBytes = 0;
  /** What is being written, or waits to be tried again. */
  #chunk: Uint8Array | null = null;
  #inLane = false;
  #retry: NodeJS.Timeout | null = null;
  #closed = false;
  #dropped = 0;
  #errors = 0;
  #drained: (() => void)[] = [];

  /** `report` is told of errors and losses, in words; it bounds their rate itself. */
  constructor(
    lane: FileLane,
    output: LineOutput,
    report: (what: string) => void,
    queuedBytesMax = QUEUED_BYTES_MAX,
  ) {
    this.#lane = lane;
    this.#output = output;
    this.#queuedBytesMax = queuedBytesMax;
    this.#report = report;
  }

  /** Lines dropped so far because the file did not take them. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Writes that failed; what they were to write was tried again. */
  get errors(): number {
    return this.#errors;
  }

  /** Takes one line with its line break, or drops it when too much waits already. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line);
    if (this.#queuedBytes + bytes > this.#queuedBytesMax) {
      this.#dropped += 1;
      this.#report('lines are lost, the file does not take them');
      return;
    }
    this.#lines.push(line);
    this.#queuedBytes += bytes;
    this.#pump();
  }

  /** Resolves when everything taken so far is written (true), or after `timeoutMs` (false). */
  async drain(timeoutMs: number): Promise<boolean> {
    if (this.#queuedBytes === 0) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#drained.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** Writes nothing more (tests). */
  close(): void {
    this.#closed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
  }

  #pump(): void {
    if (this.#closed || this.#inLane || this.#retry !== null || this.#queuedBytes === 0) return;
    this.#inLane = true;
    this.#lane.run(() => this.#work());
  }

  /** One write, with the lines that have come until its turn. */
  async #work(): Promise<void> {
    this.#chunk ??= this.#nextBatch();
    try {
      const written = await this.#output.write(this.#chunk);
      if (written === 0) throw new Error('nothing was written');
      this.#queuedBytes -= written;
      this.#chunk = written < this.#chunk.length ? this.#chunk.subarray(written) : null;
      if (this.#queuedBytes === 0) for (const resolve of this.#drained.splice(0)) resolve();
    } catch (error) {
      this.#failed(error as Error);
    }
    this.#inLane = false;
    this.#pump();
  }

  #nextBatch(): Uint8Array {
    let count = 0;
    for (let characters = 0; count < this.#lines.length && characters < BATCH_BYTES_MAX; count++)
      characters += this.#lines[count]!.length;
    const batch = this.#lines.slice(0, count).join('');
    this.#lines = this.#lines.slice(count);
    return Buffer.from(batch);
  }

  #failed(error: Error): void {
    const code = codeOf(error);
    const busy = code === 'EAGAIN' || code === 'EBUSY';
    if (!busy) {
      this.#errors += 1;
      this.#report(error.message);
    }
    if (this.#closed) return;
    this.#retry = setTimeout(
      () => {
        this.#retry = null;
        this.#pump();
      },
      busy ? RETRY_BUSY_MS : RETRY_FAILED_MS,
    );
    this.#retry.unref();
  }
}
