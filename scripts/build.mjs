/**
 * `npm run build`: the Rust addon (`build-native.mjs`) and the TypeScript sources (to `dist/`), each only when something has changed.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { buildNative } from './build-native.mjs';
import { checkNode, filesBelow, findCargo, modifiedMs, root, run, stop } from './prepare.mjs';

const output = join(root, 'dist');
const sourceFolders = ['src', 'bench', 'test'];

/** Newest modification among `paths`, ms. */
function newestMs(paths) {
  return Math.max(0, ...paths.map(modifiedMs));
}

function buildAddon() {
  findCargo();
  if (!existsSync(join(root, 'src', 'native', 'extentd.node'))) {
    process.stderr.write('extentd: building the native addon\n');
  }
  const problem = buildNative();
  if (problem !== null) stop(problem);
}

/** Removes compiled files whose source is gone, so that no deleted test runs on. */
function prune() {
  for (const folder of sourceFolders) {
    for (const compiled of filesBelow(join(output, folder), '.js')) {
      const source = join(root, relative(output, compiled)).replace(/\.js$/, '.ts');
      if (existsSync(source)) continue;
      rmSync(compiled);
      rmSync(`${compiled}.map`, { force: true });
    }
  }
}

function buildTypeScript() {
  prune();
  const stamp = join(output, '.built');
  const sources = sourceFolders.flatMap((folder) => filesBelow(join(root, folder), '.ts', 'target'));
  const settings = ['tsconfig.json', 'package-lock.json'].map((name) => join(root, name));
  if (modifiedMs(stamp) >= newestMs([...sources, ...settings])) return;
  process.stderr.write('extentd: compiling TypeScript\n');
  const startedAt = new Date();
  // A compiler state without its output would emit nothing.
  if (!existsSync(join(output, 'src'))) rmSync(join(output, '.tsbuildinfo'), { force: true });
  mkdirSync(output, { recursive: true });
  if (!run(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '--pretty', 'false'])) {
    stop('compiling TypeScript failed');
  }
  chmodSync(join(output, 'src', 'main.js'), 0o755);
  writeFileSync(join(output, 'build-info.json'), `${JSON.stringify(buildInfo(startedAt), null, 2)}\n`);
  writeFileSync(stamp, '');
  utimesSync(stamp, startedAt, startedAt);
}

/** What `extentd -v` prints. */
function buildInfo(startedAt) {
  const git = (...args) => {
    const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : 'unknown';
  };
  return {
    branch: git('rev-parse', '--abbrev-ref', 'HEAD'),
    commit: git('rev-parse', 'HEAD'),
    built: startedAt.toISOString(),
  };
}

checkNode();
buildAddon();
buildTypeScript();
