/**
 * Running in the background (`admin.md` 1, step 2): the launcher starts this program again with `-f` in a session of its own, waits for the
 * outcome of its start, and exits with it. The child reports through Node's IPC channel, once.
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { outputLogPath } from '../telemetry/log.js';
import type { StopSignals } from './stopSignals.js';

/** Set in the child's environment: its launcher waits for a report. */
const LAUNCHED_VARIABLE = 'EXTENTD_LAUNCHED';

type Report = { readonly extentd: 'started' } | { readonly extentd: 'failed'; readonly message: string };

/** Whether this process was started by `launchDaemon` and its standard error is `output.log`. */
export function isLaunched(): boolean {
  return process.env[LAUNCHED_VARIABLE] === '1' && process.send !== undefined;
}

/**
 * In the child: tells the launcher how the start ended, and lets go of it. Resolves when the report is out; never rejects. Does nothing in a
 * process without launcher, or a second time.
 */
export async function reportToLauncher(report: Report): Promise<void> {
  if (!isLaunched() || !process.connected) return;
  await new Promise<void>((done) => {
    process.send?.(report, undefined, undefined, () => done());
  });
  if (process.connected) process.disconnect();
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
