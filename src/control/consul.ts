/**
 * Registers the node's metrics port with a consul agent, where Prometheus finds it (`admin.md` 11.2): once when the node serves, then every minute.
 *
 * Owned by the node. An agent that does not answer costs nothing but a log line now and then.
 */
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIPv4, isIPv6 } from 'node:net';
import type { Logger } from 'pino';
import { consulRegisterUrl } from '../config/consulAddr.js';

const PERIOD_MS = 60_000;
/** Well below the period: never two registrations at a time. */
const TIMEOUT_MS = 10_000;
/** Of the failures in a row the first is logged, and then one in so many. */
const FAILURES_A_LINE = 10;
/** Bytes of an answer that are looked at. */
const ANSWER_BYTES_MAX = 200;

/** What is registered. */
export interface ConsulService {
  /** Cluster name as the master told it. */
  readonly cluster: string;
  /** Where the metrics are. */
  readonly address: string;
  readonly port: number;
}

/** The JSON of a registration, field for field the reference's. */
export function registrationBody({ cluster, address, port }: ConsulService): string {
  return JSON.stringify({
    Name: 'cfs',
    ID: `cfs_dataNode_${address}_${port}`,
    Address: address,
    Port: port,
    Tags: ['app=cfs', 'role=dataNode', `cluster=${cluster}`],
  });
}

/**
 * Under which address the metrics are registered: where the exporter listens if that is one interface that others can reach, else the address under which the node is
 * registered. The reference takes the machine's first address, which several nodes on one host share.
 */
export function metricsAddress(exporterListens: string, localIP: string): string {
  const everywhere = exporterListens === '0.0.0.0' || exporterListens === '::';
  const loopback = exporterListens === '::1' || exporterListens.startsWith('127.');
  const one = isIPv4(exporterListens) || isIPv6(exporterListens);
  return one && !everywhere && !loopback ? exporterListens : localIP;
}

/** Whether the `failures`-th failure in a row is worth a line. */
export function isFailureLogged(failures: number): boolean {
  return failures % FAILURES_A_LINE === 1;
}

/** Calls `run` after `ms`, once; returns what prevents it. */
export type Later = (ms: number, run: () => void) => () => void;

export interface ConsulOptions {
  service: ConsulService;
  log: Pick<Logger, 'info' | 'warn'>;
  later?: Later;
  timeoutMs?: number;
}

export class ConsulRegistration {
  readonly #options: ConsulOptions;
  readonly #later: Later;
  readonly #body: string;
  #url: URL | null = null;
  #cancelNext = (): void => {};
  /** Aborts the registration under way. */
  #current = new AbortController();
  #failures = 0;
  #registered = false;

  constructor(options: ConsulOptions) {
    this.#options = options;
    this.#later = options.later ?? timerLater;
    this.#body = registrationBody(options.service);
  }

  /** Registers with this agent from now on, at once and every minute; with none for the empty text. `address`: as configured, checked before. */
  use(address: string): void {
    this.stop();
    this.#url = address === '' ? null : consulRegisterUrl(address);
    this.#failures = 0;
    this.#registered = false;
    if (this.#url !== null) void this.#register(this.#url);
  }

  /** No more registrations; what is under way is given up. The agent keeps the service, as with the reference: its checks tell that it is gone. */
  stop(): void {
    this.#cancelNext();
    this.#current.abort();
  }

  async #register(url: URL): Promise<void> {
    const current = new AbortController();
    this.#current = current;
    const timeoutMs = this.#options.timeoutMs ?? TIMEOUT_MS;
    const failure = await put(url, this.#body, current.signal, timeoutMs);
    if (current.signal.aborted) return;
    this.#tell(url, failure);
    this.#cancelNext = this.#later(PERIOD_MS, () => void this.#register(url));
  }

  #tell(url: URL, failure: string | null): void {
    const { log, service } = this.#options;
    // Without the password that a URL may hold.
    const agent = url.host;
    if (failure === null) {
      if (!this.#registered) log.info({ agent, ...service }, 'registered with consul');
      this.#registered = true;
      this.#failures = 0;
      return;
    }
    this.#registered = false;
    this.#failures += 1;
    if (!isFailureLogged(this.#failures)) return;
    const fields = { agent, failures: this.#failures, reason: failure };
    log.warn(fields, 'the registration with consul failed, trying again every minute');
  }
}

/** One PUT on a connection of its own. Null: the agent took it. Never rejects. */
function put(url: URL, body: string, signal: AbortSignal, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const timer = setTimeout(() => end(`no answer within ${timeoutMs} ms`), timeoutMs);
    const outgoing = send(url, {
      method: 'PUT',
      agent: false,
      signal,
      headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
    });
    const end = (failure: string | null): void => {
      clearTimeout(timer);
      resolve(failure);
      outgoing.destroy();
    };
    outgoing.on('error', (error) => end(error.message));
    outgoing.on('response', (answer) => {
      const status = answer.statusCode ?? 0;
      if (status >= 200 && status < 300) return end(null);
      let text = '';
      const tell = (): void => end(`status ${status} ${text.replace(/\p{Cc}+/gu, ' ').trim()}`.trim());
      answer.setEncoding('utf8');
      answer.on('data', (piece: string) => {
        text = (text + piece).slice(0, ANSWER_BYTES_MAX);
        if (text.length === ANSWER_BYTES_MAX) tell();
      });
      answer.on('end', tell);
      answer.on('error', (error) => end(error.message));
    });
    outgoing.end(body);
  });
}

function timerLater(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms);
  timer.unref();
  return () => clearTimeout(timer);
}
