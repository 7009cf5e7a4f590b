/**
 * The package's files as the tidy rules see them: path, text, and the text with comments and strings blanked out.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** One text file of the package. */
export interface SourceFile {
  /** Relative to the package, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** As `lines`, comments and the insides of strings replaced by blanks. TypeScript and JavaScript only; else equal to `lines`. */
  readonly code: readonly string[];
}

/** One finding: where (line from 1, 0 for the whole file) and what. */
export interface Finding {
  readonly line: number;
  readonly what: string;
}

const TEXT_BYTES_MAX = 4 * 1024 * 1024;

export function sourceFile(path: string, text: string): SourceFile {
  const blanked = /\.(ts|mjs|js)$/.test(path) ? blankCommentsAndStrings(text) : text;
  return { path, text, lines: text.split('\n'), code: blanked.split('\n') };
}

/** Every text file under version control or about to be. Without git (an unpacked archive) there is nothing to check against: null. */
export function packageFiles(root: string): SourceFile[] | null {
  const { status, stdout } = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) return null;
  const files: SourceFile[] = [];
  for (const path of stdout.split('\n').sort()) {
    const absolute = join(root, path);
    if (path === '' || !existsSync(absolute) || !statSync(absolute).isFile()) continue;
    if (statSync(absolute).size > TEXT_BYTES_MAX) continue;
    const bytes = readFileSync(absolute);
    if (!bytes.includes(0)) files.push(sourceFile(path, bytes.toString('utf8')));
  }
  return files;
}

/** A regular expression with a quote in it may confuse this for the rest of its line; no rule depends on such lines. */
function blankCommentsAndStrings(text: string): string {
  const parts = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;
  return text.replace(parts, (part) => part.replace(/[^\n]/g, ' '));
}
