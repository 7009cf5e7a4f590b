/**
 * `npm test`: installs and builds what is missing, then runs every check that CI runs. The last line is `N passed, N failed`: assertions of
 * the test files, tests of the crate, and one for each of the other steps.
 *
 * `npm test -- WORD ...` runs only the test files whose path holds one of the words.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { newerNode } from './newerNode.mjs';
import { checkNode, filesBelow, findCargo, install, root, run, runs } from './prepare.mjs';
import { endTestFiles, runTestFile } from './testFile.mjs';

/** Two files at a time, as some start several threads of their own: one of these, which wait for each other a good part of the time, beside one of the others, which compute. */
const OF_REAL_NODES = 'test/integration/';

/** Test files that run on a newer Node line as well, in CI. */
const ON_NEWER_NODE = [
  'test/native/',
  'test/server/',
  'test/shm/threads',
  'test/storage/nativeDisk',
  'test/http/debugApi',
  'test/http/uwsAddon',
  'test/http/threadEnd',
  'test/integration/happyPath',
  'test/integration/sigterm',
];

const total = { passed: 0, failed: 0, skipped: 0 };
const failedNames = [];

function count(name, { passed, failed, skipped = 0, report, durationMs }) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  const seconds = (durationMs / 1000).toFixed(1);
  console.log(
    `${failed === 0 ? 'ok    ' : 'FAILED'} ${name} (${passed} passed, ${failed} failed, ${seconds} s)`,
  );
  if (failed === 0) return;
  failedNames.push(name);
  for (const line of report) console.log(`    ${line}`);
}

/** Runs a command; `countPassed(output)` finds how many tests passed and failed in it, else it counts as one. */
async function step(name, command, args, folder = root, countTests = null) {
  const startedAt = performance.now();
  const { status, output } = await capture(command, args, folder);
  const tests = countTests?.(output) ?? { passed: 0, failed: 0 };
  const ok = status === 0;
  const counted = tests.passed + tests.failed > 0;
  count(name, {
    passed: counted ? tests.passed : Number(ok),
    failed: counted ? Math.max(tests.failed, Number(!ok)) : Number(!ok),
    report: ok ? [] : output.trimEnd().split('\n').slice(-150),
    durationMs: performance.now() - startedAt,
  });
}

function capture(command, args, folder) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
      });
    }
    child.once('error', (error) => resolve({ status: 1, output: error.message }));
    child.once('close', (status) => resolve({ status, output }));
  });
}

/** `test result: ok. 12 passed; 0 failed; ...`, once for each binary of the crate. */
function countCargoTests(output) {
  const counts = { passed: 0, failed: 0 };
  for (const [, passed, failed] of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed/gm)) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
  }
  return counts;
}

async function checkSources() {
  const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  await step('biome check', process.execPath, [biome, 'check', '--max-diagnostics=50', '.']);
  const crate = join(root, 'src', 'native');
  if (!existsSync(join(crate, 'Cargo.toml'))) return;
  findCargo();
  for (const [component, args] of [
    ['fmt', ['fmt', '--check']],
    ['clippy', ['clippy', '--quiet', '--all-targets', '--', '-D', 'warnings']],
  ]) {
    if (process.env.CI === undefined && !runs('cargo', component)) {
      total.skipped += 1;
      console.log(`skipped cargo ${component}: install it with "rustup component add"`);
    } else {
      await step(`cargo ${component}`, 'cargo', args, crate);
    }
  }
  await step('cargo test', 'cargo', ['test', '--quiet'], crate, countCargoTests);
}

async function runTestFiles(words, node = process.execPath, suffix = '') {
  const compiled = join(root, 'dist');
  const files = filesBelow(join(compiled, 'test'), '.test.js').map((path) => relative(compiled, path));
  const wanted = files.filter((name) => words.length === 0 || words.some((word) => name.includes(word)));
  if (wanted.length === 0) {
    count('test files', { passed: 0, failed: 1, report: ['no test file matches'], durationMs: 0 });
    return;
  }
  const temporaryFolder = mkdtempSync(join(tmpdir(), 'extentd-test-'));
  const interrupted = () => {
    endTestFiles();
    rmSync(temporaryFolder, { recursive: true, force: true });
    process.exit(1);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  const run = async (name) =>
    count(name + suffix, await runTestFile(join(compiled, name), temporaryFolder, node));
  const nodes = wanted.filter((name) => name.startsWith(OF_REAL_NODES)).values();
  const others = wanted.filter((name) => !name.startsWith(OF_REAL_NODES)).values();
  await Promise.all(
    [
      [nodes, others],
      [others, nodes],
    ].map(async (queues) => {
      for (const queue of queues) for (const name of queue) await run(name);
    }),
  );
  rmSync(temporaryFolder, { recursive: true, force: true });
}

async function main(words) {
  checkNode();
  if (!install()) {
    count('npm ci', { passed: 0, failed: 1, report: ['see above'], durationMs: 0 });
    return;
  }
  const startedAt = performance.now();
  const built = run(process.execPath, [join(root, 'scripts', 'build.mjs')]);
  count('build (addon, type check)', {
    passed: Number(built),
    failed: Number(!built),
    report: ['see above'],
    durationMs: performance.now() - startedAt,
  });
  if (words.length === 0) await checkSources();
  if (!built) return;
  await runTestFiles(words);
  if (words.length === 0 && process.env.CI !== undefined) await runOnNewerNode();
}

/** What depends on the Node version (sockets, worker threads, the addon) once more on a newer line. */
async function runOnNewerNode() {
  const newer = newerNode();
  if (newer === null) {
    total.skipped += 1;
    console.log('skipped the newer Node line: it could not be installed');
    return;
  }
  await runTestFiles(ON_NEWER_NODE, newer.path, ` (Node ${newer.version})`);
}

await main(process.argv.slice(2).filter((word) => !word.startsWith('-')));
if (total.skipped > 0) console.log(`${total.skipped} skipped`);
if (failedNames.length > 0) console.log(`failed: ${failedNames.join(', ')}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
