/**
 * Entry of the HTTP thread: listens, answers what it can, asks the main thread for the rest. Started by `startHttp.ts` only.
 *
 * Whatever way the thread ends, it closes its servers first: uWebSockets.js aborts the process otherwise.
 */
import assert from 'node:assert';
import { parentPort, workerData } from 'node:worker_threads';
import { AccessList } from '../config/accessList.js';
import type { HttpServerChoice } from '../config/config.js';
import type { Outcome } from '../control/nodeView.js';
import { createApi } from './api.js';
import { HTTP_LIMITS, type HttpServer, type ListenOptions, listenHttp } from './httpServer.js';
import type { HttpListener } from './listeners.js';
import {
  type Answer,
  failure,
  type ListenerResult,
  type MainMessage,
  QUESTIONS_MAX,
  type Question,
  type ThreadMessage,
  type ThreadOptions,
} from './messages.js';
import type { MetricsPage } from './metricsPage.js';
import type { MetricsSource } from './metricsSource.js';
import { Refusals } from './refusals.js';
import { SharedQuestions } from './sharedQuestions.js';
import { readTlsPair, type TlsFileNames, type TlsPair } from './tlsFiles.js';
import { loadUws, type Uws } from './uwsAddon.js';
import { listenUws } from './uwsServer.js';
import type { AskPartitions, NamedPartition } from './volumes.js';

assert(parentPort !== null, 'this module is the entry of a worker thread');
const port = parentPort;
const options = workerData as ThreadOptions;
const waiting = new Map<number, (answer: Answer) => void>();
/** All extents of a partition. */
const longOnes = new SharedQuestions<Answer>();
const servers: HttpServer[] = [];
const refusals = new Refusals(
  (report) => post({ type: 'refused', report }),
  () => performance.now(),
);
let access = new AccessList(options.access);
let isOpen = false;
/** Null: there are no metrics, or none yet. */
let metricsPage: Promise<MetricsPage> | null = null;
/** Nothing may be opened any more. */
let ending = false;
let lastId = 0;

// Also after an error that nobody caught.
process.on('exit', cut);

function post(message: ThreadMessage): void {
  port.postMessage(message);
}

/** Puts a question to the main thread, or shares one. */
function ask(question: Question): Promise<Answer> {
  if (question.kind !== 'partition') return put(question);
  return longOnes.ask(String(question.partitionId), () => put(question));
}

/** A late answer finds nobody waiting and is dropped. */
function put(question: Question): Promise<Answer> {
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
  switch (message.type) {
    case 'answer':
      waiting.get(message.id)?.(message.answer);
      break;
    case 'open':
      isOpen = true;
      if (message.metrics !== null) metricsPage = loadMetrics(message.metrics);
      break;
    case 'access':
      access = new AccessList(message.entries);
      break;
    case 'tls':
      post({ type: 'tlsDone', outcome: readTls(message.names, message.use) });
      break;
    case 'close':
      void close(message.timeoutMs);
      break;
    case 'cut':
      cut();
      break;
  }
});

/** `/metrics`, whose code is loaded where it is wanted. */
async function loadMetrics(source: MetricsSource): Promise<MetricsPage> {
  const { MetricsPage: Page } = await import('./metricsPage.js');
  const askPartitions: AskPartitions = async () => {
    const { status, dataJson } = await ask({ kind: 'volumes' });
    return status === 200 ? (JSON.parse(dataJson) as NamedPartition[]) : null;
  };
  return new Page(source, askPartitions, () => performance.now());
}

function cut(): void {
  ending = true;
  for (const server of servers.splice(0)) server.cut();
  const stopped = new Int32Array(options.stopped);
  Atomics.store(stopped, 0, 1);
  Atomics.notify(stopped, 0);
}

async function close(timeoutMs: number): Promise<void> {
  ending = true;
  for (const end of [...waiting.values()]) end(failure(503, 'the node is stopping'));
  await Promise.all(servers.map((server) => server.close(timeoutMs)));
  refusals.flush();
  port.close();
}

function readTls(names: TlsFileNames, use: boolean): Outcome<null> {
  assert(options.tls !== null, 'other certificates for plain HTTP');
  const pair = readTlsPair(names);
  if (!pair.ok) return pair;
  if (!use) return { ok: true, value: null };
  try {
    for (const server of servers) server.setTls(pair.value);
    return { ok: true, value: null };
  } catch (error) {
    return { ok: false, message: `extentd.tls: ${(error as Error).message}` };
  }
}

interface ChosenServer {
  /** Null: node:http. */
  uws: Uws | null;
  fallback: string;
}

/** Loads the server that is wanted; `auto` takes what there is. */
function chooseServer(choice: HttpServerChoice): ChosenServer {
  if (choice === 'node') return { uws: null, fallback: '' };
  const loaded = loadUws({ headerBytesMax: HTTP_LIMITS.headerBytesMax });
  if (loaded.ok) return { uws: loaded.uws, fallback: '' };
  if (choice === 'auto') return { uws: null, fallback: loaded.reason };
  throw new Error(`extentd.httpServer: uws cannot be loaded: ${loaded.reason}`);
}

async function listen(uws: Uws | null, listener: HttpListener, tls: TlsPair | null): Promise<ListenerResult> {
  const listenOptions: ListenOptions = {
    address: listener.address,
    port: listener.port,
    limits: HTTP_LIMITS,
    handler,
    ...(tls === null ? {} : { tls }),
    admits: (peer) => access.admits(peer),
    onRefused: (peer) => refusals.add(peer),
  };
  try {
    const server = await (uws === null ? listenHttp(listenOptions) : listenUws(uws, listenOptions));
    if (ending) server.cut();
    else servers.push(server);
    return { ok: true, port: server.port };
  } catch (error) {
    const { message } = error as Error;
    if (listener.prof)
      throw new Error(`prof: cannot listen on ${listener.address}:${listener.port}: ${message}`);
    return { ok: false, message };
  }
}

async function start(): Promise<void> {
  const pair = options.tls === null ? null : readTlsPair(options.tls);
  if (pair?.ok === false) throw new Error(pair.message);
  const { uws, fallback } = chooseServer(options.server);
  const results: ListenerResult[] = [];
  for (const listener of options.listeners) results.push(await listen(uws, listener, pair?.value ?? null));
  post({ type: 'listening', results, server: uws === null ? 'node:http' : 'uWebSockets.js', fallback });
}

const handler = createApi({
  ask,
  isOpen: () => isOpen,
  logLevel: options.logLevel,
  faultInjection: options.faultInjection,
  now: Date.now,
  metrics: () => metricsPage,
});

try {
  await start();
} catch (error) {
  post({ type: 'failed', message: (error as Error).message });
  cut();
  port.close();
}
