/**
 * Starts and stops the HTTP thread from the main thread, and carries its questions to who answers them. Used by the node's start: the ports open early, so
 * that a start can be watched; the pages that show the node are there once `open` was called.
 *
 * With uWebSockets.js in it the thread must end by itself: ended from outside it aborts the process. So it is never terminated then, and an end of the
 * process in the ordinary way waits for it; the node's own way out, `_exit` in the addon, runs nothing that could abort.
 */
import assert from 'node:assert';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { HttpServerChoice } from '../config/config.js';
import type { Outcome } from '../control/nodeView.js';
import type { HttpListener } from './listeners.js';
import { MainSide, type MainSideOptions } from './mainSide.js';
import {
  type Answer,
  failure,
  type MainMessage,
  type Question,
  type Readiness,
  type ThreadMessage,
  type ThreadOptions,
} from './messages.js';
import type { MetricsSource } from './metricsSource.js';
import type { TlsFileNames } from './tlsFiles.js';

export interface HttpOptions {
  /** At least one (`planListeners`). */
  listeners: HttpListener[];
  server: HttpServerChoice;
  /** Speaks TLS only; null: plain HTTP. */
  tls: TlsFileNames | null;
  /** Who may connect (`access.admin`); none: everybody. */
  access: readonly string[];
  faultInjection: boolean;
  /** How far the start is, for `/readyz`. */
  readiness(): Readiness;
  /** Changes the level of the log; false: there is no such level. Absent: `/loglevel/set` is not offered. */
  setLogLevel?: (level: string) => boolean;
  /** How long a request may wait for the node's answer, ms. */
  answerTimeoutMs?: number;
  log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** What the pages show. */
export interface ServedNode extends Omit<MainSideOptions, 'startedAtMs'> {
  /** What `/metrics` is made of; absent: the exporter is off. */
  metrics?: MetricsSource;
}

/** The running HTTP thread. */
export interface HttpThread {
  /** Port of `prof`, and of the exporter; null: it does not listen. */
  readonly prof: number | null;
  readonly exporter: number | null;
  readonly server: 'uWebSockets.js' | 'node:http';
  /** Connections and requests refused because of `access.admin`. */
  readonly refused: number;
  /** The node serves: from now on the pages that show it are there. */
  open(node: ServedNode): void;
  /** Another `access.admin`, checked for new connections and for requests on those that are open. Entries as `parseRange` takes them. */
  setAccess(entries: readonly string[]): void;
  /** Whether it speaks TLS, which does not change. */
  readonly usesTls: boolean;
  /** Reads certificate and key, and changes nothing yet. The message says what is wrong with them. */
  checkTls(names: TlsFileNames): Promise<Outcome<null>>;
  /** Reads certificate and key again, for new connections. Files that are bad change nothing; the message says why. Without TLS it is a broken invariant. */
  reloadTls(names: TlsFileNames): Promise<Outcome<null>>;
  /** Stops listening and ends the thread, within a few seconds whatever its clients do. May be called twice. */
  close(): Promise<void>;
}

/** A partition's owner answers within ms; one whose disk hangs, not at all. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Open requests may end for this long; then the thread has as long again to end itself. */
const CLOSE_TIMEOUT_MS = 1_000;
/** How long the end of the process waits for the thread to close its sockets. */
const CUT_TIMEOUT_MS = 500;

type Listening = ThreadMessage & { type: 'listening' };

/** Starts the thread and waits until it listens. Rejects when `prof` cannot be had, or TLS, or the server asked for; an exporter port is only logged. */
export async function startHttp(options: HttpOptions): Promise<HttpThread> {
  const thread = new Thread(options);
  try {
    await thread.start();
    return thread;
  } catch (error) {
    await thread.close();
    throw error;
  }
}

class Thread implements HttpThread {
  prof: number | null = null;
  exporter: number | null = null;
  server: Listening['server'] = 'node:http';
  refused = 0;
  readonly #options: HttpOptions;
  readonly #startedAtMs = Date.now();
  readonly #stopped = new SharedArrayBuffer(4);
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #cut = (): void => this.#cutNow();
  readonly #tlsAsked: ((outcome: Outcome<null>) => void)[] = [];
  #node: MainSide | null = null;
  #ended = false;
  #closing: Promise<void> | null = null;

  constructor(options: HttpOptions) {
    this.#options = options;
    const threadOptions: ThreadOptions = {
      listeners: options.listeners,
      server: options.server,
      tls: options.tls,
      access: options.access,
      faultInjection: options.faultInjection,
      logLevel: options.setLogLevel !== undefined,
      answerTimeoutMs: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
      stopped: this.#stopped,
    };
    // uWebSockets.js reads its limit of headers from the process's environment, not from a thread's copy of it.
    this.#worker = new Worker(new URL('./thread.js', import.meta.url), {
      workerData: threadOptions,
      name: 'http',
      env: SHARE_ENV,
    });
    process.once('exit', this.#cut);
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        this.#ended = true;
        process.off('exit', this.#cut);
        this.#settleTls('the HTTP thread has ended');
        resolve();
      });
    });
  }

  async start(): Promise<void> {
    const listening = await new Promise<Listening>((resolve, reject) => {
      this.#worker.on('message', (message: ThreadMessage) => {
        if (message.type === 'listening') resolve(message);
        else if (message.type === 'failed') reject(new Error(message.message));
        else this.#take(message);
      });
      this.#worker.on('error', (error) => {
        this.#options.log.error({ err: error }, 'the HTTP thread ended; HTTP is gone until a restart');
        reject(error);
      });
    });
    this.#listening(listening);
  }

  open(node: ServedNode): void {
    this.#node = new MainSide({ ...node, startedAtMs: this.#startedAtMs });
    this.#post({ type: 'open', metrics: node.metrics ?? null });
  }

  setAccess(entries: readonly string[]): void {
    this.#post({ type: 'access', entries });
  }

  get usesTls(): boolean {
    return this.#options.tls !== null;
  }

  checkTls(names: TlsFileNames): Promise<Outcome<null>> {
    return this.#askTls(names, false);
  }

  reloadTls(names: TlsFileNames): Promise<Outcome<null>> {
    return this.#askTls(names, true);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #askTls(names: TlsFileNames, use: boolean): Promise<Outcome<null>> {
    assert(this.usesTls, 'certificates for plain HTTP');
    if (this.#ended) return Promise.resolve({ ok: false, message: 'the HTTP thread has ended' });
    return new Promise((resolve) => {
      this.#tlsAsked.push(resolve);
      this.#post({ type: 'tls', names, use });
    });
  }

  #listening({ results, server, fallback }: Listening): void {
    const { listeners, log } = this.#options;
    this.server = server;
    if (fallback !== '') log.warn(`HTTP is served by node:http: ${fallback}`);
    for (const [index, listener] of listeners.entries()) {
      const { address } = listener;
      const result = results[index]!;
      if (!result.ok) {
        log.error(`exporterPort: HTTP does not listen on ${address}:${listener.port}: ${result.message}`);
        continue;
      }
      if (listener.prof) this.prof = result.port;
      if (listener.exporter) this.exporter = result.port;
      log.info({ address, port: result.port, server, tls: this.#options.tls !== null }, 'HTTP listening');
    }
  }

  #take(message: Exclude<ThreadMessage, { type: 'listening' | 'failed' }>): void {
    switch (message.type) {
      case 'question': {
        const { id, question } = message;
        void this.#answer(question).then((answer) => this.#post({ type: 'answer', id, answer }));
        break;
      }
      case 'refused': {
        const { count, peer } = message.report;
        this.refused += count;
        this.#options.log.warn({ peer, count }, 'HTTP: peers refused that are not in access.admin');
        break;
      }
      case 'tlsDone':
        this.#tlsAsked.shift()?.(message.outcome);
        break;
    }
  }

  async #answer(question: Question): Promise<Answer> {
    switch (question.kind) {
      case 'readiness':
        return { status: 200, dataJson: JSON.stringify(this.#options.readiness()), message: '' };
      case 'setLogLevel':
        if (this.#options.setLogLevel?.(question.level) !== true) return failure(400, 'no such level');
        return { status: 200, dataJson: '"set log level success"', message: '' };
      default:
        return this.#node === null ? failure(503, 'the node is starting') : this.#node.answer(question);
    }
  }

  #post(message: MainMessage): void {
    if (!this.#ended) this.#worker.postMessage(message);
  }

  #settleTls(message: string): void {
    for (const resolve of this.#tlsAsked.splice(0)) resolve({ ok: false, message });
  }

  async #close(): Promise<void> {
    this.#post({ type: 'close', timeoutMs: CLOSE_TIMEOUT_MS });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), 2 * CLOSE_TIMEOUT_MS);
    });
    if ((await Promise.race([this.#exited, late])) === 'late') await this.#endLate();
    clearTimeout(timer);
  }

  async #endLate(): Promise<void> {
    this.#options.log.error('the HTTP thread does not end');
    // Before it has said which server it uses, it may be about to load either.
    if (this.server === 'node:http' && this.#options.server === 'node') await this.#worker.terminate();
    else this.#worker.unref();
  }

  /** `process.exit` ends worker threads from outside. */
  #cutNow(): void {
    this.#post({ type: 'cut' });
    Atomics.wait(new Int32Array(this.#stopped), 0, 0, CUT_TIMEOUT_MS);
  }
}
