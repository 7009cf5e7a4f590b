/**
 * Reads settings from the key `extentd` of a config file and from `--set`, and checks each against its row in `settingRows.ts`.
 *
 * A setting without a row does not exist: unknown names are refused, because a misspelt setting that silently does nothing is worse
 * than a node that does not start. Used inside `src/config` and by the documentation test.
 */
import { isIP } from 'node:net';
import { parseRange, RANGES_MAX } from './accessList.js';
import { EXTENTD_DEFAULTS, type ExtentdSettings } from './config.js';
import { accepted, describeValue, type Parsed, refused } from './parsed.js';
import { SETTINGS, type Setting } from './settingRows.js';

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
): Parsed<string | number | boolean | readonly string[]> {
  switch (setting.kind) {
    case 'integer': {
      const fits =
        typeof value === 'number' &&
        Number.isSafeInteger(value) &&
        value >= setting.min &&
        value <= setting.max;
      if (fits && (setting.powerOfTwo === undefined || Number.isInteger(Math.log2(value))))
        // Not -0, which JSON can write.
        return accepted(value + 0);
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
      if (value === '' && setting.mayBeEmpty !== undefined) return accepted(value);
      return refused(where, `must be an IP address, not ${describeValue(value)}`);
    case 'path':
      if (typeof value === 'string' && !value.includes('\0')) return accepted(value);
      return refused(where, `must be the path of a file, not ${describeValue(value)}`);
    case 'cidrs':
      return checkRanges(where, value);
    case 'choice':
      if (typeof value === 'string' && setting.choices.includes(value)) return accepted(value);
      return refused(where, `must be one of ${setting.choices.join(', ')}, not ${describeValue(value)}`);
  }
}

/** An array of addresses and CIDR ranges. */
function checkRanges(where: string, value: unknown): Parsed<readonly string[]> {
  if (!Array.isArray(value))
    return refused(where, `must be an array of addresses and CIDR ranges, not ${describeValue(value)}`);
  if (value.length > RANGES_MAX) return refused(where, `more than ${RANGES_MAX} entries`);
  for (const [index, entry] of value.entries()) {
    if (typeof entry === 'string' && parseRange(entry) !== null) continue;
    const example = 'an address or a CIDR range like "10.0.0.0/8"';
    return refused(`${where}[${index}]`, `must be ${example}, not ${describeValue(entry)}`);
  }
  return accepted(value as string[]);
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
      if (Object.hasOwn(chosen, setting.field)) return refused(itemWhere, 'is given twice');
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
  if (setting.kind === 'cidrs') return text === '' ? [] : text.split(',');
  return text;
}
