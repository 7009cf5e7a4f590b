/**
 * What every command needs first: the tools, the packages and a build, each only when missing or out of date.
 *
 * Used by the scripts beside it. Everything it says goes to standard error, so that standard output is the command's own.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const NODE_MAJOR_MIN = 20;

/** One clear line, and the end. */
export function stop(message) {
  process.stderr.write(`extentd: ${message}\n`);
  process.exit(1);
}

/** Node and the system; the build asks for the Rust toolchain where it needs it. */
export function checkNode() {
  if (Number.parseInt(process.versions.node, 10) < NODE_MAJOR_MIN) {
    stop(
      `Node ${process.versions.node} is too old: install Node ${NODE_MAJOR_MIN} or newer (https://nodejs.org)`,
    );
  }
  if (process.platform !== 'linux') stop(`runs on Linux only, not on ${process.platform}`);
}

/** Makes `cargo` callable also where rustup has installed it but this shell does not know yet. */
export function findCargo() {
  const rustupBin = join(homedir(), '.cargo', 'bin');
  if (runs('cargo') || !existsSync(join(rustupBin, 'cargo'))) return;
  process.env.PATH = `${rustupBin}${delimiter}${process.env.PATH}`;
}

/** Whether `command args --version` can be run at all. */
export function runs(command, ...args) {
  const { error, status } = spawnSync(command, [...args, '--version'], { stdio: 'ignore' });
  return error === undefined && status === 0;
}

/** Runs a command in `folder`, its output on standard error. Returns whether it ended with 0. */
export function run(command, args, folder = root) {
  const { error, status } = spawnSync(command, args, { cwd: folder, stdio: ['inherit', 2, 2] });
  if (error !== undefined) process.stderr.write(`extentd: ${command}: ${error.message}\n`);
  return error === undefined && status === 0;
}

/** `npm ci` when there are no packages, or when the lock file is newer than them. Returns success. */
export function install() {
  const installed = modifiedMs(join(root, 'node_modules', '.package-lock.json'));
  if (installed >= modifiedMs(join(root, 'package-lock.json'))) return true;
  process.stderr.write('extentd: installing packages (npm ci)\n');
  const npm = process.env.npm_execpath;
  const args = ['ci', '--loglevel=error'];
  return npm?.endsWith('.js') ? run(process.execPath, [npm, ...args]) : run('npm', args);
}

/** Tools, packages and build, or the end of the process with one line that says what failed. */
export function prepare() {
  checkNode();
  if (!install()) stop('npm ci failed, see above');
  if (!run(process.execPath, [join(root, 'scripts', 'build.mjs')])) stop('the build failed, see above');
}

/** Modification time in ms; 0 for what does not exist. */
export function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** Files below `folder` whose name ends with `ending`, absolute, sorted. Folders called `skip` are left out. */
export function filesBelow(folder, ending, skip = '') {
  if (!existsSync(folder)) return [];
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== skip) found.push(...filesBelow(path, ending, skip));
    else if (entry.isFile() && entry.name.endsWith(ending)) found.push(path);
  }
  return found.sort();
}
