/**
 * Folders for the tests of the tools: the recorded ones unpacked, and the state of a whole tree to compare before and after.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { packageRoot } from '../packageRoot.js';
import type { Teardown } from './nodeProcess.js';

/** A new folder that goes with the test. */
export function scratchFolder(t: Teardown): string {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-tools-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A disk with both recorded partition folders, written by a v1.4.0 node. */
export function recordedDisk(t: Teardown): string {
  const folder = scratchFolder(t);
  for (const name of ['datanode1-partition5.tar.gz', 'datanode1-partition8.tar.gz']) {
    const archive = join(packageRoot, 'test', 'vectors', 'disk', name);
    const { status, stderr } = spawnSync('tar', ['xzf', archive, '-C', folder], { encoding: 'utf8' });
    if (status !== 0) throw new Error(`tar ${name}: ${stderr}`);
  }
  return join(folder, 'd1');
}

/** Name → kind, mode, owner, size, mtime in ns, and a hash of the content, of everything below `root` and of `root` itself. */
export function treeState(root: string): Record<string, string> {
  const state: Record<string, string> = {};
  const visit = (path: string): void => {
    const stats = lstatSync(path, { bigint: true });
    let content = '';
    if (stats.isFile()) content = createHash('sha256').update(readFileSync(path)).digest('hex');
    else if (stats.isSymbolicLink()) content = readlinkSync(path);
    const size = stats.isDirectory() ? '' : stats.size;
    state[relative(root, path)] =
      `${stats.mode} ${stats.uid} ${size} ${stats.mtimeNs} ${stats.ctimeNs} ${content}`;
    if (stats.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
  };
  visit(root);
  return state;
}
