/**
 * The settings under the key `extentd`: one table row a setting, from which the config file, `--set` and `docs/configuration.md` (its test) work.
 *
 * A setting that is not in this table does not exist: unknown names are refused, because a misspelt setting that silently does nothing is worse
 * than a node that does not start. Used inside `src/config` and by the documentation test.
 */
import { isIP } from 'node:net';
import { EXTENTD_DEFAULTS, type ExtentdSettings } from './config.js';
import { LIMIT_ROWS } from './diskLimits.js';
import { accepted, describeValue, type Parsed, refused } from './parsed.js';

const MiB = 1024 * 1024;

interface SettingBase {
  /** Path below `extentd`, as in the file and in `--set extentd.<key>=`. */
  readonly key: string;
  readonly field: keyof ExtentdSettings;
  readonly unit: string;
  /** What it does, one sentence, for the documentation. */
  readonly effect: string;
}

export type Setting =
  | (SettingBase & {
      readonly kind: 'integer';
      readonly min: number;
      readonly max: number;
      readonly powerOfTwo?: true;
    })
  | (SettingBase & { readonly kind: 'boolean' })
  | (SettingBase & { readonly kind: 'address' })
  | (SettingBase & { readonly kind: 'choice'; readonly choices: readonly string[] });

export const SETTINGS: readonly Setting[] = [
  {
    key: 'workersPerDisk',
    field: 'workersPerDisk',
    kind: 'integer',
    min: 1,
    max: 16,
    unit: 'threads',
    effect: 'Worker threads that share the partitions of one disk.',
  },
  {
    key: 'ringSlots',
    field: 'ringSlots',
    kind: 'integer',
    min: 64,
    max: 65_536,
    powerOfTwo: true,
    unit: 'descriptors',
    effect:
      'Requests that may be under way between one network thread and one worker; a full ring pauses the sockets.',
  },
  {
    key: 'slab.slots4k',
    field: 'slabSlots4k',
    kind: 'integer',
    min: 64,
    max: 262_144,
    unit: 'slots of 4 KiB',
    effect: 'Memory of a network thread for bodies up to 4 KiB.',
  },
  {
    key: 'slab.slots32k',
    field: 'slabSlots32k',
    kind: 'integer',
    min: 16,
    max: 65_536,
    unit: 'slots of 32 KiB',
    effect: 'Memory of a network thread for bodies up to 32 KiB.',
  },
  {
    key: 'slab.slots128k',
    field: 'slabSlots128k',
    kind: 'integer',
    min: 16,
    max: 16_384,
    unit: 'slots of 128 KiB',
    effect: 'Memory of a network thread for bodies and read chunks up to 128 KiB.',
  },
  {
    key: 'slab.slots2m',
    field: 'slabSlots2m',
    kind: 'integer',
    min: 2,
    max: 1_024,
    unit: 'slots of 2 MiB',
    effect: 'Memory of a network thread for the largest bodies.',
  },
  {
    key: 'ioThreads',
    field: 'ioThreads',
    kind: 'integer',
    min: 1,
    max: 64,
    unit: 'threads',
    effect: 'Threads a disk for what can block: fsync, open, unlink, cold reads.',
  },
  {
    key: 'maxOpenFiles',
    field: 'maxOpenFiles',
    kind: 'integer',
    min: 256,
    max: 1_000_000,
    unit: 'files',
    effect:
      'Extent and checksum files that the whole node keeps open; lowered at start when the system allows less.',
  },
  {
    key: 'strictAppend',
    field: 'strictAppend',
    kind: 'boolean',
    unit: '-',
    effect: 'Refuse an append that would leave a gap, which would read as zeros for ever.',
  },
  {
    key: 'durability',
    field: 'durability',
    kind: 'choice',
    choices: ['asked', 'always'],
    unit: '-',
    effect:
      'When a write or create is acknowledged: as its opcode asks, or always after it is on disk, in groups.',
  },
  {
    key: 'directReadBytes',
    field: 'directReadBytes',
    kind: 'integer',
    min: 0,
    max: 128 * 1024,
    unit: 'bytes',
    effect:
      'Reads up to this size that are not in the page cache go past it (O_DIRECT) and push nothing out of it; 0: none.',
  },
  {
    key: 'allowLostPartitions',
    field: 'allowLostPartitions',
    kind: 'boolean',
    unit: '-',
    effect:
      'Start although partitions that the master lists for this node are not on its disks; the reference refuses.',
  },
  {
    key: 'listenAddress',
    field: 'listenAddress',
    kind: 'address',
    unit: '-',
    effect: 'Address on which the data port listens.',
  },
  {
    key: 'spin.workerUs',
    field: 'spinWorkerUs',
    kind: 'integer',
    min: 0,
    max: 1_000,
    unit: 'µs',
    effect: 'How long an idle worker spins before it sleeps, at most; 0 never spins.',
  },
  {
    key: 'spin.mainUs',
    field: 'spinMainUs',
    kind: 'integer',
    min: 0,
    max: 1_000,
    unit: 'µs',
    effect: 'How long a network thread with requests under way spins for replies, at most; 0 never spins.',
  },
  {
    key: 'inlineWrites',
    field: 'inlineWrites',
    kind: 'choice',
    choices: ['auto', 'always', 'never'],
    unit: '-',
    effect: 'Whether buffered appends run on the worker itself; `auto` decides by their measured latency.',
  },
  {
    key: 'inFlightBytesPerConnection',
    field: 'inFlightBytesPerConnection',
    kind: 'integer',
    min: 2 * MiB,
    max: 1_024 * MiB,
    unit: 'bytes',
    effect:
      'Request bytes of one connection received and not yet answered; at the limit its socket is not read.',
  },
  {
    key: 'inFlightBytesPerDisk',
    field: 'inFlightBytesPerDisk',
    kind: 'integer',
    min: 4 * MiB,
    max: 16_384 * MiB,
    unit: 'bytes',
    effect:
      'Request bytes for one disk received and not yet answered, so that a hung disk cannot pin the slabs.',
  },
  {
    key: 'stallMs',
    field: 'stallMs',
    kind: 'integer',
    min: 100,
    max: 60_000,
    unit: 'ms',
    effect: 'A disk that has work and completes nothing for this long answers errors at once.',
  },
  {
    key: 'loadTimeoutMs',
    field: 'loadTimeoutMs',
    kind: 'integer',
    min: 1_000,
    max: 3_600_000,
    unit: 'ms',
    effect: 'A disk on which no partition comes up for this long while it is loaded is out of service.',
  },
  {
    key: 'probe.intervalMs',
    field: 'probeIntervalMs',
    kind: 'integer',
    min: 1_000,
    max: 3_600_000,
    unit: 'ms',
    effect: 'How often a small file on each disk is written, synced and read back.',
  },
  {
    key: 'probe.timeoutMs',
    field: 'probeTimeoutMs',
    kind: 'integer',
    min: 1_000,
    max: 600_000,
    unit: 'ms',
    effect: 'A disk whose probe takes longer is reported as unavailable until it ends.',
  },
  {
    key: 'checksums.bytesPerSecond',
    field: 'checksumBytesPerSecond',
    kind: 'integer',
    min: 0,
    max: 16_384 * MiB,
    unit: 'bytes/s',
    effect:
      'What a disk is read with to compute checksums of extents that were left alone; 0: none are computed.',
  },
  {
    key: 'scrub.bytesPerSecond',
    field: 'scrubBytesPerSecond',
    kind: 'integer',
    min: 0,
    max: 16_384 * MiB,
    unit: 'bytes/s',
    effect: 'What a disk is read with to compare blocks with their checksums; 0: no scrub.',
  },
  {
    key: 'scrub.intervalHours',
    field: 'scrubIntervalHours',
    kind: 'integer',
    min: 0,
    max: 100_000,
    unit: 'hours',
    effect: 'A scrub begins this long after the last one began; 0: only when it is asked for.',
  },
  {
    key: 'httpAddress',
    field: 'httpAddress',
    kind: 'address',
    unit: '-',
    effect: 'Address on which the HTTP port (`prof`) listens. The debug API has no authentication.',
  },
  {
    key: 'faultInjection',
    field: 'faultInjection',
    kind: 'boolean',
    unit: '-',
    effect: 'For tests: an HTTP endpoint that makes a disk slow, hung or failing.',
  },
  ...LIMIT_ROWS.map(
    ({ name, field, max, unit, effect }): Setting => ({
      key: `limits.${name}`,
      field,
      kind: 'integer',
      min: 0,
      max,
      unit,
      effect,
    }),
  ),
];

/**
 * Reads the object under `extentd` (`undefined`: all defaults). Refuses unknown keys, wrong types and values out of range, naming the
 * full path, e.g. `extentd.slab.slots4k`.
 */
export function parseSettings(value: unknown): Parsed<ExtentdSettings> {
  if (value === undefined || value === null) return accepted(EXTENTD_DEFAULTS);
  const chosen: Partial<Record<keyof ExtentdSettings, unknown>> = {};
  const failure = collectSettings('extentd', '', value, chosen);
  if (failure !== null) return failure;
  return accepted(withSettings(EXTENTD_DEFAULTS, chosen));
}

/**
 * Applies `--set` texts (`extentd.stallMs=500`) to `base`, the last of a key winning. Refuses what `parseSettings` would refuse.
 */
export function applySettingTexts(base: ExtentdSettings, texts: readonly string[]): Parsed<ExtentdSettings> {
  const chosen: Partial<Record<keyof ExtentdSettings, unknown>> = {};
  for (const text of texts) {
    const equals = text.indexOf('=');
    if (equals < 0 || !text.startsWith('extentd.')) {
      return refused('--set', `must be extentd.KEY=VALUE, not ${describeValue(text)}`);
    }
    const key = text.slice('extentd.'.length, equals);
    const setting = SETTINGS.find((candidate) => candidate.key === key);
    if (setting === undefined) return unknownSetting(`--set extentd.${key}`);
    const result = checkSetting(setting, `--set extentd.${key}`, fromText(setting, text.slice(equals + 1)));
    if (!result.ok) return result;
    chosen[setting.field] = result.value;
  }
  return accepted(withSettings(base, chosen));
}

/** Checks one value against its row. `where` names it in the message. */
export function checkSetting(
  setting: Setting,
  where: string,
  value: unknown,
): Parsed<string | number | boolean> {
  switch (setting.kind) {
    case 'integer': {
      const fits =
        typeof value === 'number' &&
        Number.isSafeInteger(value) &&
        value >= setting.min &&
        value <= setting.max;
      if (fits && (setting.powerOfTwo === undefined || Number.isInteger(Math.log2(value))))
        return accepted(value);
      const kind = setting.powerOfTwo ? 'power of two' : 'whole number';
      return refused(
        where,
        `must be a ${kind} from ${setting.min} to ${setting.max}, not ${describeValue(value)}`,
      );
    }
    case 'boolean':
      if (typeof value === 'boolean') return accepted(value);
      return refused(where, `must be true or false, not ${describeValue(value)}`);
    case 'address':
      if (typeof value === 'string' && isIP(value) !== 0) return accepted(value);
      return refused(where, `must be an IP address, not ${describeValue(value)}`);
    case 'choice':
      if (typeof value === 'string' && setting.choices.includes(value)) return accepted(value);
      return refused(where, `must be one of ${setting.choices.join(', ')}, not ${describeValue(value)}`);
  }
}

/** Walks one object of settings; `prefix` is the key path so far below `extentd`. Null: all accepted into `chosen`. */
function collectSettings(
  where: string,
  prefix: string,
  value: unknown,
  chosen: Partial<Record<keyof ExtentdSettings, unknown>>,
): { readonly ok: false; readonly message: string } | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return refused(where, `must be an object, not ${describeValue(value)}`);
  }
  for (const [name, item] of Object.entries(value)) {
    const key = `${prefix}${name}`;
    const itemWhere = `${where}.${name}`;
    const setting = SETTINGS.find((candidate) => candidate.key === key);
    if (setting !== undefined) {
      const result = checkSetting(setting, itemWhere, item);
      if (!result.ok) return result;
      chosen[setting.field] = result.value;
    } else if (SETTINGS.some((candidate) => candidate.key.startsWith(`${key}.`))) {
      const failure = collectSettings(itemWhere, `${key}.`, item, chosen);
      if (failure !== null) return failure;
    } else {
      return unknownSetting(itemWhere);
    }
  }
  return null;
}

function unknownSetting(where: string): { readonly ok: false; readonly message: string } {
  return refused(where, 'there is no such setting (see docs/configuration.md)');
}

/** Each value in `chosen` was checked against the row of its field, which ties the field to its type. */
function withSettings(
  base: ExtentdSettings,
  chosen: Partial<Record<keyof ExtentdSettings, unknown>>,
): ExtentdSettings {
  return { ...base, ...(chosen as Partial<ExtentdSettings>) };
}

/** A command-line text as the JSON value it stands for; what does not fit stays text and is refused by the check. */
function fromText(setting: Setting, text: string): unknown {
  if (setting.kind === 'integer' && /^\d+$/.test(text)) return Number(text);
  if (setting.kind === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}
