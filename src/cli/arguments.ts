/**
 * The command line of `extentd`: the reference's flags (`admin.md` 1), the word `standalone`, and the tools. Pure; called by the entry point.
 */
import { isToolName, type ToolName } from './toolArguments.js';

export type CommandLine =
  | { readonly kind: 'node'; readonly configPath: string; readonly foreground: boolean }
  | { readonly kind: 'standalone'; readonly args: readonly string[] }
  | { readonly kind: 'tool'; readonly tool: ToolName; readonly args: readonly string[] }
  | { readonly kind: 'version' }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'error'; readonly message: string };

export const USAGE = `extentd: a data node for CubeFS (ChubaoFS) clusters

  extentd -c FILE [-f]            run the node that the config file describes; without -f in the background
  extentd standalone [flags]      run one node, or several, with an embedded master; "extentd standalone --help" lists the flags
  extentd inspect DIR             print what a partition folder or a disk holds; "extentd inspect --help"
  extentd verify DIR              compare every block with its checksum; "extentd verify --help"
  extentd check -c FILE           tell what would come of a start, without one; "extentd check --help"
  extentd recover DIR             complete the raft logs of a disk after a crash; "extentd recover --help"
  extentd -v                      print the version

  -c FILE   JSON config file, the Go data node's own; see docs/configuration.md
  -f        stay in the foreground
`;

/**
 * Parses the arguments after the program's name. As in the reference a flag may have one dash or two, and a value after a space or `=`.
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  if (args[0] === 'standalone') return { kind: 'standalone', args: args.slice(1) };
  if (isToolName(args[0])) return { kind: 'tool', tool: args[0], args: args.slice(1) };
  let configPath = '';
  let foreground = false;
  for (let index = 0; index < args.length; index += 1) {
    const match = /^--?([a-z]+)(?:=(.*))?$/s.exec(args[index] ?? '');
    const [, name, inlineValue] = match ?? [];
    if (name === 'c') {
      const value = inlineValue ?? args[++index];
      if (value === undefined) return { kind: 'error', message: 'flag needs an argument: -c' };
      configPath = value;
    } else if (inlineValue !== undefined || name === undefined) {
      return unknown(args[index] ?? '');
    } else if (name === 'f') {
      foreground = true;
    } else if (name === 'v') {
      return { kind: 'version' };
    } else if (name === 'h' || name === 'help') {
      return { kind: 'help', text: USAGE };
    } else {
      return unknown(args[index] ?? '');
    }
  }
  if (configPath === '') return { kind: 'error', message: 'no config file given (use -c FILE; -h for help)' };
  return { kind: 'node', configPath, foreground };
}

function unknown(arg: string): CommandLine {
  return { kind: 'error', message: `unknown argument ${JSON.stringify(arg)} (-h for help)` };
}
