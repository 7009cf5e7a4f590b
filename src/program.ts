/**
 * The program behind the entry point: flags, role, logs, start, signals, exit code (`admin.md` 1 and 13). It decides nothing about packets or disks;
 * it reads the configuration, hands it to `dataNode.ts` or `standalone/`, and makes sure that the process ends when it should.
 */
import type { Logger } from 'pino';
import { parseCommandLine } from './cli/arguments.js';
import { endWithSupervisor, isLaunched, isSupervised, launchDaemon, reportToLauncher } from './cli/daemon.js';
import { runUntilSignal, type Stoppable } from './cli/lifecycle.js';
import { type NamedAddresses, readyLine } from './cli/readyLine.js';
import { ReloadSignal } from './cli/reloadSignal.js';
import {
  type Announcer,
  type Redirected,
  type ReplaceDescriptor,
  redirectStandardError,
} from './cli/standardError.js';
import type { StopSignals } from './cli/stopSignals.js';
import { parseToolLine, type ToolName } from './cli/toolArguments.js';
import { versionText } from './cli/version.js';
import type { NodeConfig } from './config/config.js';
import { checkDiskFolders } from './config/diskFolders.js';
import { fileLimitShortfall, openFileBudget } from './config/limits.js';
import { oneLine } from './config/parsed.js';
import { always } from './config/reloader.js';
import { loadConfig } from './config/schema.js';
import { parseStandaloneFlags } from './config/standaloneFlags.js';
import type { DataNode, DataNodeOptions } from './dataNode.js';
import type { NativeAddon } from './native/addon.js';
import { type NodeLog, openConsoleLog, openFileLog, outputLogPath } from './telemetry/log.js';

/** From the first signal: half a minute is what service managers wait, operators far less. */
const STOP_DEADLINE_MS = 8_000;

/** How long the end of the process waits for log lines to reach their files; a disk that hangs must not hold it up. */
const LOG_DRAIN_MS = 500;

/** How long the start waits for the configured disk folders to answer. */
const DISK_CHECK_MS = 3_000;

/** What the reference asks the system for. */
const FILE_LIMIT_WANTED = 1_024_000;

/** A node that runs, of either mode. */
interface Running extends Stoppable {
  readonly addresses: NamedAddresses;
}

type Start = (native: NativeAddon, signal: AbortSignal) => Promise<Running>;

/**
 * Runs the command that `args` (after the program's name) ask for; `program`: the entry point's own path, for a start in the background. Resolves with the
 * exit code, or ends the process itself once a node has run.
 */
export async function main(program: string, args: readonly string[], signals: StopSignals): Promise<number> {
  // A reader of the output that has gone away (`npm start | head`) is no reason to stop serving.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  const line = parseCommandLine(args);
  switch (line.kind) {
    case 'version':
      process.stdout.write(versionText());
      return 0;
    case 'help':
      process.stdout.write(line.text);
      return 0;
    case 'error':
      return fail(line.message);
    case 'tool':
      return runToolLine(line.tool, line.args, signals);
    case 'standalone':
      return runStandalone(program, line.args, signals);
    case 'node':
      return line.foreground
        ? runNode(line.configPath, signals)
        : startInBackground(program, line.configPath, signals);
  }
}

/** One clear line on standard error, to the launcher too, and the exit code of a failure. */
async function fail(message: string): Promise<number> {
  process.stderr.write(`Fatal: ${message}\n`);
  await reportToLauncher({ extentd: 'failed', message });
  return 1;
}

/** A tool ends with 2, not 1, when it could not do its work: 1 means that it found something. */
async function runToolLine(tool: ToolName, args: readonly string[], signals: StopSignals): Promise<number> {
  const line = parseToolLine(tool, args);
  if (line.kind === 'help') {
    process.stdout.write(line.text);
    return 0;
  }
  if (line.kind === 'error') {
    process.stderr.write(`Fatal: ${line.message}\n`);
    return 2;
  }
  let native: NativeAddon;
  try {
    native = await loadAddon();
  } catch (error) {
    process.stderr.write(`Fatal: ${(error as Error).message}\n`);
    return 2;
  }
  let interrupted = false;
  let abandoned = false;
  signals.onFirst(() => {
    interrupted = true;
  });
  const { runTool } = await import('./tools/runTool.js');
  const exitCode = await runTool(line.request, {
    stdout: process.stdout,
    stderr: process.stderr,
    interrupted: () => interrupted,
    abandon() {
      abandoned = true;
    },
  });
  if (abandoned) native.exitProcess(exitCode);
  return exitCode;
}

async function startInBackground(program: string, configPath: string, signals: StopSignals): Promise<number> {
  const loaded = loadConfig(configPath);
  if (!loaded.ok) return fail(loaded.message);
  const failure = await launchDaemon(program, configPath, loaded.config.logDir, signals);
  if (failure === null) return 0;
  process.stderr.write(`Server start failed: ${failure}\n`);
  return 1;
}

async function runNode(configPath: string, signals: StopSignals): Promise<number> {
  const loaded = loadConfig(configPath);
  if (!loaded.ok) return fail(loaded.message);
  const { config } = loaded;
  endWithSupervisor(signals);
  // Before anything is waited for: SIGHUP would end the process.
  const reloads = new ReloadSignal(process);
  let native: NativeAddon;
  try {
    native = await loadAddon();
  } catch (error) {
    return fail(startFailure(error));
  }
  const output = await sendErrorToOutputLog(outputLogPath(config.logDir), native.replaceDescriptor);
  if (!output.ok) return fail(output.message);
  const environment = {
    warnLogDir: config.warnLogDir,
    ...(output.before === null ? {} : { terminalFd: output.before }),
    linesToTerminal: isSupervised(),
  };
  const opened = await openFileLog(config.logDir, config.logLevel, output.isOutputLog, config, environment);
  if (!opened.ok) return fail(opened.message);
  const { nodeLog } = opened;
  const { log, ump } = nodeLog;
  return run(log, nodeLog, signals, async (_native, signal) => {
    const diskFailure = await checkDiskFolders(config.disks, DISK_CHECK_MS);
    if (diskFailure !== null) throw new Error(diskFailure);
    const { startDataNode } = await import('./dataNode.js');
    const limit = await raiseFileLimit(native, config, log);
    const takeOver = always((changed) => nodeLog.reload(changed));
    const node = await startDataNode({
      config: withFileBudget(config, limit),
      ...logOptions(nodeLog),
      ...(ump === undefined ? {} : { ump }),
      reloadParts: new Map([
        ['logFiles', takeOver],
        ...(ump === undefined ? [] : [['ump', takeOver] as const]),
      ]),
      signal,
    });
    reloads.onReload(() => reload(configPath, limit, node, log));
    return node;
  });
}

/** Takes over what a running node can of its config file, as it is now. A file that cannot be right changes nothing. */
async function reload(configPath: string, fileLimit: number, node: DataNode, log: Logger): Promise<void> {
  const loaded = loadConfig(configPath);
  const outcome = loaded.ok ? await node.reload(withFileBudget(loaded.config, fileLimit)) : loaded;
  if (!outcome.ok) {
    log.error(`SIGHUP: nothing is changed: ${outcome.message}`);
    return;
  }
  const { changed, needRestart } = outcome.value;
  log.info({ changed }, 'SIGHUP: the config file is in force');
  if (needRestart.length > 0) log.warn({ needRestart }, 'SIGHUP: these keys have changed and need a restart');
}

async function runStandalone(
  program: string,
  args: readonly string[],
  signals: StopSignals,
): Promise<number> {
  const request = parseStandaloneFlags(args);
  if (request.kind === 'error') return fail(request.message);
  if (request.kind === 'help') {
    process.stdout.write(request.text);
    return 0;
  }
  const nodeLog = openConsoleLog(request.flags.logLevel);
  const { log } = nodeLog;
  if (request.flags.nodeCount > 1) {
    return run(log, nodeLog, signals, async (_native, signal) => {
      const { startSeveralNodes } = await import('./standalone/severalNodes.js');
      const say = (line: string): void => nodeLog.announce(line);
      return startSeveralNodes({ flags: request.flags, program, log, say, signal });
    });
  }
  return run(log, nodeLog, signals, async (native, signal) => {
    const { startStandalone } = await import('./standalone/standalone.js');
    const limit = await raiseFileLimit(native, request.flags.settings, log);
    const settings = withFileBudget(request.flags.settings, limit);
    return startStandalone({ flags: { ...request.flags, settings }, ...logOptions(nodeLog), signal });
  });
}

/** Standard error becomes `output.log`, unless a launcher has seen to that. */
async function sendErrorToOutputLog(path: string, replaceDescriptor: ReplaceDescriptor): Promise<Redirected> {
  if (isLaunched()) return { ok: true, isOutputLog: true, before: null };
  return redirectStandardError(path, replaceDescriptor);
}

/** What a node gets of its logs. */
function logOptions({
  log,
  alarms,
  setLevel,
}: NodeLog): Pick<DataNodeOptions, 'log' | 'alarms' | 'setLogLevel'> {
  return { log, alarms, setLogLevel: setLevel };
}

/** Raises the limit of open files as far as the system allows, and says what it costs when that is less than the node can use. Returns the limit. */
async function raiseFileLimit(
  native: NativeAddon,
  settings: Pick<NodeConfig, 'maxOpenFiles'>,
  log: Logger,
): Promise<number> {
  const { CONNECTIONS_MAX } = await import('./dataNode.js');
  const limit = native.raiseFileLimit(FILE_LIMIT_WANTED);
  const short = fileLimitShortfall(FILE_LIMIT_WANTED, limit, settings.maxOpenFiles, CONNECTIONS_MAX);
  if (short !== null) log.warn(short);
  return limit;
}

/** The settings with the node's budget of files lowered to fit the system's limit of open files. */
function withFileBudget<T extends Pick<NodeConfig, 'maxOpenFiles'>>(settings: T, limit: number): T {
  return { ...settings, maxOpenFiles: openFileBudget(settings.maxOpenFiles, limit) };
}

/** The reference's words for a start that failed. */
function startFailure(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return `failed to start the ChubaoFS datanode daemon err ${oneLine(text)} - `;
}

/** The addon, or an error that says what to do. Loaded late, so that flags and configuration are checked without it. */
async function loadAddon(): Promise<NativeAddon> {
  try {
    return (await import('./native/addon.js')).native;
  } catch (error) {
    throw new Error(
      `the native addon cannot be loaded (npm run build makes it): ${(error as Error).message}`,
    );
  }
}

/** Runs one node to its end and ends the process. */
async function run(log: Logger, announcer: Announcer, signals: StopSignals, start: Start): Promise<never> {
  // Before the addon is loaded there is no thread that could be stuck.
  let exitProcess: (exitCode: number) => void = (exitCode) => process.exit(exitCode);
  const endSoon = async (exitCode: number): Promise<void> => {
    await announcer.drain(LOG_DRAIN_MS);
    exitProcess(exitCode);
  };
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'broken invariant or unexpected error: ending the process');
    announcer.announce(error.stack ?? String(error));
    void endSoon(1);
  });
  const exitCode = await runUntilSignal({
    async start(signal) {
      const native = await loadAddon();
      exitProcess = native.exitProcess;
      return start(native, signal);
    },
    async onReady(node) {
      process.stdout.write(readyLine(node.addresses));
      log.info(node.addresses, 'ready');
      await reportToLauncher({ extentd: 'started' });
    },
    async onStartFailed(error) {
      log.fatal({ err: error }, 'start failed');
      announcer.announce(`Fatal: ${startFailure(error)}`);
      const text = error instanceof Error ? error.message : String(error);
      await reportToLauncher({ extentd: 'failed', message: oneLine(text) });
    },
    announce(line) {
      log.info(line);
      announcer.announce(line);
    },
    signals,
    deadlineMs: STOP_DEADLINE_MS,
    endNow: (exitCode) => void endSoon(exitCode),
  });
  await endSoon(exitCode);
  throw new Error('the process did not end');
}
