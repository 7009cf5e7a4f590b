/**
 * What is seen while a run goes on: a bar that is redrawn on a terminal, plain lines every few seconds elsewhere.
 */
import type { RunObserver, RunProgress } from './run.js';
import { counted, rate } from './words.js';

const BAR_CELLS = 28;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const PLAIN_INTERVAL_MS = 5000;
const CLEAR_LINE = '\r\x1b[2K';

const PHASE_WORDS = {
  connect: 'connecting',
  prepare: 'preparing extents',
  warmup: 'warming up',
  run: 'running',
  verify: 'reading back',
} as const;

/** What a progress display needs of a stream. */
export interface ProgressStream {
  readonly isTTY?: boolean | undefined;
  write(text: string): unknown;
}

/** See the file comment. */
export class Progress implements RunObserver {
  readonly #stream: ProgressStream;
  readonly #nowMs: () => number;
  #lastPlainMs: number;
  #drawn = false;

  /** `nowMs` is a monotonic clock. */
  constructor(stream: ProgressStream, nowMs: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#nowMs = nowMs;
    this.#lastPlainMs = nowMs();
  }

  phase(phase: keyof typeof PHASE_WORDS): void {
    if (this.#stream.isTTY === true) this.#draw(PHASE_WORDS[phase]);
    else if (phase === 'run') this.#lastPlainMs = this.#nowMs();
  }

  progress(view: RunProgress): void {
    if (this.#stream.isTTY === true) return this.#draw(barLine(view));
    const nowMs = this.#nowMs();
    if (nowMs - this.#lastPlainMs < PLAIN_INTERVAL_MS) return;
    this.#lastPlainMs = nowMs;
    this.#stream.write(`${figures(view)}\n`);
  }

  /** Takes the bar away; to be called before anything else is printed. */
  end(): void {
    if (this.#drawn) this.#stream.write(CLEAR_LINE);
    this.#drawn = false;
  }

  #draw(line: string): void {
    this.#drawn = true;
    this.#stream.write(CLEAR_LINE + line);
  }
}

/** The bar and the figures of the last interval in one line. */
export function barLine(view: RunProgress): string {
  return `${bar(view.share ?? 0)} ${figures(view)}`;
}

function bar(share: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * BAR_CELLS * 8);
  const full = eighths >> 3;
  const part = EIGHTHS[eighths & 7]!;
  return `▕${'█'.repeat(full)}${part}${' '.repeat(BAR_CELLS - full - (part === '' ? 0 : 1))}▏`;
}

function figures(view: RunProgress): string {
  const percent = view.share === null ? '' : `${String(Math.floor(view.share * 100)).padStart(3)} %  `;
  const errors = view.errors > 0 ? `  ${counted(view.errors, 'error')}` : '';
  const megabytes = (view.bytesPerSecond / 1e6).toFixed(1);
  return `${percent}${rate(view.opsPerSecond).padStart(8)} ops/s  ${megabytes.padStart(7)} MB/s${errors}`;
}
