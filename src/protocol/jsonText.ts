/**
 * JSON text as the Go side reads and writes it: parsing with bounds, and escaping of strings as Go's encoder does.
 *
 * For the codecs in `jsonCodec.ts`. Nothing here throws on input: depth and number of values are counted over the raw bytes first, so that a body of
 * brackets cannot make the parser allocate a multiple of its size.
 */

export type JsonValue = null | boolean | number | string | JsonValue[] | { [key: string]: JsonValue };

/** A decoded value, or why there is none. Messages go into error replies. */
export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly message: string };

/** Bounds of a JSON body. 60,000 extents of six keys each, twice in a repair task, are 900,000 values. */
export const JSON_LIMITS = {
  /** Nested arrays and objects. Admin tasks have five levels. */
  depthMax: 32,
  /** Commas, colons and brackets, that is: values and keys. */
  marksMax: 2_000_000,
} as const;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** Parses one JSON text in UTF-8; bytes that are none become U+FFFD, as in Go. */
export function parseJson(bytes: Uint8Array): Decoded<JsonValue> {
  const excess = excessOf(bytes);
  if (excess !== null) return { ok: false, message: excess };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  try {
    return { ok: true, value: JSON.parse(text) as JsonValue };
  } catch (error) {
    return { ok: false, message: syntaxMessage(text, error instanceof Error ? error.message : '') };
  }
}

/** Counts depth and values; null when both are in bounds. */
function excessOf(bytes: Uint8Array): string | null {
  let depth = 0;
  let marks = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i]!;
    if (inString) {
      if (byte === BACKSLASH) i += 1;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) {
      inString = true;
    } else if (byte === COMMA || byte === COLON) {
      marks += 1;
    } else if (byte === 0x5b || byte === 0x7b) {
      depth += 1;
      marks += 1;
      if (depth > JSON_LIMITS.depthMax) return `JSON nested deeper than ${JSON_LIMITS.depthMax}`;
    } else if (byte === 0x5d || byte === 0x7d) {
      depth -= 1;
    }
    if (marks > JSON_LIMITS.marksMax) return `JSON with more than ${JSON_LIMITS.marksMax} values`;
  }
  return null;
}

/** Go's words for the commonest syntax errors, found through the engine's message; a plain statement for the rest. */
function syntaxMessage(text: string, engineMessage: string): string {
  const position = Number(/at position (\d+)/.exec(engineMessage)?.[1] ?? -1);
  const first = text.search(/[^ \t\r\n]/);
  const ended = first < 0 || position >= text.length || /end of JSON|Unterminated/.test(engineMessage);
  if (ended) return 'unexpected end of JSON input';
  if (!/^[-{["0-9tfn]/.test(text.slice(first, first + 1))) {
    return `invalid character ${quoted(text.charAt(first))} looking for beginning of value`;
  }
  const character = /^Unexpected token '(.)'/su.exec(engineMessage)?.[1] ?? text.charAt(position);
  if (character === '') return 'invalid JSON';
  const inKey = engineMessage.startsWith('Expected property name');
  return `invalid character ${quoted(character)} ${inKey ? 'looking for beginning of object key string' : 'in JSON text'}`;
}

function quoted(character: string): string {
  if (character === "'") return String.raw`'\''`;
  const code = character.charCodeAt(0);
  return code < 0x20 || code === 0x7f ? `'\\x${code.toString(16).padStart(2, '0')}'` : `'${character}'`;
}

// Control characters, quote, backslash, the characters that Go escapes for HTML and JavaScript, and halves of surrogate pairs.
const NEEDS_ESCAPE = /["\\<>&\p{Cc}\p{Surrogate}\u2028\u2029]/u;
const ESCAPED = /["\\<>&\p{Cc}\p{Surrogate}\u2028\u2029]/gu;
const SHORT: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

/** A JSON string literal with Go's escapes: `<`, `>`, `&`, U+2028, U+2029 and control characters as `\u00..`. */
export function jsonString(text: string): string {
  if (!NEEDS_ESCAPE.test(text)) return `"${text}"`;
  return `"${text.replace(ESCAPED, escapeCharacter)}"`;
}

function escapeCharacter(character: string): string {
  const short = SHORT[character];
  if (short !== undefined) return short;
  const code = character.charCodeAt(0);
  if (code >= 0xd800 && code <= 0xdfff) return '\\ufffd';
  // DEL and the C1 controls are printed as they are.
  if (code >= 0x7f && code <= 0x9f) return character;
  return `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Any value as Go prints it, compactly, keys in the order they have. Depth is bounded by the parser. */
export function jsonText(value: JsonValue): string {
  if (typeof value === 'string') return jsonString(value);
  if (value === null || typeof value !== 'object') return String(value);
  if (Array.isArray(value)) return `[${value.map(jsonText).join(',')}]`;
  return `{${Object.entries(value)
    .map(([key, entry]) => `${jsonString(key)}:${jsonText(entry)}`)
    .join(',')}}`;
}
