/** Lists and notifications of a node that has gone wrong, for a simulated run: some cannot be read, others can and make no sense. None of them lies in a way that nobody could find out about but by looking at all replicas. */
import type { Random } from '../../sim/random.js';

/** What a record of a list, or an entry of a task, may become. Numbers are raw JSON: some are none that a parser can hold. */
const WRONG_FIELDS: readonly (readonly [field: string, value: string])[] = [
  ['fileId', '0'],
  ['fileId', '-1'],
  ['fileId', '18446744073709551615'],
  ['fileId', '9007199254740993'],
  ['fileId', '1e30'],
  ['fileId', '"7"'],
  ['size', '-4096'],
  ['size', '18446744073709551615'],
  ['size', '9007199254740991'],
  ['size', '4294967296'],
  ['size', '4097.5'],
  ['size', 'null'],
  ['Crc', '4294967296'],
  ['deleted', '1'],
  ['src', '"10.0.0.99:17310"'],
  ['src', '"no address"'],
  ['src', `"${'x'.repeat(300)}"`],
];
/** The same of what stands beside the entries of a task. */
const WRONG_HEADS: readonly (readonly [field: string, value: string])[] = [
  ['TaskType', '300'],
  ['LeaderTinyDeleteRecordFileSize', '-24'],
  ['LeaderTinyDeleteRecordFileSize', '25'],
  ['LeaderTinyDeleteRecordFileSize', '4294967280'],
  ['LeaderTinyDeleteRecordFileSize', '9223372036854775807'],
  ['LeaderAddr', '""'],
  ['LeaderAddr', '"10.0.0.98:17310"'],
  ['ExtentsToBeRepaired', '{}'],
  ['ExtentsToBeCreated', '[1,2,3]'],
  ['ExtentsToBeCreated', '[[]]'],
];
/** More than any list may have. */
const TOO_MANY = 100_001;

/** A list of extents (`wire.md` 9.5) that was `body`. */
export function nonsenseList(body: Uint8Array, random: Random): Uint8Array {
  return nonsense(Buffer.from(body).toString(), WRONG_FIELDS, random);
}

/** A notification (`repair.md` 7.2) that was `body`. */
export function nonsenseTask(body: Uint8Array, random: Random): Uint8Array {
  return nonsense(Buffer.from(body).toString(), [...WRONG_FIELDS, ...WRONG_HEADS], random);
}

function nonsense(
  text: string,
  wrong: readonly (readonly [field: string, value: string])[],
  random: Random,
): Uint8Array {
  const kind = random.below(10);
  if (kind === 0) return Buffer.from(text.slice(0, random.below(text.length)));
  if (kind === 1) return Uint8Array.from({ length: 1 + random.below(200) }, () => random.below(256));
  if (kind === 2) return Buffer.from(`[${'{},'.repeat(TOO_MANY)}{}]`);
  if (kind === 3) return Buffer.from('['.repeat(5_000));
  if (kind === 4) return Buffer.from(twice(text));
  return Buffer.from(wrongField(text, wrong, random));
}

/** One field of the text has a value that it cannot have; of several with that name any. */
function wrongField(
  text: string,
  wrong: readonly (readonly [field: string, value: string])[],
  random: Random,
): string {
  const there = wrong.filter(([field]) => text.includes(`"${field}":`));
  const chosen = there[random.below(there.length)];
  if (chosen === undefined) return `${text}}`;
  const [field, value] = chosen;
  const places = [...text.matchAll(new RegExp(`"${field}":(\\[[^\\]]*\\]|"[^"]*"|[^,}\\]]*)`, 'g'))];
  const place = places[random.below(places.length)]!;
  const [found] = place;
  return `${text.slice(0, place.index)}"${field}":${value}${text.slice(place.index + found.length)}`;
}

/** Every record stands there twice. */
function twice(text: string): string {
  return text.replaceAll(/\[(\{[^\]]*\})\]/g, '[$1,$1]');
}
