/**
 * The command lines of the tools: `extentd inspect DIR` and its siblings. Pure.
 */
import { parseArgs } from 'node:util';

/** What an operator asked a tool for. */
export interface ToolRequest {
  readonly tool: 'inspect' | 'verify' | 'check' | 'recover';
  /** DIR, or the config file of `check`. */
  readonly target: string;
  readonly json: boolean;
}

export type ToolName = ToolRequest['tool'];

export type ToolLine =
  | { readonly kind: 'request'; readonly request: ToolRequest }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'error'; readonly message: string };

const HELP: Readonly<Record<ToolName, string>> = {
  inspect: `extentd inspect DIR [--json]

Prints what a partition folder, or each partition folder of a disk, holds: META, APPLY, extents, checksums, delete records, raft log.
Nothing is written, locked or created.

  --json    one JSON object

Exit codes: 0 done; 2 bad flags, or a folder that cannot be listed.
`,
  verify: `extentd verify DIR [--json]

Reads every block of a partition folder's normal extents, or of each partition folder of a disk, whose checksum is known, and compares.
Damage is printed as it is found. Nothing is written, locked or created.

  --json    one JSON object

Exit codes: 0 no damage; 1 damage; 2 bad flags, a folder that cannot be listed, or a stop signal.
`,
  check: `extentd check -c FILE [--json]

Tells what would come of a start with this config file, without one: the configuration, each disk with its permissions and its lock, and for each
partition folder whether the node would load it, and why not. Nothing is written or created; a lock is tested and given back at once.

  -c FILE   JSON config file
  --json    one JSON object

Exit codes: 0 all of it would be served; 1 something would not; 2 bad flags, or a stop signal.
`,
  recover: `extentd recover DIR [--json]

Completes the raft logs of a disk from its journals, as a start of the node would, and empties the journals. To be run after a crash or a loss of power before a Go node
takes the disk. Takes the disk's lock: refused while a node serves it. May be killed and run again.

  --json    one JSON object

Exit codes: 0 complete; 1 complete, but something is lost, or another node has written to a log; 2 not done: bad flags, no disk, in use, a disk that refuses.
`,
};

/** Whether the first argument names a tool. */
export function isToolName(word: string | undefined): word is ToolName {
  return word !== undefined && Object.hasOwn(HELP, word);
}

/** Parses what follows the tool's name. */
export function parseToolLine(tool: ToolName, args: readonly string[]): ToolLine {
  let parsed: ReturnType<typeof parseFlags>;
  try {
    parsed = parseFlags(args);
  } catch (error) {
    return { kind: 'error', message: `${tool}: ${(error as Error).message} (--help for help)` };
  }
  const { values, positionals } = parsed;
  if (values.help) return { kind: 'help', text: HELP[tool] };
  const usesConfig = tool === 'check';
  const [target] = usesConfig && values.config !== undefined ? [values.config] : positionals;
  const words = positionals.length + (values.config === undefined ? 0 : 1);
  if (target === undefined || words !== 1 || usesConfig !== (values.config !== undefined)) {
    const expected = usesConfig ? '-c FILE is' : 'one folder is';
    return { kind: 'error', message: `${tool}: ${expected} expected, and nothing else (--help for help)` };
  }
  return { kind: 'request', request: { tool, target, json: values.json } };
}

function parseFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      config: { type: 'string', short: 'c' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}
