// Builds the Rust addon to src/native/extentd.node. `node scripts/build-native.mjs`, or import `buildNative`.
//
// Does nothing when the addon is newer than all its sources. Says nothing unless something is wrong.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const crate = join(root, 'src', 'native');
const addon = join(crate, 'extentd.node');

/** Files that the addon is made of. */
function sources() {
  const rust = readdirSync(join(crate, 'src')).map((name) => join(crate, 'src', name));
  return [...rust, ...['Cargo.toml', 'Cargo.lock', 'build.rs'].map((name) => join(crate, name))];
}

function isUpToDate() {
  if (!existsSync(addon)) return false;
  const builtMs = statSync(addon).mtimeMs;
  return sources().every((file) => statSync(file).mtimeMs < builtMs);
}

/**
 * Builds the addon if a source is newer than it. Returns null, or one line (and the compiler's words, if it got that far) that
 * says why it could not.
 */
export function buildNative() {
  if (isUpToDate()) return null;
  if (spawnSync('cargo', ['--version'], { stdio: 'ignore' }).status !== 0) {
    return 'cargo not found: install the Rust toolchain, 1.88 or newer (https://rustup.rs), and build again';
  }
  // A folder of its own, inside the target's, so that the last step is a rename within one file system: whoever loads the addon
  // meanwhile finds the old one or the new one, and two builds at once do not meet.
  mkdirSync(join(crate, 'target'), { recursive: true });
  const outputs = mkdtempSync(join(crate, 'target', 'output-'));
  try {
    const cli = join(root, 'node_modules', '@napi-rs', 'cli', 'dist', 'cli.js');
    const build = ['build', '--release', '--no-js', '--output-dir', outputs, '--dts', 'ignored.d.ts'];
    const options = [
      '--cwd',
      root,
      '--manifest-path',
      join(crate, 'Cargo.toml'),
      '--',
      '--locked',
      '--quiet',
    ];
    const run = spawnSync(process.execPath, [cli, ...build, ...options], { encoding: 'utf8' });
    const built = readdirSync(outputs).find((name) => name.endsWith('.node'));
    if (run.status !== 0 || built === undefined) {
      return `the addon does not build:\n${run.stdout ?? ''}${run.stderr ?? ''}`;
    }
    copyFileSync(join(outputs, built), join(outputs, 'final'));
    renameSync(join(outputs, 'final'), addon);
    return null;
  } finally {
    rmSync(outputs, { recursive: true, force: true });
  }
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const problem = buildNative();
  if (problem !== null) {
    console.error(problem);
    process.exitCode = 1;
  }
}
