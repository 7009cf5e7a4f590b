/**
 * Turns one pino record (a line of JSON) into one readable line for a terminal: `2024-05-01 12:00:00.123 INFO  message key=value`.
 *
 * Used by the console output of `log.ts`. Never throws: what is no record is passed on as it came.
 */

const NOT_FIELDS = new Set(['level', 'time', 'msg', 'err']);

/** `record`: a line as pino writes it with the options of `log.ts`. The result ends with a line break and holds no other. */
export function formatLogLine(record: string): string {
  const fields = parseRecord(record);
  if (fields === null) return `${flat(record)}\n`;
  const time = String(fields['time']).replace('T', ' ').replace('Z', '');
  const level = String(fields['level']).toUpperCase().padEnd(5);
  let line = `${time} ${level} ${flat(String(fields['msg'] ?? ''))}`;
  for (const [key, value] of Object.entries(fields)) {
    if (!NOT_FIELDS.has(key)) line += ` ${key}=${fieldText(value)}`;
  }
  return `${line}${errorText(fields['err'])}\n`;
}

function parseRecord(record: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(record);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function fieldText(value: unknown): string {
  if (typeof value !== 'string') return flat(JSON.stringify(value) ?? '');
  return /^[\w.:/@+,-]+$/.test(value) ? value : JSON.stringify(value);
}

/** The stack of an error, its lines joined: it says where, and the record stays one line. */
function errorText(err: unknown): string {
  if (typeof err !== 'object' || err === null) return '';
  const { stack, message } = err as { stack?: unknown; message?: unknown };
  const text = typeof stack === 'string' ? stack : String(message);
  return ` | ${flat(text.replace(/\n\s*/g, ' < '))}`;
}

function flat(text: string): string {
  return text.replace(/\p{Cc}+/gu, ' ').trim();
}
