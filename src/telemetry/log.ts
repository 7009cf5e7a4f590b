/**
 * The main thread's logger: pino into the reference's files (`admin.md` 12), or readable lines on standard error for standalone mode.
 *
 * Opened once by the entry point, which hands the logger on; workers send their records by ring. Nothing here may stop the node: a log file that
 * cannot be written loses lines (bounded memory), is reported on standard error at a bounded rate, and is tried again with the next line.
 */
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type DestinationStream, type Logger, type LoggerOptions, multistream, pino } from 'pino';
import type { LogLevel } from '../config/config.js';
import { formatLogLine } from './logLine.js';
import { RateLimiter } from './rateLimiter.js';

/** Bytes of unwritten lines kept a file while its disk does not take them; then lines are dropped. */
const QUEUED_BYTES_MAX = 4 * 1024 * 1024;

/** Levels that have a file of their own, `dataNode_<level>.log`. Fatal lines go to the error file. */
const FILE_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** An open log. */
export interface NodeLog {
  readonly log: Logger;
  /** Start and stop messages: to `output.log` and standard error at once, whatever the level. */
  announce(line: string): void;
  /** Writes everything out and closes the files. Never throws. */
  close(): void;
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
  const folder = logFolder(logDir);
  const files: LevelFile[] = [];
  let outputFd: number;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    for (const name of FILE_LEVELS) files.push(openLevelFile(folder, name));
    outputFd = openSync(outputLogPath(logDir), 'a', 0o644);
  } catch (error) {
    for (const file of files) file.close();
    return { ok: false, message: `logDir: cannot open the log files: ${(error as Error).message}` };
  }
  const streams = files.map(({ level: minimum, stream }) => ({ level: minimum, stream }));
  const log = pino(loggerOptions(level), multistream(streams, { dedupe: true }));
  const nodeLog: NodeLog = {
    log,
    announce(line) {
      const stamped = `${new Date().toISOString()} ${line}\n`;
      if (!stderrIsOutputLog) writeQuietly(outputFd, stamped);
      writeQuietly(2, stderrIsOutputLog ? stamped : `${line}\n`);
    },
    close() {
      for (const file of files) file.close();
      closeSync(outputFd);
    },
  };
  return { ok: true, nodeLog };
}

/** Readable lines on standard error, for a node in the foreground of a terminal. */
export function openConsoleLog(level: LogLevel): NodeLog {
  const stream: DestinationStream = { write: (record) => writeQuietly(2, formatLogLine(record)) };
  return {
    log: pino(loggerOptions(level), stream),
    announce: (line) => writeQuietly(2, `${line}\n`),
    close() {},
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

interface LevelFile {
  readonly level: LogLevel;
  readonly stream: DestinationStream & { flushSync(): void };
  close(): void;
}

/** Throws where the file cannot be opened; afterwards nothing throws. */
function openLevelFile(folder: string, level: LogLevel): LevelFile {
  const path = join(folder, `dataNode_${level}.log`);
  const stream = pino.destination({
    fd: openSync(path, 'a', 0o644),
    sync: false,
    maxLength: QUEUED_BYTES_MAX,
  });
  const complaints = new RateLimiter({ messagesMax: 1, intervalMs: 60_000, keysMax: 2 });
  const complain = (key: string, what: string): void => {
    const nowMs = performance.now();
    complaints.expire(nowMs);
    if (complaints.admit(key, nowMs)) writeQuietly(2, `log file ${path}: ${what}\n`);
  };
  stream.on('error', (error: Error) => complain('error', error.message));
  stream.on('drop', () => complain('drop', 'lines are lost, the disk does not take them'));
  return {
    level,
    stream,
    close() {
      try {
        stream.flushSync();
        stream.end();
      } catch (error) {
        complain('error', (error as Error).message);
      }
    },
  };
}

/** Standard error may be a closed pipe or a full disk: neither may stop the node. */
function writeQuietly(fd: number, text: string): void {
  try {
    writeSync(fd, text);
  } catch {
    // There is nowhere left to report it.
  }
}
