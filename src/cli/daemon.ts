/**
 * Running in the background (`admin.md` 1, step 2): the launcher starts this program again with `-f` in a session of its own, waits for the
 * outcome of its start, and exits with it. The child reports through Node's IPC channel, once. The nodes of one `standalone` process report in the same way, and keep the channel: its end
 * tells them that the process has ended.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { outputLogPath } from '../telemetry/log.js';
import type { StopSignals } from './stopSignals.js';

/** Set in the child's environment: its launcher waits for a report. */
const LAUNCHED_VARIABLE = 'EXTENTD_LAUNCHED';

/** How a start ended, as the child tells it through the channel. */
export type Report =
  | { readonly extentd: 'started' }
  | { readonly extentd: 'failed'; readonly message: string };

/** Whether this process was started by `launchDaemon` and its standard error is `output.log`. */
export function isLaunched(): boolean {
  return process.env[LAUNCHED_VARIABLE] === '1' && process.send !== undefined;
}

/** Set in the environment of a node that `standalone` has started beside others: it ends with the process that started it. */
export const SUPERVISED_VARIABLE = 'EXTENTD_SUPERVISED';

/** Whether this process is one of several standalone nodes. Its supervisor shows what it writes, under its name. */
export function isSupervised(): boolean {
  return process.env[SUPERVISED_VARIABLE] === '1' && process.send !== undefined;
}

/** In a supervised node: stops it when the process that started it has ended, in whatever way. */
export function endWithSupervisor(signals: StopSignals): void {
  if (!isSupervised()) return;
  process.on('disconnect', () => signals.raise('SIGTERM'));
  if (!process.connected) signals.raise('SIGTERM');
}

/**
 * In the child: tells the launcher or supervisor how the start ended, and lets go of a launcher. Resolves when the report is out; never rejects. Does nothing in a
 * process without launcher, or a second time.
 */
export async function reportToLauncher(report: Report): Promise<void> {
  if (!(isLaunched() || isSupervised()) || !process.connected) return;
  await new Promise<void>((done) => {
    process.send?.(report, undefined, undefined, () => done());
  });
  if (isLaunched() && process.connected) process.disconnect();
}

/**
 * Starts `program -f -c configPath` detached, in `/`, with PATH as its whole environment and its output going to `output.log`. Resolves with null
 * when the child says it serves, else with one line that says why not. The first SIGINT or SIGTERM meanwhile is handed to the child.
 */
export async function launchDaemon(
  program: string,
  configPath: string,
  logDir: string,
  signals: StopSignals,
): Promise<string | null> {
  // A relative logDir is relative to the child's working directory.
  const outputPath = resolve('/', outputLogPath(logDir));
  let outputFd: number;
  try {
    mkdirSync(dirname(outputPath), { recursive: true, mode: 0o755 });
    outputFd = openSync(outputPath, 'a', 0o644);
  } catch (error) {
    return `logDir: ${(error as Error).message}`;
  }
  const child = spawn(process.execPath, [...process.execArgv, program, '-f', '-c', resolve(configPath)], {
    cwd: '/',
    detached: true,
    env: { PATH: process.env['PATH'] ?? '', [LAUNCHED_VARIABLE]: '1' },
    stdio: ['ignore', outputFd, outputFd, 'ipc'],
  });
  closeSync(outputFd);
  signals.onFirst((name) => child.kill(name));
  const outcome = await new Promise<string | null>((done) => {
    child.once('error', (error) => done(error.message));
    child.once('message', (message) => done(reportedFailure(message)));
    child.once('exit', (code, signal) => {
      const ended = (): void =>
        done(`the process ended with ${signal ?? `exit code ${code}`}, see ${outputPath}`);
      // A report may still be on its way through the channel.
      if (child.connected) child.once('disconnect', ended);
      else ended();
    });
  });
  if (child.connected) child.disconnect();
  child.unref();
  return outcome;
}

function reportedFailure(message: unknown): string | null {
  const report = message as Report;
  return report.extentd === 'started' ? null : report.message;
}
