/**
 * The command line of `npm run load`: every flag with its default, parsed and checked. Pure, except that `--scenario` reads its file.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Address, parseAddress } from './address.js';
import { isDelete, isTiny, KIND, KINDS, kindByName } from './kinds.js';
import { STAMP_BYTES } from './payload.js';
import { classShares, defaultThreads } from './topology.js';

const KiB = 1024;
const MiB = 1024 * KiB;
/** A normal extent's size (`wire.md` 1). */
const EXTENT_BYTES_MAX = 128 * MiB;
/** Largest write that clients send (`wire.md` 9.2). */
const WRITE_BYTES_MAX = MiB;
/** Extents or ranges made for a run of deletes that is not bound by a count. */
const PREPARE_DEFAULT = 20_000;
const FLAG_TEXT_MAX = 60;

/** A node to measure. */
export interface Target {
  readonly name: string;
  readonly address: Address;
  /** Processes whose CPU and memory are reported with it. */
  readonly pids: readonly number[];
}

/** What the user asked for. */
export interface LoadOptions {
  /** One node, or several for a comparison. */
  readonly targets: readonly Target[];
  readonly compare: boolean;
  readonly rounds: number;
  readonly partitions: readonly number[];
  readonly followers: readonly string[];
  readonly op: string;
  readonly mix: readonly (readonly [kind: number, share: number])[];
  readonly sizeBytes: number;
  readonly conns: number;
  readonly depth: number;
  readonly seconds: number;
  /** Operations to do instead of a time; null: by time. */
  readonly count: number | null;
  /** Operations per second of an open loop; null: closed loop. */
  readonly rate: number | null;
  readonly warmupSeconds: number;
  readonly threads: number;
  readonly extents: number;
  readonly extentBytes: number;
  readonly fillBytes: number;
  /** Deletes: how many extents or ranges are made first, over all connections, and how much of such an extent is written. */
  readonly prepare: number;
  readonly pieceBytes: number;
  readonly randomReads: boolean;
  readonly ids: 'server' | 'self';
  readonly seed: number;
  readonly verify: boolean;
  readonly timeoutMs: number;
  readonly jsonFile: string | null;
  readonly reportFile: string | null;
  readonly warmMemory: boolean;
  readonly quiet: boolean;
}

export type FlagsOutcome =
  | { readonly ok: true; readonly options: LoadOptions }
  | { readonly ok: false; readonly message: string }
  | { readonly ok: 'help' };

const FLAG_TYPES = {
  addr: 'string',
  partition: 'string',
  followers: 'string',
  op: 'string',
  mix: 'string',
  size: 'string',
  conns: 'string',
  depth: 'string',
  seconds: 'string',
  count: 'string',
  warmup: 'string',
  rate: 'string',
  threads: 'string',
  extents: 'string',
  'extent-size': 'string',
  fill: 'string',
  prepare: 'string',
  order: 'string',
  ids: 'string',
  verify: 'boolean',
  timeout: 'string',
  seed: 'string',
  'server-pid': 'string',
  rounds: 'string',
  'warm-memory': 'boolean',
  json: 'string',
  report: 'string',
  scenario: 'string',
  quiet: 'boolean',
  help: 'boolean',
} as const;
type FlagName = keyof typeof FLAG_TYPES;
type Values = Partial<Record<FlagName, string | boolean>> & { compare?: string[] };

/** A bad flag: its message is the one line the user sees. */
class FlagError extends Error {}

/** Parses the arguments behind `load`. */
export function parseFlags(args: readonly string[]): FlagsOutcome {
  try {
    const values = readValues(args);
    if (values.help === true) return { ok: 'help' };
    return { ok: true, options: makeOptions(values) };
  } catch (error) {
    if (error instanceof FlagError) return { ok: false, message: error.message };
    throw error;
  }
}

function readValues(args: readonly string[]): Values {
  const options = Object.fromEntries(Object.entries(FLAG_TYPES).map(([name, type]) => [name, { type }]));
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...options, compare: { type: 'string', multiple: true } },
      allowPositionals: true,
    });
    const given = values as Values;
    // `--compare a=… b=…`: what follows the first target arrives as positional arguments.
    if (positionals.length > 0 && given.compare === undefined) {
      throw new FlagError(`unexpected argument ${quoted(positionals[0]!)}`);
    }
    if (given.compare !== undefined) given.compare = [...given.compare, ...positionals];
    return typeof given.scenario === 'string' ? { ...readScenario(given.scenario), ...given } : given;
  } catch (error) {
    if (error instanceof FlagError) throw error;
    throw new FlagError((error as Error).message.split(/\.\s/)[0]!);
  }
}

/** A scenario file is a JSON object: flag names without dashes to strings, numbers or booleans. */
function readScenario(file: string): Values {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new FlagError(`--scenario ${file}: ${(error as Error).message}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new FlagError(`--scenario ${file}: must be a JSON object of flags`);
  }
  const values: Values = {};
  for (const [name, value] of Object.entries(parsed)) {
    const type = name in FLAG_TYPES ? FLAG_TYPES[name as FlagName] : undefined;
    const fits =
      type === 'boolean'
        ? typeof value === 'boolean'
        : typeof value === 'string' || typeof value === 'number';
    if (type === undefined || !fits) throw new FlagError(`--scenario ${file}: bad flag ${quoted(name)}`);
    values[name as FlagName] = typeof value === 'boolean' ? value : String(value);
  }
  return values;
}

function makeOptions(values: Values): LoadOptions {
  const text = (name: FlagName, fallback: string) => {
    const value = values[name];
    return typeof value === 'string' ? value : fallback;
  };
  const whole = (name: FlagName, fallback: string, min: number, max: number) =>
    parseNumber(name, text(name, fallback), min, max, true);
  const real = (name: FlagName, fallback: string, min: number, max: number) =>
    parseNumber(name, text(name, fallback), min, max, false);
  const op = text('op', 'write');
  const mix = parseMix(op, values.mix);
  if (values.count !== undefined && values.seconds !== undefined) {
    throw new FlagError('--count and --seconds exclude each other');
  }
  const count = values.count === undefined ? null : whole('count', '', 1, 1e12);
  const conns = whole('conns', '4', 1, 4096);
  const shares = classShares(mix);
  if (shares.append > 0 && shares.read > 0 && conns < 2) {
    throw new FlagError(
      '--conns must be at least 2 for a mix of reads and writes: they never share a connection',
    );
  }
  const compare = values.compare !== undefined;
  const followers = parseFollowerList(text('followers', ''));
  const deletes = mix.some(([kind]) => isDelete(kind));
  const sizeBytes = parseSize('size', text('size', '4k'), STAMP_BYTES * 2, EXTENT_BYTES_MAX);
  const fillBytes = parseSize('fill', text('fill', '64m'), 1, EXTENT_BYTES_MAX);
  const options: LoadOptions = {
    targets: compare
      ? parseTargets(values.compare!)
      : [plainTarget(text('addr', '127.0.0.1:17310'), text('server-pid', ''))],
    compare,
    rounds: compare ? whole('rounds', '3', 1, 1000) : 1,
    partitions: parsePartitions(text('partition', '1..8')),
    followers,
    op,
    mix,
    sizeBytes,
    conns,
    depth: whole('depth', '16', 1, 4096),
    seconds: real('seconds', '10', 0.1, 1e6),
    count,
    rate: values.rate === undefined ? null : real('rate', '', 0.1, 1e7),
    warmupSeconds: real('warmup', count === null && !deletes ? '1' : '0', 0, 3600),
    threads: values.threads === undefined ? defaultThreads(conns) : whole('threads', '', 1, 256),
    extents: whole('extents', '1', 1, 10_000),
    extentBytes: parseSize('extent-size', text('extent-size', '128m'), STAMP_BYTES * 2, EXTENT_BYTES_MAX),
    fillBytes,
    prepare: whole('prepare', String(count ?? PREPARE_DEFAULT), 1, 1e9),
    pieceBytes: values.fill === undefined ? sizeBytes : fillBytes,
    randomReads: parseChoice('order', text('order', 'random'), ['random', 'sequential']) === 'random',
    ids: parseChoice('ids', text('ids', 'server'), ['server', 'self']),
    seed: whole('seed', '1', 0, 0x7fff_ffff),
    verify: values.verify === true,
    timeoutMs: real('timeout', '5', 0.01, 3600) * 1000,
    jsonFile: text('json', '') || null,
    reportFile: text('report', '') || null,
    warmMemory: values['warm-memory'] === true,
    quiet: values.quiet === true,
  };
  checkTogether(options, values);
  return options;
}

/** Rules that involve several flags. */
function checkTogether(options: LoadOptions, values: Values): void {
  const { sizeBytes, extentBytes, ids, followers, compare, count } = options;
  if (sizeBytes > extentBytes) throw new FlagError('--size must not be larger than --extent-size');
  if (sizeBytes > WRITE_BYTES_MAX)
    throw new FlagError('--size must be at most 1m: no client sends larger packets');
  if (ids === 'self' && followers.length > 0) {
    throw new FlagError('--ids self cannot be used with --followers: the primary assigns the ids');
  }
  if (ids === 'self' && options.mix.some(([kind]) => isTiny(kind))) {
    throw new FlagError('--ids self cannot be used with tiny extents: the primary assigns their places');
  }
  if (values.prepare !== undefined && !options.mix.some(([kind]) => isDelete(kind))) {
    throw new FlagError('--prepare needs --op delete or tinydelete');
  }
  if (compare && (values.addr !== undefined || values['server-pid'] !== undefined)) {
    throw new FlagError(
      '--compare names the nodes and their processes itself: leave out --addr and --server-pid',
    );
  }
  if (!compare && values.rounds !== undefined) throw new FlagError('--rounds needs --compare');
  if (count !== null && values.warmup !== undefined && options.warmupSeconds > 0) {
    throw new FlagError('--warmup cannot be used with --count');
  }
}

function parseMix(op: string, mix: string | boolean | undefined): LoadOptions['mix'] {
  if (op !== 'mixed') {
    if (mix !== undefined) throw new FlagError('--mix needs --op mixed');
    const kind = kindByName(op);
    const names = KINDS.map((row) => row.name).join(', ');
    if (kind < 0) throw new FlagError(`--op must be one of ${names}, mixed; not ${quoted(op)}`);
    return [[kind, 100]];
  }
  const parsed = new Map<number, number>();
  for (const part of (typeof mix === 'string' ? mix : '').split(',')) {
    const [name, share, ...rest] = part.split('=');
    const kind = kindByName(name ?? '');
    const value = Number(share);
    if (kind < 0 || rest.length > 0 || !(value > 0) || parsed.has(kind)) {
      throw new FlagError(
        `--mix must be like write=50,read=50; not ${quoted(typeof mix === 'string' ? mix : '')}`,
      );
    }
    if (isDelete(kind)) throw new FlagError('--mix cannot hold deletes: run a second generator beside');
    parsed.set(kind, value);
  }
  const sum = [...parsed.values()].reduce((total, share) => total + share, 0);
  if (Math.abs(sum - 100) > 0.01) throw new FlagError(`--mix must add up to 100, not ${sum}`);
  return [...parsed];
}

function parsePartitions(text: string): number[] {
  const ids: number[] = [];
  for (const part of text.split(',')) {
    const match = /^(\d{1,15})(?:(?:\.\.|-)(\d{1,15}))?$/.exec(part);
    const from = Number(match?.[1]);
    const to = match?.[2] === undefined ? from : Number(match[2]);
    if (match === null || from < 1 || to < from || to - from >= 100_000) {
      throw new FlagError(`--partition must be like 3, 1,2,5 or 1..8; not ${quoted(text)}`);
    }
    for (let id = from; id <= to; id++) ids.push(id);
  }
  return ids;
}

function parseFollowerList(text: string): string[] {
  const list = text.split(/[,/]/).filter((part) => part !== '');
  for (const part of list) {
    if (parseAddress(part) === null)
      throw new FlagError(`--followers must be like host:port,host:port; not ${quoted(text)}`);
  }
  if (list.length > 255) throw new FlagError('--followers: at most 255');
  return list;
}

function plainTarget(addr: string, pids: string): Target {
  const address = parseAddress(addr);
  if (address === null) throw new FlagError(`--addr must be host:port, not ${quoted(addr)}`);
  return { name: addr, address, pids: pids === '' ? [] : parsePids('--server-pid', pids.split(',')) };
}

function parseTargets(texts: readonly string[]): Target[] {
  const targets = texts.map((text) => {
    const match = /^([\w.-]+)=([^,]+)(?:,(.+))?$/.exec(text);
    const address = parseAddress(match?.[2] ?? '');
    if (match === null || address === null) {
      throw new FlagError(`--compare wants name=host:port or name=host:port,pid; not ${quoted(text)}`);
    }
    return {
      name: match[1]!,
      address,
      pids: match[3] === undefined ? [] : parsePids('--compare', match[3].split(',')),
    };
  });
  if (targets.length < 2) throw new FlagError('--compare wants at least two nodes');
  if (new Set(targets.map((target) => target.name)).size < targets.length) {
    throw new FlagError('--compare: two nodes have the same name');
  }
  return targets;
}

function parsePids(flag: string, texts: readonly string[]): number[] {
  return texts.map((text) => {
    if (!/^[1-9]\d{0,9}$/.test(text)) throw new FlagError(`${flag}: ${quoted(text)} is not a process id`);
    return Number(text);
  });
}

/** `4k`, `128K`, `1m`, `4096`. */
function parseSize(name: FlagName, text: string, min: number, max: number): number {
  const match = /^(\d{1,12})(k|m|kib|mib)?$/i.exec(text);
  const unit = match?.[2]?.toLowerCase()[0];
  const bytes = Number(match?.[1]) * (unit === 'm' ? MiB : unit === 'k' ? KiB : 1);
  if (match === null || bytes < min || bytes > max) {
    throw new FlagError(
      `--${name} must be a size from ${min} bytes to ${max / MiB}m like 4k; not ${quoted(text)}`,
    );
  }
  return bytes;
}

function parseNumber(name: FlagName, text: string, min: number, max: number, whole: boolean): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    const sort = whole ? 'a whole number' : 'a number';
    throw new FlagError(`--${name} must be ${sort} from ${min} to ${max}; not ${quoted(text)}`);
  }
  return value;
}

function parseChoice<Choice extends string>(
  name: FlagName,
  text: string,
  choices: readonly Choice[],
): Choice {
  const found = choices.find((choice) => choice === text);
  if (found === undefined)
    throw new FlagError(`--${name} must be ${choices.join(' or ')}; not ${quoted(text)}`);
  return found;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > FLAG_TEXT_MAX ? `${text.slice(0, FLAG_TEXT_MAX)}…` : text);
}

/** Whether a mix holds only creates (no user data moves). */
export function onlyCreates(mix: LoadOptions['mix']): boolean {
  return mix.every(([kind]) => kind === KIND.create);
}
