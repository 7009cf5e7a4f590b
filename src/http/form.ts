/**
 * Parameters of a debug API request, read as the reference reads them: from the query and from a form body, with the error texts that its
 * users see (`admin.md` 10). Pure; used by `api.ts` only.
 */
import type { Outcome } from '../control/nodeView.js';
import type { HttpRequest } from './httpServer.js';

/** Methods whose form body counts. */
const BODY_METHODS = new Set(['POST', 'PUT', 'PATCH']);
const UINT64_MAX = 2n ** 64n - 1n;
const INT64_MAX = 2n ** 63n - 1n;

/** An id from a parameter. `value` is -1 where it cannot be an id of ours (negative, or past 2^53 - 1); `text` is what was written. */
export interface IdParameter {
  value: number;
  text: string;
}

/** First value of each parameter; a form body goes before the query. */
export function parseForm(request: HttpRequest): Outcome<Map<string, string>> {
  const hasForm =
    BODY_METHODS.has(request.method) && request.contentType === 'application/x-www-form-urlencoded';
  const parameters = new Map<string, string>();
  for (const source of [hasForm ? request.body.toString('utf8') : '', request.query]) {
    const failure = addPairs(source, parameters);
    if (failure !== null) return { ok: false, message: failure, httpStatus: 400 };
  }
  return { ok: true, value: parameters };
}

/** Adds the pairs of `source` that are not there yet. Returns the error's text, or null. */
function addPairs(source: string, into: Map<string, string>): string | null {
  for (const pair of source.split('&')) {
    if (pair === '') continue;
    const mark = pair.indexOf('=');
    const key = decodePart(mark === -1 ? pair : pair.slice(0, mark));
    const value = decodePart(mark === -1 ? '' : pair.slice(mark + 1));
    if (!key.ok) return key.message;
    if (!value.ok) return value.message;
    if (!into.has(key.value)) into.set(key.value, value.value);
  }
  return null;
}

function decodePart(text: string): Outcome<string> {
  const bad = /%(?![0-9a-fA-F]{2}).{0,2}/s.exec(text);
  if (bad !== null) return { ok: false, message: `invalid URL escape ${JSON.stringify(bad[0])}` };
  try {
    return { ok: true, value: decodeURIComponent(text.replaceAll('+', ' ')) };
  } catch {
    // Escapes that are not UTF-8: no parameter of ours has such a value.
    return { ok: false, message: `invalid URL escape ${JSON.stringify(text.slice(0, 60))}` };
  }
}

/** A decimal unsigned 64-bit number. A missing parameter is the empty text. */
export function parseUint(text: string): Outcome<IdParameter> {
  if (!/^[0-9]+$/.test(text)) return numberError('ParseUint', text, 'invalid syntax');
  if (text.length > 64 || BigInt(text) > UINT64_MAX)
    return numberError('ParseUint', text, 'value out of range');
  return { ok: true, value: idOf(BigInt(text)) };
}

/** A decimal signed 64-bit number, shown as the unsigned number with the same bits. */
export function parseInt64(text: string): Outcome<IdParameter> {
  if (!/^[+-]?[0-9]+$/.test(text)) return numberError('Atoi', text, 'invalid syntax');
  const number = text.length > 64 ? INT64_MAX + 1n : BigInt(text.replace(/^\+/, ''));
  if (number > INT64_MAX || number < -INT64_MAX - 1n) return numberError('Atoi', text, 'value out of range');
  return { ok: true, value: idOf(BigInt.asUintN(64, number)) };
}

function idOf(number: bigint): IdParameter {
  const value = number <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(number) : -1;
  return { value, text: number.toString() };
}

function numberError(call: string, text: string, reason: string): Outcome<IdParameter> {
  const shown = JSON.stringify(text.slice(0, 60));
  return { ok: false, message: `strconv.${call}: parsing ${shown}: ${reason}`, httpStatus: 400 };
}
