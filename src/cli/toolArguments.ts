/**
 * The command lines of the tools: `extentd inspect DIR` and its siblings. Pure.
 */
import { parseArgs } from 'node:util';

/** What an operator asked a tool for. */
export interface ToolRequest {
  readonly tool: 'inspect' | 'verify';
  readonly dir: string;
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
  const [dir] = positionals;
  if (dir === undefined || positionals.length > 1)
    return { kind: 'error', message: `${tool}: one folder is expected (--help for help)` };
  return { kind: 'request', request: { tool, dir, json: values.json } };
}

function parseFlags(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}
