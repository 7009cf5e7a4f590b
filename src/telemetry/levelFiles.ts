/**
 * Which log file a record goes to (`admin.md` 12): pino's stream in front of the files.
 *
 * Owned by `log.ts`. A record goes to the file of its level, a fatal one to the error file; one of level debug with a field `operation`, `read` or `write`, to
 * the file of that operation. pino tells a stream with this mark the level and the object of each record before it writes it, so that nothing is parsed.
 */

/** A kind of log file, `dataNode_<kind>.log`. */
export type LevelKind = 'debug' | 'info' | 'warn' | 'error' | 'read' | 'write';

/** pino's numbers of its levels. */
const LEVEL = { info: 30, warn: 40, error: 50 };

/** Where a record of a level goes; `fields`: the object that it was logged with. */
export function kindOf(level: number, fields: unknown): LevelKind {
  if (level >= LEVEL.error) return 'error';
  if (level >= LEVEL.warn) return 'warn';
  if (level >= LEVEL.info) return 'info';
  const operation = (fields as { operation?: unknown } | null | undefined)?.operation;
  return operation === 'read' || operation === 'write' ? operation : 'debug';
}

/** pino's mark for streams that want to know what it writes. */
const METADATA = Symbol.for('pino.metadata');

export class LevelFiles {
  readonly [METADATA] = true;
  /** Set by pino. */
  lastLevel = 0;
  lastObj: unknown = null;
  readonly #write: (kind: LevelKind, record: string) => void;

  constructor(write: (kind: LevelKind, record: string) => void) {
    this.#write = write;
  }

  /** Called by pino. */
  write(record: string): void {
    this.#write(kindOf(this.lastLevel, this.lastObj), record);
  }
}
