/**
 * The node's HTTP client towards the master (`admin.md` 4): one connection a try, JSON envelope, last answering host first.
 *
 * Used by registration, the partition check, posted task responses and replica look-ups. What an answer means is decided in `masterCall.ts`.
 */
import { request as httpRequest } from 'node:http';
import { afterTry, type MasterOutcome, startCall, type TryResult } from './masterCall.js';

/** One call. `query` values are escaped here. */
export interface MasterRequest {
  method: 'GET' | 'POST';
  /** `/admin/getIp`. */
  path: string;
  query?: Record<string, string>;
  /** JSON text, in UTF-8 where it is bytes. */
  body?: string | Uint8Array;
}

/** What the rest of the control plane needs of a master client; tests put a fake in its place. */
export interface MasterCaller {
  /** Makes a call, trying candidates in order. Never rejects; ends at once with kind `aborted` when `signal` is aborted. */
  call(request: MasterRequest, signal: AbortSignal): Promise<MasterOutcome>;
}

export interface MasterClientOptions {
  /** `host:port`, in configured order, at least one. */
  masters: readonly string[];
  /** Time one try may take in all, ms. */
  tryTimeoutMs?: number;
  /** Longest reply body taken, bytes. */
  replyBytesMax?: number;
}

/** The reference's time-out of one try (`admin.md` 4). */
const TRY_TIMEOUT_MS = 30_000;
/** `/dataNode/get` lists every partition report of the node, some 200 bytes each: 64 MiB is more than 300,000 of them. */
const REPLY_BYTES_MAX = 64 * 1024 * 1024;

export class MasterClient implements MasterCaller {
  #masters: readonly string[];
  readonly #tryTimeoutMs: number;
  readonly #replyBytesMax: number;
  /** The host that answered last. */
  #leader: string | null = null;

  constructor(options: MasterClientOptions) {
    this.#masters = options.masters;
    this.#tryTimeoutMs = options.tryTimeoutMs ?? TRY_TIMEOUT_MS;
    this.#replyBytesMax = options.replyBytesMax ?? REPLY_BYTES_MAX;
  }

  /** The host that answered last; null before the first answer. */
  get leader(): string | null {
    return this.#leader;
  }

  /** Other masters, from the next call on. */
  setMasters(masters: readonly string[]): void {
    this.#masters = masters;
    if (this.#leader !== null && !masters.includes(this.#leader)) this.#leader = null;
  }

  async call(request: MasterRequest, signal: AbortSignal): Promise<MasterOutcome> {
    let decision = startCall(this.#masters, this.#leader);
    while (decision.kind === 'try') {
      if (signal.aborted) return ABORTED;
      const result = await this.#tryHost(decision.host, request, signal);
      if (signal.aborted) return ABORTED;
      decision = afterTry(decision.state, result);
    }
    if (decision.leader !== null && this.#masters.includes(decision.leader)) this.#leader = decision.leader;
    return decision.outcome;
  }

  /** One try: a new connection, the whole reply read, everything within the time-out. */
  #tryHost(host: string, request: MasterRequest, signal: AbortSignal): Promise<TryResult> {
    return new Promise((resolve) => {
      const fail = (reason: string): void => end({ kind: 'failed', reason });
      let outgoing: ReturnType<typeof httpRequest> | undefined;
      const timer = setTimeout(() => fail(`no reply within ${this.#tryTimeoutMs} ms`), this.#tryTimeoutMs);
      const onAbort = (): void => fail('aborted');
      const end = (result: TryResult): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        outgoing?.destroy();
        resolve(result);
      };
      signal.addEventListener('abort', onAbort);
      try {
        outgoing = httpRequest(`http://${host}${request.path}${queryText(request.query)}`, {
          method: request.method,
          agent: false,
          headers: headersOf(request),
        });
      } catch (error) {
        fail((error as Error).message);
        return;
      }
      outgoing.on('error', (error) => fail(error.message));
      outgoing.on('response', (reply) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        reply.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > this.#replyBytesMax) fail(`reply longer than ${this.#replyBytesMax} bytes`);
          else chunks.push(chunk);
        });
        reply.on('error', (error) => fail(error.message));
        reply.on('end', () =>
          end({
            kind: 'reply',
            status: reply.statusCode ?? 0,
            body: Buffer.concat(chunks, bytes).toString('utf8'),
          }),
        );
      });
      outgoing.end(request.body);
    });
  }
}

const ABORTED: MasterOutcome = { ok: false, kind: 'aborted', message: 'aborted', detail: '' };

function headersOf(request: MasterRequest): Record<string, string | number> {
  const headers: Record<string, string | number> = {
    'Content-Type': 'application/json',
    Connection: 'close',
  };
  if (request.method === 'POST') headers['Content-Length'] = Buffer.byteLength(request.body ?? '');
  return headers;
}

function queryText(query: Record<string, string> | undefined): string {
  if (query === undefined) return '';
  const pairs = Object.entries(query).map(
    ([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`,
  );
  return `?${pairs.join('&')}`;
}
