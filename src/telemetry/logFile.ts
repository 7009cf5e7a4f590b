/**
 * One file (or standard error) that log lines go to, written in the background: neither a full, a hung nor a closed one may stop or delay the node.
 *
 * Used by `log.ts`. Not pino's own destination: its `flushSync`, which `fatal` and the end of the process call, tries again for ever on a full
 * disk (measured with /dev/full). Here one write is under way at most, lines wait in bounded memory, further lines are dropped and
 * counted, and a failed write is tried again later. There is no synchronous flush; the end of the process waits in `drain`, with a bound.
 */
import assert from 'node:assert';
import { write } from 'node:fs';

/** Starts one write of `bytes`; calls back once with the error or the count written. As `fs.write`. */
export type WriteBytes = (
  fd: number,
  bytes: Uint8Array,
  done: (error: NodeJS.ErrnoException | null, written: number) => void,
) => void;

/** A pipe or terminal in non-blocking mode is full: it empties soon. Anything else is a disk that needs an operator. */
const RETRY_BUSY_MS = 10;
const RETRY_FAILED_MS = 1_000;

export class LogFile {
  readonly #fd: number;
  readonly #queuedBytesMax: number;
  readonly #report: (what: string) => void;
  readonly #writeBytes: WriteBytes;
  #lines: string[] = [];
  #queuedBytes = 0;
  /** What is being written, or waits to be tried again. */
  #chunk: Uint8Array | null = null;
  #writing = false;
  #retry: NodeJS.Timeout | null = null;
  #dropped = 0;
  #drained: (() => void)[] = [];

  /** `report` is told of errors and losses, in words; it bounds their rate itself. */
  constructor(
    fd: number,
    queuedBytesMax: number,
    report: (what: string) => void,
    writeBytes: WriteBytes = write,
  ) {
    this.#fd = fd;
    this.#queuedBytesMax = queuedBytesMax;
    this.#report = report;
    this.#writeBytes = writeBytes;
  }

  /** Lines dropped so far because the file did not take them. */
  get dropped(): number {
    return this.#dropped;
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

  #pump(): void {
    if (this.#writing || this.#retry !== null) return;
    if (this.#chunk === null) {
      if (this.#lines.length === 0) return;
      this.#chunk = Buffer.from(this.#lines.join(''));
      this.#lines = [];
    }
    this.#writing = true;
    this.#writeBytes(this.#fd, this.#chunk, (error, written) => this.#wrote(error, written));
  }

  #wrote(error: NodeJS.ErrnoException | null, written: number): void {
    const chunk = this.#chunk;
    assert(chunk !== null && this.#writing, 'a write ended that was not under way');
    this.#writing = false;
    if (error !== null) {
      const busy = error.code === 'EAGAIN' || error.code === 'EBUSY';
      if (!busy) this.#report(error.message);
      this.#tryLater(busy ? RETRY_BUSY_MS : RETRY_FAILED_MS);
      return;
    }
    this.#queuedBytes -= written;
    this.#chunk = written < chunk.length ? chunk.subarray(written) : null;
    if (this.#queuedBytes === 0) for (const resolve of this.#drained.splice(0)) resolve();
    this.#pump();
  }

  #tryLater(delayMs: number): void {
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#pump();
    }, delayMs);
    this.#retry.unref();
  }
}
