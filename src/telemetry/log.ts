/**
 * The logs of a process: pino into the reference's files (`admin.md` 12) with alarms and UMP files beside them, or readable lines on standard error for standalone mode.
 *
 * Opened once by the entry point, which hands logger and alarms on; workers send their records by ring. Nothing here may stop the node: a log file that
 * cannot be written loses lines (bounded memory), and says so on standard error at a bounded rate. No call of the main thread waits for a log file, and all
 * files that may hang together share one of libuv's threads (`FileLane`).
 */
import { fstatSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { EXTENTD_DEFAULTS, type ExtentdSettings, type LogLevel } from '../config/config.js';
import { type Alarm, Alarms } from './alarms.js';
import { type FileCalls, isDiskTrouble, nodeFileCalls } from './fileCalls.js';
import { FileLane } from './fileLane.js';
import { LevelFiles, type LevelKind } from './levelFiles.js';
import { LogFile } from './logFile.js';
import { formatLogLine, formatReferenceLine } from './logLine.js';
import { LogUpkeep, OUTPUT_BYTES_MAX, type UpkeepBounds } from './logUpkeep.js';
import { RateLimiter } from './rateLimiter.js';
import { type LogClock, RotatingFile } from './rotatingFile.js';
import type { RotationRule } from './rotation.js';
import type { UmpFiles } from './umpFiles.js';
import { openUmpFiles } from './umpOpen.js';

/** One complaint a minute and log file. */
const COMPLAINTS = { messagesMax: 1, intervalMs: 60_000, keysMax: 32 };

/** How often days, sizes and free space are looked at. */
const UPKEEP_MS = 10_000;

/** How long the start waits for the log files to open; they go on opening behind it. */
const OPEN_MS = 3_000;

/** Lines kept for a terminal whose output was stopped. */
const TERMINAL_BYTES_MAX = 64 * 1024;

type FileKind = LevelKind | 'critical' | 'output';
const KINDS: readonly FileKind[] = ['debug', 'info', 'warn', 'error', 'read', 'write', 'critical', 'output'];

const OUTPUT_NAME = 'output.log';

/** Names of `/loglevel/set` → pino's level. */
const LEVEL_NAMES: ReadonlyMap<string, string> = new Map([
  ['debug', 'debug'],
  ['info', 'info'],
  ['read', 'info'],
  ['write', 'info'],
  ['warn', 'warn'],
  ['error', 'error'],
  ['critical', 'fatal'],
  ['fatal', 'fatal'],
]);

/** What log files cost their readers. */
export interface LogLosses {
  /** Lines that no file took. */
  readonly dropped: number;
  readonly writeErrors: number;
  /** Rotations and removals that failed. */
  readonly rotationErrors: number;
}

/** An open log. Its files stay open until the process ends. */
export interface NodeLog {
  readonly log: Logger;
  readonly alarms: Alarms;
  /** undefined: there is no folder for them. */
  readonly ump: UmpFiles | undefined;
  /** Sets the least severe level that is logged, by its name in any case (`/loglevel/set`); false: there is no such level. */
  setLevel(name: string): boolean;
  /** Start and stop messages: to `output.log` and standard error, whatever the level. */
  announce(line: string): void;
  /** Takes over other settings, but for the format. */
  reload(settings: LogSettings): void;
  losses(): LogLosses;
  /** Resolves when everything is written out, after `timeoutMs` in any case. Never rejects. */
  drain(timeoutMs: number): Promise<void>;
  /** Ends the timers, and writes nothing more to files (tests). */
  close(): void;
}

export type NodeLogResult =
  | { readonly ok: true; readonly nodeLog: NodeLog }
  | { readonly ok: false; readonly message: string };

/** The settings that log files have. */
export type LogSettings = Pick<
  ExtentdSettings,
  'logFormat' | 'logFileBytesMax' | 'logOldBytesMax' | 'logHeadRoomBytes' | 'umpEntriesPerSecond'
>;

/** What the files are opened with besides their settings. */
export interface LogEnvironment {
  /** Folder for UMP files; empty: none. */
  readonly warnLogDir: string;
  /** Where standard error went before it was sent to `output.log`: what people should hear goes there too. */
  readonly terminalFd?: number;
  /** Each line goes there too, in readable form. */
  readonly linesToTerminal?: boolean;
  /** The system's; tests have others. */
  readonly calls?: FileCalls;
  readonly clock?: LogClock;
}

/** The folder of a data node's log files. */
export function logFolder(logDir: string): string {
  return join(logDir === '' ? '.' : logDir, 'dataNode');
}

/** The path of `output.log`, where standard error of a daemonised node goes. */
export function outputLogPath(logDir: string): string {
  return join(logFolder(logDir), OUTPUT_NAME);
}

/**
 * Opens `<logDir>/dataNode/dataNode_{debug,info,warn,error,read,write,critical}.log` and `output.log` for append, creating the folder (0755). Fails with one line,
 * but not for a disk that is full or fails: its files are tried again. `stderrIsOutputLog`: standard error goes to `output.log`, so announcements are written once.
 */
export async function openFileLog(
  logDir: string,
  level: LogLevel,
  stderrIsOutputLog: boolean,
  settings: LogSettings = EXTENTD_DEFAULTS,
  environment: LogEnvironment = { warnLogDir: '' },
): Promise<NodeLogResult> {
  const { calls = nodeFileCalls, clock = systemClock, warnLogDir } = environment;
  const lane = new FileLane();
  const errorOutput = standardError(stderrIsFile() ? lane : new FileLane(), calls);
  const { terminalFd } = environment;
  const terminal = terminalFd === undefined ? [] : [terminalOutput(terminalFd, calls)];
  const complain = complaintsTo([errorOutput, ...terminal], clock);
  const folder = logFolder(logDir);
  const files = new Map<FileKind, RotatingFile>();
  const upkeep = new LogUpkeep({
    folder,
    files: () => files.values(),
    outputName: OUTPUT_NAME,
    names: KINDS.map(fileName),
    bounds: boundsOf(settings),
    lane,
    calls,
    clock,
    report: (what) => complain(folder, what),
  });
  const queues = new Map<FileKind, LogFile>();
  for (const kind of stderrIsOutputLog ? KINDS.filter((kind) => kind !== 'output') : KINDS) {
    const path = join(folder, fileName(kind));
    const report = (what: string): void => complain(path, what);
    const rule = ruleOf(kind, settings);
    const file = new RotatingFile({ path, rule, calls, clock, pressed: () => upkeep.pressed, report });
    files.set(kind, file);
    queues.set(kind, new LogFile(lane, file, report));
  }
  const failure = await openAll(lane, [...files.values()], complain);
  if (failure !== null) return { ok: false, message: `logDir: cannot open the log files: ${failure}` };
  const { umpEntriesPerSecond: entriesPerSecond } = settings;
  const common = { lane, calls, clock, logFolder: folder, report: complain };
  const ump = await openUmpFiles({ ...common, folder: warnLogDir, entriesPerSecond, timeoutMs: OPEN_MS });
  return {
    ok: true,
    nodeLog: fileLog({
      ...{ level, settings, queues, files, upkeep, errorOutput, terminal, ump },
      echo: environment.linesToTerminal === true ? terminal : [],
    }),
  };
}

interface FileLogParts {
  level: LogLevel;
  settings: LogSettings;
  queues: ReadonlyMap<FileKind, LogFile>;
  files: ReadonlyMap<FileKind, RotatingFile>;
  upkeep: LogUpkeep;
  errorOutput: LogFile;
  terminal: readonly LogFile[];
  /** Where each line is shown besides. */
  echo: readonly LogFile[];
  ump: UmpFiles | undefined;
}

function fileLog(parts: FileLogParts): NodeLog {
  const { queues, files, upkeep, errorOutput, terminal, echo, ump } = parts;
  const format = parts.settings.logFormat === 'text' ? formatReferenceLine : asItIs;
  const put = (kind: FileKind, record: string): void => {
    queues.get(kind)!.write(format(record));
    for (const one of echo) one.write(formatLogLine(record));
  };
  const log = pino({ ...RECORDS, level: parts.level }, new LevelFiles(put));
  const critical = criticalLog((record) => put('critical', record));
  const alarms = new Alarms(log, ump === undefined ? [critical] : [critical, (alarm) => ump.alarm(alarm)]);
  const output = queues.get('output');
  const all = [errorOutput, ...terminal, ...queues.values()];
  const dropped = (): number => all.reduce((sum, file) => sum + file.dropped, ump?.dropped ?? 0);
  const told = new LossesTold(log);
  const timer = setInterval(() => {
    upkeep.tick();
    alarms.tick();
    told.look(dropped());
  }, UPKEEP_MS);
  timer.unref();
  return {
    log,
    alarms,
    ump,
    setLevel: (name) => setLevel(log, name),
    announce(line) {
      const stamped = `${new Date().toISOString()} ${line}\n`;
      errorOutput.write(output === undefined ? stamped : `${line}\n`);
      output?.write(stamped);
      for (const one of terminal) one.write(`${line}\n`);
    },
    reload(settings) {
      for (const [kind, file] of files) file.setRule(ruleOf(kind, settings));
      upkeep.setBounds(boundsOf(settings));
      ump?.setEntriesPerSecond(settings.umpEntriesPerSecond);
    },
    losses: () => ({
      dropped: dropped(),
      writeErrors: all.reduce((sum, file) => sum + file.errors, 0),
      rotationErrors: [...files.values()].reduce((sum, file) => sum + file.rotationErrors, upkeep.errors),
    }),
    drain: async (timeoutMs) => {
      await Promise.all([drainAll(all, timeoutMs), ump?.drain(timeoutMs)]);
    },
    close() {
      clearInterval(timer);
      for (const file of all) file.close();
      ump?.close();
    },
  };
}

/** Says in the log itself, when it is over, how many lines it has lost. */
export class LossesTold {
  readonly #log: Logger;
  #seen = 0;
  #told = 0;

  constructor(log: Logger) {
    this.#log = log;
  }

  /** A look at the lines lost so far, now and then: since the last look none was. */
  look(dropped: number): void {
    const over = dropped === this.#seen && dropped > this.#told;
    if (over)
      this.#log.warn({ lost: dropped - this.#told }, 'log lines were lost: their files did not take them');
    if (over) this.#told = dropped;
    this.#seen = dropped;
  }
}

/** Readable lines on standard error, for a node in the foreground of a terminal. */
export function openConsoleLog(level: LogLevel): NodeLog {
  const errorOutput = standardError(new FileLane(), nodeFileCalls);
  const put = (record: string): void => errorOutput.write(formatLogLine(record));
  const log = pino({ ...RECORDS, level }, { write: put });
  const critical = criticalLog(put);
  // With errors shown the alarm has its line already.
  const alarms = new Alarms(log, [(alarm) => (log.isLevelEnabled('error') ? undefined : critical(alarm))]);
  const timer = setInterval(() => alarms.tick(), UPKEEP_MS);
  timer.unref();
  return {
    log,
    alarms,
    ump: undefined,
    setLevel: (name) => setLevel(log, name),
    announce: (line) => errorOutput.write(`${line}\n`),
    reload: () => {},
    losses: () => ({ dropped: errorOutput.dropped, writeErrors: errorOutput.errors, rotationErrors: 0 }),
    drain: (timeoutMs) => drainAll([errorOutput], timeoutMs),
    close: () => clearInterval(timer),
  };
}

const systemClock: LogClock = { wallMs: () => Date.now(), monotonicMs: () => performance.now() };

const asItIs = (record: string): string => record;

function fileName(kind: FileKind): string {
  return kind === 'output' ? OUTPUT_NAME : `dataNode_${kind}.log`;
}

/** `output.log` is never renamed: standard error may be open on it. */
function ruleOf(kind: FileKind, settings: LogSettings): RotationRule {
  if (kind === 'output') return { bytesMax: Number.POSITIVE_INFINITY, daily: false, names: 'stamped' };
  return { bytesMax: settings.logFileBytesMax, daily: kind !== 'critical', names: 'stamped' };
}

function boundsOf(settings: LogSettings): UpkeepBounds {
  return {
    outputBytesMax: Math.min(OUTPUT_BYTES_MAX, settings.logFileBytesMax),
    oldBytesMax: settings.logOldBytesMax,
    headRoomBytes: settings.logHeadRoomBytes,
  };
}

/** What stands in each record besides its fields. */
const RECORDS = {
  base: null,
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (label: string) => ({ level: label }) },
};

/** A logger of its own, so that no level switches it off. */
function criticalLog(write: (record: string) => void): (alarm: Alarm) => void {
  const log = pino<'critical'>({ ...RECORDS, level: 'critical', customLevels: { critical: 70 } }, { write });
  return ({ key, text, fields }) => log.critical({ key, ...fields }, text);
}

function setLevel(log: Logger, name: string): boolean {
  const level = LEVEL_NAMES.get(name.toLowerCase());
  if (level === undefined) return false;
  log.level = level;
  return true;
}

/** Opens all files, as far as the time goes. Returns why that makes no sense, or null. */
async function openAll(
  lane: FileLane,
  files: readonly RotatingFile[],
  complain: (path: string, what: string) => void,
): Promise<string | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      for (const { path } of files) complain(path, `is not open after ${OPEN_MS} ms: the disk hangs`);
      resolve(null);
    }, OPEN_MS);
    lane.run(async () => {
      let failure: string | null = null;
      for (const file of files) {
        try {
          await file.open();
        } catch (error) {
          const { message } = error as Error;
          if (isDiskTrouble(error)) complain(file.path, message);
          else failure ??= message;
        }
      }
      clearTimeout(timer);
      resolve(failure);
    });
  });
}

/** Whether standard error is a file, which may be on the disk of the log files, and hang with it. */
function stderrIsFile(): boolean {
  try {
    return fstatSync(2).isFile();
  } catch {
    return false;
  }
}

/** Nobody is left to be told when standard error itself fails. */
function standardError(lane: FileLane, calls: FileCalls): LogFile {
  return new LogFile(lane, { write: (bytes) => calls.write(2, bytes) }, () => {});
}

/** A terminal or service manager that takes nothing holds up nobody. */
function terminalOutput(fd: number, calls: FileCalls): LogFile {
  return new LogFile(
    new FileLane(),
    { write: (bytes) => calls.write(fd, bytes) },
    () => {},
    TERMINAL_BYTES_MAX,
  );
}

function complaintsTo(outputs: readonly LogFile[], clock: LogClock): (path: string, what: string) => void {
  const limiter = new RateLimiter(COMPLAINTS);
  return (path, what) => {
    const nowMs = clock.monotonicMs();
    limiter.expire(nowMs);
    if (!limiter.admit(path, nowMs)) return;
    for (const output of outputs) output.write(`log file ${path}: ${what}\n`);
  };
}

async function drainAll(files: readonly LogFile[], timeoutMs: number): Promise<void> {
  await Promise.all(files.map((file) => file.drain(timeoutMs)));
}
