/**
 * Scripts of `test/golden`: blocks with a blank line between them, each of comments (`#`), commands, `----`, and what was printed. What the commands mean is the player's.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { packageRoot } from '../packageRoot.js';

const REGENERATES = process.env['REGENERATE'] === '1';

/** Runs commands, in order. */
export interface ScriptPlayer {
  /** Lines printed since this was emptied last. */
  lines: string[];
  /** Throws on a command that it does not know. */
  run(command: string): void;
}

/** Runs a script; returns it with what it prints now. */
export function playScript(text: string, player: ScriptPlayer): string {
  const blocks = text.trimEnd().split(/\n\n+/);
  return `${blocks.map((block) => playBlock(block, player)).join('\n\n')}\n`;
}

/** Comments and commands as they stand, and the output below. */
function playBlock(text: string, player: ScriptPlayer): string {
  const lines = text.split('\n');
  const end = lines.indexOf('----');
  const head = end < 0 ? lines : lines.slice(0, end);
  const commands = head.filter((line) => !line.startsWith('#') && line !== '');
  if (commands.length === 0) return head.join('\n');
  player.lines = [];
  for (const command of commands) player.run(command);
  return [...head, '----', ...player.lines].join('\n');
}

/** A test for each script of a folder of `test/golden`: it prints what it printed before. With REGENERATE=1 it is written as it prints now; read the difference before you keep it. */
export function testScripts(t: Test, folder: string, newPlayer: () => ScriptPlayer): void {
  const golden = join(packageRoot, 'test/golden', folder);
  const names = readdirSync(golden).filter((name) => name.endsWith('.txt'));
  t.ok(names.length > 0, 'there are scripts');
  for (const name of names) {
    t.test(`script ${name}`, async (t) => {
      const path = join(golden, name);
      const text = readFileSync(path, 'utf8');
      const printed = playScript(text, newPlayer());
      if (REGENERATES) writeFileSync(path, printed);
      t.equal(printed, REGENERATES ? readFileSync(path, 'utf8') : text, 'prints what it printed before');
      t.equal(playScript(printed, newPlayer()), printed, 'and prints the same again');
    });
  }
}
