/**
 * What `-v` prints: four lines, as the reference does (`admin.md` 1). Called by the entry point.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** `dist/`, where the build leaves `build-info.json`; this file is `dist/src/cli/version.js`. */
const outputFolder = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** Program and version, branch, commit and time of the build; `unknown` where the build could not tell. */
export function versionText(): string {
  const packageInfo = readFields(join(outputFolder, '..', 'package.json'));
  const build = readFields(join(outputFolder, 'build-info.json'));
  return [
    `extentd ${packageInfo['version'] ?? 'unknown'}`,
    `Branch: ${build['branch'] ?? 'unknown'}`,
    `Commit: ${build['commit'] ?? 'unknown'}`,
    `Build: ${build['built'] ?? 'unknown'}`,
    '',
  ].join('\n');
}

function readFields(path: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  } catch {
    return {};
  }
}
