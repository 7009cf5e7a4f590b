/**
 * Codecs between our types and the JSON bodies of the protocol: one description a type, read in both directions.
 *
 * Encoding gives the keys in the order and spelling of the description. Decoding follows Go: keys match in any case, the last of several wins, unknown keys are
 * skipped, missing keys and `null` leave the zero value. It is stricter in one point: numbers that a double cannot hold exactly are refused, not rounded.
 */
import assert from 'node:assert';
import { type Decoded, type JsonValue, jsonString, jsonText, parseJson } from './jsonText.js';

/** The first complaint of one decoding. Its place is put together on the way out, so that good bodies pay nothing for it. */
export interface Fault {
  wanted: string | null;
  place: string;
}

export interface JsonCodec<T> {
  zero(): T;
  /** Returns the value; where it does not fit notes what was wanted in `fault` and returns anything. */
  decode(value: JsonValue, fault: Fault): T;
  /** Compact JSON text. */
  encode(value: T): string;
  /** A key with such a value is not written at all; absent: every key is. */
  isLeftOut?(value: T): boolean;
}

/** `Members`, `[0].id` → `Members[0].id`. */
function inside(outer: string, place: string): string {
  return place === '' || place.startsWith('[') ? outer + place : `${outer}.${place}`;
}

function integer(min: number, max: number): JsonCodec<number> {
  return {
    zero: () => 0,
    decode(value, fault) {
      if (value === null) return 0;
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max)
        return value + 0;
      fault.wanted = `must be an integer from ${min} to ${max}`;
      return 0;
    },
    encode(value) {
      assert(Number.isSafeInteger(value) && value >= min && value <= max, 'integer out of its range');
      return String(value);
    },
  };
}

/** Unsigned integers of the wire, and signed ones; 64-bit ones are cut to what a double holds exactly. */
export const u8 = integer(0, 0xff);
export const u32 = integer(0, 0xffff_ffff);
export const u64 = integer(0, Number.MAX_SAFE_INTEGER);
export const i8 = integer(-0x80, 0x7f);
export const i64 = integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

export const bool: JsonCodec<boolean> = {
  zero: () => false,
  decode(value, fault) {
    if (value === null || typeof value === 'boolean') return value ?? false;
    fault.wanted = 'must be true or false';
    return false;
  },
  encode: String,
};

/** A string of at most `charactersMax` UTF-16 units. */
export function text(charactersMax: number): JsonCodec<string> {
  return {
    zero: () => '',
    decode(value, fault) {
      if (value === null) return '';
      if (typeof value === 'string' && value.length <= charactersMax) return value;
      fault.wanted = `must be a string of at most ${charactersMax} characters`;
      return '';
    },
    encode: jsonString,
  };
}

/** A string whose key is left out where it is empty. */
export function optionalText(charactersMax: number): JsonCodec<string> {
  return { ...text(charactersMax), isLeftOut: (value) => value === '' };
}

/** Stands for a long value while the rest is encoded: JSON text has no such character in it. */
const PLACE = '\0';

/** A value that is put in later, as bytes: see `aroundPlace`. */
export const place: JsonCodec<null> = { zero: () => null, decode: () => null, encode: () => PLACE };

/** What stands before and behind the one `place` in an encoded body. */
export function aroundPlace(body: Uint8Array): [before: Uint8Array, behind: Uint8Array] {
  const at = body.indexOf(0);
  assert(at >= 0, 'a place in the body');
  return [body.subarray(0, at), body.subarray(at + 1)];
}

/** Any value, kept as it came. */
export const anything: JsonCodec<JsonValue> = {
  zero: () => null,
  decode: (value) => value,
  encode: jsonText,
};

/** An array of at most `countMax` elements; `null` is the empty one. */
export function list<T>(element: JsonCodec<T>, countMax: number): JsonCodec<T[]> {
  return {
    zero: () => [],
    decode(value, fault) {
      if (value === null) return [];
      if (!Array.isArray(value) || value.length > countMax) {
        fault.wanted = `must be an array of at most ${countMax}`;
        return [];
      }
      const elements: T[] = [];
      for (let i = 0; i < value.length; i += 1) {
        elements.push(element.decode(value[i]!, fault));
        if (fault.wanted === null) continue;
        fault.place = inside(`[${i}]`, fault.place);
        break;
      }
      return elements;
    },
    encode: (values) => `[${values.map((value) => element.encode(value)).join(',')}]`,
  };
}

/** Wire key and codec of each field, in the order of the wire. */
export type Shape<T> = { readonly [K in keyof T]-?: readonly [wireKey: string, codec: JsonCodec<T[K]>] };

interface FieldPlan {
  readonly name: string;
  readonly wireKey: string;
  readonly codec: JsonCodec<unknown>;
}

/** An object. */
export function struct<T extends object>(shape: Shape<T>): JsonCodec<T> {
  const plans: FieldPlan[] = Object.entries<readonly [string, unknown]>(
    shape as Record<string, readonly [string, unknown]>,
  ).map(([name, [wireKey, codec]]) => ({ name, wireKey, codec: codec as JsonCodec<unknown> }));
  const byKey = new Map(plans.map((plan) => [plan.wireKey, plan]));
  const byFoldedKey = new Map(plans.map((plan) => [plan.wireKey.toLowerCase(), plan]));
  const zero = (): Record<string, unknown> => {
    const fields: Record<string, unknown> = {};
    for (const { name, codec } of plans) fields[name] = codec.zero();
    return fields;
  };
  return {
    zero: () => zero() as T,
    decode(value, fault) {
      const into = zero();
      if (value === null) return into as T;
      if (typeof value !== 'object' || Array.isArray(value)) {
        fault.wanted = 'must be an object';
        return into as T;
      }
      for (const key of Object.keys(value)) {
        const plan = byKey.get(key) ?? byFoldedKey.get(key.toLowerCase());
        if (plan === undefined) continue;
        into[plan.name] = plan.codec.decode(value[key]!, fault);
        if (fault.wanted === null) continue;
        fault.place = inside(plan.wireKey, fault.place);
        break;
      }
      return into as T;
    },
    encode(value) {
      const fields = value as Record<string, unknown>;
      let text = '';
      for (const { name, wireKey, codec } of plans) {
        if (codec.isLeftOut?.(fields[name])) continue;
        text += `${text === '' ? '' : ','}"${wireKey}":${codec.encode(fields[name])}`;
      }
      return `{${text}}`;
    },
  };
}

/** Decodes an already parsed value. */
export function decodeValue<T>(codec: JsonCodec<T>, value: JsonValue): Decoded<T> {
  const fault: Fault = { wanted: null, place: '' };
  const decoded = codec.decode(value, fault);
  if (fault.wanted === null) return { ok: true, value: decoded };
  return { ok: false, message: `${fault.place === '' ? 'body' : fault.place}: ${fault.wanted}` };
}

/** Parses and decodes a body. */
export function decodeBody<T>(codec: JsonCodec<T>, bytes: Uint8Array): Decoded<T> {
  const parsed = parseJson(bytes);
  return parsed.ok ? decodeValue(codec, parsed.value) : parsed;
}

/** Encodes a body. */
export function encodeBody<T>(codec: JsonCodec<T>, value: T): Uint8Array {
  return Buffer.from(codec.encode(value));
}
