/**
 * The check of the configured disk folders: the reference's texts, and a bound on the time it takes.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { checkDiskFolders } from '../../src/config/diskFolders.js';

t.test('folders pass; a missing path and a file are named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'extentd-disks-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const good = { path: folder, reserve: '0' };
  t.equal(await checkDiskFolders([good, good], 60_000), null);
  const missing = { path: join(folder, 'missing'), reserve: '0' };
  t.match(await checkDiskFolders([good, missing], 60_000), /^disks\[1\]: Stat disk path error: ENOENT/);
  t.equal(
    await checkDiskFolders([{ path: file, reserve: '0' }], 60_000),
    `disks[0]: Disk path is not dir: ${file}`,
  );
});

t.test('a folder that does not answer in time is left to its worker, the others are checked', async (t) => {
  const statFolder = (path: string): Promise<{ isDirectory(): boolean }> => {
    return path === '/hung'
      ? new Promise(() => {})
      : Promise.resolve({ isDirectory: () => path === '/good' });
  };
  const disks = ['/hung', '/good'].map((path) => ({ path, reserve: '0' }));
  t.equal(await checkDiskFolders(disks, 20, statFolder), null);
  const withFile = [...disks, { path: '/file', reserve: '0' }];
  t.equal(await checkDiskFolders(withFile, 20, statFolder), 'disks[2]: Disk path is not dir: /file');
});
