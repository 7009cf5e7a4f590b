/**
 * Runs one tool on the process's own streams. Called by `program.ts`, which has caught the signals.
 */
import { inspect } from './inspect.js';
import type { ExitCode, ToolContext } from './toolContext.js';
import { verify } from './verify.js';

/** What to run; `src/cli` makes it from the command line. */
export interface ToolRun {
  readonly tool: 'inspect' | 'verify';
  readonly dir: string;
  readonly json: boolean;
}

/** Streams of a process, and whether a stop signal has come. */
export interface ToolStreams {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown; readonly isTTY?: boolean };
  interrupted(): boolean;
}

/** Runs the tool to its end. Resolves with the exit code. */
export async function runTool(run: ToolRun, streams: ToolStreams): Promise<ExitCode> {
  const context = contextOf(streams);
  const tool = run.tool === 'inspect' ? inspect : verify;
  const exitCode = await tool(run.dir, run.json, context);
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
  };
}
