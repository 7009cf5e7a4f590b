/**
 * The node's HTTP client towards the master (`admin.md` 4): one connection a try, JSON envelope, last answering host first.
 *
 * Used by registration, the partition check, posted task responses and replica look-ups. What an answer means is decided in `masterCall.ts`.
 */
import { request as httpRequest } from 'node:http';
import type { LookupFunction } from 'node:net';
import {
  afterTry,
  type MasterOutcome,
  outOfTime,
  redirectOf,
  startCall,
  type TryResult,
} from './masterCall.js';

/** One call. `query` values are escaped here. */
export interface MasterRequest {
  method: 'GET' | 'POST';
  /** `/admin/getIp`. */
  path: string;
  query?: Record<string, string>;
  /** JSON text, in UTF-8 where it is bytes; a long one in pieces, so that it need not be copied together. */
  body?: string | Uint8Array | readonly Uint8Array[];
}

/** What the rest of the control plane needs of a master client; tests put a fake in its place. */
export interface MasterCaller {
  /** Makes a call, trying candidates in order. Never rejects; ends at once with kind `aborted` when `signal` is aborted. */
  call(request: MasterRequest, signal: AbortSignal): Promise<MasterOutcome>;
}

export interface MasterClientOptions {
  /** `host:port`, in configured order, at least one. */
  masters: readonly string[];
  /** Time one try may take in all, ms; and until it is connected. */
  tryTimeoutMs?: number;
  connectTimeoutMs?: number;
  /** Silence of a master after which new calls begin with others, ms. */
  hangingMs?: number;
  /** Time a whole call may take, ms. */
  callTimeoutMs?: number;
  /** Longest reply body taken, bytes. */
  replyBytesMax?: number;
  /** Resolves names; default: the system's. */
  lookup?: LookupFunction;
}

/** The reference's time-out of one try (`admin.md` 4). */
const TRY_TIMEOUT_MS = 30_000;
/** A machine that is down does not even refuse: its turn ends sooner than that of a master that thinks. */
const CONNECT_TIMEOUT_MS = 5_000;
/** Three masters that hang, and some. A master forgets a node after 180 s without a heartbeat (`admin.md` 14.1): later than this a response helps nobody. */
const CALL_TIMEOUT_MS = 120_000;
/** From so long a silence on other calls do not begin with this master. A master that is well answers within ms. */
const HANGING_MS = 3_000;
/** `/dataNode/get` lists every partition report of the node, some 200 bytes each: 64 MiB is more than 300,000 of them. */
const REPLY_BYTES_MAX = 64 * 1024 * 1024;

export class MasterClient implements MasterCaller {
  readonly #tryTimeoutMs: number;
  readonly #connectTimeoutMs: number;
  readonly #hangingMs: number;
  readonly #callTimeoutMs: number;
  /** Masters that have kept a call waiting and have not answered any since. */
  readonly #hanging = new Set<string>();
  readonly #replyBytesMax: number;
  readonly #lookup: LookupFunction | undefined;
  #masters: readonly string[];
  /** The host that answered last. */
  #leader: string | null = null;

  constructor(options: MasterClientOptions) {
    this.#masters = options.masters;
    this.#tryTimeoutMs = options.tryTimeoutMs ?? TRY_TIMEOUT_MS;
    this.#connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.#hangingMs = options.hangingMs ?? HANGING_MS;
    this.#callTimeoutMs = options.callTimeoutMs ?? CALL_TIMEOUT_MS;
    this.#replyBytesMax = options.replyBytesMax ?? REPLY_BYTES_MAX;
    this.#lookup = options.lookup;
  }

  /** The host that answered last; null before the first answer. */
  get leader(): string | null {
    return this.#leader;
  }

  /** Other masters, from the next call on. Calls under way keep the ones they began with. */
  setMasters(masters: readonly string[]): void {
    this.#masters = masters;
    if (this.#leader !== null && !masters.includes(this.#leader)) this.#leader = null;
  }

  async call(request: MasterRequest, signal: AbortSignal): Promise<MasterOutcome> {
    const deadlineMs = performance.now() + this.#callTimeoutMs;
    let decision = startCall(this.#masters, this.#leader, this.#hanging);
    while (decision.kind === 'try') {
      if (signal.aborted) return ABORTED;
      const leftMs = deadlineMs - performance.now();
      if (leftMs <= 0) return outOfTime(decision.state, this.#callTimeoutMs);
      const url = decision.url ?? `http://${decision.host}${request.path}${queryText(request.query)}`;
      const result = await this.#tryHost(decision.host, url, request, leftMs, signal);
      if (signal.aborted) return ABORTED;
      decision = afterTry(decision.state, result);
    }
    // Meanwhile there may be other masters.
    const { leader, outcome } = decision;
    if (leader !== null && this.#masters.includes(leader)) this.#leader = leader;
    return outcome;
  }

  /** One try, with an eye on whether the host hangs. */
  async #tryHost(
    host: string,
    url: string,
    request: MasterRequest,
    leftMs: number,
    signal: AbortSignal,
  ): Promise<TryResult> {
    const timer = setTimeout(() => this.#hanging.add(host), this.#hangingMs);
    const result = await this.#tryUrl(url, request, Math.min(leftMs, this.#tryTimeoutMs), signal);
    clearTimeout(timer);
    // A refusal is an answer too: nobody has to wait for it.
    if (!signal.aborted && (result.kind === 'reply' || !result.isSilent)) this.#hanging.delete(host);
    return result;
  }

  /** One try: a new connection, the whole reply read, everything within the time-out. */
  #tryUrl(url: string, request: MasterRequest, timeoutMs: number, signal: AbortSignal): Promise<TryResult> {
    return new Promise((resolve) => {
      let outgoing: ReturnType<typeof httpRequest> | undefined;
      const fail = (reason: string, isSilent = false): void => end({ kind: 'failed', reason, isSilent });
      const timers = [
        setTimeout(() => fail(`no reply within ${Math.ceil(timeoutMs)} ms`, true), timeoutMs),
        setTimeout(() => {
          fail(`no connection within ${this.#connectTimeoutMs} ms`, true);
        }, this.#connectTimeoutMs),
      ];
      const onAbort = (): void => fail('aborted');
      const end = (result: TryResult): void => {
        for (const timer of timers) clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        outgoing?.destroy();
        resolve(result);
      };
      signal.addEventListener('abort', onAbort);
      try {
        outgoing = httpRequest(url, {
          method: request.method,
          agent: false,
          headers: headersOf(request),
          ...(this.#lookup === undefined ? {} : { lookup: this.#lookup }),
        });
      } catch (error) {
        fail((error as Error).message);
        return;
      }
      outgoing.on('error', (error) => fail(reasonOf(error)));
      outgoing.on('socket', (socket) => socket.once('connect', () => clearTimeout(timers[1])));
      outgoing.on('response', (reply) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        reply.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > this.#replyBytesMax) fail(`reply longer than ${this.#replyBytesMax} bytes`);
          else chunks.push(chunk);
        });
        reply.on('error', (error) => fail(error.message));
        reply.on('end', () => {
          const status = reply.statusCode ?? 0;
          const redirect = redirectOf(status, request.method, reply.headers.location, url);
          end({ kind: 'reply', status, body: Buffer.concat(chunks, bytes).toString('utf8'), redirect });
        });
      });
      for (const piece of piecesOf(request.body)) outgoing.write(piece);
      outgoing.end();
    });
  }
}

const ABORTED: MasterOutcome = { ok: false, kind: 'aborted', message: 'aborted', detail: '' };

function headersOf(request: MasterRequest): Record<string, string | number> {
  const headers: Record<string, string | number> = {
    'Content-Type': 'application/json',
    Connection: 'close',
  };
  if (request.method === 'POST') {
    const bytes = piecesOf(request.body).map((piece) => Buffer.byteLength(piece));
    headers['Content-Length'] = bytes.reduce((sum, one) => sum + one, 0);
  }
  return headers;
}

function piecesOf(body: MasterRequest['body']): readonly (string | Uint8Array)[] {
  if (body === undefined || body.length === 0) return [];
  return typeof body === 'string' || body instanceof Uint8Array ? [body] : body;
}

/** A name with several addresses fails with one error for all of them, whose own message is empty. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError)
    return error.errors.map((one: unknown) => (one instanceof Error ? one.message : String(one))).join('; ');
  return error.message;
}

function queryText(query: Record<string, string> | undefined): string {
  if (query === undefined) return '';
  const pairs = Object.entries(query).map(
    ([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`,
  );
  return `?${pairs.join('&')}`;
}
