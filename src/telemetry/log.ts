/**
 * The main thread's logger: pino into the reference's files (`admin.md` 12), or readable lines on standard error for standalone mode.
 *
 * Opened once by the entry point, which hands the logger on; workers send their records by ring. Nothing here may stop the node: a log file that
 * cannot be written loses lines (bounded memory), and says so on standard error at a bounded rate.
 */
import { mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, type LoggerOptions, multistream, pino } from 'pino';
import type { LogLevel } from '../config/config.js';
import { LogFile } from './logFile.js';
import { formatLogLine } from './logLine.js';
import { RateLimiter } from './rateLimiter.js';

/** Bytes of unwritten lines kept a file while its disk does not take them; then lines are dropped. */
const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

/** One complaint a minute and log file. */
const COMPLAINTS = { messagesMax: 1, intervalMs: 60_000, keysMax: 8 };

/** Levels that have a file of their own, `dataNode_<level>.log`. Fatal lines go to the error file. */
const FILE_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** An open log. Its files stay open until the process ends. */
export interface NodeLog {
  readonly log: Logger;
  /** Start and stop messages: to `output.log` and standard error, whatever the level. */
  announce(line: string): void;
  /** Resolves when everything is written out, after `timeoutMs` in any case. Never rejects. */
  drain(timeoutMs: number): Promise<void>;
}

export type NodeLogResult =
  | { readonly ok: true; readonly nodeLog: NodeLog }
  | { readonly ok: false; readonly message: string };

/** The folder of a data node's log files. */
export function logFolder(logDir: string): string {
  return join(logDir === '' ? '.' : logDir, 'dataNode');
}

/** The path of `output.log`, where standard error of a daemonised node goes. */
export function outputLogPath(logDir: string): string {
  return join(logFolder(logDir), 'output.log');
}

/**
 * Opens `<logDir>/dataNode/dataNode_{debug,info,warn,error}.log` and `output.log` for append, creating the folder (0755). Fails with one line.
 * `stderrIsOutputLog`: a launcher has already sent standard error there, so announcements are written once.
 */
export function openFileLog(logDir: string, level: LogLevel, stderrIsOutputLog: boolean): NodeLogResult {
  const errorOutput = standardError();
  const complain = complaintsTo(errorOutput);
  const streams: { level: LogLevel; stream: LogFile }[] = [];
  let output: LogFile | null = null;
  try {
    mkdirSync(logFolder(logDir), { recursive: true, mode: 0o755 });
    for (const name of FILE_LEVELS) {
      const path = join(logFolder(logDir), `dataNode_${name}.log`);
      streams.push({ level: name, stream: openLogFile(path, complain) });
    }
    if (!stderrIsOutputLog) output = openLogFile(outputLogPath(logDir), complain);
  } catch (error) {
    return { ok: false, message: `logDir: cannot open the log files: ${(error as Error).message}` };
  }
  const files = [errorOutput, ...(output === null ? [] : [output]), ...streams.map(({ stream }) => stream)];
  const nodeLog: NodeLog = {
    log: pino(loggerOptions(level), multistream(streams, { dedupe: true })),
    announce(line) {
      const stamped = `${new Date().toISOString()} ${line}\n`;
      errorOutput.write(stderrIsOutputLog ? stamped : `${line}\n`);
      output?.write(stamped);
    },
    drain: (timeoutMs) => drainAll(files, timeoutMs),
  };
  return { ok: true, nodeLog };
}

/** Readable lines on standard error, for a node in the foreground of a terminal. */
export function openConsoleLog(level: LogLevel): NodeLog {
  const errorOutput = standardError();
  return {
    log: pino(loggerOptions(level), { write: (record) => errorOutput.write(formatLogLine(record)) }),
    announce: (line) => errorOutput.write(`${line}\n`),
    drain: (timeoutMs) => drainAll([errorOutput], timeoutMs),
  };
}

function loggerOptions(level: LogLevel): LoggerOptions {
  return {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  };
}

/** Throws where the file cannot be opened. */
function openLogFile(path: string, complain: (key: string, what: string) => void): LogFile {
  return new LogFile(openSync(path, 'a', 0o644), QUEUED_BYTES_MAX, (what) => complain(path, what));
}

/** Nobody is left to be told when standard error itself fails. */
function standardError(): LogFile {
  return new LogFile(2, QUEUED_BYTES_MAX, () => {});
}

function complaintsTo(errorOutput: LogFile): (path: string, what: string) => void {
  const limiter = new RateLimiter(COMPLAINTS);
  return (path, what) => {
    const nowMs = performance.now();
    limiter.expire(nowMs);
    if (limiter.admit(path, nowMs)) errorOutput.write(`log file ${path}: ${what}\n`);
  };
}

async function drainAll(files: readonly LogFile[], timeoutMs: number): Promise<void> {
  await Promise.all(files.map((file) => file.drain(timeoutMs)));
}
