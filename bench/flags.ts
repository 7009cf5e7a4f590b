/**
 * The command line of `npm run load`: every flag with its default, parsed and checked. Pure, except that `--scenario` reads its file.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Address } from './address.js';
import {
  FlagError,
  parseChoice,
  parseFollowerList,
  parseNumber,
  parsePartitions,
  parseSize,
  parseTargets,
  plainTarget,
  quoted,
} from './flagValues.js';
import { isDelete, isRandomWrite, isTiny, KIND, KINDS, kindByName } from './kinds.js';
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

/** A node to measure; of a replicated run the master of a cluster, which knows its nodes. */
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
  /** Of a replicated run empty for all that are read-write. */
  readonly partitions: readonly number[];
  readonly followers: readonly string[];
  /** The volume whose partitions and hosts the master is asked for; null: the flags name node and followers. */
  readonly volume: string | null;
  /** After a failure a connection of a replicated run goes on elsewhere, as a client does. */
  readonly keepGoing: boolean;
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
  replicated: 'boolean',
  master: 'string',
  volume: 'string',
  'keep-going': 'boolean',
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
  const replicated = values.replicated === true;
  const conns = whole('conns', replicated ? '6' : '4', 1, 4096);
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
    targets: compare ? parseTargets(values.compare!) : [onlyTarget(replicated, text)],
    compare,
    rounds: compare ? whole('rounds', '3', 1, 1000) : 1,
    partitions:
      replicated && values.partition === undefined ? [] : parsePartitions(text('partition', '1..8')),
    followers,
    volume: replicated ? text('volume', 'demo') : null,
    keepGoing: values['keep-going'] === true,
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

function onlyTarget(replicated: boolean, text: (name: FlagName, fallback: string) => string): Target {
  const pids = text('server-pid', '');
  return replicated
    ? plainTarget('master', text('master', '127.0.0.1:17010'), pids)
    : plainTarget('addr', text('addr', '127.0.0.1:17310'), pids);
}

/** Rules that involve several flags. */
function checkTogether(options: LoadOptions, values: Values): void {
  checkReplicated(options, values);
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
  if (followers.length > 0 && options.mix.some(([kind]) => isRandomWrite(kind)))
    throw new FlagError('random writes go to the raft leader, who knows its followers: use --replicated');
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

/** A replicated run takes nodes and followers from the master. */
function checkReplicated({ volume, mix, ids }: LoadOptions, values: Values): void {
  if (volume === null) {
    for (const name of ['master', 'volume', 'keep-going'] as const) {
      if (values[name] !== undefined) throw new FlagError(`--${name} needs --replicated`);
    }
    return;
  }
  for (const name of ['addr', 'followers'] as const) {
    if (values[name] !== undefined)
      throw new FlagError(`--replicated takes the nodes from the master: leave out --${name}`);
  }
  if (values.compare !== undefined && values.master !== undefined)
    throw new FlagError('--compare names the masters itself: leave out --master');
  if (volume === '') throw new FlagError('--volume must name a volume');
  if (ids === 'self')
    throw new FlagError('--ids self cannot be used with --replicated: the primary assigns the ids');
  const has = (wanted: number): boolean => mix.some(([kind]) => kind === wanted);
  if (has(KIND.read) && has(KIND.followerread))
    throw new FlagError(
      '--mix cannot hold read and followerread with --replicated: one asks the raft leader, the other all replicas',
    );
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
  const rewrites = [...parsed.keys()].filter(isRandomWrite).length;
  const writes = [...parsed.keys()].filter((kind) => KINDS[kind]!.class === 'append').length;
  if (rewrites > 0 && writes > rewrites)
    throw new FlagError('--mix cannot hold random writes and other writes: run a second generator beside');
  const sum = [...parsed.values()].reduce((total, share) => total + share, 0);
  if (Math.abs(sum - 100) > 0.01) throw new FlagError(`--mix must add up to 100, not ${sum}`);
  return [...parsed];
}

/** Whether a mix holds only creates (no user data moves). */
export function onlyCreates(mix: LoadOptions['mix']): boolean {
  return mix.every(([kind]) => kind === KIND.create);
}
