/**
 * The debug API's routes (`admin.md` 10): which question a request asks, and how the answer is written. Pure, but for the `ask` it is given.
 * Runs on the HTTP thread.
 *
 * The reference sets its headers after the status line, so every reply of the API is sent as `text/plain`; clients rely on the body alone.
 */
import type { Outcome } from '../control/nodeView.js';
import { type IdParameter, parseForm, parseInt64, parseUint } from './form.js';
import { type HttpRequest, type HttpResponse, plain } from './httpServer.js';
import type { Answer, FaultRequest, Question, Readiness } from './messages.js';
import { muxPath } from './muxPath.js';
import type { Overview } from './overview.js';
import { renderStatusPage } from './statusPage.js';

/** Asks the main thread. Always answers, with an error status if need be. */
export type Ask = (question: Question) => Promise<Answer>;

export interface ApiOptions {
  ask: Ask;
  /** Whether the node serves; before, the pages that show it are not there (`admin.md` 3, step 8). */
  isOpen(): boolean;
  /** Offers `/loglevel/set`. */
  logLevel: boolean;
  /** Offers `POST /debug/fault`. */
  faultInjection: boolean;
  now(): number;
  /** `/metrics`; null: the exporter is off. */
  metrics(): Promise<MetricsResponder> | null;
}

/** Makes the page of metrics, with figures of each partition if wanted. */
export interface MetricsResponder {
  response(partitions: boolean): Promise<HttpResponse>;
}

/** The handler of all paths. */
export function createApi(options: ApiOptions): (request: HttpRequest) => Promise<HttpResponse> {
  return async (request) => {
    const target = muxPath(request);
    if (target.kind === 'reply') return target.response;
    switch (target.path) {
      case '/healthz':
        return health(options);
      case '/readyz':
        return readiness(options.ask);
      case '/loglevel/set':
        return options.logLevel ? setLogLevel(request, options.ask) : notFound();
      default:
        if (options.isOpen()) return nodePage(target.path, request, options);
        return target.path === '/' ? readiness(options.ask) : notFound();
    }
  };
}

/** The pages that show a node that serves. */
async function nodePage(path: string, request: HttpRequest, options: ApiOptions): Promise<HttpResponse> {
  const { ask } = options;
  switch (path) {
    case '/':
      return statusPage(options);
    case '/disks':
      return envelope(await ask({ kind: 'disks' }));
    case '/partitions':
      return envelope(await ask({ kind: 'partitions' }));
    case '/stats':
      return envelope(await ask({ kind: 'stats' }));
    case '/partition':
      return partition(request, ask);
    case '/extent':
      return extent('extent', request, ask);
    case '/block':
      return extent('block', request, ask);
    case '/raftStatus':
      return raftStatus(request, ask);
    case '/limits':
      return envelope(await ask({ kind: 'limits' }));
    case '/limits/set':
      return setLimits(request, ask);
    case '/checksums':
      return envelope(await ask({ kind: 'checksums' }));
    case '/repair':
      return repair(request, ask);
    case '/checksums/scrub':
      return scrub(request, ask);
    case '/metrics':
      return metrics(request, options);
    case '/debug/fault':
      return options.faultInjection ? fault(request, ask) : notFound();
    default:
      return path.startsWith('/debug/pprof') ? notFound(NO_PPROF) : notFound();
  }
}

/** `partitions=1`: with figures of each partition. */
async function metrics(request: HttpRequest, options: ApiOptions): Promise<HttpResponse> {
  const page = options.metrics();
  if (page === null) return notFound();
  const form = parseForm(request);
  if (!form.ok) return plain(400, form.message);
  return (await page).response(form.value.get('partitions') === '1');
}

const NO_PPROF = 'profiles of the Go runtime do not exist here';

async function partition(request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, `parse form fail: ${form.message}`);
  const id = parseUint(form.value.get('id') ?? '');
  if (!id.ok) return envelopeError(400, `parse param id fail: ${id.message}`);
  return envelope(await ask({ kind: 'partition', partitionId: id.value.value }));
}

/** `id`: of one partition, without it all of them. */
async function repair(request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, `parse form fail: ${form.message}`);
  const text = form.value.get('id');
  if (text === undefined) return envelope(await ask({ kind: 'repair', partitionId: null }));
  const id = parseUint(text);
  if (!id.ok) return envelopeError(400, `parse param id fail: ${id.message}`);
  return envelope(await ask({ kind: 'repair', partitionId: id.value.value }));
}

async function raftStatus(request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, `parse form fail: ${form.message}`);
  const id = parseUint(form.value.get('raftID') ?? '');
  if (!id.ok) return envelopeError(400, `parse param raftID fail: ${id.message}`);
  return envelope(await ask({ kind: 'raftStatus', raftIdText: id.value.text }));
}

const BAD_LEVEL = 'level only can be set :debug,info,warn,error,critical,read,write,fatal';

async function setLogLevel(request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, form.message);
  const level = form.value.get('level') ?? '';
  const answer = await ask({ kind: 'setLogLevel', level });
  return answer.status === 400 ? envelopeError(400, BAD_LEVEL) : envelope(answer);
}

async function extent(kind: 'extent' | 'block', request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, form.message);
  const partitionId = parseUint(form.value.get('partitionID') ?? '');
  if (!partitionId.ok) return envelopeError(400, partitionId.message);
  const extentId: Outcome<IdParameter> = parseInt64(form.value.get('extentID') ?? '');
  if (!extentId.ok) return envelopeError(400, extentId.message);
  const { value, text } = extentId.value;
  return envelope(
    await ask({ kind, partitionId: partitionId.value.value, extentId: value, extentText: text }),
  );
}

/** `disk`: path or index, without it all disks; every other parameter is a limit. */
async function setLimits(request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, `parse form fail: ${form.message}`);
  const changes = [...form.value].filter(([name]) => name !== 'disk');
  const disk = form.value.get('disk');
  if (disk === '') return envelopeError(400, EMPTY_DISK);
  return envelope(await ask({ kind: 'setLimits', disk: disk ?? '', changes }));
}

const EMPTY_DISK = 'disk: is empty; leave it out to mean all disks';

/** `disk`: path or index, without it all disks. */
async function scrub(request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, `parse form fail: ${form.message}`);
  const disk = form.value.get('disk');
  if (disk === '') return envelopeError(400, EMPTY_DISK);
  return envelope(await ask({ kind: 'scrub', disk: disk ?? '' }));
}

async function fault(request: HttpRequest, ask: Ask): Promise<HttpResponse> {
  if (request.method !== 'POST') return envelopeError(405, 'faults are set by POST');
  const form = parseForm(request);
  if (!form.ok) return envelopeError(400, form.message);
  const parsed = faultOf(form.value);
  if (!parsed.ok) return envelopeError(400, parsed.message);
  return envelope(await ask({ kind: 'fault', fault: parsed.value }));
}

const FAULT_KINDS = ['hang', 'delay', 'errno', 'short', 'clear'] as const;

function faultOf(form: Map<string, string>): Outcome<FaultRequest> {
  const kind = FAULT_KINDS.find((name) => name === form.get('kind'));
  if (kind === undefined) return { ok: false, message: `kind must be one of ${FAULT_KINDS.join(', ')}` };
  const disk = whole(form.get('disk'));
  const value = whole(form.get('value') ?? '0');
  const count = whole(form.get('count') ?? '0');
  const codesText = form.get('codes') ?? '';
  const codes = codesText === '' ? [] : codesText.split(',').map(whole);
  if ([disk, value, count, ...codes].some((number) => number < 0)) {
    return { ok: false, message: 'disk, value, count and codes must be whole numbers' };
  }
  return { ok: true, value: { disk, kind, value, codes, count } };
}

/** A whole number below 2^31; -1 for anything else. */
function whole(text: string | undefined): number {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return -1;
  const number = Number(text);
  return number < 2 ** 31 ? number : -1;
}

async function statusPage(options: ApiOptions): Promise<HttpResponse> {
  const answer = await options.ask({ kind: 'overview' });
  if (answer.status !== 200) return plain(answer.status, answer.message);
  return {
    status: 200,
    contentType: 'text/html; charset=utf-8',
    headers: { 'Content-Security-Policy': "default-src 'none'; style-src 'unsafe-inline'" },
    body: renderStatusPage(JSON.parse(answer.dataJson) as Overview, options.now()),
  };
}

/** 200 only while the node serves; 503 says what it waits for. */
async function readiness(ask: Ask): Promise<HttpResponse> {
  const answer = await ask({ kind: 'readiness' });
  if (answer.status !== 200) return plain(503, `not ready: ${answer.message}`);
  const { ready, reason } = JSON.parse(answer.dataJson) as Readiness;
  return ready ? plain(200, 'ready') : plain(503, `not ready: ${reason}`);
}

/** 200 while the main thread answers and, once disks are loaded, at least one is usable. */
async function health(options: ApiOptions): Promise<HttpResponse> {
  if (!options.isOpen()) {
    const answer = await options.ask({ kind: 'readiness' });
    if (answer.status !== 200) return plain(503, answer.message);
    return plain(200, `ok: starting: ${(JSON.parse(answer.dataJson) as Readiness).reason}`);
  }
  const answer = await options.ask({ kind: 'overview' });
  if (answer.status !== 200) return plain(503, answer.message);
  const { disks } = JSON.parse(answer.dataJson) as Overview;
  const usable = disks.filter((disk) => disk.status !== -1 && disk.responsive).length;
  return plain(
    usable > 0 ? 200 : 503,
    `${usable > 0 ? 'ok' : 'failing'}: ${usable} of ${disks.length} disks usable`,
  );
}

function notFound(why = ''): HttpResponse {
  const response = plain(404, why === '' ? '404 page not found' : `404 page not found: ${why}`);
  return { ...response, headers: { 'X-Content-Type-Options': 'nosniff' } };
}

function envelopeError(status: number, message: string): HttpResponse {
  return envelope({ status, dataJson: 'null', message });
}

/** `{"code","data","msg"}` in this order, the status line saying the same as the code. */
function envelope(answer: Answer): HttpResponse {
  const { status, dataJson, message } = answer;
  return {
    status,
    contentType: 'text/plain; charset=utf-8',
    body: goEscape(`{"code":${status},"data":${dataJson},"msg":${JSON.stringify(message)}}`),
  };
}

const GO_ESCAPES: Record<string, string> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/** The reference's JSON writer escapes these; they occur inside strings only. */
function goEscape(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (character) => GO_ESCAPES[character]!);
}
