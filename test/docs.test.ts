/**
 * Holds the pages of `docs/` to the code: every claim of architecture.md and durability.md names a test that exists or an open question that exists, the
 * rooms and their imports are those of `src/`, the table of acknowledgements has the opcodes that are served, the limits have their values.
 *
 * On these pages a claim is a list item, or a row of a table with a `held by` column. What holds it stands in it: `[test/file.test.ts › title]` or
 * `[src/native/src/file.rs › function]` in backticks, or `no test yet: name` with the name of a section of open.md.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import {
  CONFIG_LIMITS,
  CONNECTION_LIMITS,
  FOLLOWER_LIMITS,
  TRANSPORT_LIMITS,
  WIRE_LIMITS,
} from '../src/config/limits.js';
import { HEADER_BYTES, PacketHeader } from '../src/protocol/header.js';
import { nameOf } from '../src/protocol/opcodes.js';
import { EVERY_CLASS } from '../src/protocol/portClasses.js';
import { Admission, VERDICT } from '../src/server/admission.js';
import { PacketFacts } from '../src/server/packetFacts.js';
import { packageRoot } from './packageRoot.js';

const CLAIM_PAGES = ['docs/architecture.md', 'docs/durability.md'];
const PAGES = [...CLAIM_PAGES, 'docs/open.md', 'docs/operations.md'];

function read(path: string): string {
  return readFileSync(join(packageRoot, path), 'utf8');
}

interface Claim {
  text: string;
  line: number;
}

/** List items with their continuation lines, and rows of tables whose header ends with `held by`. */
function claimsOf(page: string): Claim[] {
  const claims: Claim[] = [];
  let item: Claim | null = null;
  let inTable = false;
  for (const [index, line] of page.split('\n').entries()) {
    if (line.startsWith('* ')) {
      item = { text: line, line: index + 1 };
      claims.push(item);
    } else if (item !== null && /^ +\S/.test(line)) {
      item.text += ` ${line.trim()}`;
    } else {
      item = null;
    }
    if (!line.startsWith('|')) inTable = false;
    else if (/\| held by \|$/.test(line)) inTable = true;
    else if (inTable && !line.startsWith('|---')) claims.push({ text: line, line: index + 1 });
  }
  return claims;
}

/** Tests that a claim names: file and title. */
function testsOf(text: string): { file: string; title: string }[] {
  return [...text.matchAll(/`((?:test|src)\/[\w./-]+\.(?:ts|rs)) › ([^`]+)`/g)].map(
    ([, file = '', title = '']) => ({ file, title }),
  );
}

function questionsOf(text: string): string[] {
  return [...text.matchAll(/no test yet: `([\w-]+)`/g)].map(([, name = '']) => name);
}

/** Names of the sections of open.md: `### name: what it is`. */
function openQuestions(page: string): Set<string> {
  return new Set([...page.matchAll(/^### ([\w-]+):/gm)].map(([, name = '']) => name));
}

/** Titles of the tests of a file, as they stand in its source; of a Rust file the functions under `#[test]`. */
function titlesIn(file: string, source: string): Set<string> {
  if (file.endsWith('.rs')) {
    return new Set([...source.matchAll(/#\[test\]\s+fn (\w+)\(/g)].map(([, name = '']) => name));
  }
  const calls = source.matchAll(/\bt\.test\(\s*(?:'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)"|`([^`]*)`)/g);
  return new Set(
    [...calls].map(([, single, double, template]) => {
      return (single ?? double ?? template ?? '').replaceAll(/\\(['"])/g, '$1');
    }),
  );
}

function fileExists(path: string): boolean {
  return existsSync(join(packageRoot, path));
}

for (const path of CLAIM_PAGES) {
  t.test(`every claim of ${path} names a test or an open question`, async (t) => {
    const claims = claimsOf(read(path));
    t.ok(claims.length > 10, `${claims.length} claims`);
    for (const { text, line } of claims) {
      t.ok(testsOf(text).length + questionsOf(text).length > 0, `${path}:${line}: ${text.slice(0, 80)}`);
    }
  });
}

for (const path of [...CLAIM_PAGES, 'docs/operations.md', 'docs/replication.md']) {
  t.test(`every test that ${path} names exists`, async (t) => {
    for (const { file, title } of testsOf(read(path))) {
      if (fileExists(file)) t.ok(titlesIn(file, read(file)).has(title), `${file} › ${title}`);
      else t.fail(`no file ${file}`);
    }
  });
}

t.test('every open question that a claim names has its section', async (t) => {
  const known = openQuestions(read('docs/open.md'));
  t.ok(known.size > 5);
  for (const path of PAGES) {
    for (const name of questionsOf(read(path))) t.ok(known.has(name), `${path}: ${name}`);
  }
});

t.test('every path that a page names exists', async (t) => {
  for (const path of PAGES) {
    const page = read(path);
    for (const [, named = ''] of page.matchAll(/`((?:src|test|bench|docs|scripts)\/[\w./-]*\w)/g)) {
      t.ok(fileExists(named), `${path}: ${named}`);
    }
    for (const [, target = ''] of page.matchAll(/\]\(([\w./-]+\.md)\)/g)) {
      t.ok(fileExists(normalize(join('docs', target))), `${path} links ${target}`);
    }
  }
});

/** TypeScript files below a folder, with their paths from the package's root. */
function sourcesBelow(folder: string): string[] {
  return readdirSync(join(packageRoot, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => path.endsWith('.ts'));
}

/** `src/shm` for a file of that folder, `src/main.ts` for a file beside the folders. */
function roomOf(path: string): string {
  return path.split('/').slice(0, 2).join('/');
}

/** For each room the rooms whose files it imports or starts as threads. */
function importsByRoom(): Map<string, Set<string>> {
  const rooms = new Map<string, Set<string>>();
  for (const path of sourcesBelow('src')) {
    const room = roomOf(path);
    const imports = rooms.get(room) ?? new Set<string>();
    rooms.set(room, imports);
    for (const [, target = ''] of read(path).matchAll(/(?:from|import\(|new URL\()\s*'(\.[^']*)\.js'/g)) {
      const other = roomOf(`${normalize(join(dirname(path), target))}.ts`);
      if (other !== room) imports.add(other);
    }
  }
  return rooms;
}

t.test('the table of rooms names every room of src and exactly what it imports', async (t) => {
  const told = new Map<string, string[]>();
  for (const line of read('docs/architecture.md').split('\n')) {
    const [, room = '', , imports = ''] = line.split('|').map((cell) => cell.trim());
    if (!/^`src\/[\w.]+`$/.test(room)) continue;
    const names = [...imports.matchAll(/`([\w.]+)`/g)].map(([, name = '']) => `src/${name}`);
    told.set(room.replaceAll('`', ''), names.sort());
  }
  const found = new Map([...importsByRoom()].map(([room, imports]) => [room, [...imports].sort()]));
  t.same([...told.keys()].sort(), [...found.keys()].sort());
  for (const [room, imports] of found) t.same(told.get(room), imports, room);
});

t.test('the table of acknowledgements has the opcodes that this version serves, and no others', async (t) => {
  const served: string[] = [];
  const header = new PacketHeader();
  const admission = new Admission();
  for (let opcode = 0; opcode < 256; opcode++) {
    header.opcode = opcode;
    header.extentType = 1;
    header.size = HEADER_BYTES;
    admission.decide(
      header,
      Object.assign(new PacketFacts(), { classes: EVERY_CLASS, partitionKnown: true }),
    );
    if (admission.verdict !== VERDICT.refuse) served.push(nameOf(opcode));
  }
  t.ok(served.length > 10);
  for (const path of ['docs/durability.md', 'docs/operations.md']) {
    const told = [...read(path).matchAll(/^\| `(Op\w+)` \|/gm)].map(([, name = '']) => name);
    t.same([...new Set(told)].sort(), served.toSorted(), path);
  }
});

t.test('the limits that operators read are those of the code', async (t) => {
  const tables = { WIRE_LIMITS, CONNECTION_LIMITS, FOLLOWER_LIMITS, TRANSPORT_LIMITS, CONFIG_LIMITS };
  const wanted = Object.entries(tables).flatMap(([table, limits]) =>
    Object.entries(limits).map(([name, value]) => `${table}.${name} = ${value}`),
  );
  const told = [...read('docs/operations.md').matchAll(/^\| `(\w+\.\w+)` \| ([\d,]+) \|/gm)].map(
    ([, name = '', value = '']) => `${name} = ${value.replaceAll(',', '')}`,
  );
  t.same(told.sort(), wanted.sort());
});

t.test('the reader of these pages finds what is there, and misses what is not', async (t) => {
  const page =
    '* One\n  more `test/a.test.ts › x`\n\n* Two, no test yet: `later`\n\n| a | held by |\n|---|---|\n| r | `src/b.rs › y` |\n';
  const claims = claimsOf(page);
  t.same(
    claims.map(({ line }) => line),
    [1, 4, 8],
  );
  t.same(testsOf(claims[0]?.text ?? ''), [{ file: 'test/a.test.ts', title: 'x' }]);
  t.same(questionsOf(claims[1]?.text ?? ''), ['later']);
  const titles = titlesIn('a.test.ts', "t.test('it''s', f);\nt.test(\n  \"it's\", f); // t.skip('no')\n");
  t.ok(titles.has("it's"));
  t.notOk(titles.has('no'));
  t.ok(titlesIn('b.rs', '#[test]\nfn y() {}\nfn z() {}').has('y'));
  t.notOk(titlesIn('b.rs', '#[test]\nfn y() {}\nfn z() {}').has('z'));
  t.same(openQuestions('### later: why\n#### no: x\n'), new Set(['later']));
});
