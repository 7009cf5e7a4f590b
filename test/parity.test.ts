/**
 * Reads `docs/parity.md`: every exported name of the v1.4.0 data node package has one row, every row's home exists, and every row's test exists and reaches
 * that home.
 *
 * A home is `src/file.ts#name` or `src/file.ts#name.member`, a test is `test/file.ts › title`. A name that needs no home says `none: <reason>`.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import { packageRoot } from './packageRoot.js';

const NONE = 'none: ';

interface Row {
  name: string;
  home: string;
  test: string;
}

function read(path: string): string {
  return readFileSync(join(packageRoot, path), 'utf8');
}

/** Rows of all tables: those whose first cell is a name in backticks. */
function parityRows(): Row[] {
  const rows: Row[] = [];
  for (const line of read('docs/parity.md').split('\n')) {
    const cells = line.split('|').map((cell) => cell.trim().replace(/^`(.*)`$/, '$1'));
    const [, name = '', home = '', test = ''] = cells;
    if (/^\| `[A-Z][\w.]*` \|/.test(line)) rows.push({ name, home, test });
  }
  return rows;
}

function goNames(): string[] {
  return read('test/vectors/goApi.txt')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(' ')[1] ?? '');
}

/** Whether a source exports `symbol`, or the member `Name.member` of an export. */
function hasSymbol(source: string, symbol: string): boolean {
  const [name = '', member] = symbol.split('.');
  const declared = new RegExp(
    `^export (?:async )?(?:abstract )?(?:const|class|function|interface|type) ${name}\\b`,
    'm',
  );
  const found = declared.exec(source);
  if (found === null) return false;
  if (member === undefined) return true;
  const from = source.slice(found.index);
  const block = from.slice(0, from.search(/\n[}\]]/) + 1);
  return (
    new RegExp(`^ +(?:readonly |get |async |static )*${member}\\b`, 'm').test(block) || oneLine(from, member)
  );
}

/** `export const X = { a: 1, b: 2 } as const;` on one line. */
function oneLine(from: string, member: string): boolean {
  const line = from.slice(0, from.indexOf('\n'));
  return new RegExp(`[{,|]\\s*'?${member}\\b`).test(line);
}

/** Whether a test `test/file.ts › title` exists. */
function hasTest(test: string): boolean {
  const [path = '', title = ''] = test.split(' › ');
  if (!path.startsWith('test/') || !existsSync(join(packageRoot, path)) || title === '') return false;
  const literal = [`'${title}'`, `"${title}"`, `\`${title}\``];
  return literal.some((text) => read(path).includes(text));
}

const reached = new Map<string, Set<string>>();

/** Every file of the package that a file imports, or starts as a thread, directly or through others. */
function reachableFrom(path: string): Set<string> {
  const known = reached.get(path);
  if (known !== undefined) return known;
  const seen = new Set<string>([path]);
  const open = [path];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    for (const [, target = ''] of read(at).matchAll(/(?:from|import\(|new URL\()\s*'(\.[^']*)\.js'/g)) {
      const next = `${normalize(join(dirname(at), target))}.ts`;
      if (seen.has(next) || !existsSync(join(packageRoot, next))) continue;
      seen.add(next);
      open.push(next);
    }
  }
  reached.set(path, seen);
  return seen;
}

const rows = parityRows();
const built = rows.filter((row) => !row.home.startsWith(NONE));

t.test('every name of the Go API has one row, and there are no other rows', async (t) => {
  t.same(rows.map((row) => row.name).sort(), goNames().sort());
});

t.test('what has no home says why, and its test exists', async (t) => {
  for (const { name, home, test } of rows) {
    if (!home.startsWith(NONE)) continue;
    t.ok(home.length > NONE.length + 10, `${name}: ${home}`);
    if (test !== '') t.ok(hasTest(test), `${name}: ${test}`);
  }
});

t.test('every home exists and exports its name', async (t) => {
  for (const { name, home } of built) {
    const [path = '', symbol = ''] = home.split('#');
    if (!path.startsWith('src/') || !existsSync(join(packageRoot, path))) {
      t.fail(`${name}: no file ${path}`);
      continue;
    }
    t.ok(hasSymbol(read(path), symbol), `${name}: ${home}`);
  }
});

t.test('every test exists, has its title, and reaches the home', async (t) => {
  for (const { name, home, test } of built) {
    t.ok(hasTest(test), `${name}: ${test}`);
    const [path = ''] = test.split(' › ');
    if (!existsSync(join(packageRoot, path))) continue;
    t.ok(reachableFrom(path).has(home.split('#')[0] ?? ''), `${name}: ${path} reaches ${home}`);
  }
});

t.test('the reader of this table finds what is there, and misses what is not', async (t) => {
  const source =
    'export const A = {\n  one: 1,\n} as const;\nexport const B = { two: 2 } as const;\nconst C = 3;\n';
  t.ok(hasSymbol(source, 'A.one'));
  t.ok(hasSymbol(source, 'B.two'));
  t.notOk(hasSymbol(source, 'A.two'));
  t.notOk(hasSymbol(source, 'C'));
  t.ok(built.length > 100, `${built.length} rows are built`);
});
