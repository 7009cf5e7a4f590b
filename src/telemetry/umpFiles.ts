/**
 * The files that a UMP agent collects, `ump_datanode_{tp,alive,business}.log` in `warnLogDir` (`admin.md` 11.3): durations of operations, and alarms.
 *
 * Opened by `log.ts` when the folder is there; without it nobody holds a `UmpFiles` and nothing is spent on it. Written as log files are: in the background, in
 * bounded memory, at a bounded rate. Keys and their order are the reference's. `alive` gets no entries, as the reference's data node writes none.
 */
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type Alarm, keyedCluster } from './alarms.js';
import type { FileCalls } from './fileCalls.js';
import type { FileLane } from './fileLane.js';
import { LogFile } from './logFile.js';
import { type LogClock, RotatingFile } from './rotatingFile.js';
import { type RotationRule, timeStamp } from './rotation.js';

const RULE: RotationRule = { bytesMax: 10 * 1024 ** 2, daily: false, names: 'numbered' };

/** An alarm's text that is longer in bytes is cut to so many characters. */
const DETAIL_BYTES_MAX = 512;
const DETAIL_CHARACTERS = 510;

/** Operations with a budget of their own: more than there are opcodes. */
const OPERATIONS_MAX = 256;

export interface UmpParts {
  readonly folder: string;
  /** `ump.entriesPerSecond`. */
  readonly entriesPerSecond: number;
  readonly lane: FileLane;
  readonly calls: FileCalls;
  readonly clock: LogClock;
  /** Hears in words what went wrong with the file at `path`; bounds the rate itself. */
  report(path: string, what: string): void;
}

/** Entries of one operation, or of its failures, in the second under way. */
interface Budget {
  /** Key and the fields behind it, ready to be written. */
  readonly text: string;
  second: number;
  used: number;
}

export class UmpFiles {
  /** In the order of the reference: tp, alive, business. */
  readonly files: readonly RotatingFile[];
  readonly #parts: UmpParts;
  readonly #times: LogFile;
  readonly #business: LogFile;
  readonly #budgets = [new Map<string, Budget>(), new Map<string, Budget>()] as const;
  readonly #interfaceIP = firstIPv4();
  #hostname = JSON.stringify(this.#interfaceIP);
  #cluster = '';
  #stampSecond = -1;
  #stamp = '';
  #held = 0;
  #entriesPerSecond: number;

  constructor(parts: UmpParts) {
    this.#parts = parts;
    this.#entriesPerSecond = parts.entriesPerSecond;
    const { lane, calls, clock, folder } = parts;
    const open = (name: string): RotatingFile => {
      const path = join(folder, `ump_datanode_${name}.log`);
      const report = (what: string): void => parts.report(path, what);
      return new RotatingFile({ path, rule: RULE, calls, clock, pressed: () => false, report });
    };
    const times = open('tp');
    const business = open('business');
    this.files = [times, open('alive'), business];
    this.#times = new LogFile(lane, times, (what) => parts.report(times.path, what));
    this.#business = new LogFile(lane, business, (what) => parts.report(business.path, what));
  }

  /** Entries that were not written for the bound of their operation. */
  get held(): number {
    return this.#held;
  }

  /** Lines that the files did not take. */
  get dropped(): number {
    return this.#times.dropped + this.#business.dropped;
  }

  /** What the registration has told. The host name is the first address of the machine, as in the reference; `localIP` where it has none. */
  identify(cluster: string, localIP: string): void {
    this.#cluster = cluster;
    this.#hostname = JSON.stringify(this.#interfaceIP === '' ? localIP : this.#interfaceIP);
    for (const budgets of this.#budgets) budgets.clear();
  }

  /** Another bound, from now on. */
  setEntriesPerSecond(entries: number): void {
    this.#entriesPerSecond = entries;
  }

  /** An operation, by its name in the metrics, that took `elapsedMs` and has ended now. So many a second, operation and outcome are written. */
  time(operation: string, elapsedMs: number, failed: boolean): void {
    const budget = this.#budget(operation, failed);
    if (budget === null) return;
    const nowMs = this.#parts.clock.wallMs();
    const second = Math.floor(nowMs / 1_000);
    if (second !== budget.second) {
      budget.second = second;
      budget.used = 0;
    }
    if (budget.used >= this.#entriesPerSecond) {
      this.#held += 1;
      return;
    }
    budget.used += 1;
    const time = this.#time(nowMs - elapsedMs);
    this.#times.write(`{"time":"${time}",${budget.text},"elapsedTime":"${Math.floor(elapsedMs)}"}\n\n`);
  }

  /** An alarm, for the business file. The rate is bounded by who raises it. */
  alarm({ key, text }: Alarm): void {
    const time = this.#time(this.#parts.clock.wallMs());
    const who = `"key":${jsonText(key)},"hostname":${this.#hostname}`;
    const what = `"type":"0","value":"0","detail":${jsonText(cutDetail(text))}`;
    this.#business.write(`{"time":"${time}",${who},${what}}\n\n`);
  }

  /** Resolves when everything is written out, after `timeoutMs` in any case. */
  async drain(timeoutMs: number): Promise<void> {
    await Promise.all([this.#times.drain(timeoutMs), this.#business.drain(timeoutMs)]);
  }

  /** Writes nothing more (tests). */
  close(): void {
    this.#times.close();
    this.#business.close();
  }

  #budget(operation: string, failed: boolean): Budget | null {
    const budgets = this.#budgets[failed ? 1 : 0];
    const known = budgets.get(operation);
    if (known !== undefined) return known;
    if (budgets.size >= OPERATIONS_MAX) return null;
    const key = jsonText(`${keyedCluster(this.#cluster)}_dataNode_${operation}`);
    const text = `"key":${key},"hostname":${this.#hostname},"processState":"${failed ? 1 : 0}"`;
    const budget = { text, second: -1, used: 0 };
    budgets.set(operation, budget);
    return budget;
  }

  /** `YYYYMMDDhhmmss000`: the reference writes no milliseconds there. */
  #time(timeMs: number): string {
    const second = Math.floor(timeMs / 1_000);
    if (second !== this.#stampSecond) {
      this.#stampSecond = second;
      this.#stamp = `${timeStamp(timeMs)}000`;
    }
    return this.#stamp;
  }
}

/** As the reference's encoder, which escapes two line separators that JSON allows. */
function jsonText(text: string): string {
  return JSON.stringify(text).replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

function cutDetail(text: string): string {
  if (Buffer.byteLength(text) <= DETAIL_BYTES_MAX) return text;
  return [...text].slice(0, DETAIL_CHARACTERS).join('');
}

function firstIPv4(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '';
}
