/**
 * The habits that a program can hold (`docs/architecture.md`): one row a rule, each with its reason, and with a text that breaks it and one that keeps it.
 */
import { findForbiddenImports } from './imports.js';
import { type Finding, type SourceFile, sourceFile } from './sources.js';

export interface Rule {
  readonly name: string;
  readonly reason: string;
  readonly appliesTo: (path: string) => boolean;
  readonly find: (file: SourceFile) => Finding[];
  /** Path and text of a file that breaks the rule once, and of one that keeps it. */
  readonly bad: readonly [path: string, text: string];
  readonly good: readonly [path: string, text: string];
}

const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

const isTypeScript = (path: string): boolean => path.endsWith('.ts');
const isCode = (path: string): boolean => /\.(ts|mjs)$/.test(path);
const isProduct = (path: string): boolean => /^(src|bench)\/.*\.ts$/.test(path);

/** Modules that decide and therefore take time, chance and bytes from outside. */
const isPure = (path: string): boolean =>
  path.startsWith('src/protocol/') ||
  [
    'src/raft/journalFrame.ts',
    'src/raft/journalQueue.ts',
    'src/raft/journalSegments.ts',
    'src/server/admission.ts',
    'src/workers/spin.ts',
    'src/workers/ioMode.ts',
    'src/telemetry/rateLimiter.ts',
    'src/telemetry/rotation.ts',
    'src/telemetry/levelFiles.ts',
    'src/server/failedPacket.ts',
  ].includes(path);

/** Written in two halves, so that this file does not break its own rule. */
const machinePath = (name: string): string => `/${name}`;
const MACHINE_PATH = new RegExp(
  `(?<![\\w.*)}\\]])(${['work', 'root', 'home'].map((name) => `${machinePath(name)}/\\w`).join('|')})`,
);
const REGISTRY_HOST = new RegExp(
  ['registry\\.[a-z]', 'npmjs\\.(org|com)', 'verdaccio', 'artifactory'].join('|'),
);

export const RULES: readonly Rule[] = [
  {
    name: 'imports point one way',
    reason: 'a room that knows nobody can be read, tested and replaced alone',
    appliesTo: isProduct,
    find: findForbiddenImports,
    bad: ['src/protocol/a.ts', "import { x } from '../storage/b.js';\n"],
    good: ['src/storage/a.ts', "import { x } from '../protocol/b.js';\n"],
  },
  {
    name: 'what decides is pure',
    reason: 'the simulation runs the production code with its own disk, clock and dice',
    appliesTo: isPure,
    find: (file) => [
      ...findInLines(
        file.lines,
        /from 'node:(fs|net|http|timers|worker_threads|child_process|crypto|os)/,
        'imports the world',
      ),
      ...findInLines(
        file.code,
        /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval)\b/,
        'asks the world',
      ),
    ],
    bad: ['src/protocol/a.ts', 'const nowMs = Date.now();\n'],
    good: ['src/protocol/a.ts', '/** Not Date.now. */\nconst nowMs = given;\n'],
  },
  {
    name: 'a file says what it owns',
    reason: 'its first comment is the room’s name plate',
    appliesTo: isCode,
    find: (file) => {
      const first = file.lines[0]?.startsWith('#!') ? file.lines[1] : file.lines[0];
      return /^(\/\*\*|\/\/)/.test(first ?? '') ? [] : [{ line: 1, what: 'no header comment' }];
    },
    bad: ['src/shm/a.ts', "import x from 'y';\n"],
    good: ['src/main.ts', '#!/usr/bin/env node\n/**\n * The entry point.\n */\n'],
  },
  {
    name: 'exported functions carry a doc comment',
    reason: 'what goes in, what comes out and what fails is part of the function',
    appliesTo: isProduct,
    find: findUndocumentedFunctions,
    bad: ['src/shm/a.ts', '\nexport async function f(): void {}\n'],
    good: ['src/shm/a.ts', '/** Does. */\nexport function f(): void {}\nfunction g() {}\n'],
  },
  {
    name: `files have at most ${FILE_LINES_MAX} lines`,
    reason: 'past that there is a second idea in it',
    appliesTo: isCode,
    find: (file) => {
      const count = file.lines.length - 1;
      return count > FILE_LINES_MAX ? [{ line: 0, what: `${count} lines` }] : [];
    },
    bad: ['src/shm/a.ts', '\n'.repeat(FILE_LINES_MAX + 1)],
    good: ['src/shm/a.ts', '\n'.repeat(FILE_LINES_MAX)],
  },
  {
    name: `functions have at most ${FUNCTION_LINES_MAX} lines`,
    reason: 'a function fits on a screen',
    appliesTo: (path) => isProduct(path) || path.startsWith('scripts/'),
    find: findLongFunctions,
    bad: [
      'src/shm/a.ts',
      `class A {\n  #f(\n    x: number,\n  ): void {\n${'    y();\n'.repeat(FUNCTION_LINES_MAX)}  }\n}\n`,
    ],
    good: [
      'src/shm/a.ts',
      `export function f(): void {\n${'  y();\n'.repeat(FUNCTION_LINES_MAX - 2)}}\n${'y();\n'.repeat(90)}`,
    ],
  },
  {
    name: 'no any',
    reason: 'it switches the compiler off where bytes come in',
    appliesTo: isTypeScript,
    find: (file) => findInLines(file.code, /(:|\bas|<|\||,)\s*any\b(?!\s*\()/, 'the type any'),
    bad: ['test/a.ts', 'const x = y as any;\n'],
    good: ['test/a.ts', '// as any\nconst any = f(x, any());\n'],
  },
  {
    name: 'no default exports',
    reason: 'one name for one thing, everywhere',
    appliesTo: isCode,
    find: (file) => findInLines(file.code, /^export default\b/, 'a default export'),
    bad: ['src/shm/a.ts', 'export default class {}\n'],
    good: ['src/shm/a.ts', 'export class A {}\n'],
  },
  {
    name: 'no barrel files',
    reason: 'an import names the file that owns the thing',
    appliesTo: isCode,
    find: (file) => findInLines(file.lines, /^export (\*|\{[^}]*\}) from /, 're-exports'),
    bad: ['src/shm/a.ts', "export { a } from './b.js';\n"],
    good: ['src/shm/a.ts', 'export { a };\n'],
  },
  {
    name: 'no enum',
    reason: 'types are erased, never compiled to code',
    appliesTo: isTypeScript,
    find: (file) => findInLines(file.code, /^\s*(export |declare |const )*enum \w/, 'an enum'),
    bad: ['src/shm/a.ts', 'export const enum A { b }\n'],
    good: ['src/shm/a.ts', "const a = 'enum b';\n"],
  },
  {
    name: 'no Manager, Helper, Util',
    reason: 'a name uses the field’s own word',
    appliesTo: isCode,
    find: (file) => [
      ...findInLines(
        file.code,
        /\b(class|interface|function|type)\s+\w*(Manager|Helper|Utils?)\b/,
        'an empty name',
      ),
      ...(/(^|\/)\w*(manager|helper|utils?)s?\.\w+$/i.test(file.path)
        ? [{ line: 0, what: 'an empty file name' }]
        : []),
    ],
    bad: ['src/shm/a.ts', 'export class SlabManager {}\n'],
    good: ['src/shm/a.ts', "export class Slab {} // Go: SpaceManager\nconst a = 'class XManager';\n"],
  },
  {
    name: 'no open end without a reference',
    reason: 'an open end has an issue, or is closed',
    appliesTo: isCode,
    find: (file) =>
      findInLines(
        file.lines,
        new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b(?!\\s*\\(#\\d+\\))`),
        'an open end',
      ),
    bad: ['src/shm/a.ts', `// ${'TO'}DO later\n`],
    good: ['src/shm/a.ts', `// ${'TO'}DO(#12) later\n`],
  },
  {
    name: 'no commented-out code',
    reason: 'version control remembers it better',
    appliesTo: isCode,
    find: (file) =>
      findInLines(
        file.lines,
        /^\s*\/\/\s*((const|let|var) \w+ =|import .* from |export |return\b.*;|(if|for|while) \(.*\{|[\w.#]+\(.*\);|\}[;)]*\s*$)/,
        'code in a comment',
      ),
    bad: ['src/shm/a.ts', '  // this.stop(now);\n'],
    good: ['src/shm/a.ts', '  // Then stop() is called; a return follows (see below).\n'],
  },
  {
    name: 'no path of one machine',
    reason: 'the package runs where it is unpacked',
    appliesTo: () => true,
    find: (file) => findInLines(file.lines, MACHINE_PATH, 'a path of one machine'),
    bad: ['docs/a.md', `see ${machinePath('home')}/me/x\n`],
    good: ['docs/a.md', `see ./data${machinePath('work')}/x and src${machinePath('home')}/y\n`],
  },
  {
    name: 'no registry host',
    reason: 'packages come from wherever the machine is set up to get them',
    appliesTo: (path) => path !== 'test/tidy/rules.ts',
    find: (file) => findInLines(file.lines, REGISTRY_HOST, 'a registry host'),
    bad: ['docs/a.md', `https://registry.${'example'}.org/\n`],
    good: ['docs/a.md', 'the npm registry.\n'],
  },
  {
    name: 'the lock file names no address and needs no install script',
    reason: 'npm ci works against any registry, and where scripts are not approved',
    appliesTo: (path) => path === 'package-lock.json',
    find: (file) => findInLines(file.lines, /"(resolved|hasInstallScript)":/, 'an address or a script'),
    bad: ['package-lock.json', '{\n  "resolved": "x"\n}\n'],
    good: ['package-lock.json', '{\n  "version": "1.0.0"\n}\n'],
  },
];

/** The findings of one rule in one file, as text; empty where it does not apply. */
export function check(rule: Rule, file: SourceFile): string[] {
  if (!rule.appliesTo(file.path)) return [];
  return rule.find(file).map(({ line, what }) => `${file.path}${line > 0 ? `:${line}` : ''}: ${what}`);
}

/** The findings in one of a rule's own samples. */
export function checkSample(rule: Rule, [path, text]: readonly [string, string]): string[] {
  return check(rule, sourceFile(path, text));
}

function findInLines(lines: readonly string[], pattern: RegExp, what: string): Finding[] {
  return lines.flatMap((line, index) =>
    pattern.test(line) ? [{ line: index + 1, what: `${what}: ${line.trim()}` }] : [],
  );
}

/** Overloads share the comment of the first. */
function findUndocumentedFunctions(file: SourceFile): Finding[] {
  const findings: Finding[] = [];
  for (const [index, line] of file.lines.entries()) {
    const name = /^export (?:async )?function\*? (\w+)/.exec(line)?.[1];
    if (name === undefined) continue;
    const before = file.lines[index - 1] ?? '';
    const overload = new RegExp(`^export (async )?function\\*? ${name}\\b.*;$`).test(before);
    if (!before.endsWith('*/') && !overload)
      findings.push({ line: index + 1, what: `${name} has no doc comment` });
  }
  return findings;
}

/** Functions and methods as the formatter lays them out: they end with the first closing brace at their own indentation. */
function findLongFunctions(file: SourceFile): Finding[] {
  const start =
    /^(\s*)(?:(?:export )?(?:async )?function\*? (\w+)|(?:export )?const (\w+) = (?:async )?\(|(?:(?:static|async|get|set|override) )*(#?\w+)(?:<.*>)?\()/;
  const findings: Finding[] = [];
  for (const [index, line] of file.code.entries()) {
    const match = start.exec(line);
    const name = match?.[2] ?? match?.[3] ?? match?.[4];
    if (match === null || name === undefined || /^(if|for|while|switch|catch|return|await)$/.test(name))
      continue;
    if (!opensBody(file.code, index, match[1] ?? '')) continue;
    const end = file.code.findIndex((other, at) => at > index && other.startsWith(`${match[1]}}`));
    const length = end - index + 1;
    if (length > FUNCTION_LINES_MAX) findings.push({ line: index + 1, what: `${name} has ${length} lines` });
  }
  return findings;
}

/** Whether the signature that starts at `index` ends with the brace of a body; a call ends otherwise. */
function opensBody(code: readonly string[], index: number, indent: string): boolean {
  const line = code[index] ?? '';
  if (!/[(<]$/.test(line)) return line.endsWith(') {') || /\)(: .*| =>) \{$/.test(line);
  const close = code.find((other, at) => at > index && other.startsWith(`${indent})`));
  return close?.endsWith('{') ?? false;
}
