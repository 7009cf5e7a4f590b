/**
 * Turns one pino record (a line of JSON) into one readable line: `2024-05-01 12:00:00.123 INFO  message key=value` for a terminal, or for log files in the
 * manner of the reference `2024/05/01 14:00:00.123000 [INFO ] extentd:4711: message key=value`.
 *
 * Used by `log.ts`. Never throws: what is no record is passed on as it came.
 */

const NOT_FIELDS = new Set(['level', 'time', 'msg', 'err']);

/** Tags of the reference (`admin.md` 12). */
const TAGS: Readonly<Record<string, string>> = {
  debug: '[DEBUG]',
  info: '[INFO ]',
  warn: '[WARN ]',
  error: '[ERROR]',
  fatal: '[FATAL]',
  critical: '[FATAL]',
  read: '[READ ]',
  write: '[WRITE]',
};

/** `record`: a line as pino writes it with the options of `log.ts`. The result ends with a line break and holds no other. */
export function formatLogLine(record: string): string {
  const fields = parseRecord(record);
  if (fields === null) return `${flat(record)}\n`;
  const time = String(fields['time']).replace('T', ' ').replace('Z', '');
  const level = String(fields['level']).toUpperCase().padEnd(5);
  return `${time} ${level} ${messageText(fields)}\n`;
}

/**
 * The reference's form: local time with microseconds (ours are whole milliseconds), a tag, a place, the text; an alarm's text has its key before it. Where the
 * reference names a line of its source, the process is named.
 */
export function formatReferenceLine(record: string): string {
  const fields = parseRecord(record);
  if (fields === null) return `${flat(record)}\n`;
  const { level, operation, key } = fields;
  const time = referenceTime(new Date(String(fields['time'])));
  const tag = TAGS[String(level === 'debug' ? (operation ?? level) : level)] ?? '[DEBUG]';
  const place = `${time} ${tag} extentd:${process.pid}:`;
  if (level !== 'critical') return `${place} ${messageText(fields)}\n`;
  return `${place} ${flat(String(key))} ${messageText({ ...fields, key: undefined })}\n`;
}

function referenceTime(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join('/');
  const clock = [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':');
  return `${day} ${clock}.${String(time.getMilliseconds()).padStart(3, '0')}000`;
}

function messageText(fields: Record<string, unknown>): string {
  let text = flat(String(fields['msg'] ?? ''));
  for (const [key, value] of Object.entries(fields)) {
    if (!NOT_FIELDS.has(key) && value !== undefined) text += ` ${key}=${fieldText(value)}`;
  }
  return `${text}${errorText(fields['err'])}`;
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
