/**
 * What every reader of outside text in `src/config` gives back, and the words in which it names a wrong value. Others use `Parsed` and `accepted`, for a reload.
 */

/** The value, or one line without a line break that says which key or flag is wrong and how. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly message: string };

/** The good outcome. */
export function accepted<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

/** `where`: the key's path (`extentd.slab.slots4k`, `disks[1]`) or the flag (`--port`). */
export function refused(where: string, what: string): { readonly ok: false; readonly message: string } {
  return { ok: false, message: oneLine(`${where}: ${what}`) };
}

/** How a wrong JSON value is named: its kind, and the value itself when it is short. */
export function describeValue(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  if (typeof value === 'string') return `the string ${JSON.stringify(shortened(value))}`;
  return `the ${typeof value} ${String(value)}`;
}

/** Replaces control characters, so that text from a file cannot break a line of the log or the terminal. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ');
}

/** Decimal digits to a port. `least`: 0 where "any free port" makes sense, else 1. */
export function parsePort(where: string, text: string, least: 0 | 1): Parsed<number> {
  const port = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isInteger(port) && port >= least && port <= 65_535) return accepted(port);
  return refused(where, `must be a port number from ${least} to 65535 in digits, not ${describeValue(text)}`);
}

function shortened(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}
