/**
 * The values of the flags of `npm run load`, each parsed and checked for itself. Pure; used by `flags.ts`, which knows what they mean together.
 */
import { parseAddress } from './address.js';
import type { Target } from './flags.js';

const KiB = 1024;
const MiB = 1024 * KiB;
const FLAG_TEXT_MAX = 60;

/** A bad flag: its message is the one line the user sees. */
export class FlagError extends Error {}

/** `3`, `1,2,5`, `1..8`. */
export function parsePartitions(text: string): number[] {
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

/** `host:port,host:port`, with commas or slashes. */
export function parseFollowerList(text: string): string[] {
  const list = text.split(/[,/]/).filter((part) => part !== '');
  for (const part of list) {
    if (parseAddress(part) === null)
      throw new FlagError(`--followers must be like host:port,host:port; not ${quoted(text)}`);
  }
  if (list.length > 255) throw new FlagError('--followers: at most 255');
  return list;
}

/** `flag`: where the address stands. */
export function plainTarget(flag: string, addr: string, pids: string): Target {
  const address = parseAddress(addr);
  if (address === null) throw new FlagError(`--${flag} must be host:port, not ${quoted(addr)}`);
  return { name: addr, address, pids: pids === '' ? [] : parsePids('--server-pid', pids.split(',')) };
}

/** `name=host:port` or `name=host:port,pid`, at least two. */
export function parseTargets(texts: readonly string[]): Target[] {
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
export function parseSize(name: string, text: string, min: number, max: number): number {
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

/** A number in a range. */
export function parseNumber(name: string, text: string, min: number, max: number, whole: boolean): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
    const sort = whole ? 'a whole number' : 'a number';
    throw new FlagError(`--${name} must be ${sort} from ${min} to ${max}; not ${quoted(text)}`);
  }
  return value;
}

/** One of some words. */
export function parseChoice<Choice extends string>(
  name: string,
  text: string,
  choices: readonly Choice[],
): Choice {
  const found = choices.find((choice) => choice === text);
  if (found === undefined)
    throw new FlagError(`--${name} must be ${choices.join(' or ')}; not ${quoted(text)}`);
  return found;
}

/** What the user typed, cut, in quotes. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > FLAG_TEXT_MAX ? `${text.slice(0, FLAG_TEXT_MAX)}…` : text);
}
