/** A file log in a folder of its own, for tests: closed and removed with the test. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { EXTENTD_DEFAULTS, type LogLevel } from '../../src/config/config.js';
import { type LogEnvironment, type LogSettings, type NodeLog, openFileLog } from '../../src/telemetry/log.js';

/** A new folder, removed with the test. */
export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-log-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** An open file log, closed with the test. */
export async function opened(
  t: Test,
  logDir: string,
  level: LogLevel,
  stderrIsOutputLog: boolean,
  settings: LogSettings = EXTENTD_DEFAULTS,
  environment: LogEnvironment = { warnLogDir: '' },
): Promise<NodeLog> {
  const result = await openFileLog(logDir, level, stderrIsOutputLog, settings, environment);
  if (!result.ok) throw new Error(result.message);
  t.teardown(() => result.nodeLog.close());
  return result.nodeLog;
}
