/**
 * Runs one tool on the process's own streams. Called by `program.ts`, which has caught the signals.
 */
import { check } from './check.js';
import { inspect } from './inspect.js';
import { recover } from './recover.js';
import type { ExitCode, ToolContext } from './toolContext.js';
import { verify } from './verify.js';

/** What to run; `src/cli` makes it from the command line. `target`: DIR, or the config file of `check`. */
export interface ToolRun {
  readonly tool: keyof typeof TOOLS;
  readonly target: string;
  readonly json: boolean;
}

const TOOLS = { inspect, verify, check, recover } as const;

/** Streams of a process, and whether a stop signal has come. */
export interface ToolStreams {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  interrupted(): boolean;
  /** See `ToolContext`. */
  abandon(): void;
}

/** Runs the tool to its end. Resolves with the exit code. */
export async function runTool(run: ToolRun, streams: ToolStreams): Promise<ExitCode> {
  const context = contextOf(streams);
  const exitCode = await TOOLS[run.tool](run.target, run.json, context);
  context.progress('');
  if (context.interrupted()) context.complain('interrupted\n');
  return exitCode;
}

/** Erases the line that the cursor is on. */
const ERASE_LINE = '\r\x1b[K';

function contextOf(streams: ToolStreams): ToolContext {
  const { stdout, stderr } = streams;
  let shown = false;
  const erase = (): void => {
    if (shown) stderr.write(ERASE_LINE);
    shown = false;
  };
  return {
    out(text) {
      erase();
      stdout.write(text);
    },
    complain(text) {
      erase();
      stderr.write(text);
    },
    progress(line) {
      if (stderr.isTTY !== true) return;
      erase();
      shown = line !== '';
      if (shown) stderr.write(line);
    },
    interrupted: () => streams.interrupted(),
    abandon: () => streams.abandon(),
  };
}
