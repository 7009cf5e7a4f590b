/**
 * What to do with log files, and when: which file is to be renamed, to what name, and which renamed ones are to go (`admin.md` 12). Pure: sizes, times, free space
 * and names come in with each call.
 *
 * Used by `rotatingFile.ts` and `logUpkeep.ts`, which act. Days and names are those of local time, as the reference's.
 */
import assert from 'node:assert';

/** When a file is renamed, and to what. */
export interface RotationRule {
  /** A file that would grow beyond is renamed first. Infinity: not for its size. */
  readonly bytesMax: number;
  /** Renamed at the change of the day too. */
  readonly daily: boolean;
  /** `stamped`: `<file>.<YYYYMMDDhhmmss>.old`. `numbered`: `<file>.1` to `.3`, over the oldest of them. */
  readonly names: 'stamped' | 'numbered';
}

/** What is known of an open file. */
export interface FileState {
  readonly sizeBytes: number;
  /** Day (`localDay`) of what stands in it. */
  readonly day: number;
}

/** A name that a file could get. */
export interface Candidate {
  readonly path: string;
  /** When what has this name now was last written; null: nothing has it. */
  readonly takenMs: number | null;
}

/** A renamed log file. */
export interface OldFile {
  readonly name: string;
  readonly sizeBytes: number;
}

/** Bytes of a file system. */
export interface Space {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

const GiB = 1024 ** 3;
/** The reference's head room: 50 GiB, or a fifth of the file system where that is less. */
const HEAD_ROOM_BYTES = 50 * GiB;
const HEAD_ROOM_PART = 0.2;

/** While space is short files are renamed at this size already, so that there is something that can go. */
export const PRESSED_FILE_BYTES = 256 * 1024 ** 2;

const NUMBERS = [1, 2, 3];
/** A file that is renamed twice in one second gets the name of the next one. */
const STAMPS_TRIED = 10;

/** The day of a time, as a number that reads as one: 20240501. */
export function localDay(timeMs: number): number {
  const date = new Date(timeMs);
  return (date.getFullYear() * 100 + date.getMonth() + 1) * 100 + date.getDate();
}

/** `YYYYMMDDhhmmss` of a time. */
export function timeStamp(timeMs: number): string {
  const date = new Date(timeMs);
  const rest = [date.getHours(), date.getMinutes(), date.getSeconds()];
  return `${localDay(timeMs)}${rest.map((part) => String(part).padStart(2, '0')).join('')}`;
}

/** Whether `file` is to be renamed before `bytes` more are written to it. `pressed`: space is short. An empty file never is. */
export function rotationDue(
  rule: RotationRule,
  file: FileState,
  bytes: number,
  nowMs: number,
  pressed: boolean,
): boolean {
  if (file.sizeBytes === 0) return false;
  const bytesMax = pressed ? Math.min(rule.bytesMax, PRESSED_FILE_BYTES) : rule.bytesMax;
  return file.sizeBytes + bytes > bytesMax || (rule.daily && file.day !== localDay(nowMs));
}

/** Names for the file at `path`, best first. */
export function candidatePaths(rule: RotationRule, path: string, nowMs: number): string[] {
  if (rule.names === 'numbered') return NUMBERS.map((number) => `${path}.${number}`);
  return Array.from(
    { length: STAMPS_TRIED },
    (_, index) => `${path}.${timeStamp(nowMs + index * 1_000)}.old`,
  );
}

/** The name to take: the first that is free, else (numbered) the oldest one; null: there is none. */
export function choosePath(rule: RotationRule, candidates: readonly Candidate[]): string | null {
  const free = candidates.find(({ takenMs }) => takenMs === null);
  if (free !== undefined) return free.path;
  if (rule.names === 'stamped') return null;
  assert(candidates.length > 0, 'a numbered file has names');
  return candidates.reduce((a, b) => (b.takenMs! < a.takenMs! ? b : a)).path;
}

/** The name under which a stamped file was renamed, taken apart; null: it is none of `files`. */
export function stampOf(name: string, files: readonly string[]): string | null {
  const match = /^(.+)\.(\d{14})\.old$/.exec(name);
  return match !== null && files.includes(match[1]!) ? match[2]! : null;
}

/** Free bytes that logs leave to others. `setting`: `log.headRoomBytes`, 0 for the reference's rule. */
export function headRoomBytes(setting: number, totalBytes: number): number {
  return setting > 0 ? setting : Math.min(HEAD_ROOM_BYTES, totalBytes * HEAD_ROOM_PART);
}

/**
 * Which renamed files go, oldest first: as many as it takes to have `headRoom` free bytes and, when `oldBytesMax` is not 0, to keep no more than that of
 * them. `old`: files whose names hold a stamp.
 */
export function filesToRemove(
  old: readonly OldFile[],
  freeBytes: number,
  headRoom: number,
  oldBytesMax: number,
): string[] {
  const stamp = ({ name }: OldFile): string => name.slice(-'YYYYMMDDhhmmss.old'.length);
  const sorted = [...old].sort((a, b) => (stamp(a) + a.name < stamp(b) + b.name ? -1 : 1));
  const mostBytes = oldBytesMax > 0 ? oldBytesMax : Number.POSITIVE_INFINITY;
  let kept = sorted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let free = freeBytes;
  const going: string[] = [];
  for (const { name, sizeBytes } of sorted) {
    if (free >= headRoom && kept <= mostBytes) break;
    going.push(name);
    free += sizeBytes;
    kept -= sizeBytes;
  }
  return going;
}
