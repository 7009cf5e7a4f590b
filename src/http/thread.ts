/**
 * Entry of the HTTP thread: listens, answers what it can, asks the main thread for the rest. Started by `startHttp.ts` only.
 */
import assert from 'node:assert';
import { parentPort, workerData } from 'node:worker_threads';
import { type ApiOptions, createApi } from './api.js';
import { HTTP_LIMITS, type HttpServer, listenHttp } from './httpServer.js';
import {
  type Answer,
  failure,
  type MainMessage,
  QUESTIONS_MAX,
  type Question,
  type ThreadMessage,
  type ThreadOptions,
} from './messages.js';
import type { MetricsSource } from './metricsSource.js';
import type { AskPartitions, NamedPartition } from './volumes.js';

assert(parentPort !== null, 'this module is the entry of a worker thread');
const port = parentPort;
const options = workerData as ThreadOptions;
const waiting = new Map<number, (answer: Answer) => void>();
let lastId = 0;
let server: HttpServer | null = null;

function post(message: ThreadMessage): void {
  port.postMessage(message);
}

/** Puts a question to the main thread. A late answer finds nobody waiting and is dropped. */
function ask(question: Question): Promise<Answer> {
  if (waiting.size >= QUESTIONS_MAX) return Promise.resolve(failure(503, 'too many requests in flight'));
  return new Promise((resolve) => {
    const id = ++lastId;
    const end = (answer: Answer): void => {
      clearTimeout(timer);
      waiting.delete(id);
      resolve(answer);
    };
    const timer = setTimeout(() => {
      end(failure(504, `no answer from the node within ${options.answerTimeoutMs} ms`));
    }, options.answerTimeoutMs);
    waiting.set(id, end);
    post({ type: 'question', id, question });
  });
}

port.on('message', (message: MainMessage) => {
  if (message.type === 'answer') waiting.get(message.id)?.(message.answer);
  else void close(message.timeoutMs);
});

/** `/metrics`, whose code is loaded where it is wanted. */
async function metricsOf(source: MetricsSource): Promise<Pick<ApiOptions, 'metrics'>> {
  const { MetricsPage } = await import('./metricsPage.js');
  const askPartitions: AskPartitions = async () => {
    const { status, dataJson } = await ask({ kind: 'volumes' });
    return status === 200 ? (JSON.parse(dataJson) as NamedPartition[]) : null;
  };
  const page = new MetricsPage(source, askPartitions, () => performance.now());
  return { metrics: (partitions) => page.response(partitions) };
}

async function close(timeoutMs: number): Promise<void> {
  for (const end of [...waiting.values()]) end(failure(503, 'the node is stopping'));
  await server?.close(timeoutMs);
  post({ type: 'closed' });
  port.close();
}

try {
  const metrics = options.metrics === null ? {} : await metricsOf(options.metrics);
  const handler = createApi({ ask, faultInjection: options.faultInjection, now: Date.now, ...metrics });
  server = await listenHttp({
    address: options.address,
    port: options.port,
    limits: HTTP_LIMITS,
    handler,
  });
  post({ type: 'listening', port: server.port });
} catch (error) {
  post({ type: 'failed', message: (error as Error).message });
  port.close();
}
