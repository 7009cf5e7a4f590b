/**
 * Starts and stops the HTTP thread from the main thread, and carries its questions to `MainSide`. Used by the node's start.
 */
import { Worker } from 'node:worker_threads';
import type { Logger } from 'pino';
import type { NodeView, Outcome } from '../control/nodeView.js';
import type { HeartbeatResponse } from '../protocol/heartbeat.js';
import { MainSide, type NodeIdentity } from './mainSide.js';
import type {
  ChecksumsApi,
  FaultRequest,
  LimitsApi,
  MainMessage,
  ThreadMessage,
  ThreadOptions,
} from './messages.js';
import type { MetricsSource } from './metricsSource.js';

export interface HttpOptions {
  /** Address and port to listen on; port 0: any free one. */
  address: string;
  port: number;
  nodeView: NodeView;
  /** Configured rack, for `/disks`. */
  rack(): string;
  identity: NodeIdentity;
  /** Body of `/stats`: the heartbeat response. */
  stats(): HeartbeatResponse;
  /** Limits per disk, for `/limits`. */
  limits: LimitsApi;
  /** Checksums, for `/checksums`. */
  checksums: ChecksumsApi;
  /** What `/metrics` is made of; absent: the exporter is off. */
  metrics?: MetricsSource;
  /** Given when `faultInjection` is configured: offers `POST /debug/fault`. */
  setFault?: (fault: FaultRequest) => Outcome<null>;
  /** How long a request may wait for the node's answer, ms. */
  answerTimeoutMs?: number;
  log: Pick<Logger, 'info' | 'error'>;
}

/** The running debug API. */
export interface HttpThread {
  readonly port: number;
  /** Stops listening and ends the thread, within a few seconds whatever its clients do. May be called twice. */
  close(): Promise<void>;
}

/** A partition's owner answers within ms; one whose disk hangs, not at all. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Open requests may end for this long; then the thread has as long again to end itself. */
const CLOSE_TIMEOUT_MS = 1_000;

/** Starts the thread and waits until it listens. Rejects when it cannot. */
export async function startHttp(options: HttpOptions): Promise<HttpThread> {
  const threadOptions: ThreadOptions = {
    address: options.address,
    port: options.port,
    faultInjection: options.setFault !== undefined,
    answerTimeoutMs: options.answerTimeoutMs ?? ANSWER_TIMEOUT_MS,
    metrics: options.metrics ?? null,
  };
  const worker = new Worker(new URL('./thread.js', import.meta.url), {
    workerData: threadOptions,
    name: 'http',
  });
  const mainSide = new MainSide({ ...options, startedAtMs: Date.now() });
  const post = (message: MainMessage): void => worker.postMessage(message);
  const exited = new Promise<void>((resolve) => worker.once('exit', () => resolve()));

  const port = await new Promise<number>((resolve, reject) => {
    worker.on('message', (message: ThreadMessage) => {
      if (message.type === 'listening') resolve(message.port);
      else if (message.type === 'failed') reject(new Error(message.message));
      else if (message.type === 'question') {
        const { id, question } = message;
        void mainSide.answer(question).then((answer) => post({ type: 'answer', id, answer }));
      }
    });
    worker.on('error', (error) => {
      options.log.error({ err: error }, 'the HTTP thread ended; the debug API is gone until a restart');
      reject(error);
    });
  });
  options.log.info({ address: options.address, port }, 'debug API listening');

  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    post({ type: 'close', timeoutMs: CLOSE_TIMEOUT_MS });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), 2 * CLOSE_TIMEOUT_MS);
    });
    if ((await Promise.race([exited, late])) === 'late') await worker.terminate();
    clearTimeout(timer);
  };
  return {
    port,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
