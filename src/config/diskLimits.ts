/**
 * Limits per disk: their names, their rows in the table of settings, and the shapes in which the rest of the program takes them.
 *
 * A limit has one name everywhere, `clients.readBytesPerSecond`: below `extentd.limits` in the config file, and as a parameter of `/limits/set`. What
 * they do is decided in `src/partition/diskLimits.ts`.
 */
import { accepted, describeValue, type Parsed, refused } from './parsed.js';

/** Whose work it is: requests of clients and of replicas that forward them, or repair, scrub and the like. */
export const LIMIT_CLASSES = ['clients', 'background'] as const;
export type LimitClass = (typeof LIMIT_CLASSES)[number];

/** Limits of one class on one disk; 0 is no limit. */
export interface ClassLimits {
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
  readonly readOpsPerSecond: number;
  readonly writeOpsPerSecond: number;
  readonly readsAtOnce: number;
  readonly writesAtOnce: number;
}

/** Limits of one disk. */
export type Limits = Readonly<Record<LimitClass, ClassLimits>>;

type LimitKey = keyof ClassLimits;
/** The field of a limit in the flat configuration: `clientsReadBytesPerSecond`. */
export type LimitField = `${LimitClass}${Capitalize<LimitKey>}`;

/** One limit: its name below `limits`, and what `settingRows.ts` needs for its row. */
interface LimitRow {
  readonly class: LimitClass;
  readonly key: LimitKey;
  readonly name: string;
  readonly field: LimitField;
  readonly max: number;
  readonly unit: string;
  readonly effect: string;
}

const GiB = 1024 ** 3;
/** More than a disk does. */
const BYTES_PER_SECOND_MAX = 1024 * GiB;
const OPS_PER_SECOND_MAX = 100_000_000;
const AT_ONCE_MAX = 65_536;

const KEYS: readonly [key: LimitKey, max: number, unit: string, what: string][] = [
  ['readBytesPerSecond', BYTES_PER_SECOND_MAX, 'bytes/s', 'Bytes read from a disk'],
  ['writeBytesPerSecond', BYTES_PER_SECOND_MAX, 'bytes/s', 'Bytes written to a disk'],
  ['readOpsPerSecond', OPS_PER_SECOND_MAX, 'operations/s', 'Reads of a disk, each of 128 KiB at most,'],
  ['writeOpsPerSecond', OPS_PER_SECOND_MAX, 'operations/s', 'Writes, creates and deletes on a disk'],
  ['readsAtOnce', AT_ONCE_MAX, 'operations', 'Reads under way on a disk at one time'],
  ['writesAtOnce', AT_ONCE_MAX, 'operations', 'Writes, creates and deletes under way on a disk at one time'],
];

const WHOSE: Record<LimitClass, string> = { clients: 'for clients', background: 'for repair and scrub' };

/** Every limit, in the order of the documentation. */
export const LIMIT_ROWS: readonly LimitRow[] = LIMIT_CLASSES.flatMap((limitClass) =>
  KEYS.map(([key, max, unit, what]) => ({
    class: limitClass,
    key,
    name: `${limitClass}.${key}`,
    field: fieldOf(limitClass, key),
    max,
    unit,
    effect: `${what} ${WHOSE[limitClass]}, at most; 0 is no limit.`,
  })),
);

const NO_LIMITS: ClassLimits = {
  readBytesPerSecond: 0,
  writeBytesPerSecond: 0,
  readOpsPerSecond: 0,
  writeOpsPerSecond: 0,
  readsAtOnce: 0,
  writesAtOnce: 0,
};
export const UNLIMITED: Limits = { clients: NO_LIMITS, background: NO_LIMITS };

/** The limits of a configuration, as its disks get them. */
export function limitsOf(config: Readonly<Record<LimitField, number>>): Limits {
  const of = (limitClass: LimitClass): ClassLimits => {
    const pairs = KEYS.map(([key]) => [key, config[fieldOf(limitClass, key)]]);
    return Object.fromEntries(pairs) as ClassLimits;
  };
  return { clients: of('clients'), background: of('background') };
}

/** `limits` with some of them changed, as texts by name. Refuses unknown names, and what is no whole number within the limit's range; then nothing is changed. */
export function withChangedLimits(
  limits: Limits,
  changes: readonly (readonly [name: string, text: string])[],
): Parsed<Limits> {
  const clients = { ...limits.clients };
  const background = { ...limits.background };
  const into: Record<LimitClass, Record<LimitKey, number>> = { clients, background };
  for (const [name, text] of changes) {
    const row = LIMIT_ROWS.find((candidate) => candidate.name === name);
    if (row === undefined) {
      return refused(
        name,
        `there is no such limit; there are ${LIMIT_ROWS.map((known) => known.name).join(', ')}`,
      );
    }
    const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= row.max))
      return refused(name, `must be a whole number from 0 to ${row.max}, not ${describeValue(text)}`);
    into[row.class][row.key] = value;
  }
  return accepted({ clients, background });
}

function fieldOf(limitClass: LimitClass, key: LimitKey): LimitField {
  return `${limitClass}${key[0]!.toUpperCase()}${key.slice(1)}` as LimitField;
}
